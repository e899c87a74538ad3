"""What the fault tests share: a topic that should lose nothing, on the session's lab."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from brokerlab.lab import Lab
from brokerlab.observe import Snapshot, wait_until
from confluent_kafka.admin import AdminClient, NewTopic
from witnesses import read_all

TOPIC = "faults"
PARTITIONS = 6
COPIES = 3
ISR_SECONDS = 30.0


@pytest.fixture
def topic(lab: Lab, whole: Callable[[], float]) -> Iterator[str]:
    """Six partitions of three copies, two of which have to be in sync to acknowledge."""
    lab.delete_topics(TOPIC)
    admin = AdminClient({**lab.client, "log_level": 0})
    new = NewTopic(TOPIC, PARTITIONS, COPIES, config={"min.insync.replicas": "2"})
    admin.create_topics([new])[TOPIC].result(15)
    whole()
    yield TOPIC
    lab.repair()
    lab.delete_topics(TOPIC)


@pytest.fixture
def whole(lab: Lab) -> Callable[[], None]:
    """Return what waits until every copy of the topic is in sync again."""

    def every_copy(seen: Snapshot) -> bool:
        found = seen.topic(TOPIC)
        return found is not None and all(len(p.isr) == COPIES for p in found.partitions)

    return lambda: wait_until(lab, every_copy, ISR_SECONDS, "every copy to be in sync") and None


@pytest.fixture
def seen(lab: Lab, topic: str) -> Callable[[], list[int]]:
    """Return what reads the numbers of all requests in the log, each as often as it is there."""
    return lambda: [int(value) for _, value in read_all(lab.client, topic)]
