"""Messages that flow, in a real browser: they keep moving while the state changes, and stop when they must."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest
import widget_fakes as fakes
from brokerlab.observe import Snapshot
from test_cluster_map import FakeFlow
from test_esm import Shown, drawn, fill, show  # noqa: F401
from widget_fakes import nodes, snapshot, topic

pytest.importorskip("playwright.sync_api")
pytestmark = pytest.mark.browser

Show = Callable[..., Shown]
Draw = Callable[..., dict[str, Any]]
# One that is to begin has no time of beginning until the next frame, which a busy machine is late with.
MOVING = """async () => {
  await Promise.allSettled(document.getAnimations().map((one) => one.ready));
  return [...document.querySelectorAll('[data-flow] .bl-flow')].flatMap((line) => {
    line.mine ??= Math.random();
    return line.getAnimations().map((one) => ({
      mine: line.mine, began: one.startTime, state: one.playState, at: getComputedStyle(line).strokeDashoffset,
    }));
  });
}"""


@pytest.fixture
def state(monkeypatch: pytest.MonkeyPatch) -> Draw:
    """Return the state of a map on which logs grow as told."""

    def one(rate: float = 40.0, seen: Snapshot | None = None, **changes: Any) -> dict[str, Any]:
        flow = FakeFlow({("photos", n): rate for n in range(3)}, time.time())
        monkeypatch.setattr("brokerlab.widgets.cluster_map.FlowObserver", lambda *_: flow)
        return drawn(seen or snapshot(), flow=True).state | changes

    return one


@pytest.fixture
def flowing(show: Show, state: Draw) -> Shown:  # noqa: F811
    return opened(show, state())


def opened(show: Show, shown: dict[str, Any], **options: Any) -> Shown:  # noqa: F811
    view = drawn(snapshot())
    view.state = shown
    return show(view, **{"reduced_motion": "no-preference"} | options)


def moving(shown: Shown) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = shown.page.evaluate(MOVING)
    return found


def test_dots_move_into_each_leader_and_on_to_its_followers(flowing: Shown) -> None:
    first = moving(flowing)
    assert len(first) == 9 and {one["state"] for one in first} == {"running"}
    flowing.page.wait_for_timeout(60)
    assert all(a["at"] != b["at"] for a, b in zip(first, moving(flowing), strict=True))


def test_they_keep_moving_while_the_state_is_replaced(flowing: Shown, state: Draw) -> None:
    before = moving(flowing)
    for rate in (41.0, 43.0, 39.0, 45.0):
        flowing.put(state(rate))
        flowing.page.wait_for_timeout(30)
    after = moving(flowing)
    assert [(a["mine"], a["began"]) for a in after] == [(b["mine"], b["began"]) for b in before]


def test_they_stop_and_resume_one_partition_at_a_time(flowing: Shown, state: Draw) -> None:
    kept = {one["mine"] for one in moving(flowing)}
    killed = snapshot(nodes=nodes(brokers=("running", "killed", "running")))
    flowing.put(state(seen=killed))
    assert flowing.one('[data-flow="photos-1"]').count() == 0, "its leader is dead"
    left = moving(flowing)
    assert len(left) == 4 and {one["mine"] for one in left} < kept, "the others flow on"
    flowing.put(state(seen=fakes.broker_2_killed()))
    assert flowing.one('[data-flow="photos-1"] .bl-flow').count() == 2
    assert {one["mine"] for one in left} < {one["mine"] for one in moving(flowing)}


def test_nothing_moves_when_nothing_is_written(flowing: Shown, state: Draw) -> None:
    flowing.put(state(0.0))
    assert moving(flowing) == []
    assert "0/s" in flowing.one('[data-node="broker-1"] [data-role="leader"]').text_content()


@pytest.mark.parametrize("how", ["ended", "silent", "lost"])
def test_nothing_moves_in_a_view_that_does_not_know(flowing: Shown, state: Draw, how: str) -> None:
    if how == "ended":
        flowing.put(state(ended="closed"))
    elif how == "lost":
        flowing.put(state(seen=fakes.lost()))
    else:
        flowing.pulse(60)
        flowing.page.wait_for_function("document.querySelector('.bl').dataset.status === 'stale'")
    assert moving(flowing) == []


def test_for_who_asked_for_less_motion_the_rate_alone_is_shown(
    show: Show,  # noqa: F811
    state: Draw,
) -> None:
    calm = opened(show, state(), reduced_motion="reduce")
    assert moving(calm) == []
    assert all(not one.is_visible() for one in calm.one("[data-flow] .bl-flow").all())
    assert "40/s" in calm.one('[data-node="broker-1"] [data-role="leader"]').text_content()


@pytest.mark.parametrize("brokers", [1, 3, 5])
def test_rates_stay_inside_their_chips_and_dots_inside_the_picture(
    show: Show,  # noqa: F811
    state: Draw,
    brokers: int,
) -> None:
    seen = snapshot(
        nodes=nodes(brokers=("running",) * brokers),
        registered=tuple(range(1, brokers + 1)),
        topics=(topic("photos", 3, brokers),),
    )
    shown = opened(show, state(2345.0, seen))
    assert shown.one('[data-role="leader"]').count() == 3
    outside = shown.page.evaluate(
        """() => [...document.querySelectorAll('[data-partition]')].flatMap((chip) => {
          const frame = chip.querySelector('rect').getBoundingClientRect();
          return [...chip.querySelectorAll('text')].filter((text) => {
            const box = text.getBoundingClientRect();
            return box.left < frame.left || box.right > frame.right
              || box.top < frame.top - 3 || box.bottom > frame.bottom + 3;
          }).map((text) => text.textContent); })"""
    )
    assert outside == []
    below = shown.page.evaluate(
        """() => { const node = document.querySelector('[data-node="broker-1"]');
          const buttons = node.querySelector('[role=button]').getBoundingClientRect();
          return [...document.querySelectorAll('[data-flow] .bl-flow')]
            .filter((one) => one.getBoundingClientRect().bottom > buttons.top).length; }"""
    )
    assert below == 0


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_dots_have_the_leaders_colour(show: Show, state: Draw, theme: str) -> None:  # noqa: F811
    shown = opened(show, state(), theme=theme)
    stroke = shown.one("[data-flow] .bl-flow").first.evaluate("(n) => getComputedStyle(n).stroke")
    assert stroke == fill(shown, '[data-role="leader"] rect')
