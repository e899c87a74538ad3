"""What a ledger makes of the lines that the processes of a load bench print."""

from __future__ import annotations

import time

import pytest
from brokerlab.groups import GroupView, Span
from brokerlab.loadledger import KAFKA, MEMORY, WAIT, Ledger, Load, Run


def ledger(front: str, *lines: str) -> Ledger:
    one = Ledger(Load(front), lambda: None)
    for line in lines:
        one.hear(line)
    return one


def test_a_call_that_is_served_in_time() -> None:
    run = ledger(
        WAIT,
        "asked 0 100.0",
        "in 0 100.01",
        "done 0 100.09",
        "served 0.08",
        "answer 0 0.1 answered",
    ).run()
    (call,) = run.calls
    assert (call.at, call.seconds, call.status) == (0.0, 0.1, "answered")
    assert call.done_after == pytest.approx(0.09)
    assert (run.accepted, run.done, run.waiting, run.lost, run.in_vain) == (1, 1, 0, 0, 0)
    assert run.service_time == pytest.approx(0.08)


def test_work_for_a_caller_who_has_left_is_in_vain() -> None:
    run = ledger(WAIT, "asked 0 1", "in 0 1", "answer 0 0.5 timed-out", "done 0 2").run()
    assert (run.count("timed out"), run.done, run.in_vain, run.lost) == (1, 1, 1, 0)


def test_what_was_accepted_into_memory_is_lost_with_the_process() -> None:
    lines = [f"{word} {n} {n}.0" for n in range(4) for word in ("asked", "in")]
    one = ledger(MEMORY, *lines, *(f"answer {n} 0.01 answered" for n in range(4)), "done 0 5.0")
    assert (one.run().waiting, one.run().lost) == (3, 0)
    one.killed()
    run = one.run()
    assert (run.accepted, run.done, run.waiting, run.lost) == (4, 1, 0, 3)
    assert len(run.kills) == 1


def test_a_call_that_was_cut_off_by_the_kill_is_not_lost_because_it_was_never_accepted() -> None:
    one = ledger(WAIT, "asked 0 1.0", "in 0 1.0")
    one.killed()
    one.hear("answer 0 0.2 failed")
    assert (one.run().count("failed"), one.run().lost) == (1, 0)


def group(high: int, committed: int | None) -> GroupView:
    span = Span("load-bench", 0, 0, high, committed)
    return GroupView(time.time(), "g", "STABLE", (), (span,), None)


def test_behind_kafka_the_lag_of_the_group_is_the_backlog() -> None:
    one = ledger(KAFKA, "asked 0 1.0", "in 0 1.0")
    one.begin_at({0: 10})
    one.see(group(high=15, committed=12))
    assert one.run().waiting == 3


def test_a_look_without_commits_says_nothing() -> None:
    one = ledger(KAFKA)
    one.see(group(high=15, committed=None))
    assert one.run().backlog == ()


def test_what_is_committed_and_was_never_done_is_lost() -> None:
    one = ledger(KAFKA, "done 7 1.0 0 10")
    one.begin_at({0: 10})
    one.see(group(high=15, committed=11))
    assert one.run().lost == 0
    one.see(group(high=15, committed=13))
    assert one.run().lost == 2, "offsets 11 and 12 will never be handed out again"


def test_what_is_done_again_counts_once_as_done() -> None:
    run = ledger(KAFKA, "done 7 1.0 0 10", "done 7 2.0 0 10").run()
    assert (run.done, run.twice) == (1, 1)


def test_lines_that_are_no_entries_are_passed_over() -> None:
    run = ledger(WAIT, "", "listening on port 17", "Traceback (most recent call last):").run()
    assert run.calls == ()


def growing(by: float, seconds: float = 8.0) -> Run:
    load = Load(seconds=seconds)
    backlog = tuple((n / by, n) for n in range(int(by * seconds))) if by else ((0.0, 2),)
    some = ledger(WAIT, "asked 0 1.0", "asked 1 1.5").run()
    return Run(0.0, load, "over", seconds + 5, some.calls, backlog)


@pytest.mark.parametrize("by", [0.5, 2.0, 7.0])
def test_growth_is_the_slope_of_the_backlog(by: float) -> None:
    assert growing(by).growth == pytest.approx(by, abs=0.12)


def test_a_backlog_that_stays_does_not_grow() -> None:
    assert growing(0).growth == pytest.approx(0)


def test_nothing_is_claimed_of_a_run_that_has_not_begun() -> None:
    run = Ledger(Load(), lambda: None).run()
    assert (run.phase, run.growth, run.arrival_rate, run.capacity) == ("starting", None, None, None)


def test_capacity_is_workers_by_service_time() -> None:
    run = Run(0.0, Load(workers=3), "over", 8.0, service_time=0.25)
    assert run.capacity == pytest.approx(12)
