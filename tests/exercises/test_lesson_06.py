"""Exercises of lesson 06 on a real cluster: untouched, the typical mistakes, the solution."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterable, Iterator
from typing import Any

import pytest
from brokerlab.exercises import load
from brokerlab.exercises.engine import Exercise
from confluent_kafka import KafkaException, Producer
from confluent_kafka.admin import AdminClient, NewPartitions, NewTopic

pytestmark = pytest.mark.cluster

LESSON = "06_partitions_and_keys"
TOPICS = ("gates", "from-python", "from-console")
SHOTS = [(f"cam-{camera}", number) for number in range(1, 21) for camera in range(1, 6)]
MEMBERS = [f"member-{number}" for number in range(200)]


@pytest.fixture
def q(lab: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    monkeypatch.setattr(Exercise, "patience", 0.2)
    lab.delete_topics(*TOPICS)
    yield load(LESSON, lab)
    lab.delete_topics(*TOPICS)


def _client(lab: Any) -> dict[str, Any]:
    return {**lab.client, "log_level": 0}


def _create(lab: Any, topic: str, partitions: int, seconds: float = 15) -> None:
    # The brokers forget a deleted topic a moment before the controller allows a new one of that name.
    admin = AdminClient(_client(lab))
    deadline = time.monotonic() + seconds
    while True:
        try:
            admin.create_topics([NewTopic(topic, partitions, 3)])[topic].result(15)
            return
        except KafkaException as refused:
            if "marked for deletion" not in str(refused) or time.monotonic() > deadline:
                raise
            time.sleep(0.1)


def _send(
    lab: Any, topic: str, pairs: Iterable[tuple[str | None, str]], pace: float = 0, **how: Any
) -> None:
    """Send (key, value) pairs with a new producer."""
    settings = {name.replace("_", "."): value for name, value in how.items() if name != "partition"}
    place = {"partition": how["partition"]} if "partition" in how else {}
    producer = Producer({**_client(lab), **settings})
    for key, value in pairs:
        producer.produce(topic, value, key=key, **place)
        producer.poll(pace)
    assert producer.flush(15) == 0


def _photos(shots: list[tuple[str, int]] = SHOTS) -> Iterator[tuple[str, str]]:
    return ((camera, f"{camera} photo {number}") for camera, number in shots)


def _not_yet(question: Any, advice: str) -> None:
    report = question.check()
    assert report.status == "not yet", repr(report)
    assert advice in repr(report)


# Exercise 1


def test_order_untouched(q):
    assert q[1].check().status == "not attempted"


def test_order_of_a_topic_that_nobody_created(lab, q):
    _send(lab, "gates", _photos())
    _not_yet(q[1], "A topic that nobody creates gets the broker's default")


def test_order_before_anything_is_sent(lab, q):
    _create(lab, "gates", 3)
    _not_yet(q[1], "Seen: 100 missing.")


def test_order_without_a_key(lab, q):
    _create(lab, "gates", 3)
    _send(lab, "gates", ((None, value) for _, value in _photos()), pace=0.012)
    _not_yet(q[1], "its photos have no key: then chance chooses")


@pytest.mark.parametrize("how", [{"partition": 0}, {}])
def test_order_with_one_place_for_all(lab, q, how):
    _create(lab, "gates", 3)
    _send(lab, "gates", (("camera", value) for _, value in _photos()), **how)
    _not_yet(q[1], "all the work lies in one place")


def test_order_with_the_photo_as_key(lab, q):
    _create(lab, "gates", 3)
    _send(lab, "gates", ((str(n), value) for n, (_, value) in enumerate(_photos())))
    _not_yet(q[1], "carry 20 different keys: the key is not the photo")


def test_order_from_two_producers_that_disagree(lab, q):
    _create(lab, "gates", 3)
    _send(lab, "gates", _photos(SHOTS[:50]))
    _send(lab, "gates", _photos(SHOTS[50:]), partitioner="murmur2_random")
    _not_yet(q[1], "producers with different partitioners")


def test_order_over_a_topic_that_grew(lab, q):
    _create(lab, "gates", 3)
    _send(lab, "gates", _photos(SHOTS[:50]))
    admin = AdminClient(_client(lab))
    admin.create_partitions([NewPartitions("gates", 6)])["gates"].result(15)
    deadline = time.monotonic() + 15
    while "the number of partitions changed in between" not in repr(q[1].check()):
        assert time.monotonic() < deadline
        _send(lab, "gates", _photos(SHOTS[50:]))


def test_order_sent_twice_and_sent_backwards(lab, q):
    _create(lab, "gates", 3)
    _send(lab, "gates", _photos(SHOTS[::-1]))
    _not_yet(q[1], "stands behind photo")
    _send(lab, "gates", _photos())
    _not_yet(q[1], "Seen: 100 more than once.")


def test_order_of_strange_photos(lab, q):
    _create(lab, "gates", 3)
    _send(lab, "gates", ((camera, f"photo {n}") for camera, n in SHOTS))
    _not_yet(q[1], 'the value is to be like "cam-3 photo 17"')


@pytest.mark.parametrize("partitions", [3, 4, 9, 12])
def test_order_solved(lab, q, partitions):
    _create(lab, "gates", partitions)
    _send(lab, "gates", _photos())
    q[1].assert_passed()


# Exercise 2


def _console(lab: Any, lines: Iterable[str], *properties: str) -> None:
    """Type lines into a real console producer."""
    wanted = [word for one in properties for word in ("--property", one)]
    address = ["--bootstrap-server", lab.bootstrap_servers, "--topic", "from-console"]
    subprocess.run(
        ["kafka-console-producer.sh", *address, *wanted],
        input="".join(f"{line}\n" for line in lines),
        text=True,
        capture_output=True,
        timeout=60,
        check=True,
    )


KEYED = ("parse.key=true", "key.separator=:")


def _members() -> Iterator[tuple[str, str]]:
    return ((member, "hello") for member in MEMBERS)


@pytest.fixture
def console(lab: Any, q: Any) -> Any:
    """Return the exercises, with the console's half done."""
    _create(lab, "from-console", 6)
    _console(lab, (f"{member}:hello" for member in MEMBERS), *KEYED)
    return q


