"""Sliders and lists in a real browser, without Jupyter: what they send, show and say."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from test_esm import Shown, show  # noqa: F401
from test_inputs import Desk

expect = pytest.importorskip("playwright.sync_api").expect
pytestmark = pytest.mark.browser

Show = Callable[..., Shown]


def drawn() -> Desk:
    """Return a closed-down desk whose state is that of a live one."""
    view = Desk()
    view.close()
    view.state = view.state | {"ended": ""}
    return view


@pytest.fixture
def desk(show: Show) -> Shown:  # noqa: F811
    return show(drawn())


def slider(shown: Shown) -> Any:
    return shown.one('[data-input="rate"]')


def choice(shown: Shown) -> Any:
    return shown.one('[data-input="acks"]')


def kernel_says(shown: Shown, accepted: int, **changes: dict[str, Any]) -> None:
    """Show what the kernel says: how many commands it has heard, and how the inputs are."""
    state = shown.page.evaluate("window.model.get('state')")
    inputs = [one | changes.get(one["name"], {}) for one in state["inputs"]]
    shown.put(state | {"accepted": accepted, "inputs": inputs})


def values(shown: Shown) -> list[Any]:
    return [one["value"] for one in shown.sent() if one["name"] == "rate"]


def wait_for_sent(shown: Shown, count: int) -> None:
    shown.page.wait_for_function("(n) => window.sent.length >= n", arg=count, timeout=5000)


def drag(shown: Shown, seconds: float) -> float:
    """Drag the slider to and fro, end at its right end; return how long it took."""
    place = slider(shown).bounding_box()
    mouse, middle = shown.page.mouse, place["y"] + place["height"] / 2
    mouse.move(place["x"] + place["width"] / 2, middle)
    mouse.down()
    begun, n = time.monotonic(), 0
    while time.monotonic() < begun + seconds:
        mouse.move(place["x"] + (n * 37 % int(place["width"])), middle)
        n += 1
    mouse.move(place["x"] + place["width"] + 5, middle)
    mouse.up()
    took = time.monotonic() - begun
    assert n > 15 * seconds, "that was not wild"
    return took


def test_a_slider_dragged_wildly_sends_ten_times_a_second_and_where_it_came_to_rest(
    desk: Shown,
) -> None:
    took = drag(desk, 1.5)
    desk.page.wait_for_function("window.sent.at(-1).value === 200", timeout=5000)
    assert 3 <= len(desk.sent()) <= took / 0.1 + 3
    assert desk.sent()[-1] == {"kind": "set", "name": "rate", "value": 200}
    desk.page.wait_for_timeout(250)
    assert desk.sent()[-1]["value"] == 200, "nothing comes after the last"


def test_what_is_shown_follows_the_hand_at_once(desk: Shown) -> None:
    slider(desk).focus()
    desk.page.keyboard.press("End")
    assert desk.one("output").first.text_content() == "200 per s"
    assert slider(desk).get_attribute("aria-valuetext") == "200 per s"


def test_keys_move_by_one_step_and_send(desk: Shown) -> None:
    slider(desk).focus()
    desk.page.keyboard.press("ArrowRight")
    wait_for_sent(desk, 1)
    desk.page.keyboard.press("ArrowRight")
    wait_for_sent(desk, 2)
    desk.page.keyboard.press("ArrowLeft")
    wait_for_sent(desk, 3)
    assert values(desk) == [110, 120, 110]
    choice(desk).focus()
    desk.page.keyboard.press("1")
    wait_for_sent(desk, 4)
    assert desk.sent()[-1] == {"kind": "set", "name": "acks", "value": "1"}


def test_an_arrow_held_down_sends_no_faster_than_a_drag(desk: Shown) -> None:
    slider(desk).focus()
    begun = time.monotonic()
    for n in range(60):
        desk.page.keyboard.press("ArrowRight" if n % 20 < 9 else "ArrowLeft")
    took = time.monotonic() - begun
    at_rest = float(slider(desk).input_value())
    desk.page.wait_for_function("(v) => window.sent.at(-1).value === v", arg=at_rest, timeout=5000)
    assert len(desk.sent()) <= took / 0.1 + 3


def test_all_can_be_reached_by_keyboard_and_has_a_label(desk: Shown) -> None:
    labels = []
    for _ in range(4):
        desk.page.keyboard.press("Tab")
        labels.append(
            desk.page.evaluate("document.activeElement.getAttribute('aria-label') ?? 'toggle'")
        )
    assert labels == ["toggle", "Messages a second", "Share", "Acknowledged by"]
    for role, name in [("slider", "Messages a second"), ("combobox", "Acknowledged by")]:
        assert desk.page.get_by_role(role, name=name).count() == 1


def test_the_value_does_not_jump_back_while_the_kernel_is_busy(desk: Shown) -> None:
    slider(desk).focus()
    desk.page.keyboard.press("End")
    wait_for_sent(desk, 1)
    for _ in range(3):
        kernel_says(desk, 0, rate={"value": 100})
        assert slider(desk).input_value() == "200"
        assert desk.one("output").first.text_content() == "200 per s"
    kernel_says(desk, 1, rate={"value": 200})
    kernel_says(desk, 1, rate={"value": 150})
    assert slider(desk).input_value() == "150", "what the kernel says holds again"


def test_it_does_not_jump_to_values_of_the_way_while_the_last_is_unheard(desk: Shown) -> None:
    slider(desk).focus()
    for n in range(1, 4):
        desk.page.keyboard.press("ArrowRight")
        wait_for_sent(desk, n)
    assert values(desk) == [110, 120, 130]
    for heard, value in enumerate((110, 120), start=1):
        kernel_says(desk, heard, rate={"value": value})
        assert slider(desk).input_value() == "130"
    kernel_says(desk, 3, rate={"value": 130})
    assert slider(desk).input_value() == "130"


def test_a_refused_value_goes_back_to_the_one_that_holds(desk: Shown) -> None:
    slider(desk).focus()
    desk.page.keyboard.press("End")
    wait_for_sent(desk, 1)
    kernel_says(desk, 1, rate={"value": 100})
    assert slider(desk).input_value() == "100"
    assert slider(desk).get_attribute("aria-valuetext") == "100 per s"


def test_what_python_sets_shows(desk: Shown) -> None:
    kernel_says(desk, 1, rate={"value": 30}, acks={"value": "0"})
    assert (slider(desk).input_value(), choice(desk).input_value()) == ("30", "0")


def test_limits_options_and_labels_may_change(desk: Shown) -> None:
    mark = "(node) => { node.marked = true; }"
    slider(desk).evaluate(mark)
    kernel_says(
        desk,
        0,
        rate={"low": 0, "high": 1000, "step": 100, "value": 700, "label": "Rate", "unit": ""},
        acks={"options": ["0", "all", "most"], "value": "most"},
    )
    assert slider(desk).input_value() == "700"
    assert slider(desk).evaluate("(n) => [n.min, n.max, n.step]") == ["0", "1000", "100"]
    assert desk.one("output").first.text_content() == "700"
    assert desk.page.get_by_role("slider", name="Rate").count() == 1
    assert choice(desk).input_value() == "most"
    assert slider(desk).evaluate("(node) => node.marked"), "it is still the same element"


def test_an_input_that_is_not_there_any_more_goes(desk: Shown) -> None:
    state = desk.page.evaluate("window.model.get('state')")
    desk.put(state | {"inputs": state["inputs"][1:]})
    assert slider(desk).count() == 0 and choice(desk).count() == 1
    desk.put(state | {"inputs": []})
    assert not desk.one(".bl-inputs").is_visible()
    desk.put(state)
    assert slider(desk).count() == 1


def test_show_code_tells_the_line_of_python(desk: Shown) -> None:
    code = desk.one(".bl-code")
    desk.one(".bl-toggle").click()
    slider(desk).focus()
    assert code.text_content() == "desk.set(rate=100)"
    desk.page.keyboard.press("ArrowRight")
    assert code.text_content() == "desk.set(rate=110)"
    choice(desk).hover()
    assert code.text_content() == 'desk.set(acks="all")'
    choice(desk).select_option("0")
    assert code.text_content() == 'desk.set(acks="0")'
    kernel_says(desk, 9, acks={"options": ["$& $1 'x'"], "value": "$& $1 'x'"})
    desk.one(".bl-title").hover()
    choice(desk).hover()
    assert code.text_content() == "desk.set(acks=\"$& $1 'x'\")"


def test_after_the_end_nothing_can_be_set(desk: Shown) -> None:
    state = desk.page.evaluate("window.model.get('state')")
    desk.put(state | {"ended": "closed"})
    assert slider(desk).is_disabled() and choice(desk).is_disabled()
    desk.page.mouse.click(*middle_of(desk))
    desk.page.wait_for_timeout(200)
    assert desk.sent() == []


def middle_of(shown: Shown) -> tuple[float, float]:
    place = slider(shown).bounding_box()
    return place["x"] + place["width"] / 4, place["y"] + place["height"] / 2


def test_a_view_that_is_removed_in_the_middle_of_a_drag_sends_nothing_more(desk: Shown) -> None:
    slider(desk).focus()
    desk.page.keyboard.press("ArrowRight")
    wait_for_sent(desk, 1)
    desk.page.keyboard.press("ArrowRight")
    desk.page.evaluate("window.cleanup()")
    desk.page.wait_for_timeout(250)
    assert values(desk) in ([110], [110, 120])
    assert len(desk.sent()) == len(values(desk))


def test_a_press_waits_until_it_was_heard_even_behind_a_drag(desk: Shown) -> None:
    state = desk.page.evaluate("window.model.get('state')")
    button = ["g", {"data-command": '{"kind": "send"}', "role": "button", "aria-label": "send"}]
    box = ["rect", {"width": 60, "height": 20}]
    view = {"picture": ["svg", {"viewBox": "0 0 100 20"}, [*button, box]]}
    desk.put(state | {"view": view})
    slider(desk).focus()
    desk.page.keyboard.press("End")
    wait_for_sent(desk, 1)
    desk.one("[data-command]").click()
    wait_for_sent(desk, 2)
    desk.put(state | {"view": view, "accepted": 1})
    assert desk.one("[data-command]").get_attribute("aria-disabled") == "true"
    desk.put(state | {"view": view, "accepted": 2})
    assert desk.one("[data-command]").get_attribute("aria-disabled") is None


def test_elements_of_the_same_key_all_show(desk: Shown) -> None:
    state = desk.page.evaluate("window.model.get('state')")
    lanes = [["g", {"key": "lane"}, ["text", {}, words]] for words in ("a", "b", "c")]
    for _ in range(2):
        desk.put(state | {"view": {"picture": ["svg", {"viewBox": "0 0 9 9"}, *lanes]}})
        assert desk.one("svg text").all_text_contents() == ["a", "b", "c"]
    desk.put(state | {"view": {"picture": ["svg", {"viewBox": "0 0 9 9"}, *lanes[1:]]}})
    assert desk.one("svg text").all_text_contents() == ["b", "c"]


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_inputs_keep_their_place_and_can_be_read(show: Show, theme: str) -> None:  # noqa: F811
    shown = show(drawn(), theme)
    before = shown.one("p:text('below')").bounding_box()
    row = shown.one(".bl-inputs").bounding_box()
    beside = shown.one('[data-input="share"]').bounding_box()
    for value in (10, 200):
        kernel_says(shown, 0, rate={"value": value})
        assert shown.one("p:text('below')").bounding_box() == before
        assert shown.one(".bl-inputs").bounding_box() == row
        assert shown.one('[data-input="share"]').bounding_box() == beside
    inside = """() => { const row = document.querySelector('.bl').getBoundingClientRect();
      return [...document.querySelectorAll('.bl-input')].every((one) => {
        const box = one.getBoundingClientRect();
        return box.left >= row.left && box.right <= row.right && parseFloat(getComputedStyle(one).fontSize) >= 15; }); }"""
    assert shown.page.evaluate(inside)
    pictures = Path(__file__).parents[2] / "artifacts" / "widgets"
    pictures.mkdir(parents=True, exist_ok=True)
    slider(shown).focus()
    shown.page.keyboard.press("ArrowLeft")
    shown.page.screenshot(
        path=pictures / f"inputs-{theme}.png", clip={"x": 0, "y": 0, "width": 870, "height": 260}
    )
