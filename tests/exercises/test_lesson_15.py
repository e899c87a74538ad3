"""Exercises of lesson 15: untouched, the typical mistakes, the solution, on real queues."""

from __future__ import annotations

import math
from typing import Any

import pytest
from brokerlab.exercises import lesson_15_scale_and_back_pressure as module
from brokerlab.exercises import load
from homes import fresh_home

pytestmark = pytest.mark.cluster


@pytest.fixture
def q(lab: Any) -> Any:
    return load("15_scale_and_back_pressure", lab)


def solution(lag: int) -> int:
    return max(1, min(math.ceil(lag / 100), 3))


@pytest.mark.parametrize("answer", [..., None])
def test_untouched(q: Any, answer: Any) -> None:
    assert q[1].check(answer).status == "not attempted"
    assert q[2].check(answer).status == "not attempted"


def test_answers_of_another_kind(q: Any) -> None:
    assert "must be a function" in repr(q[1].check(3))
    assert "must be an int" in repr(q[2].check(2.5))


@pytest.mark.parametrize(
    ("rule", "advice"),
    [
        (lambda lag: math.ceil(lag / 100), "it wants 30: the budget is 3"),
        (lambda lag: min(3, lag // 100), "At a lag of 1 it wants none"),
        (lambda lag: min(3, math.ceil(lag / 100)), "At a lag of 0 it wants 0"),
        (lambda lag: 3, "At a lag of 0 it wants 3"),
        (lambda lag: print(lag), "returned None at a lag of 3000"),
        (lambda lag: min(3, 1 + lag / 100), "return a whole number of workers"),
        (lambda lag: 100 // lag, "failed at a lag of 0 (ZeroDivisionError"),
        (lambda lag, workers: 1, "failed at a lag of 3000 (TypeError"),
    ],
    ids=["uncapped", "rounded down", "none", "always 3", "nothing", "float", "raises", "arguments"],
)
def test_a_rule_that_cannot_do_is_told_before_anything_runs(
    q: Any, lab: Any, rule: Any, advice: str
) -> None:
    report = q[1].check(rule)
    assert report.status == "not yet"
    assert advice in repr(report)
    assert not any(name.startswith("drain") for name in lab.topics())


@pytest.mark.timeout(300)
def test_one_worker_is_no_faster_than_one_worker(q: Any, lab: Any) -> None:
    report = q[1].check(lambda lag: 1)
    assert report.status == "not yet"
    assert "That one was as fast" in repr(report)
    assert not any(name.startswith("drain") for name in lab.topics())


@pytest.mark.timeout(300)
def test_a_pile_within_the_budget(q: Any) -> None:
    q[1].assert_passed(solution)


@pytest.mark.parametrize("limit", [0, -5, 10**9])
def test_a_limit_that_is_none(q: Any, limit: int) -> None:
    assert "seconds of waiting × pictures done a second" in repr(q[2].check(limit))


@pytest.mark.timeout(180)
def test_a_limit_that_is_too_high(q: Any) -> None:
    report = q[2].check(5000)
    assert report.status == "not yet"
    assert "choose a lower limit" in repr(report) and "the limit refuses too late" in repr(report)


@pytest.mark.timeout(180)
def test_a_limit_that_is_too_low(q: Any) -> None:
    report = q[2].check(1)
    assert report.status == "not yet"
    assert "choose a higher limit" in repr(report)


@pytest.mark.timeout(180)
def test_a_limit_that_keeps_the_promise(q: Any, lab: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    # What one worker does on this machine, under such a load, is known when the check has measured it.
    seen: list[float] = []
    overloaded = module._overloaded

    def remembered(lab: Any, limit: int) -> Any:
        found = overloaded(lab, limit)
        seen.append(module._per_second(found.jobs))
        return found

    monkeypatch.setattr(module, "_overloaded", remembered)
    q[2].check(40)
    q[2].assert_passed(max(module.LINE, round(seen[0] * 2)))


def test_while_a_broker_is_down_the_check_says_so(q: Any, lab: Any) -> None:
    lab.brokers[2].kill()
    try:
        assert "broker-2 is down: lab.repair()" in repr(q[1].check(solution))
        assert "broker-2 is down: lab.repair()" in repr(q[2].check(50))
    finally:
        lab.repair()


def test_without_a_lab_the_check_says_so() -> None:
    with fresh_home():
        assert load("15_scale_and_back_pressure", None)[2].check(5).status == "not attempted"