def test_agree_untouched(q):
    assert q[2].check().status == "not attempted"


def test_agree_before_python_has_sent(console):
    _not_yet(console[2], "from-python not there and from-console 6")


def test_agree_with_the_default_partitioner(lab, console):
    _create(lab, "from-python", 6)
    _send(lab, "from-python", _members())
    _not_yet(console[2], "Python put them where CRC32 does, librdkafka's default")


def test_agree_with_a_wrong_partitioner(lab, console):
    _create(lab, "from-python", 6)
    _send(lab, "from-python", _members(), partitioner="fnv1a_random")
    _not_yet(console[2], "neither where CRC32 nor where murmur2 does")


def test_agree_over_another_number_of_partitions(lab, console):
    _create(lab, "from-python", 3)
    _send(lab, "from-python", _members(), partitioner="murmur2_random")
    _not_yet(console[2], "Seen: from-python 3 and from-console 6.")
    assert "Python hashes as Java does" in repr(console[2].check())


def test_agree_without_keys_or_with_too_few(lab, q):
    _create(lab, "from-python", 6)
    _create(lab, "from-console", 6)
    _console(lab, (f"{member}:hello" for member in MEMBERS))
    _send(lab, "from-python", list(_members())[:150], partitioner="murmur2_random")
    _not_yet(q[2], "takes keys only with --property parse.key=true")
    assert "Seen: 50 missing, 0 record(s) without a key" in repr(q[2].check())
    assert "Seen: 200 missing, 200 record(s) without a key" in repr(q[2].check())


def test_agree_by_writing_both_with_python(lab, q):
    for topic in ("from-python", "from-console"):
        _create(lab, topic, 6)
        _send(lab, topic, _members())
    _not_yet(q[2], "it is Python that shall give way")


def test_agree_mended_without_beginning_anew_and_then_solved(lab, console):
    _create(lab, "from-python", 6)
    _send(lab, "from-python", _members())
    _send(lab, "from-python", _members(), partitioner="murmur2_random")
    _not_yet(console[2], "the same key lies in two partitions")
    lab.delete_topics("from-python")
    _create(lab, "from-python", 6)
    _send(lab, "from-python", _members(), partitioner="murmur2_random")
    console[2].assert_passed()


def test_checks_while_a_broker_is_down(lab, q):
    """Three copies: what the others hold is enough, or a sentence says that it is not."""
    _create(lab, "gates", 3)
    _send(lab, "gates", _photos())
    lab.brokers[2].kill()
    try:
        for question in q:
            begun = time.monotonic()
            report = question.check()
            assert time.monotonic() - begun < Exercise.deadline + 5
            assert report.status in ("passed", "not yet", "not attempted")
        assert "Traceback" not in repr(report)
    finally:
        lab.repair()
    q[1].assert_passed()
