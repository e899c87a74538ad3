"""The checker of loss, checked: it must find what is missing, and only that."""

from __future__ import annotations

from history import History, Verdict, judge


def test_all_acknowledged_and_seen_once_is_no_loss():
    history = History({1: 0.0, 2: 0.0}, {1: 1.0, 2: 3.0})
    assert judge(history, [2, 1]) == Verdict((), (), ())
    assert (history.slowest, history.longest_pause, history.unknown) == (3.0, 2.0, set())


def test_acknowledged_and_not_seen_is_lost():
    assert judge(History({1: 0, 2: 0, 3: 0}, {1: 1, 3: 1}), [1, 2]).lost == (3,)


def test_what_was_refused_or_has_no_answer_may_be_missing_and_may_be_there():
    history = History({1: 0, 2: 0, 3: 0, 4: 0}, {}, {1: "_MSG_TIMED_OUT", 2: "_MSG_TIMED_OUT"})
    assert history.unknown == {3, 4}
    assert judge(history, [2, 4]) == Verdict((), (), ())


def test_twice_is_told_and_so_is_what_nobody_sent():
    assert judge(History({1: 0}, {1: 1}), [1, 1, 7]) == Verdict((), (1,), (7,))
