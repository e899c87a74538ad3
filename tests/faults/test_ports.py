"""F18: ports that others take while a lab starts, and a port at which a client meets itself."""

from __future__ import annotations

import json
import os
import random
import socket
import subprocess
import sys
from contextlib import suppress
from functools import partial
from pathlib import Path

import brokerlab
import pytest
from badluck import At, take
from brokerlab import topology
from brokerlab.progress import Progress
from witnesses import alive, pids, produce, read_all

pytestmark = [pytest.mark.cluster, pytest.mark.faults]

STARTS = 50
SEED = 18
STEPS = ("ZooKeeper serves", "1 broker registered", "a controller is elected")
TRIES = 20
ITSELF = Path(__file__).with_name("itself.py")


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_fifty_starts_beside_one_who_takes_ports(home: Path) -> None:
    """Each time another port of those that the last lab had is taken, before or during the start."""
    choice = random.Random(SEED)
    had = [topology.ARTICLE_ZOOKEEPER_PORT, topology.ARTICLE_BROKER_PORT]
    taken = 0
    for number in range(STARTS):
        port = choice.choice(had)
        with socket.socket() as thief:
            progress = Progress()
            if choice.random() < 0.5:
                take(thief, port)
            else:
                progress = At(choice.choice(STEPS), partial(_take_if_it_can, thief, port))
            lab = brokerlab.start(brokers=1, progress=progress)
            taken += thief.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
            assert lab.state == "usable", number
            produce(lab.client, "hello", [str(number)])
            assert read_all(lab.client, "hello") == [(None, str(number).encode())], number
            had = [lab.zookeeper_port, lab.brokers[1].port]
            nodes = pids(lab.status()).values()
            lab.stop()
            assert alive(nodes) == [], number
    assert taken >= STARTS / 2, "the others came too late for most starts"


def _take_if_it_can(thief: socket.socket, port: int) -> None:
    # Else the lab was faster.
    with suppress(OSError):
        take(thief, port)


@pytest.mark.skipif(
    sys.platform != "linux" or os.geteuid() != 0, reason="a namespace needs root, on Linux"
)
def test_a_client_that_meets_itself_takes_that_for_no_node() -> None:
    port = 45_000
    command = f"ip link set lo up && exec {sys.executable} {ITSELF} {port} {TRIES}"
    done = subprocess.run(
        ["unshare", "--net", "sh", "-c", command], capture_output=True, text=True, timeout=60
    )
    found = json.loads(done.stdout)
    assert found.pop("a client") > 0, "nobody met himself, so this shows nothing"
    assert set(found.values()) == {0}, found
