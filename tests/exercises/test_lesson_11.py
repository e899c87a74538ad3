"""Exercises of lesson 11 on a real cluster: untouched, the typical mistakes, the solution."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest
from brokerlab import programs
from brokerlab.exercises import lesson_11_offsets_commits_replay as lesson
from brokerlab.exercises import load
from brokerlab.exercises.engine import Exercise
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

pytestmark = pytest.mark.cluster

LESSON = "11_offsets_commits_replay"
MINUTE = 60_000

DESK = """
import signal, sys

from brokerlab.access import read_client

client_file, topic, group, commit = sys.argv[1:]
settings = {**read_client(client_file), "group.id": group, "auto.offset.reset": "earliest"}
settings |= {"session.timeout.ms": 3000, "heartbeat.interval.ms": 500}
settings |= {"auto.commit.interval.ms": 500}
signal.signal(signal.SIGTERM, lambda *_: sys.exit())

def recognise(photo):
    print("working", photo.partition(), photo.offset(), photo.value().decode())
    sys.stdin.readline()
    print("done", photo.partition(), photo.offset(), photo.value().decode())
"""

UNTOUCHED = """
from confluent_kafka import Consumer
from desk import recognise, settings, topic

consumer = Consumer(settings)
consumer.subscribe([topic])
...
"""

LOOP = """
from confluent_kafka import Consumer
from desk import commit, recognise, settings, topic

with Consumer(settings | {settings}) as consumer:
    consumer.subscribe([topic])
    while True:
        photo = consumer.poll(1)
        if photo and not photo.error():
            {before}
            recognise(photo)
            {after}
