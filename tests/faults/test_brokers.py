"""Brokers that are killed, stopped and started under load: nothing that was acknowledged may be missing."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest
from brokerlab import topology
from brokerlab.lab import Lab
from history import Sender, Verdict, judge
from witnesses import until

pytestmark = [pytest.mark.cluster, pytest.mark.faults]

PER_SECOND = 150
BETWEEN = 300
"""Requests that are acknowledged between two faults."""

SAFE = {"acks": "all", "enable.idempotence": True, "max.in.flight.requests.per.connection": 1}
"""One request at a time on a connection: librdkafka begins a new epoch when a gap shows after a leader has moved,
and what was in flight behind the gap may then be written twice (librdkafka#4953)."""


def go_on(sender: Sender) -> None:
    enough = sender.acknowledged() + BETWEEN
    until(lambda: sender.acknowledged() >= enough, 30, f"{BETWEEN} more acknowledgements")


def test_each_broker_is_killed_in_turn(
    lab: Lab, topic: str, whole: Callable[[], None], seen: Callable[[], list[int]]
) -> None:
    begun = time.monotonic()
    sender = Sender(lab.client, topic, PER_SECOND, 10_000, **SAFE)
    try:
        for broker in lab.brokers.values():
            go_on(sender)
            report = broker.kill()
            assert report.without_leader == ()
            assert report.new_leaders is None or report.new_leaders <= 10
            go_on(sender)
            broker.start()
            whole()
        history = sender.finish()
    finally:
        sender.end()
    assert history.refused == {}
    assert judge(history, seen()) == Verdict((), (), ())
    assert len(history.acknowledged) == 10_000
    assert history.longest_pause <= 10 and history.slowest <= 20
    assert time.monotonic() - begun <= 150


def test_each_broker_is_stopped_in_turn(
    lab: Lab, topic: str, whole: Callable[[], None], seen: Callable[[], list[int]]
) -> None:
    sender = Sender(lab.client, topic, PER_SECOND, 100_000, **SAFE)
    try:
        for broker in lab.brokers.values():
            go_on(sender)
            assert broker.stop().seconds <= 15
            go_on(sender)
            broker.start()
            whole()
    finally:
        sender.end()
    history = sender.finish()
    assert history.refused == {} and history.unknown == set()
    assert judge(history, seen()) == Verdict((), (), ())
    assert history.longest_pause <= 2


def test_a_killed_broker_is_started_at_once_ten_times(lab: Lab, topic: str) -> None:
    """ZooKeeper still holds the znode of the dead one, and a broker that meets it would end."""
    for _ in range(10):
        lab.brokers[2].kill(watch=False)
        begun = time.monotonic()
        lab.brokers[2].start()
        assert time.monotonic() - begun <= topology.ZOOKEEPER_SESSION_SECONDS + 10
    assert lab.state == "usable"


def test_zookeeper_is_away_for_a_minute(
    lab: Lab, topic: str, seen: Callable[[], list[int]]
) -> None:
    brokers = {broker.id: broker.pid for broker in lab.brokers.values()}
    sender = Sender(lab.client, topic, PER_SECOND, 100_000, **SAFE)
    try:
        go_on(sender)
        lab.zookeeper.kill()
        away = time.monotonic()
        while time.monotonic() - away < 60:
            go_on(sender)
        lab.zookeeper.start()
        back = time.monotonic()
        until(lambda: lab.probe.names_are_free(["after-the-minute"]), 15, "a topic to be possible")
        assert time.monotonic() - back <= 5
        go_on(sender)
    finally:
        sender.end()
    history = sender.finish()
    assert history.refused == {} and history.unknown == set()
    assert judge(history, seen()) == Verdict((), (), ())
    assert {broker.id: broker.pid for broker in lab.brokers.values()} == brokers
