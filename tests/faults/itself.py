"""Ask a port at which nobody listens, where a client may be connected to itself; print what was taken for an answer.

    python itself.py PORT TRIES

To be run in a network namespace of its own, whose clients all get this port: it sets that.
"""

from __future__ import annotations

import json
import socket
import sys
from pathlib import Path

from brokerlab import probes, quorum, topology

NETWORK = Path("/proc/sys/net/ipv4")


def connected_to_itself(port: int) -> bool:
    with socket.socket() as plain:
        return plain.connect_ex((topology.HOST, port)) == 0


def main() -> None:
    port, tries = (int(text) for text in sys.argv[1:])
    (NETWORK / "ip_local_port_range").write_text(f"{port} {port + 1}\n")
    # Else a connection that has ended keeps the next client from being connected so.
    (NETWORK / "tcp_max_tw_buckets").write_text("0\n")
    server = f"{topology.HOST}:{port}"
    kafka = probes.KafkaProbe({"bootstrap.servers": server})
    found = {
        "a client": sum(connected_to_itself(port) for _ in range(tries)),
        "ZooKeeper serves": sum(probes.zookeeper_serves(port) for _ in range(tries)),
        "brokers": sum(probes.registered_brokers(port) is not None for _ in range(tries)),
        "a controller": sum(quorum.ask(server) is not None for _ in range(tries)),
        "a broker": sum(kafka.metadata(0.2) is not None for _ in range(tries)),
    }
    print(json.dumps(found))


if __name__ == "__main__":
    main()
