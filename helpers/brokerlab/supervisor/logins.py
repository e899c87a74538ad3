"""How those who may come in are let in: files for a lab's clients, and the user that its brokers look for."""

from __future__ import annotations

import contextlib
import json
import time

from brokerlab import access, keypair, kraft, machine, scramuser, topology
from brokerlab.errors import NodeFailedError
from brokerlab.supervisor.cluster import Cluster
from brokerlab.supervisor.waiting import START_SECONDS

AGAIN_SECONDS = 0.1


def write_client_files(cluster: Cluster) -> None:
    """Write what clients of this lab are given, anew whenever there are other nodes."""
    folder, lets_in = cluster.folder, cluster.access
    if cluster.closed:
        machine.write_private(folder.login_file, lets_in.jaas())
    kafka = lets_in.kafka(cluster.addresses("broker"))
    machine.write_private(folder.client_file, access.properties(kafka))
    zookeeper = json.dumps(cluster.zookeeper_client)
    machine.write_private(folder.zookeeper_client_file, zookeeper)


def make_controller_key(cluster: Cluster) -> None:
    """Write the key by which this lab's controllers, and who talks to them, know each other."""
    folder = cluster.folder
    machine.write_private(folder.controller_key, keypair.make(topology.HOST))
    reads = kraft.controller_client(str(folder.controller_key))
    machine.write_private(folder.controller_client_file, reads)


def tell_brokers_whom_to_let_in(cluster: Cluster) -> None:
    """Write the user of this lab where its brokers look for users, before there are any brokers."""
    (_tell_controllers if cluster.controllers else _tell_zookeeper)(cluster)


def _tell_controllers(cluster: Cluster) -> None:
    where = cluster.addresses("controller").split(",")
    deadline = time.monotonic() + START_SECONDS
    # Who led a moment ago may not lead any more.
    while wrong := scramuser.tell(where, cluster.access, cluster.controller_key):
        if time.monotonic() > deadline:
            raise NodeFailedError(
                f"The controllers did not take the lab's user ({wrong}): look at `brokerlab logs controller-1`, then start again."
            )
        time.sleep(AGAIN_SECONDS)


def _tell_zookeeper(cluster: Cluster) -> None:
    from kazoo.client import KazooClient
    from kazoo.exceptions import KazooException, NodeExistsError
    from kazoo.handlers.threading import KazooTimeoutError
    from kazoo.retry import KazooRetry
    from kazoo.security import make_acl

    client = KazooClient(**cluster.zookeeper_client)
    only_us = [make_acl("sasl", access.USER, all=True)]
    try:
        client.start(timeout=START_SECONDS)
        value = cluster.access.scram_credential().encode()
        user = f"/config/users/{access.USER}"
        # On a busy machine the connection may be lost, before or after ZooKeeper has taken it.
        again = KazooRetry(max_tries=-1, max_delay=1, deadline=START_SECONDS)
        with contextlib.suppress(NodeExistsError):
            again(client.create, user, value, acl=only_us, makepath=True)
    except (KazooException, KazooTimeoutError) as error:
        raise NodeFailedError(
            f"ZooKeeper did not take the lab's user ({error!r}): look at `brokerlab logs zookeeper`, then start again."
        ) from None
    finally:
        client.stop()
        client.close()
