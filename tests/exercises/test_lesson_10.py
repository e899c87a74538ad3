"""Exercises of lesson 10 on a real cluster: untouched, the typical mistakes, the solution."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from brokerlab import programs
from brokerlab.exercises import load
from brokerlab.exercises.lesson_10_consumer_groups import NobodyIdle
from brokerlab.groups import GroupObserver
from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient, NewTopic

pytestmark = pytest.mark.cluster

LESSON = "10_consumer_groups"

READING = """
import signal, sys, threading
from brokerlab.access import read_client
client_file, topic, group, name, assignor = sys.argv[1:]
settings = {**read_client(client_file), "group.id": group, "client.id": name, "auto.offset.reset": "earliest"}
settings |= {"partition.assignment.strategy": assignor, "session.timeout.ms": 6000, "heartbeat.interval.ms": 500}
stop = threading.Event()
signal.signal(signal.SIGTERM, lambda *_: stop.set())

def photos(consumer):
    while not stop.is_set():
        message = consumer.poll(0.2)
        if message is not None and message.error() is None:
            yield message
"""
BEGIN = """
from confluent_kafka import Consumer
from reading import photos, settings, topic
consumer = Consumer(settings | {"enable.auto.commit": False})
"""
LOOP = """
for number, photo in enumerate(photos(consumer), start=1):
    print("done", photo.value().decode())
    if number % 50 == 0:
        consumer.commit()
