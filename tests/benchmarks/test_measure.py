"""The figures of the benchmarks: ratios, bounds, and values that nobody can have measured."""

import math

import pytest
from measure import Figure, Samples, counts, samples, table


def beside(ours: list[float], theirs: list[float], bound: float | None) -> Figure:
    return Figure("start", "s", samples(ours), "a peer", samples(theirs), bound)


def test_the_ratio_is_that_of_the_medians():
    # The means would give 4.0: one slow run must not decide.
    assert beside([2, 2, 20], [4, 1, 4], None).ratio == 0.5


@pytest.mark.parametrize(
    ("ours", "bound", "holds"),
    [(4.0, 0.4, True), (4.1, 0.4, False), (4.0, None, None)],
)
def test_a_ratio_holds_up_to_its_bound(ours, bound, holds):
    assert beside([ours], [10.0], bound).holds is holds


@pytest.mark.parametrize(("ours", "holds"), [(8.5, True), (8.4, False)])
def test_a_bound_may_be_the_least(ours, holds):
    speed = Figure("speed", "/s", samples([ours]), "a peer", samples([10.0]), 0.85, at_least=True)
    assert speed.holds is holds and "≥ 0.85" in speed.cells()


def test_of_things_that_are_counted_there_may_be_none():
    lost = Figure("lost", "", counts([0]), "a peer", counts([0]))
    assert (lost.ratio, lost.cells()[1:3]) == (None, ("0", "0"))
    assert Figure("lost", "", counts([0]), bound=0).holds
    assert Figure("lost", "", counts([1]), bound=0).holds is False
    with pytest.raises(ValueError, match="measured"):
        counts([-1])


@pytest.mark.parametrize(("seconds", "holds"), [(5.0, True), (5.1, False)])
def test_a_figure_alone_is_held_against_its_bound_itself(seconds, holds):
    figure = Figure("stop", "s", samples([seconds]), bound=5.0)
    assert (figure.ratio, figure.holds) == (None, holds)


@pytest.mark.parametrize("values", [[], [0.0], [-1.0], [math.nan], [math.inf], [1.0, math.nan]])
def test_what_cannot_have_been_measured_is_refused(values):
    with pytest.raises(ValueError, match="measured"):
        samples(values)


def test_the_spread_is_shown_only_where_there_is_one():
    assert Samples((2.0, 1.0, 4.0)).text("s") == "2.00 (1.00–4.00)"
    assert Samples((512.4,)).text("MB") == "512"


def test_the_table_names_the_peer_the_ratio_and_what_was_missed():
    shown = table([beside([6.0], [10.0], 0.4), beside([3.0], [10.0], 0.4)]).splitlines()
    assert " ".join(shown[2].split()) == "start 6.00 10.00 s a peer 0.60 ≤ 0.40 MISSED"
    assert shown[3].split()[-1] == "holds"
