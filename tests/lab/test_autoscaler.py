"""The autoscaler: what it decides from what it is told, and that it does so with real workers."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from brokerlab.autoscaler import Autoscaler, asked, lag_of, wanted_by
from brokerlab.errors import SettingError
from brokerlab.groups import GroupView, Span
from brokerlab.lab import Lab
from brokerlab.mlqueue import MLQueue
from brokerlab.pipeline.scenes import scene

STEADY = 1.0


class FakeQueue:
    """Has as many workers as it was told to have."""

    def __init__(self, workers: int) -> None:
        self.workers: tuple[str, ...] = ()
        self.scaled: list[int] = []
        self.ended = False
        self.scale(workers)
        self.scaled.clear()

    def scale(self, workers: int) -> None:
        self.scaled.append(workers)
        self.workers = tuple(f"worker-{number}" for number in range(1, workers + 1))


class FakeObserver:
    """Tells the lag that it was given."""

    def __init__(self) -> None:
        self.lag: int | None = 0
        self.closed = False

    @property
    def latest(self) -> GroupView:
        if self.lag is None:
            return GroupView(time.time(), "g", None, (), (), "nobody answers")
        return GroupView(time.time(), "g", "STABLE", (), (Span("t", 0, 0, self.lag, 0),), None)

    def close(self) -> None:
        self.closed = True


@pytest.fixture
def observer(monkeypatch: pytest.MonkeyPatch) -> FakeObserver:
    monkeypatch.setattr("brokerlab.autoscaler.EVERY", 0.02)
    return FakeObserver()


@pytest.fixture
def scaled(observer: FakeObserver) -> Iterator[Callable[..., tuple[FakeQueue, Autoscaler]]]:
    made = []

    def make(
        rule: Callable[[int], Any], workers: int = 1, **options: Any
    ) -> tuple[FakeQueue, Autoscaler]:
        queue = FakeQueue(workers)
        made.append(Autoscaler(queue, rule, steady=STEADY, observer=observer, **options))  # type: ignore[arg-type]
        return queue, made[-1]

    yield make
    for one in made:
        one.stop()


def until(true: Callable[[], bool], limit: float = 5.0) -> bool:
    end = time.monotonic() + limit
    while not true() and time.monotonic() < end:
        time.sleep(0.005)
    return true()


@pytest.mark.parametrize(
    ("lag", "workers"), [(0, 1), (1, 1), (100, 1), (101, 2), (550, 6), (10**9, 6)]
)
def test_the_usual_rule_rounds_up_and_is_capped(lag: int, workers: int) -> None:
    assert wanted_by(lag) == workers


def test_more_are_started_at_once(scaled: Any, observer: FakeObserver) -> None:
    queue, scaler = scaled(wanted_by)
    assert until(lambda: len(scaler.decisions) > 2) and queue.scaled == []
    observer.lag = 350
    assert until(lambda: queue.scaled == [4])
    (change,) = scaler.changes
    assert (change.lag, change.wanted, change.workers, change.aim) == (350, 4, 1, 4)


def test_fewer_must_have_been_wanted_for_a_while(scaled: Any, observer: FakeObserver) -> None:
    observer.lag = 350
    queue, scaler = scaled(wanted_by, workers=4)
    assert until(lambda: len(scaler.decisions) > 2)
    observer.lag, since = 0, scaler.decisions[-1].at
    assert until(lambda: queue.scaled == [1])
    assert scaler.changes[0].at - since >= STEADY - 0.1


def test_a_lag_that_comes_back_keeps_the_workers(scaled: Any, observer: FakeObserver) -> None:
    observer.lag = 350
    queue, scaler = scaled(wanted_by, workers=4)
    for _ in range(4):
        for lag in (0, 350):
            observer.lag, seen = lag, len(scaler.decisions)
            assert until(lambda seen=seen: len(scaler.decisions) > seen + 10)
    assert queue.scaled == []


def test_it_falls_no_further_than_was_wanted_lately(scaled: Any, observer: FakeObserver) -> None:
    observer.lag = 350
    queue, scaler = scaled(wanted_by, workers=4)
    assert until(lambda: len(scaler.decisions) > 2)
    observer.lag = 150
    assert until(lambda: queue.scaled == [2])
    observer.lag = 0
    assert until(lambda: queue.scaled == [2, 1])


def test_an_unknown_lag_changes_nothing_and_is_told(scaled: Any, observer: FakeObserver) -> None:
    observer.lag = None
    queue, scaler = scaled(wanted_by, workers=3)
    assert until(lambda: "lag is not known" in scaler.problem)
    assert queue.scaled == [] and scaler.decisions == ()
    observer.lag = 10
    assert until(lambda: queue.scaled == [1]) and scaler.problem == ""


def test_an_old_lag_is_unknown() -> None:
    spans = (Span("t", 0, 0, 7, 0),)
    assert lag_of(GroupView(time.time(), "g", "STABLE", (), spans, None)) == 7
    assert lag_of(GroupView(time.time() - 60, "g", "STABLE", (), spans, None)) is None


def test_a_rule_that_wants_too_many_is_capped_and_told(scaled: Any, observer: FakeObserver) -> None:
    observer.lag = 3000
    queue, scaler = scaled(lambda lag: lag // 100, most=3)
    assert until(lambda: queue.scaled == [3])
    assert until(lambda: "asks for 30 workers, and 3 are the most" in scaler.problem)


@pytest.mark.parametrize("answer", [None, 1.5, -1, True, "3"])
def test_a_rule_that_returns_no_number_is_a_sentence(answer: Any) -> None:
    with pytest.raises(SettingError, match="at a lag of 9: return a whole number"):
        asked(lambda _: answer, 9)


def test_a_rule_that_fails_is_a_sentence_and_changes_nothing(
    scaled: Any, observer: FakeObserver
) -> None:
    observer.lag = 5
    queue, scaler = scaled(lambda lag: 1 // (lag - 5), workers=2)
    assert until(lambda: "failed at a lag of 5 (ZeroDivisionError" in scaler.problem)
    assert queue.scaled == []


def test_a_queue_that_has_ended_gets_no_worker(scaled: Any, observer: FakeObserver) -> None:
    queue, scaler = scaled(wanted_by)
    queue.ended = True
    observer.lag = 900
    assert until(lambda: "queue has ended" in scaler.problem)
    assert queue.scaled == []


def test_an_observer_that_was_given_is_left_alone(scaled: Any, observer: FakeObserver) -> None:
    _, scaler = scaled(wanted_by)
    scaler.stop()
    scaler.stop()
    assert not observer.closed


@pytest.mark.cluster
def test_real_workers_come_with_the_lag_and_go_after_it(lab: Lab) -> None:
    picture = scene(15, 0, 640).picture
    with MLQueue(lab, "scaled") as queue:
        queue.begin(workers=0)
        for _ in range(150):
            queue.store.accept(picture, "image/jpeg")
        with Autoscaler(queue, lambda lag: min(2, wanted_by(lag, 50)), steady=STEADY) as scaler:
            assert until(lambda: len(queue.workers) == 2, 60)
            found = queue.settle()
            assert until(lambda: len(queue.workers) == 1, 60)
        assert (found.done, found.missing) == (150, ())
        assert {one.aim for one in scaler.changes} <= {1, 2} and scaler.problem == ""
        assert {job.worker for job in queue.store.jobs(limit=200)} == {"worker-1", "worker-2"}
