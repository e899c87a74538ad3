"""Exercises of lesson 02: untouched, the typical mistakes, the solution, with a real cluster where there is one in it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from brokerlab import programs
from brokerlab.exercises import load
from brokerlab.loadledger import MEMORY, Load, Run
from homes import fresh_home

pytestmark = pytest.mark.cluster

HEAD = """
import sys
from brokerlab.work import recognise
from brokerlab.access import read_client
from confluent_kafka import Consumer
client_file, topic, group, rounds = sys.argv[1:]
settings = {**read_client(client_file), "group.id": group, "session.timeout.ms": 3000, "heartbeat.interval.ms": 500}
"""
EARLIEST = HEAD + 'settings["auto.offset.reset"] = "earliest"\n'
MANUAL = EARLIEST + 'settings["enable.auto.commit"] = False\n'
LOOP = """
consumer = Consumer(settings)
consumer.subscribe([topic])
while message := consumer.poll(60):
    photo = message.value().decode()
"""
COMMIT = "    consumer.commit(message=message, asynchronous=False)\n"
WORK = '    print("done", photo, recognise(photo, int(rounds)))\n'
SOLUTION = MANUAL + LOOP + WORK + COMMIT


@pytest.fixture
def q(lab: Any) -> Any:
    return load("02_why_a_queue", lab)


@pytest.fixture
def no_programs() -> Iterator[None]:
    """Forget what other tests wrote."""
    file = Path(programs.write("my_worker.py", ""))
    file.unlink()
    yield
    file.unlink(missing_ok=True)


def test_workers_untouched(q: Any) -> None:
    assert q[1].check(...).status == "not attempted"
    assert q[1].check().status == "not attempted"


def test_workers_of_the_wrong_kind(q: Any) -> None:
    assert "must be an int" in repr(q[1].check(2.3))


@pytest.mark.parametrize("answer", [0, -3, 500])
def test_workers_out_of_range_are_not_tried(q: Any, answer: int) -> None:
    report = q[1].check(answer)
    assert report.status == "not yet"
    assert "multiply photos a second by seconds a photo" in repr(report)


def test_too_few_workers(q: Any) -> None:
    report = q[1].check(2)
    assert report.status == "not yet"
    assert "these are fewer" in repr(report) or "keeps this machine busy" in repr(report)


def test_too_many_workers(q: Any) -> None:
    report = q[1].check(5)
    assert report.status == "not yet"
    assert "4 keep up as well, so 5 are not the fewest" in repr(report)


def test_enough_workers(q: Any) -> None:
    q[1].assert_passed(3)


def test_a_busy_machine_is_not_the_learners_mistake(q: Any, monkeypatch: Any) -> None:
    def measured(workers: int) -> tuple[Run, Run]:
        backlog = tuple((n / 2, n) for n in range(16))
        slow = Run(0.0, Load(MEMORY), "over", 8.0, backlog=backlog, service_time=0.9)
        return slow, slow

    monkeypatch.setattr("brokerlab.exercises.lesson_02_why_a_queue._measured_twice", measured)
    monkeypatch.setattr(Run, "growth", property(lambda _: 2.0))
    assert "keeps this machine busy. Check again" in repr(q[1].check(3))


def test_worker_untouched(q: Any, no_programs: None) -> None:
    assert q[2].check().status == "not attempted"


@pytest.mark.parametrize(
    ("program", "advice"),
    [
        (MANUAL + LOOP + COMMIT + WORK, "it was committed before the work"),
        (
            EARLIEST + 'settings["auto.commit.interval.ms"] = 100\n' + LOOP + WORK,
            "automatic commits do not know when you are done",
        ),
        (MANUAL + LOOP + WORK, "because nothing was committed"),
        (HEAD + LOOP + WORK + COMMIT, "does it say auto.offset.reset earliest"),
        (MANUAL + LOOP + '    print("done", photo)\n' + COMMIT, "It printed no line `done PHOTO"),
        (MANUAL + LOOP + "    print(foto)\n", "its last words: NameError"),
    ],
    ids=["commits first", "commits by itself", "never", "latest", "no work", "error"],
)
def test_worker_mistaken(q: Any, lab: Any, no_programs: None, program: str, advice: str) -> None:
    programs.write("my_worker.py", program)
    report = q[2].check()
    assert report.status == "not yet"
    assert advice in repr(report)
    assert not any(name.startswith("lost-and-done") for name in lab.topics())


@pytest.mark.parametrize("seconds", [1.5, 5])
def test_commits_now_and_then_are_not_lucky(q: Any, no_programs: None, seconds: float) -> None:
    """Whenever an automatic commit comes, early or late in a photo's work; 5 s is what a client does by itself."""
    late = f'settings["auto.commit.interval.ms"] = {1000 * seconds:.0f}\n'
    programs.write("my_worker.py", EARLIEST + late + LOOP + WORK)
    assert q[2].check().status == "not yet"


def test_worker_that_loses_nothing(q: Any, no_programs: None) -> None:
    programs.write("my_worker.py", SOLUTION)
    q[2].assert_passed()


def test_worker_that_lets_the_client_commit_what_it_stored_after_the_work(
    q: Any, no_programs: None
) -> None:
    stored = (
        EARLIEST
        + 'settings |= {"enable.auto.offset.store": False, "auto.commit.interval.ms": 100}\n'
    )
    programs.write(
        "my_worker.py", stored + LOOP + WORK + "    consumer.store_offsets(message=message)\n"
    )
    q[2].assert_passed()


def test_while_a_broker_is_down_there_is_an_answer(q: Any, lab: Any, no_programs: None) -> None:
    programs.write("my_worker.py", SOLUTION)
    lab.brokers[2].kill()
    try:
        report = q[2].check()
    finally:
        lab.repair()
    assert report.status in ("passed", "not yet")
    assert "Traceback" not in repr(report)


def test_without_a_lab_the_check_says_so() -> None:
    with fresh_home():
        assert load("02_why_a_queue", None)[2].check().status == "not attempted"
