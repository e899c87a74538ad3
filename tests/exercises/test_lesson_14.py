"""Exercises of lesson 14 on a real cluster: untouched, the typical mistakes, the solution."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from brokerlab.exercises import load
from brokerlab.exercises.engine import Exercise, Report
from brokerlab.exercises.lesson_14_nothing_missed import FEWEST, VICTIMS
from brokerlab.lab import Lab
from brokerlab.mlqueue import MLQueue
from brokerlab.pipeline.camera import Camera
from brokerlab.pipeline.messages import Result
from brokerlab.pipeline.store import Outcome, Stray
from brokerlab.storm import crash, picture
from witnesses import until

pytestmark = pytest.mark.cluster

LESSON = "14_nothing_missed"
POISON = 50
NODES = ("broker-2", "zookeeper")


@pytest.fixture
def q(lab: Lab, home: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr(Exercise, "patience", 0.2)
    return load(LESSON, lab)


@pytest.fixture
def queue(lab: Lab) -> Iterator[MLQueue]:
    with MLQueue(lab, "storm-of-mine") as made:
        made.begin(workers=2)
        yield made


def send(queue: MLQueue, count: int, key: str, number: int | None = None) -> None:
    """Send so many pictures, or so many times the one of this number."""

    def one(sent: int) -> bytes:
        return picture(sent if number is None else number)

    with Camera(lambda: queue.url, one, count, 100, key=key) as camera:
        camera.wait(60)


def failed(report: Report) -> dict[str, str]:
    return {fact.text: fact.advice for fact in report.facts if not fact.ok}


def storm(queue: MLQueue, victims: tuple[str, ...]) -> None:
    with Camera(lambda: queue.url, picture, None, 40, key="mine") as camera:
        for victim in victims:
            camera.wait(60, len(camera.sent) + 35)
            crash(queue, victim)
        camera.wait(60, max(FEWEST, len(camera.sent) + 35))
        camera.finish()
        camera.wait(60)
    queue.settle()


# A storm of one's own.


def test_a_storm_that_has_not_begun(q: Any, queue: MLQueue) -> None:
    assert q[1].check(queue).status == "not attempted"
    send(queue, 5, "picture")
    assert q[1].check(queue).status == "not attempted"
    assert q[1].check(...).status == "not attempted"
    assert "MLQueue" in q[1].check("queue").note


def test_a_storm_in_which_every_kind_of_part_dies(q: Any, queue: MLQueue) -> None:
    storm(queue, (*VICTIMS, *NODES))
    q[1].assert_passed(queue)


def test_deaths_before_and_after_the_pictures_do_not_count(q: Any, queue: MLQueue) -> None:
    for victim in (*VICTIMS[:2], *NODES):
        crash(queue, victim)
    send(queue, FEWEST, "mine")
    for victim in VICTIMS[2:]:
        crash(queue, victim)
    queue.settle()
    wrong = failed(q[1].check(queue))
    assert [text.split()[0] for text in wrong] == [*VICTIMS, "a", "ZooKeeper"]
    assert 'crash(queue, "relay") does both' in wrong[next(t for t in wrong if "relay" in t)]


def test_what_was_stopped_in_good_order_was_not_killed(q: Any, queue: MLQueue) -> None:
    with Camera(lambda: queue.url, picture, FEWEST, 100, key="mine") as camera:
        camera.wait(60, 50)
        assert queue.stop("relay") == 0
        queue.start("relay")
        camera.wait(60)
    queue.settle()
    assert any(text.startswith("relay was killed") for text in failed(q[1].check(queue)))


def test_too_few_pictures_and_some_on_the_way(q: Any, queue: MLQueue) -> None:
    queue.kill("collector")
    send(queue, 20, "mine")
    wrong = failed(q[1].check(queue))
    assert (
        "Seen: 20 with keys"
        in wrong[f"at least {FEWEST} pictures were accepted, under keys of their own"]
    )
    assert "20 are in flight" in wrong["every picture has its outcome"]


def test_a_careless_queue_is_found_out(q: Any, lab: Lab) -> None:
    with MLQueue(lab, "careless-of-mine", careless=True) as careless:
        careless.begin(workers=1)
        with Camera(lambda: careless.url, picture, None, 40, key="mine") as camera:
            camera.wait(60, 10)
            for broker in lab.brokers.values():
                broker.pause(watch=False)
            camera.wait(60, len(camera.sent) + 20)
            careless.kill("api")
            for broker in lab.brokers.values():
                broker.resume()
            careless.start("api")
            camera.finish()
            camera.wait(60)
        assert "is this the careless queue?" in failed(q[1].check(careless))["missing: 0"]


def test_a_result_that_no_worker_published_is_found_out(q: Any, queue: MLQueue) -> None:
    queue.kill("relay")
    send(queue, 3, "mine")
    said = Result(queue.store.jobs()[0].id, (), 0, 1, "nobody", 1.0)
    queue.store.record([Outcome(said, Stray("", 0, 0, None, None, ""))])
    queue.start("relay")
    queue.kill("worker-1")
    queue.kill("worker-2")
    assert "1 that no topic knows" in failed(q[1].check(queue))["effects that came twice: 0"]


# Dead letters.


def bytes_a_record(queue: MLQueue, limit: int) -> None:
    from confluent_kafka.admin import (
        AdminClient,
        AlterConfigOpType,
        ConfigEntry,
        ConfigResource,
        ResourceType,
    )

    admin = AdminClient({**queue.lab.client, "log_level": 0})
    entry = ConfigEntry(
        "max.message.bytes", str(limit), incremental_operation=AlterConfigOpType.SET
    )
    topic = ConfigResource(ResourceType.TOPIC, queue.names.requests, incremental_configs=[entry])
    # A broker goes by it a moment after it is set, and the relay may be faster; its log tells.
    heard = f"entityPath: topics/{queue.names.requests} with config: "
    brokers = queue.lab.brokers.values()
    before = [broker.log(10_000, heard).count(heard) for broker in brokers]
    for answer in admin.incremental_alter_configs([topic]).values():
        answer.result(10)
    until(
        lambda: all(
            broker.log(10_000, heard).count(heard) > count
            for broker, count in zip(brokers, before, strict=True)
        ),
        20,
        "every broker to go by the new limit",
    )


@pytest.fixture
def letters(queue: MLQueue) -> MLQueue:
    """Return a queue with two poison pictures, and four that came while the topic took small records only."""
    send(queue, 2, "poison", POISON)
    queue.settle()
    bytes_a_record(queue, 1000)
    send(queue, 4, "late")
    queue.settle()
    return queue


def test_dead_letters_untouched(q: Any, queue: MLQueue) -> None:
    assert q[2].check(queue).status == "not attempted"


def test_the_right_dead_letters_are_sent_again(q: Any, letters: MLQueue) -> None:
    assert q[2].check(letters).status == "not attempted"
    bytes_a_record(letters, 5_250_000)
    assert len(letters.store.redrive(code="not-taken")) == 4
    letters.settle()
    q[2].assert_passed(letters)


def test_all_dead_letters_are_too_many(q: Any, letters: MLQueue) -> None:
    bytes_a_record(letters, 5_250_000)
    letters.store.redrive()
    letters.settle()
    wrong = failed(q[2].check(letters))
    assert [*wrong] == ["none of code truncated was sent again"]
    assert "2 of 2 were, in vain" in wrong["none of code truncated was sent again"]


def test_a_cause_that_is_not_cured(q: Any, letters: MLQueue) -> None:
    letters.store.redrive(code="not-taken")
    letters.settle()
    wrong = failed(q[2].check(letters))
    assert "4 were given up once more" in wrong["every one of code not-taken is done now"]


def test_some_were_forgotten_and_some_are_on_their_way(q: Any, letters: MLQueue) -> None:
    bytes_a_record(letters, 5_250_000)
    letters.kill("relay")
    late = letters.store.redrive(
        [job.id for job in letters.store.jobs() if job.code == "not-taken"][:3]
    )
    assert len(late) == 3
    done = "every one of code not-taken is done now"
    assert "1 of 4 were not sent again" in failed(q[2].check(letters))[done]
    letters.store.redrive(code="not-taken")
    assert "on their way" in failed(q[2].check(letters))[done]


def test_poison_alone(q: Any, queue: MLQueue) -> None:
    send(queue, 1, "poison", POISON)
    queue.settle()
    queue.store.redrive()
    queue.settle()
    wrong = failed(q[2].check(queue))
    assert (
        "0 of code not-taken, 1 of code truncated" in wrong["there are dead letters of both kinds"]
    )
