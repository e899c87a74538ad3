"""The small lab: ZooKeeper and one broker, for sessions that have little memory."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from memory_group import memory_group

GIGABYTE = 1_000_000_000
PROGRAM = """
import brokerlab
from confluent_kafka import Consumer, Producer

with brokerlab.start(brokers=1) as lab:
    producer = Producer(lab.client)
    for number in range(20_000):
        producer.produce("photos", bytes(500))
        producer.poll(0)
    assert producer.flush(30) == 0
    with Consumer(lab.client | {"group.id": "small", "auto.offset.reset": "earliest"}) as consumer:
        consumer.subscribe(["photos"])
        read = 0
        while read < 20_000 and (messages := consumer.consume(1000, 20)):
            read += len(messages)
    print("read", read)
    lab.stop()
"""


@pytest.mark.cluster
def test_one_broker_works_within_a_gigabyte(home: Path) -> None:
    with memory_group(GIGABYTE) as enter:
        done = subprocess.run(
            [sys.executable, "-c", enter + PROGRAM], capture_output=True, text=True, timeout=120
        )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "read 20000"
