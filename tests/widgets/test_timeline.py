from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from itertools import pairwise

import pytest
from brokerlab.widgets.scene import Element, picture, to_svg, width_of
from brokerlab.widgets.timeline import (
    AXIS,
    LANE,
    MARK,
    Lane,
    Mark,
    Stretch,
    timeline,
    timeline_height,
)

NOW = 1_700_000_000.0
WIDTH, NAMES = 876.0, 150.0
LEFT, RIGHT = NAMES, WIDTH - MARK


def draw(*lanes: Lane, seconds: float = 60, width: float = WIDTH, names: float = NAMES) -> Element:
    return timeline(lanes, NOW, seconds, width=width, names=names)


def walk(scene: Element) -> Iterator[Element]:
    yield scene
    for child in scene[2:]:
        if isinstance(child, list):
            yield from walk(child)


def keyed(scene: Element, key: str) -> Element | None:
    return next((e for e in walk(scene) if e[1].get("key") == key), None)


def left_of(one: Element) -> float:
    return float(re.findall(r"[-\d.]+", one[1]["transform"])[0])


def bar(scene: Element, key: str = "s0") -> tuple[float, float] | None:
    """Return where a stretch begins and ends, in px."""
    one = keyed(scene, key)
    if one is None:
        return None
    (rect,) = (e for e in walk(one) if e[0] == "rect")
    return left_of(one), left_of(one) + rect[1]["width"]


def ticks(scene: Element) -> list[tuple[float, str]]:
    return [
        (e[1]["x"], e[2])
        for e in walk(scene)
        if e[0] == "text" and str(e[1].get("key", "")).startswith("ago-")
    ]


@pytest.mark.parametrize(
    ("begin", "end", "drawn"),
    [
        (-60, 0, (LEFT, RIGHT)),
        (-30, None, ((LEFT + RIGHT) / 2, RIGHT)),
        (-500, None, (LEFT, RIGHT)),
        (-500, -30, (LEFT, (LEFT + RIGHT) / 2)),
        (-30, 20, ((LEFT + RIGHT) / 2, RIGHT)),
        (-500, -60, None),
        (-500, -61, None),
        (1, 9, None),
    ],
)
def test_stretches_are_clipped_to_the_window(
    begin: float, end: float | None, drawn: tuple[float, float] | None
) -> None:
    until = None if end is None else NOW + end
    scene = draw(Lane("a", (Stretch(NOW + begin, until, "leader"),)))
    assert bar(scene) == (pytest.approx(drawn, abs=0.02) if drawn else None)


@pytest.mark.parametrize("at", [0, -60, -0.001, -59.999, -30])
def test_the_shortest_stretch_can_be_seen_and_stays_inside(at: float) -> None:
    drawn = bar(draw(Lane("a", (Stretch(NOW + at - 0.0001, NOW + at + 0.001, "leader"),))))
    if drawn is None:
        assert at == -60
        return
    begin, end = drawn
    assert begin >= LEFT - 0.01 and end <= RIGHT + 0.01 and end - begin >= 2.99


@pytest.mark.parametrize(("at", "there"), [(0, True), (-60, True), (-61, False), (1, False)])
def test_marks_outside_the_window_are_left_out(at: float, there: bool) -> None:
    scene = draw(Lane("a", (), (Mark(NOW + at, "cross", "alarm-ink"),)))
    mark = keyed(scene, "m0")
    assert (mark is not None) is there
    if mark:
        assert LEFT - 0.01 <= left_of(mark) <= WIDTH - MARK, "all of it can be seen"


def test_words_are_written_where_they_fit_and_told_anyway() -> None:
    long, short = (
        Stretch(NOW - 50, NOW - 10, "leader", "broker 1"),
        Stretch(NOW - 2, None, "leader", "broker 2"),
    )
    svg = to_svg(picture(880, 200, "x", draw(Lane("a", (long, short)))))
    assert svg.count("broker 1") == 2, "title and text"
    assert svg.count("broker 2") == 1, "title only"


def test_a_long_name_is_cut_and_told_in_full() -> None:
    name = "recognised-objects-of-all-cameras of the whole house 17"
    scene = draw(Lane(name))
    (shown,) = (e for e in walk(scene) if e[0] == "text" and e[2].startswith("recog"))
    assert shown[2].endswith("…") and width_of(shown[2], 15) <= NAMES
    assert any(e[0] == "title" and e[2] == name for e in walk(scene))


@pytest.mark.parametrize("width", [200, 300, 450, 876])
@pytest.mark.parametrize("seconds", [0, 0.5, 1, 7, 30, 60, 100, 400, 3600, 50_000])
def test_labels_of_the_axis_never_overlap(width: float, seconds: float) -> None:
    places = sorted(ticks(draw(Lane("a"), seconds=seconds, width=width, names=100)))
    assert places[-1][1] == "now"
    for (at, words), (after, _) in pairwise(places):
        assert after - at >= width_of(words, 15) * 0.9
    assert places[0][0] >= 100 - 0.01


def test_minutes_are_written_as_minutes() -> None:
    assert [words for _, words in ticks(draw(seconds=300))][-1] == "−5 min"


def test_without_lanes_there_is_an_axis_and_lanes_may_be_empty_or_namesakes() -> None:
    assert timeline_height(0) == AXIS and timeline_height(3) == 3 * LANE + AXIS
    assert ticks(draw())
    scene = draw(Lane("a"), Lane("a"), Lane(""))
    assert sum("data-lane" in e[1] for e in walk(scene)) == 3


def test_what_lasts_keeps_its_element_while_time_goes_on() -> None:
    stretches = (Stretch(NOW - 90, NOW - 59, "leader"), Stretch(NOW - 59, None, "follower"))
    early = timeline([Lane("a", stretches)], NOW, 60, width=WIDTH)
    late = timeline([Lane("a", stretches)], NOW + 10, 60, width=WIDTH)
    assert keyed(early, "s0") and not keyed(late, "s0")
    for scene in (early, late):
        one = keyed(scene, "s1")
        assert one and any("bl-follower" in e[1].get("class", "") for e in walk(one))


def test_it_is_well_formed_whatever_the_words() -> None:
    words = "a<b>&\"'\x00\x1b[31m\ud800 \N{PERSONAL COMPUTER}"
    scene = draw(
        Lane(words, (Stretch(NOW - 50, None, "leader", words),), (Mark(NOW, "cross", "", words),))
    )
    ET.fromstring(to_svg(picture(880, 200, words, scene)))