"""


def careful(settings: dict[str, Any], before: str = "", after: str = "") -> str:
    written = LOOP.replace("{settings}", repr(settings))
    return written.replace("{before}", before or "pass").replace("{after}", after or "pass")


COMMIT = "consumer.commit(photo, asynchronous=False)"
STORE = "consumer.store_offsets(photo)"
BY_HAND = {"enable.auto.commit": False}
STORING = {"enable.auto.offset.store": False}


@pytest.fixture
def q(lab: Any, home: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr(Exercise, "patience", 0.2)
    programs.write("desk.py", DESK)
    return load(LESSON, lab)


def test_missing_zero_before_anything_is_written(lab, q):
    assert q[1].check().status == "not attempted"
    assert lesson.TRIAL not in lab.topics()


def test_missing_zero_untouched(lab, q):
    programs.write("careful.py", UNTOUCHED)
    assert q[1].check().status == "not attempted"
    assert lesson.TRIAL not in lab.topics()


@pytest.mark.parametrize(
    "program",
    [careful(BY_HAND, after=COMMIT), careful(STORING, after=STORE)],
    ids=["commit after the work", "store after the work"],
)
def test_missing_zero_solved(lab, q, program):
    programs.write("careful.py", program)
    q[1].assert_passed()
    assert lesson.TRIAL not in lab.topics()


@pytest.mark.parametrize(
    ("program", "advice"),
    [
        (careful({}), ["enable.auto.offset.store", "Missing: 1, photo"]),
        (careful(BY_HAND, before=COMMIT), ["comes before recognise()", "Missing: 1, photo"]),
        (careful(STORING, before=STORE), ["comes before recognise()", "Missing: 1, photo"]),
        (
            careful({"auto.offset.reset": "latest"}, after=COMMIT),
            ["with latest it begins at the end"],
        ),
        (careful(BY_HAND), ["Nothing is lost so, but"]),
        (careful(STORING), ["Nothing is lost so, but"]),
        (careful({}, after=STORE), ["It ended by itself, its last line:", "_INVALID_ARG"]),
        (
            careful(BY_HAND, after="break"),
            ["It ended by itself, its last line: done 0 0", "in a loop that never ends"],
        ),
        ("print(nonsense)", ["It ended by itself, its last line: NameError"]),
    ],
    ids=[
        "auto-commit",
        "commit before",
        "store before",
        "latest",
        "never",
        "nothing stored",
        "stored twice",
        "no loop",
        "a bug",
    ],
)
def test_missing_zero_mistaken(lab, q, monkeypatch, program, advice):
    monkeypatch.setattr(lesson, "BEGIN", 6.0)
    programs.write("careful.py", program)
    report = q[1].check()
    assert report.status == "not yet"
    for words in advice:
        assert words in repr(report)
    assert lesson.TRIAL not in lab.topics()


@pytest.fixture(scope="module")
def album(lab: Any) -> Iterator[int]:
    """The album as the lesson fills it; the time of its first photo, in ms."""
    lab.delete_topics("album")
    settings = {**lab.client, "log_level": 0}
    admin = AdminClient(settings)
    admin.create_topics([NewTopic("album", 3, 3)])["album"].result(15)
    began = (int(time.time()) - 100 * 60) * 1000
    producer = Producer(settings)
    for n in range(60):
        partition, when = (1, 0, 1, 2, 1)[n % 5], began + n * MINUTE
        producer.produce("album", f"photo {n}", partition=partition, timestamp=when)
    assert producer.flush(15) == 0
    yield began
    lab.delete_topics("album")


def photos(partition: int = 1, begin: int = 0) -> list[str]:
    """The texts of a partition of the album, from offset `begin` on."""
    return [f"photo {n}" for n in range(60) if (1, 0, 1, 2, 1)[n % 5] == partition][begin:]


def test_replay_untouched(q, album):
    assert q[2].check(...).status == "not attempted"


def test_replay_before_the_album_is_filled(q, monkeypatch):
    monkeypatch.setattr(lesson, "ALBUM", "no-album-yet")
    report = q[2].check(["photo 40"])
    assert report.status == "not yet"
    assert "run the second cell of the lesson" in repr(report)


@pytest.mark.parametrize(
    ("answer", "advice"),
    [
        (
            [*photos(0, 8), *photos(1, 24), *photos(2, 8)],
            "subscribe() takes the whole",
        ),
        (photos(0, 8), "are of partition 0"),
        (photos(1, 8), "That is the answer for another partition"),
        (photos(1, 25), "A photo of exactly that time belongs to it"),
        (photos(1, 0), "times are in milliseconds"),
        (photos(1, 30), "assign what it returns"),
        (photos(1, 24)[:-1], "Too few"),
        (photos(1, 24) * 2, "Too many"),
        ([text.encode() for text in photos(1, 24)], "decode() is its text"),
        ([], "none of this partition"),
    ],
    ids=[
        "all partitions",
        "wrong partition",
        "wrong offset",
        "off by one",
        "seconds",
        "somewhere",
        "too few",
        "twice",
        "bytes",
        "nothing",
    ],
)
def test_replay_mistaken(q, album, answer, advice):
    report = q[2].check(answer)
    assert report.status == "not yet"
    assert advice in repr(report)


@pytest.mark.parametrize(
    ("scale", "passed"), [(1, True), (1000, False)], ids=["milliseconds", "seconds"]
)
def test_replay_as_the_client_does_it(lab, q, album, scale, passed):
    settings = {**lab.client, "group.id": "visitor", "log_level": 0}
    reader = Consumer({**settings, "enable.partition.eof": True, "enable.auto.commit": False})
    since = TopicPartition("album", 1, (album + 40 * MINUTE) // scale)
    reader.assign(reader.offsets_for_times([since], timeout=10))
    replayed = []
    while not (photo := reader.poll(20)).error():
        replayed.append(photo.value().decode())
    reader.close()
    report = q[2].check(replayed)
    assert report.passed == passed, repr(report)
    assert passed or "times are in milliseconds" in repr(report)


def test_checks_while_a_broker_is_down_are_sentences(lab, q, album):
    programs.write("careful.py", careful(BY_HAND, after=COMMIT))
    lab.brokers[3].kill()
    try:
        begun = time.monotonic()
        reports = [q[1].check(), q[2].check(photos(1, 24))]
        seconds = time.monotonic() - begun
    finally:
        lab.repair()
    assert seconds < lesson.MissingZero.deadline + lesson.ReplayFromTime.deadline + 5
    assert reports[0].status == "not yet"
    assert "is a broker down? lab.status() tells." in repr(reports[0])
    assert reports[1].status in ("passed", "not yet")
    q[1].assert_passed()
