from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Iterator

import pytest
from brokerlab.widgets.figures import GAP, HEIGHT, Figure, figures
from brokerlab.widgets.scene import Element, picture, to_svg, width_of

WIDTH = 876.0


def walk(scene: Element) -> Iterator[Element]:
    yield scene
    for child in scene[2:]:
        if isinstance(child, list):
            yield from walk(child)


def draw(*shown: Figure, width: float = WIDTH) -> list[Element]:
    return [e for e in walk(figures(shown, width=width)) if "data-figure" in e[1]]


def texts(tile: Element) -> list[Element]:
    return [e for e in walk(tile) if e[0] == "text"]


def test_a_figure_is_read_out_with_its_name() -> None:
    (tile,) = draw(Figure("acknowledged", "5,000"))
    assert tile[1]["aria-label"] == "acknowledged: 5,000"
    assert [e[2] for e in texts(tile)] == ["acknowledged", "5,000"]


@pytest.mark.parametrize("count", [1, 4, 9])
def test_tiles_share_the_width(count: int) -> None:
    tiles = draw(*(Figure(f"f{n}", "1") for n in range(count)))
    widths = [next(e for e in walk(t) if e[0] == "rect")[1]["width"] for t in tiles]
    assert sum(widths) + GAP * (count - 1) == pytest.approx(WIDTH, abs=0.1)


def test_without_figures_there_is_nothing_and_no_error() -> None:
    assert draw() == []


@pytest.mark.parametrize("value", ["0", "5,000", "1,234,567,890", "9" * 60, "12.3 s", ""])
@pytest.mark.parametrize("count", [2, 5, 8])
def test_words_stay_inside_their_tile(value: str, count: int) -> None:
    sizes = {"figure": 26, "heading": 20, "small": 15}
    for tile in draw(*(Figure("longest pause of all partitions", value, "bad"),) * count):
        (rect,) = (e for e in walk(tile) if e[0] == "rect")
        for one in texts(tile):
            look = one[1]["class"].removesuffix(" bl-strong").rpartition("bl-")[2]
            assert one[1]["x"] + width_of(one[2], sizes[look]) <= rect[1]["width"]
            assert one[1]["y"] < HEIGHT


def test_a_number_gets_smaller_before_it_is_cut() -> None:
    (tile, *_) = draw(*(Figure("in the log", "1,234,567"),) * 7)
    assert texts(tile)[1][2] == "1,234,567"


@pytest.mark.parametrize("kind", ["good", "bad", "waiting"])
def test_what_must_not_be_missed_has_a_mark_and_not_only_a_colour(kind: str) -> None:
    (tile,) = draw(Figure("lost", "3", kind))
    (plain,) = draw(Figure("lost", "3"))
    assert any(e[0] == "path" for e in walk(tile)) and not any(e[0] == "path" for e in walk(plain))


def test_it_is_well_formed_whatever_the_words() -> None:
    words = "a<b>&\"'\x00\ud800"
    ET.fromstring(to_svg(picture(880, 90, words, figures([Figure(words, words)], width=WIDTH))))
