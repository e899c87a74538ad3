"""The one detached process that owns a lab's nodes.

A notebook's kernel is interrupted, restarted and killed by Jupyter together with its children, so it
cannot own a broker. The supervisor can: it lives in a session of its own, starts and stops the nodes,
and holds them as long as any process has a lease on the lab. When the last lease has been gone for
`linger` seconds it stops the brokers, then ZooKeeper, then itself. If it is killed, the system kills its
nodes with it.
"""
