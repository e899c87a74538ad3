"""Exercises of lesson 05 on a real cluster: untouched, the typical mistakes, the solution."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from brokerlab.exercises import lesson_05_console_producer_and_consumer, load
from brokerlab.exercises.engine import Exercise
from brokerlab.tools import background
from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

pytestmark = pytest.mark.cluster

LESSON = "05_console_producer_and_consumer"
PHOTOS = 10
LOG = {
    0: ["ship", "house"],
    1: ["bus", "clock", "tree"],
    2: ["cat", "fish"],
}

Tool = Callable[..., list[str]]


@pytest.fixture
def q(lab: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr(Exercise, "patience", 0.2)
    return load(LESSON, lab)


@pytest.fixture
def tool(lab: Any) -> Tool:
    """Run a console tool to its end and return what it printed."""

    def run(name: str, *arguments: str) -> list[str]:
        running = background([name, "--bootstrap-server", lab.bootstrap_servers, *arguments])
        assert running.wait(60) == 0, running.lines
        return list(running.lines)

    return run


def _fill(lab: Any, topic: str, log: dict[int, list[str]]) -> None:
    _create(AdminClient(_client(lab)), NewTopic(topic, len(log), 3))
    producer = Producer(_client(lab))
    for partition, texts in log.items():
        for text in texts:
            producer.produce(topic, text, partition=partition)
    assert producer.flush(15) == 0


def _create(admin: AdminClient, topic: NewTopic, seconds: float = 15) -> None:
    # The brokers forget a deleted topic a moment before the controller allows a new one of that name.
    deadline = time.monotonic() + seconds
    while True:
        try:
            admin.create_topics([topic])[topic.topic].result(15)
            return
        except KafkaException as refused:
            if "marked for deletion" not in str(refused) or time.monotonic() > deadline:
                raise
            time.sleep(0.1)


def _client(lab: Any) -> dict[str, Any]:
    return {**lab.client, "log_level": 0}


@pytest.fixture(scope="module")
def cameras(lab: Any) -> Iterator[None]:
    lab.delete_topics("cameras")
    _fill(lab, "cameras", LOG)
    yield
    lab.delete_topics("cameras")


@pytest.fixture
def gallery(lab: Any) -> Iterator[None]:
    lab.delete_topics("gallery")
    _fill(lab, "gallery", {0: [f"photo {n + 1}" for n in range(PHOTOS)]})
    yield
    lab.delete_topics("gallery")


def test_one_partition_untouched(q, cameras):
    assert q[1].check(...).status == "not attempted"


def test_one_partition_before_the_lesson_filled_the_topic(q, monkeypatch):
    monkeypatch.setattr(lesson_05_console_producer_and_consumer, "CAMERAS", "no-cameras-yet")
    report = q[1].check(["bus"])
    assert report.status == "not yet"
    assert "run the cell that fills no-cameras-yet" in repr(report)


@pytest.mark.parametrize(
    ("answer", "advice"),
    [
        ([text for texts in LOG.values() for text in texts], "That is the whole topic"),
        (LOG[0], "Look at the number after --partition"),
        ([*LOG[1], "Processed a total of 3 messages"], "the tool talking"),
        ([f"camera-6\t{text}" for text in LOG[1]], "comes from print.key"),
        ([text.encode() for text in LOG[1]], "decode() makes text"),
        (LOG[1][1:], "begin at --offset earliest"),
        ([], "begin at --offset earliest"),
        (LOG[1] * 2, "start with an empty list"),
        (LOG[1][::-1], "in the log's order"),
    ],
)
def test_one_partition_mistaken(q, cameras, answer, advice):
    report = q[1].check(answer)
    assert report.status == "not yet"
    assert advice in repr(report)


def test_one_partition_as_the_console_prints_it(q, cameras, tool):
    place = ["--topic", "cameras", "--partition", "1", "--offset", "earliest"]
    printed = tool("kafka-console-consumer.sh", *place, "--max-messages", "3")
    report = q[1].check(printed)
    assert report.status == "not yet"
    assert "the tool talking" in repr(report)
    q[1].assert_passed([line for line in printed if not line.startswith("Processed")])


READ = ["--topic", "gallery", "--from-beginning", "--max-messages", str(PHOTOS)]
OF_CURATORS = ["--group", "curators"]
RESET = [*OF_CURATORS, "--topic", "gallery", "--reset-offsets", "--to-earliest"]


def test_rewind_untouched(q, gallery):
    assert q[2].check(...).status == "not attempted"


def test_rewind_before_the_lesson_filled_the_topic(lab, q):
    lab.delete_topics("gallery")
    report = q[2].check(PHOTOS)
    assert report.status == "not yet"
    assert "run the cell that fills gallery" in repr(report)


def test_rewind_without_a_group(q, gallery, tool):
    tool("kafka-console-consumer.sh", *READ)
    report = q[2].check(PHOTOS)
    assert report.status == "not yet"
    assert "Without --group curators the tool invents a group" in repr(report)


def test_rewind_what_was_never_read(q, gallery, tool):
    tool("kafka-consumer-groups.sh", *RESET, "--execute")
    report = q[2].check(PHOTOS)
    assert report.status == "not yet"
    assert f"Expected a commit of {PHOTOS}, the furthest was 0" in repr(report)


def test_rewind_from_the_first_run_to_the_solution(lab, q, gallery, tool):
    tool("kafka-console-consumer.sh", *READ, *OF_CURATORS)
    report = q[2].check(0)
    assert report.status == "not yet"
    assert f"Expected 0, seen {PHOTOS}. --reset-offsets alone" in repr(report)

    tool("kafka-consumer-groups.sh", *RESET)
    assert "a dry run" in repr(q[2].check(PHOTOS))

    tool("kafka-consumer-groups.sh", *RESET, "--execute")
    report = q[2].check(0)
    assert report.status == "not yet"
    assert "Your lag is 0" in repr(report)
    q[2].assert_passed(PHOTOS)
    assert _committed(lab) == 0, "the check must leave the group as it is"

    tool("kafka-console-consumer.sh", *READ, *OF_CURATORS)
    report = q[2].check(PHOTOS)
    assert report.status == "not yet"
    assert "the group read again afterwards" in repr(report)

    tool("kafka-consumer-groups.sh", *RESET, "--execute")
    q[2].assert_passed(PHOTOS)


def test_rewind_while_somebody_reads(lab, q, gallery):
    command = ["kafka-console-consumer.sh", "--bootstrap-server", lab.bootstrap_servers]
    reading = background([*command, "--topic", "gallery", "--from-beginning", *OF_CURATORS])
    try:
        reading.wait_for(f"photo {PHOTOS}")
        report = q[2].check(PHOTOS)
        assert report.status == "not yet"
        assert "A consumer of the group is still running" in repr(report)
    finally:
        reading.stop()
    assert "still running" not in repr(q[2].check(PHOTOS))


def test_a_new_topic_of_that_name_begins_without_a_past(lab, q, gallery, tool):
    tool("kafka-console-consumer.sh", *READ, *OF_CURATORS)
    lab.delete_topics("gallery")
    _fill(lab, "gallery", {0: ["photo 1"]})
    report = q[2].check(1)
    assert "Seen: none." in repr(report)
    assert "the furthest was 0" in repr(report)


def _committed(lab: Any) -> int:
    asking = Consumer(_client(lab) | {"group.id": "curators"})
    try:
        (found,) = asking.committed([TopicPartition("gallery", 0)], timeout=10)
    finally:
        asking.close()
    return found.offset
