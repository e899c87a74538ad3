"""The same checker on a topic that may lose: if it finds nothing here, it finds nothing anywhere."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from brokerlab.lab import Lab
from brokerlab.observe import Snapshot, wait_until
from confluent_kafka.admin import AdminClient, NewTopic
from history import Sender, judge
from witnesses import read_all

pytestmark = [pytest.mark.cluster, pytest.mark.faults]

TOPIC = "may-lose"
LEADER, FOLLOWER = 1, 2
COUNT = 100
UNSAFE = {"min.insync.replicas": "1", "unclean.leader.election.enable": "true"}


@pytest.fixture
def topic(lab: Lab) -> Iterator[str]:
    lab.delete_topics(TOPIC)
    admin = AdminClient({**lab.client, "log_level": 0})
    new = NewTopic(TOPIC, 1, replica_assignment=[[LEADER, FOLLOWER]], config=UNSAFE)
    admin.create_topics([new])[TOPIC].result(15)
    yield TOPIC
    lab.repair()
    lab.delete_topics(TOPIC)


def wait_for(lab: Lab, leader: int, in_sync: set[int]) -> None:
    def so(seen: Snapshot) -> bool:
        found = seen.topic(TOPIC)
        return found is not None and all(
            p.leader == leader and set(p.isr) == in_sync for p in found.partitions
        )

    wait_until(lab, so, 30, f"broker {leader} to lead, with {sorted(in_sync)} in sync")


def test_acknowledged_by_one_broker_alone_and_lost_with_it(lab: Lab, topic: str) -> None:
    wait_for(lab, LEADER, {LEADER, FOLLOWER})
    lab.brokers[FOLLOWER].stop()
    wait_for(lab, LEADER, {LEADER})
    history = Sender(lab.client, topic, 500, COUNT, acks="all").finish()
    assert len(history.acknowledged) == COUNT
    lab.brokers[LEADER].kill()
    lab.brokers[FOLLOWER].start()
    wait_for(lab, FOLLOWER, {FOLLOWER})
    lab.brokers[LEADER].start()
    wait_for(lab, FOLLOWER, {LEADER, FOLLOWER})
    there = [int(value) for _, value in read_all(lab.client, topic)]
    assert judge(history, there).lost == tuple(range(COUNT))
