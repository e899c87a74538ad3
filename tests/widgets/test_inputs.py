"""Sliders and lists: what may be set, in which order it is done, and what the browser is shown meanwhile."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import pytest
from brokerlab.errors import SettingError
from brokerlab.widgets.base import Command, LiveView
from brokerlab.widgets.inputs import Choice, Input, Slider
from brokerlab.widgets.scene import Element, picture
from widget_fakes import notice, until


@dataclass(frozen=True)
class Look:
    taken: float


class Desk(LiveView[Look]):
    """A view with two sliders and a list; `hold` keeps its worker busy."""

    title = "Desk"
    variable = "desk"

    def __init__(self) -> None:
        self.values: dict[str, Any] = {"rate": 100, "share": 0.5, "acks": "all"}
        self.done: list[tuple[str, Any]] = []
        self.hold, self.busy = threading.Event(), threading.Event()
        self.broken = ""
        super().__init__()

    def look(self) -> Look:
        return Look(time.time())

    def draw(self, seen: Look) -> Element:
        return picture(100, 20, "desk")

    def inputs(self) -> Sequence[Input]:
        if self.broken == "inputs":
            raise ValueError("no inputs now")
        return (
            Slider("rate", "Messages a second", 10, 200, 10, self.values["rate"], "per s"),
            Slider("share", "Share", 0, 1, 0.1, self.values["share"]),
            Choice("acks", "Acknowledged by", ("0", "1", "all"), self.values["acks"]),
        )

    def change(self, name: str, value: Any) -> str:
        if self.broken == "change":
            raise SettingError("The producer cannot do that now: stop it first.")
        self.done.append((name, value))
        self.values[name] = value
        return f"{name} is {value}." if name == "acks" else ""

    def run(self, command: Command) -> str:
        if command["kind"] == "hold":
            self.busy.set()
            self.hold.wait(10)
        self.done.append((command["kind"], None))
        return "ran"

    def describe(self, command: Command) -> str:
        if self.broken == "describe":
            raise KeyError("node")
        return super().describe(command)


@pytest.fixture
def desk() -> Iterator[Desk]:
    view = Desk()
    yield view
    view.hold.set()
    view.close()


@pytest.fixture
def busy(desk: Desk) -> Desk:
    desk.press("hold")
    assert desk.busy.wait(5)
    return desk


def from_browser(view: Desk, **content: Any) -> None:
    """Let the view hear what a page sent: plain JSON."""
    view._hear(view, json.loads(json.dumps({"kind": "set", **content})), [])


def shown(view: Desk, name: str) -> Any:
    return next(one["value"] for one in view.state["inputs"] if one["name"] == name)


def test_the_browser_gets_what_it_needs_and_nothing_it_cannot_read(desk: Desk) -> None:
    assert desk.state["inputs"][0] == {
        "kind": "slider",
        "name": "rate",
        "label": "Messages a second",
        "low": 10,
        "high": 200,
        "step": 10,
        "value": 100,
        "unit": "per s",
        "code": "desk.set(rate={})",
    }
    assert desk.state["inputs"][2]["options"] == ["0", "1", "all"]
    json.dumps(desk.state, allow_nan=False)


def test_set_changes_the_value_and_says_so(desk: Desk) -> None:
    desk.set(rate=150, acks="1")
    assert until(lambda: desk.values == {"rate": 150, "share": 0.5, "acks": "1"})
    assert until(lambda: notice(desk) == ("done", "acks is 1."))
    assert until(lambda: (shown(desk, "rate"), shown(desk, "acks")) == (150, "1"))


@pytest.mark.parametrize(
    ("given", "found"),
    [(10, 10), (200, 200), (14.9, 10), (15.1, 20), (199, 200), (100.0, 100)],
)
def test_a_slider_snaps_to_its_steps(given: float, found: float) -> None:
    value = Slider("rate", "", 10, 200, 10, 100).check(given)
    assert value == found and isinstance(value, int)


def test_steps_of_a_tenth_do_not_show_the_noise_of_binary_numbers() -> None:
    slider = Slider("share", "", 0, 1, 0.1, 0.5)
    assert [slider.check(n / 10) for n in range(11)] == [
        *(0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1),
    ]


def test_the_highest_value_can_be_set_even_off_the_steps() -> None:
    assert Slider("rate", "", 1, 100, 10, 1).check(100) == 100
    assert Slider("rate", "", 1, 100, 10, 1).check(95) == 91


WRONG = [
    *(9, 201, -1, 10**400, -(10**400), 1e308, float("nan"), float("inf"), -float("inf")),
    *(True, False, None, "100", "", [100], {"value": 100}, 1j),
]


@pytest.mark.parametrize("value", WRONG, ids=lambda value: f"{value!r}"[:12])
def test_a_wrong_number_is_refused_with_one_sentence(desk: Desk, value: Any) -> None:
    with pytest.raises(SettingError) as told:
        desk.set(rate=value)
    said = str(told.value)
    assert said.startswith("rate ") and "10 to 200" in said and len(said) < 120
    assert desk.pending == () and desk.values["rate"] == 100


@pytest.mark.parametrize("value", [None, True, 1, 1.0, "ALL", "", ["all"], {}, "x" * 1000])
def test_a_wrong_choice_is_refused_with_what_there_is(desk: Desk, value: Any) -> None:
    with pytest.raises(SettingError) as told:
        desk.set(acks=value)
    assert "'0', '1', 'all'" in str(told.value) and len(str(told.value)) < 120


def test_numbers_of_thousands_of_digits_are_refused_too(desk: Desk) -> None:
    with pytest.raises(SettingError, match="thousands of digits"):
        desk.set(rate=10**5000)


def test_an_unknown_input_is_refused_with_the_known_ones(desk: Desk) -> None:
    with pytest.raises(SettingError, match="no input 'speed': there are rate, share, acks"):
        desk.set(speed=3)


def test_nothing_is_half_set(desk: Desk) -> None:
    with pytest.raises(SettingError, match="acks can be"):
        desk.set(rate=50, share=0.2, acks="some")
    with pytest.raises(SettingError, match="no input 'speed'"):
        desk.set(rate=50, speed=3)
    desk.set(share=0.9)
    assert until(lambda: desk.done == [("share", 0.9)])
    assert desk.values["rate"] == 100


@pytest.mark.parametrize(
    "content",
    [
        {},
        {"name": "rate"},
        {"value": 3},
        {"name": None, "value": 3},
        {"name": ["rate"], "value": 3},
        {"name": {"a": 1}, "value": 3},
        {"name": "speed", "value": 3},
        *({"name": "rate", "value": value} for value in (float("nan"), float("inf"), 1e999)),
        *({"name": "rate", "value": value} for value in (10**400, None, True, "50", [], {})),
        {"name": "acks", "value": "none"},
        {"name": "acks", "value": 1},
    ],
    ids=str,
)
def test_nonsense_from_the_browser_is_told_in_place_and_harms_nothing(
    desk: Desk, content: dict[str, Any]
) -> None:
    from_browser(desk, **content)
    assert until(lambda: notice(desk)[0] == "error")
    assert (
        "Desk has no input" in notice(desk)[1]
        or "must be" in notice(desk)[1]
        or "can be" in (notice(desk)[1])
    )
    assert desk.done == []
    desk.set(rate=50)
    assert until(lambda: shown(desk, "rate") == 50 and desk.values["rate"] == 50), "it lives on"


def test_a_value_that_cannot_be_is_never_shown_while_the_worker_is_busy(busy: Desk) -> None:
    for value in (float("nan"), 10**400, "50", 9):
        from_browser(busy, name="rate", value=value)
    before = busy.pulse["n"]
    busy.touch()
    assert until(lambda: busy.pulse["n"] > before)
    assert shown(busy, "rate") == 100
    assert notice(busy)[0] == "busy", "the refusal is said when its turn has come"
    json.dumps(busy.state, allow_nan=False)


def test_while_the_worker_is_busy_the_value_asked_for_shows(busy: Desk) -> None:
    busy.set(rate=150)
    assert until(lambda: shown(busy, "rate") == 150)
    assert busy.values["rate"] == 100
    busy.hold.set()
    assert until(lambda: busy.values["rate"] == 150 and busy.pending == ())
    assert shown(busy, "rate") == 150


def test_of_what_is_set_while_the_worker_is_busy_only_the_last_is_done(busy: Desk) -> None:
    for n in range(10, 201, 10):
        from_browser(busy, name="rate", value=n)
        from_browser(busy, name="share", value=n / 200)
    assert len(busy.pending) == 3
    assert until(lambda: busy.state["accepted"] == 41), "each was heard"
    busy.hold.set()
    assert until(lambda: busy.pending == ())
    assert busy.done == [("hold", None), ("rate", 200), ("share", 1)]


def test_what_is_asked_for_around_another_command_keeps_its_order(busy: Desk) -> None:
    busy.set(rate=50)
    busy.press("send")
    busy.set(rate=60)
    busy.set(rate=70)
    busy.hold.set()
    assert until(lambda: busy.pending == ())
    assert busy.done == [("hold", None), ("rate", 50), ("send", None), ("rate", 70)]


def test_a_change_that_fails_shows_why_and_the_value_that_holds(desk: Desk) -> None:
    desk.broken = "change"
    desk.set(rate=50)
    sentence = "The producer cannot do that now: stop it first."
    assert until(lambda: notice(desk) == ("error", sentence))
    assert until(lambda: shown(desk, "rate") == 100)


def test_inputs_that_cannot_be_asked_show_an_error_and_come_back(desk: Desk) -> None:
    desk.broken = "inputs"
    desk.touch()
    assert until(lambda: notice(desk) == ("error", "ValueError: no inputs now"))
    assert len(desk.state["inputs"]) == 3, "the last ones stay"
    desk.broken = ""
    desk.touch()
    assert until(lambda: notice(desk)[0] == "none")


def test_a_command_that_cannot_be_described_is_an_error_and_the_next_one_runs(desk: Desk) -> None:
    desk.broken = "describe"
    desk.press("send")
    assert until(lambda: notice(desk) == ("error", "KeyError: 'node'"))
    desk.broken = ""
    desk.press("send")
    assert until(lambda: notice(desk) == ("done", "ran"))


def test_after_the_end_nothing_can_be_set(desk: Desk) -> None:
    desk.close()
    desk.set(rate=50)
    from_browser(desk, name="rate", value=60)
    assert desk.pending == () and desk.values["rate"] == 100


def test_many_threads_that_set_at_once_leave_one_value_and_nothing_waiting(desk: Desk) -> None:
    threads = [
        threading.Thread(target=lambda n=n: [desk.set(rate=10 * n) for _ in range(20)])
        for n in range(1, 9)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert until(lambda: desk.pending == ())
    assert desk.done[-1] == ("rate", desk.values["rate"])
    assert until(lambda: shown(desk, "rate") == desk.values["rate"])
