"""F14: one broker's disk is full; the cluster goes on, and the lab says which disk and what to do."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import brokerlab
import pytest
from brokerlab.lab import Lab
from brokerlab.observe import Snapshot, wait_until
from brokerlab.progress import Progress
from confluent_kafka.admin import AdminClient, NewTopic
from history import Sender, Verdict, judge
from test_brokers import PER_SECOND, SAFE, go_on
from witnesses import read_all, until

pytestmark = [
    pytest.mark.cluster,
    pytest.mark.faults,
    pytest.mark.skipif(
        sys.platform != "linux" or os.geteuid() != 0, reason="a small disk needs root, on Linux"
    ),
]

DISK = "48m"
TOPIC = "heavy"
TOLD_SECONDS = 10.0


@pytest.fixture
def small_disk(home: Path) -> Iterator[tuple[Lab, Path]]:
    """A lab of its own whose broker 3 keeps its data on a small disk."""
    lab = brokerlab.start(brokers=3, progress=Progress())
    broker = lab.brokers[3]
    data = broker.data
    broker.stop()
    had = data.with_name("had")
    shutil.move(data, had)
    data.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={DISK}", "tmpfs", data], check=True)
    try:
        shutil.copytree(had, data, dirs_exist_ok=True)
        broker.start()
        yield lab, data
        lab.stop()
    finally:
        subprocess.run(["umount", "--lazy", data], check=True)


def fill(disk: Path) -> Path:
    """Take what room a disk has left; return the file that does."""
    ballast = disk / "ballast.tmp"
    with ballast.open("wb", buffering=0) as file:
        try:
            while file.write(bytes(4096)):
                pass
        except OSError:
            return ballast
    raise AssertionError("the disk is not full")


def every_copy(seen: Snapshot) -> bool:
    found = seen.topic(TOPIC)
    return found is not None and all(len(partition.isr) == 3 for partition in found.partitions)


def test_a_full_disk_takes_one_broker_and_loses_nothing(small_disk: tuple[Lab, Path]) -> None:
    lab, disk = small_disk
    admin = AdminClient({**lab.client, "log_level": 0})
    new = NewTopic(TOPIC, 6, 3, config={"min.insync.replicas": "2"})
    admin.create_topics([new])[TOPIC].result(15)
    sender = Sender(lab.client, TOPIC, PER_SECOND, 100_000, **SAFE)
    try:
        go_on(sender)
        ballast = fill(disk)
        told = until(lambda: lab.brokers[3].state == "died", TOLD_SECONDS, "the lab to tell")
        assert lab.brokers[3].cause.startswith("its disk is full"), lab.brokers[3].log(40)
        assert "broker-3 has died: its disk is full" in lab.summary()
        print(f"told after {told:.1f} s")
        go_on(sender)
        ballast.unlink()
        lab.brokers[3].start()
        wait_until(lab, every_copy, 30, "every copy to be in sync")
        go_on(sender)
    finally:
        sender.end()
    history = sender.finish()
    assert history.refused == {} and history.unknown == set()
    seen = [int(value) for _, value in read_all(lab.client, TOPIC)]
    assert judge(history, seen) == Verdict((), (), ())
