"""Lesson 01's exercises on a real lab: untouched, typical mistakes, solution."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from brokerlab import exercises
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewTopic

pytestmark = pytest.mark.cluster

GREETING = "Hello from camera 7"


@pytest.fixture
def q(lab: Any) -> Iterator[Any]:
    """The exercises, over an empty guestbook."""
    lab.delete_topics("guestbook")
    admin = AdminClient(lab.client)
    admin.create_topics([NewTopic("guestbook", 1, 3)])["guestbook"].result(20)
    yield exercises.load("01_start_here", lab)
    lab.delete_topics("guestbook")


def write(lab: Any, *texts: str) -> None:
    producer = Producer(lab.client)
    for text in texts:
        producer.produce("guestbook", value=text)
    assert producer.flush(20) == 0


def test_untouched(q):
    assert q[1].check(...).status == "not attempted"
    assert q[2].check(...).status == "not attempted"


def test_forgotten_flush_is_named(q, lab):
    report = q[1].check(GREETING)
    assert report.status == "not yet"
    assert "flush()" in repr(report)


def test_another_text_is_named(q, lab):
    write(lab, GREETING.lower())
    report = q[1].check(GREETING)
    assert report.status == "not yet"
    assert "spelling and spaces" in repr(report)


def test_signed(q, lab):
    write(lab, "somebody else", GREETING)
    assert q[1].assert_passed(GREETING).passed


@pytest.mark.parametrize(
    ("received", "advice"),
    [
        ([], "auto.offset.reset"),
        ([b"one", b"two"], "decode()"),
        (["one"], "poll until nothing comes"),
        (["one", "two", "one", "two"], "start with an empty list"),
    ],
)
def test_a_wrong_list_is_named(q, lab, received, advice):
    write(lab, "one", "two")
    report = q[2].check(received)
    assert report.status == "not yet"
    assert advice in repr(report)


def test_nothing_to_read_is_named(q):
    report = q[2].check(["one"])
    assert report.status == "not yet"
    assert "do exercise 1 first" in repr(report)


def test_read_back(q, lab):
    write(lab, "one", "two")
    assert q[2].assert_passed(["one", "two"]).passed


def test_the_cluster_alone_decides(q, lab):
    """A text that was never sent does not pass, however it looks."""
    write(lab, "one")
    assert q[1].check("two").status == "not yet"
    assert q[2].check(["two"]).status == "not yet"