"""
STARTER = f"{BEGIN}consumer.subscribe([topic])\n{LOOP}consumer.close()"
SOLUTION = STARTER.replace("[topic]", "[topic], on_revoke=lambda *_: consumer.commit()")

Start = Callable[..., None]


@pytest.fixture
def q(lab: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr(NobodyIdle, "patience", 1.0)
    programs.write("reading.py", READING)
    programs.write(
        "member.py",
        "from confluent_kafka import Consumer\nfrom reading import photos, settings, topic\n"
        "consumer = Consumer(settings)\nconsumer.subscribe([topic])\n"
        "for photo in photos(consumer):\n    print('read', photo.partition(), photo.offset())\n"
        "consumer.close()",
    )
    return load(LESSON, lab)


def _create(lab: Any, name: str, partitions: int, seconds: float = 15) -> None:
    lab.delete_topics(name)
    admin = AdminClient({**lab.client, "log_level": 0})
    deadline = time.monotonic() + seconds
    while True:
        try:
            admin.create_topics([NewTopic(name, partitions, 3)])[name].result(15)
            return
        except KafkaException as refused:
            if "marked for deletion" not in str(refused) or time.monotonic() > deadline:
                raise
            time.sleep(0.1)


@pytest.fixture
def albums(lab: Any) -> Iterator[None]:
    _create(lab, "albums", 6)
    yield
    lab.delete_topics("albums")


@pytest.fixture
def start(lab: Any, q: Any, albums: None) -> Iterator[Start]:
    """Start members of a group on a topic, and wait until it has them; they have closed when the test is over."""
    running: list[programs.Program] = []

    def some(count: int, group: str = "indexers", topic: str = "albums") -> None:
        with GroupObserver(lab, group, [topic]) as watch:
            before = watch.wait_until(lambda now: now.state is not None, 20, "the group")
            for _ in range(count):
                name = f"member-{len(running) + 1}"
                given = (lab.client_file, topic, group, name, "range")
                running.append(programs.run("member.py", *given))
            wanted = len(before.members) + count
            watch.wait_until(
                lambda now: now.state == "STABLE" and len(now.members) == wanted,
                40,
                f"{wanted} members",
            )

    yield some
    for program in running:
        with contextlib.suppress(ProcessLookupError):
            program.stop()


def test_nobody_idle_untouched(q: Any, albums: None) -> None:
    assert q[1].check().status == "not attempted"


@pytest.mark.parametrize(
    ("members", "advice"),
    [
        (7, "7 members on 6 partitions, and 1 of them have none"),
        (4, "Seen: 2, 2, 1, 1. 6 must divide"),
        (1, "The group indexers has one member"),
    ],
)
def test_nobody_idle_mistaken(q: Any, start: Start, members: int, advice: str) -> None:
    start(members)
    report = q[1].check()
    assert report.status == "not yet"
    assert advice in repr(report)


def test_nobody_idle_in_two_groups(q: Any, start: Start) -> None:
    start(1)
    start(2, group="indexer")
    report = q[1].check()
    assert report.status == "not yet"
    assert "they are in another group" in repr(report)


def test_nobody_idle_on_the_wrong_topic(lab: Any, q: Any, start: Start) -> None:
    _create(lab, "other-albums", 6)
    try:
        start(1)
        start(1, topic="other-albums")
        report = q[1].check()
        assert report.status == "not yet"
        assert "Some read another topic than albums" in repr(report)
    finally:
        lab.delete_topics("other-albums")


@pytest.mark.parametrize("members", [2, 3, 6])
def test_nobody_idle_solved(q: Any, start: Start, members: int) -> None:
    start(members)
    q[1].assert_passed()


def test_clean_rebalance_untouched(q: Any) -> None:
    assert q[2].check(...).status == "not attempted"


def test_clean_rebalance_of_a_program_that_is_not_there(lab: Any, q: Any) -> None:
    report = q[2].check("careless.py")
    assert report.status == "not yet"
    assert "There is no program 'careless.py' yet" in repr(report)
    assert not _left_over(lab)


@pytest.mark.parametrize(
    ("source", "advice"),
    [
        (STARTER, "behind what had been recognised"),
        (SOLUTION.replace("on_revoke", "on_assign"), "behind what had been recognised"),
        (SOLUTION.replace("consumer.close()", ""), "The group went on counting on it"),
        (
            SOLUTION.replace('"done"', '"read"'),
            "printed no line 'done photo N'. Its last line: read",
        ),
        (SOLUTION.replace("close()", "commit(asynchronous=False); 1 / 0"), "ended with an error"),
        (
            "import signal\n"
            + SOLUTION.replace(LOOP, f"\nsignal.signal(signal.SIGTERM, signal.SIG_DFL){LOOP}"),
            "the signal ended where it stood",
        ),
        (
            "import signal\n"
            + SOLUTION.replace(LOOP, f"\nsignal.signal(signal.SIGTERM, signal.SIG_IGN){LOOP}"),
            "did not end within 6 s",
        ),
        (
            SOLUTION.replace(
                'print("done"', 'waiting = globals().get("waiting"); waiting and print("done"'
            )
            .replace("photo.value()", "waiting.value()")
            .replace("    if number", "    waiting = photo\n    if number"),
            "were never recognised",
        ),
        ("from reding import photos", "No module named 'reding'"),
    ],
    ids=[
        "no commit on revoke",
        "commit on assign",
        "no close",
        "prints something else",
        "error at the end",
        "killed by SIGTERM",
        "deaf to SIGTERM",
        "committed before it is recognised",
        "import fails",
    ],
)
def test_clean_rebalance_mistaken(lab: Any, q: Any, source: str, advice: str) -> None:
    programs.write("careful.py", source)
    report = q[2].check("careful.py")
    assert report.status == "not yet"
    assert advice in repr(report)
    assert not _left_over(lab)


STORING = """
from confluent_kafka import Consumer
from reading import photos, settings, topic
consumer = Consumer(settings | {"enable.auto.offset.store": False})
consumer.subscribe([topic])
for photo in photos(consumer):
    print("done", photo.value().decode())
    consumer.store_offsets(photo)
consumer.close()
"""


@pytest.mark.parametrize("source", [SOLUTION, STORING], ids=["commit on revoke", "store when done"])
def test_clean_rebalance_solved(lab: Any, q: Any, source: str) -> None:
    programs.write("careful.py", source)
    q[2].assert_passed("careful.py")
    assert not _left_over(lab)


def test_checks_while_a_broker_is_down(lab: Any, q: Any, start: Start) -> None:
    programs.write("careful.py", SOLUTION)
    start(2)
    lab.brokers[2].kill()
    try:
        for report in (q[1].check(), q[2].check("careful.py")):
            assert report.status in ("not yet", "passed", "not attempted")
            assert "Traceback" not in repr(report)
    finally:
        lab.brokers[2].start()


def _left_over(lab: Any) -> list[str]:
    return [name for name in lab.topics() if name.startswith("rebalance-check")]
