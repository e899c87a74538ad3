"""A consumer group as the cluster describes it, asked for in a process of its own."""

from __future__ import annotations

import os
import signal

import psutil
import pytest
from brokerlab.errors import NodeFailedError
from brokerlab.groups import GroupObserver, GroupView, Span, parse
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic
from nowhere import Nowhere

TOPIC = "groups-test"


@pytest.fixture
def topic(lab):
    lab.delete_topics(TOPIC)
    admin = AdminClient(lab.client)
    admin.create_topics([NewTopic(TOPIC, 2, 3)])[TOPIC].result(10)
    producer = Producer(lab.client)
    for number in range(10):
        producer.produce(TOPIC, str(number), partition=number % 2)
    assert producer.flush(10) == 0
    yield TOPIC
    lab.delete_topics(TOPIC)


@pytest.fixture
def watch(lab, topic):
    with GroupObserver(lab, "groups-test", [topic]) as observer:
        yield observer


def member(lab, name):
    settings = {
        **lab.client,
        "group.id": "groups-test",
        "client.id": name,
        "enable.auto.commit": False,
        "session.timeout.ms": 6000,
    }
    consumer = Consumer(settings)
    consumer.subscribe([TOPIC])
    return consumer


@pytest.mark.cluster
def test_a_group_from_nobody_to_two_members_and_back(lab, watch):
    seen = watch.wait_until(lambda view: len(view.spans) == 2, what="two partitions")
    assert (seen.members, seen.lag) == ((), 10)
    assert seen.span(TOPIC, 0) == Span(TOPIC, 0, 0, 5, None)

    consumers = [member(lab, "camera-1"), member(lab, "camera-2")]
    try:
        for _ in range(200):
            for consumer in consumers:
                consumer.poll(0.05)
            seen = watch.latest
            if seen.state == "STABLE" and len(seen.members) == 2:
                break
        assert [m.client for m in seen.members] == ["camera-1", "camera-2"]
        assert sorted(p for m in seen.members for p in m.partitions) == [(TOPIC, 0), (TOPIC, 1)]
        assert seen.owner(TOPIC, 1) in seen.members and seen.owner(TOPIC, 7) is None
        owner = next(c for c in consumers if TopicPartition(TOPIC, 1) in c.assignment())
        owner.commit(offsets=[TopicPartition(TOPIC, 1, 3)], asynchronous=False)
        seen = watch.wait_until(lambda view: view.lag == 7, what="a lag of 7")
        assert seen.span(TOPIC, 1) == Span(TOPIC, 1, 0, 5, 3)
    finally:
        for consumer in consumers:
            consumer.close()
    seen = watch.wait_until(lambda view: view.state == "EMPTY", what="an empty group")
    assert seen.members == () and seen.lag == 7


@pytest.mark.cluster
def test_the_watching_process_is_replaced_when_it_dies(lab, watch):
    watch.wait_until(lambda view: bool(view.spans), what="partitions")
    killed = _watchers()
    for pid in killed:
        os.kill(pid, signal.SIGKILL)
    watch.wait_until(lambda view: bool(view.spans), what="partitions again")
    assert killed and not killed & _watchers()


@pytest.mark.cluster
def test_closing_ends_the_watching_process(lab, topic):
    before = _watchers()
    observer = GroupObserver(lab, "groups-test", topic)
    observer.wait_until(lambda view: bool(view.spans), what="partitions")
    assert _watchers() - before
    observer.close()
    assert _watchers() == before


@pytest.mark.cluster
def test_waiting_in_vain_says_for_what_and_what_is_there(watch):
    with pytest.raises(NodeFailedError, match=r"Waited 1 s for a wonder, and group groups-test"):
        watch.wait_until(lambda view: False, timeout=1, what="a wonder")


def test_a_cluster_that_is_not_there_is_a_problem_not_an_error(tmp_path):
    with GroupObserver(Nowhere(tmp_path), "groups-test") as observer:
        seen = observer.wait_until(
            lambda view: view.problem is not None and "coordinator" in view.problem,
            what="a problem",
        )
    assert seen.state is None and seen.members == ()


@pytest.mark.parametrize("line", ["", "Traceback (most recent call last):", "{}", "[1]", "null"])
def test_lines_that_are_no_look_are_passed_over(line):
    assert parse("any", line) is None


def test_lag_counts_from_the_commit_or_else_from_the_beginning():
    spans = (Span("t", 0, 4, 10, 7), Span("t", 1, 4, 10, None), Span("t", 2, 0, None, None))
    assert [span.lag for span in spans] == [3, 6, None]
    assert GroupView(0.0, "g", "STABLE", (), spans, None).lag == 9


def _watchers() -> set[int]:
    found = set()
    for child in psutil.Process().children(recursive=True):
        try:
            if "brokerlab.groupwatch" in child.cmdline():
                found.add(child.pid)
        except psutil.Error:
            continue
    return found
