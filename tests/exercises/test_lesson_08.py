"""Exercises of lesson 08 on a real cluster: untouched, the typical mistakes, the solution."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from brokerlab import observe
from brokerlab.exercises import lesson_08_what_zookeeper_watches as lesson_08
from brokerlab.exercises import load
from kazoo.client import KazooClient

pytestmark = pytest.mark.cluster

LESSON = "08_what_zookeeper_watches"
IDS = "/brokers/ids"


@pytest.fixture
def q(lab: Any) -> Any:
    return load(LESSON, lab)


@pytest.fixture
def zk(lab: Any) -> Iterator[KazooClient]:
    client = KazooClient(**lab.zookeeper_client)
    client.start(timeout=10)
    yield client
    client.stop()
    client.close()


@pytest.fixture(autouse=True)
def whole(lab: Any) -> Iterator[None]:
    yield
    lab.repair()
    observe.wait_until(lab, lambda now: now.registered == (1, 2, 3), 20, "three brokers")


def solution(zk: KazooClient, events: list[Any]) -> None:
    known: set[int] = set()

    @zk.ChildrenWatch(IDS)
    def log(names: list[str]) -> None:
        now = {int(name) for name in names}
        events.extend(("left", number) for number in sorted(known - now))
        events.extend(("joined", number) for number in sorted(now - known))
        known.clear()
        known.update(now)


def one_shot(zk: KazooClient, events: list[Any]) -> None:
    known = set(map(int, zk.get_children(IDS)))

    def log(event: Any) -> None:
        now = set(map(int, zk.get_children(IDS)))
        events.extend(("left", number) for number in known - now)
        events.extend(("joined", number) for number in now - known)

    zk.get_children(IDS, watch=log)


def whole_lists(zk: KazooClient, events: list[Any]) -> None:
    zk.ChildrenWatch(IDS, lambda names: events.append(sorted(names)))


def raw_events(zk: KazooClient, events: list[Any]) -> None:
    def log(event: Any) -> None:
        events.append(event)
        zk.get_children(IDS, watch=log)

    zk.get_children(IDS, watch=log)


def the_wrong_path(zk: KazooClient, events: list[Any]) -> None:
    zk.ChildrenWatch("/brokers", lambda names: events.append(("joined", len(names))))


def not_started(zk: KazooClient, events: list[Any]) -> None:
    solution(zk, events)
    zk.stop()


def text_for_numbers(zk: KazooClient, events: list[Any]) -> None:
    known: set[str] = set()

    @zk.ChildrenWatch(IDS)
    def log(names: list[str]) -> None:
        events.extend(("left", name) for name in known - set(names))
        events.extend(("joined", name) for name in set(names) - known)
        known.clear()
        known.update(names)


def never_renewed(zk: KazooClient, events: list[Any]) -> None:
    known = {1, 2, 3}

    @zk.ChildrenWatch(IDS)
    def log(names: list[str]) -> None:
        now = {int(name) for name in names}
        events.extend(("left", number) for number in sorted(known - now))
        events.extend(("joined", number) for number in sorted(now))


def twice(zk: KazooClient, events: list[Any]) -> None:
    solution(zk, events)
    solution(zk, events)


def the_other_way_round(zk: KazooClient, events: list[Any]) -> None:
    known: set[int] = set()

    @zk.ChildrenWatch(IDS)
    def log(names: list[str]) -> None:
        now = {int(name) for name in names}
        events.extend(("joined", number) for number in sorted(known - now))
        events.extend(("left", number) for number in sorted(now - known))
        known.clear()
        known.update(now)


def test_untouched_is_not_attempted(q: Any) -> None:
    assert [q[1].check(...).status, q[2].check(...).status] == ["not attempted"] * 2


def test_the_solution_passes_and_all_brokers_are_back(q: Any, lab: Any, zk: KazooClient) -> None:
    events: list[Any] = []
    solution(zk, events)
    q[1].assert_passed(events)
    assert lab.brokers[2].state == "running"
    assert events[-2:] == [("left", 2), ("joined", 2)]
    q[1].assert_passed(events)


@pytest.mark.parametrize(
    ("mistake", "advice"),
    [
        (one_shot, "The watch fired once and was used up"),
        (whole_lists, "They hold all brokers that there are"),
        (raw_events, "the watch's own events"),
        (the_wrong_path, "On /brokers it never fires"),
        (not_started, "Is your client started, and not stopped since?"),
        (text_for_numbers, "The number is text"),
        (never_renewed, "Keep the names of last time"),
        (twice, "two of your watches are alive"),
        (the_other_way_round, "The words are the wrong way round"),
    ],
)
def test_a_mistake_is_named(
    q: Any, lab: Any, zk: KazooClient, mistake: Callable[..., None], advice: str
) -> None:
    events: list[Any] = []
    mistake(zk, events)
    report = q[1].check(events)
    assert report.status == "not yet"
    assert advice in repr(report)
    assert lab.brokers[2].state == "running"


def test_a_dictionary_is_not_a_list(q: Any) -> None:
    assert "The answer must be a list" in repr(q[1].check({}))


def test_while_a_broker_is_down_a_check_says_so_and_breaks_nothing(q: Any, lab: Any) -> None:
    lab.brokers[3].kill(watch=False)
    begun = time.monotonic()
    for report in (q[1].check([]), q[2].check({"stop": 0.3, "kill": 2.7})):
        assert report.status == "not yet"
        assert "broker-3 is killed: lab.repair() brings back what is down" in repr(report)
    assert time.monotonic() - begun < lesson_08.LogWatch.deadline
    assert lab.brokers[2].state == "running"


def test_what_was_measured_passes(q: Any, lab: Any) -> None:
    seconds = {}
    for verb in ("stop", "kill"):
        seconds[verb] = getattr(lab.brokers[2], verb)().noticed
        lab.brokers[2].start()
    q[2].assert_passed(seconds)
    assert lab.brokers[2].state == "running"


@pytest.mark.parametrize(
    ("answer", "advice"),
    [
        ({}, 'Expected: {"stop": seconds, "kill": seconds}'),
        ({"TERM": 0.3, "KILL": 2.7}, "Seen: KILL, TERM."),
        ({"stop": 0.3, "kill": "2.7 s"}, "Not so: kill."),
        ({"stop": -0.3, "kill": 2.7}, "the later minus the earlier"),
        ({"stop": 300, "kill": 2700}, "Is it in milliseconds?"),
        ({"stop": 0.2, "kill": 0.02}, "its znode does not"),
        ({"stop": 2.7, "kill": 2.6}, "the other way round"),
        ({"stop": 0.0001, "kill": 2.7}, "its time is far from yours"),
    ],
)
def test_a_wrong_measurement_is_named(
    q: Any, monkeypatch: pytest.MonkeyPatch, answer: dict[str, Any], advice: str
) -> None:
    monkeypatch.setattr(lesson_08, "_measure", lambda lab: {"stop": 0.3, "kill": 2.7})
    report = q[2].check(answer)
    assert report.status == "not yet"
    assert advice in repr(report)


def test_a_stop_as_slow_as_a_kill_is_not_believed(q: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lesson_08, "_measure", lambda lab: {"stop": 0.1, "kill": 2.7})
    report = q[2].check({"stop": 2.6, "kill": 2.7})
    assert report.status == "not yet"
    assert "✗ your time for the orderly stop" in repr(report)
