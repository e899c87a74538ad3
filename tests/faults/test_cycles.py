"""A hundred labs, each of which loses its supervisor: no process, lock, port or file is left behind."""

from __future__ import annotations

import os
import signal
import socket
from pathlib import Path

import brokerlab
import pytest
from brokerlab.progress import Progress
from leftovers import processes_of
from witnesses import alive, assert_nothing_half_done, pids, until

pytestmark = [pytest.mark.cluster, pytest.mark.faults, pytest.mark.slow]

CYCLES = 100
NODES_GONE_SECONDS = 5.0


@pytest.mark.timeout(1500)
def test_a_hundred_starts_that_end_in_a_crash(home: Path) -> None:
    addresses = set()
    for cycle in range(CYCLES):
        lab = brokerlab.start(brokers=1, progress=Progress())
        status = lab.status()
        addresses.add((lab.zookeeper_connect, lab.bootstrap_servers))
        os.kill(status["supervisor"]["pid"], signal.SIGKILL)
        nodes = pids(status).values()
        until(lambda nodes=nodes: not alive(nodes), NODES_GONE_SECONDS, f"the nodes of {cycle}")
    until(lambda: not processes_of(home), NODES_GONE_SECONDS, "every process to end")
    assert len(addresses) == 1, "a port that is not given back moves the next lab"
    for address in addresses.pop():
        host, _, port = address.rpartition(":")
        with socket.socket() as listener:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind((host, int(port)))
    brokerlab.start(brokers=1, progress=Progress()).stop()
    assert_nothing_half_done(home)
