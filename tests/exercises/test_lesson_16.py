"""Exercises of lesson 16: untouched, the typical mistakes, the solution, on labs of their own."""

from __future__ import annotations

import re
import subprocess
import threading
from collections.abc import Callable, Iterator
from typing import Any

import brokerlab
import pytest
from brokerlab.exercises import load
from brokerlab.progress import Progress
from brokerlab.tools import kafka_folder
from confluent_kafka import Producer
from homes import fresh_home

pytestmark = pytest.mark.cluster

LESSON = "16_life_after_zookeeper"


@pytest.fixture(scope="module")
def new() -> Iterator[Any]:
    with fresh_home():
        lab = brokerlab.start(
            brokers=1, controllers=3, mode="kraft", name="new", progress=Progress()
        )
        yield lab
        lab.stop()


@pytest.fixture
def q(new: Any) -> Iterator[Any]:
    yield load(LESSON, new)
    assert new.repair() == []


def writer(
    flush: bool = True, count: str = "reports", most: int | None = None, timeout: int = 300_000
) -> Callable[[dict[str, Any], threading.Event], list[str]]:
    def write(client: dict[str, Any], stop: threading.Event) -> list[str]:
        settings = {**client, "acks": "all", "enable.idempotence": True}
        quiet = {"log_level": 0, "message.timeout.ms": timeout}
        producer, acknowledged, number = Producer({**settings, **quiet}), [], 0

        def delivered(error: Any, message: Any) -> None:
            if error is None and count == "reports":
                acknowledged.append(message.value().decode())

        while not stop.wait(0.02) and number != most:
            producer.produce("photos", f"photo {number}", on_delivery=delivered)
            if count == "sent":
                acknowledged.append(f"photo {number}")
            number += 1
            producer.poll(0)
        if flush:
            producer.flush(30)
        return acknowledged

    return write


def idle(client: dict[str, Any], stop: threading.Event) -> list[str]:
    stop.wait(120)
    return []


def find(where: str) -> Callable[[], int]:
    def find_leader() -> int:
        said = subprocess.run(
            ["./kafka-metadata-quorum.sh", "--bootstrap-controller", where, "describe", "--status"],
            cwd=kafka_folder() / "bin",
            capture_output=True,
            text=True,
            timeout=25,
        )
        return int(re.search(r"LeaderId:\s*(\d+)", said.stdout)[1])  # type: ignore[index]

    return find_leader


def test_untouched_and_answers_of_another_kind(q: Any) -> None:
    assert [q[n].check(...).status for n in (1, 2)] == ["not attempted"] * 2
    assert "must be a function" in repr(q[1].check(["photo 0"]))
    assert "must be a function" in repr(q[2].check(3001))


@pytest.mark.timeout(300)
def test_the_solution_writes_through(q: Any) -> None:
    q[1].assert_passed(writer())


@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    ("wrong", "advice"),
    [
        (idle, "Nothing came within"),
        # All of them arrive before the first restart of the broker, or its reports would keep it waiting till the end.
        (writer(most=25), "It returned while the lab was being migrated"),
        (writer(count="sent", timeout=500), "Did you note them when they were sent?"),
    ],
    ids=["idle", "ends early", "counts what it sends"],
)
def test_a_mistake_in_writing_is_named(q: Any, wrong: Any, advice: str) -> None:
    report = q[1].check(wrong)
    assert report.status == "not yet"
    assert advice in repr(report)


@pytest.mark.timeout(200)
def test_the_solution_finds_the_new_leader(q: Any, new: Any) -> None:
    before = new.quorum().leader
    q[2].assert_passed(find(new.bootstrap_controllers))
    assert new.quorum().leader != before
    assert new.state == "usable"


def test_a_leader_that_is_remembered_is_not_found(q: Any, new: Any) -> None:
    leader = new.quorum().leader
    report = q[2].check(lambda: leader)
    assert report.status == "not yet" and "It still names the old one" in repr(report)


def test_who_asks_one_controller_asks_the_dead_one(q: Any, new: Any) -> None:
    one = new.controllers[new.quorum().leader - 3000].address
    report = q[2].check(find(one))
    assert report.status == "not yet" and "give all addresses" in repr(report)


@pytest.mark.parametrize(
    ("answer", "advice"),
    [
        (lambda lab: 1, "It names a broker"),
        (lambda lab: str(lab.quorum().leader), "as text"),
        (lambda lab: {3001, 3002, 3003}.difference({lab.quorum().leader}).pop(), "a follower"),
        (lambda lab: None, "Expected: the id of a controller"),
        (lambda lab: 1 // 0, "It ended with ZeroDivisionError"),
    ],
    ids=["a broker", "text", "a follower", "nothing", "raises"],
)
def test_a_wrong_leader_is_named(q: Any, new: Any, answer: Any, advice: str) -> None:
    report = q[2].check(lambda: answer(new))
    assert report.status == "not yet" and advice in repr(report)
