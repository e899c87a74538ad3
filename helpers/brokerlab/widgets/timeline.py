"""A time line for views that show what happened, and when: lanes over one clock, the newest on the right."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from brokerlab.widgets.scene import Element, box, element, group, icon, shortened, text, width_of

LANE = 38
BAR = 24
AXIS = 26
STEPS = (1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1800, 3600)
"""Seconds between two labels; beyond the last it is whole hours."""
MOST_TICKS = 8
TICK_ROOM = 80
MARK = 8
"""Half a mark, in px; so much is left on the right of now, for the half of a mark that has just been made."""

THINNEST = 3.0


@dataclass(frozen=True)
class Stretch:
    """Something that lasted.

    Attributes
    ----------
    begin, end : float
        Unix time in seconds; `end` is None while it lasts.
    classes : str
        Of `brokerlab.widgets.style.STYLES`, for the bar.
    words : str
        Written on it where there is room; read out in any case.
    ink : str
        Classes of the words.
    """

    begin: float
    end: float | None
    classes: str
    words: str = ""
    ink: str = "text"


@dataclass(frozen=True)
class Mark:
    """Something that happened at one moment (unix time in seconds); `icon` is one of `scene.ICONS`."""

    at: float
    icon: str
    classes: str
    words: str = ""


@dataclass(frozen=True)
class Lane:
    """One row: its name on the left, what lasted, what happened."""

    name: str
    stretches: tuple[Stretch, ...] = ()
    marks: tuple[Mark, ...] = ()


def timeline_height(lanes: int) -> float:
    """Return how high a time line of so many lanes is, in px."""
    return lanes * LANE + AXIS


def timeline(
    lanes: Sequence[Lane],
    now: float,
    seconds: float,
    *,
    width: float,
    y: float = 0,
    x: float = 2,
    names: float = 150,
) -> Element:
    """Draw `lanes` over the last `seconds` before `now`.

    Parameters
    ----------
    lanes : sequence of Lane
        Top to bottom.
    now : float
        Unix time in seconds: the right edge.
    seconds : float
        How much of the past is shown, 1 at least.
    width : float
        Of the whole, in px; `names` of them are for the lanes' names.
    x, y : float
        Where its upper left corner is.
    """
    seconds = max(seconds, 1.0)
    room = width - names - MARK
    left = now - seconds

    def place(at: float) -> float:
        return names + room * (min(max(at, left), now) - left) / seconds

    bottom = len(lanes) * LANE
    parts = list(_axis(seconds, names, room, bottom))
    for number, lane in enumerate(lanes):
        shown: list[Element] = [
            element("path", "rule", d=f"M{names:g} {LANE / 2:g}H{names + room:g}"),
            element("title", "", lane.name),
            text(0, LANE / 2 + 5, shortened(lane.name, names - 10 - MARK, 15), "text small"),
        ]
        for i, stretch in enumerate(lane.stretches):
            if stretch.begin <= now and (stretch.end is None or stretch.end > left):
                end = max(place(now if stretch.end is None else stretch.end), names + THINNEST)
                begin = min(place(stretch.begin), end - THINNEST)
                shown.append(_stretch(f"s{i}", stretch, begin, end))
        for i, mark in enumerate(lane.marks):
            if left <= mark.at <= now:
                shown.append(_mark(f"m{i}", mark, place(mark.at)))
        parts.append(group(f"lane-{lane.name}", *shown, y=number * LANE, data_lane=lane.name))
    return group("timeline", *parts, x=x, y=y, data_timeline="")


def _axis(seconds: float, names: float, room: float, bottom: float) -> Iterator[Element]:
    most = min(MOST_TICKS, max(1, room // TICK_ROOM))
    hours = STEPS[-1] * math.ceil(seconds / most / STEPS[-1])
    step = next((s for s in STEPS if seconds / s <= most), hours)
    for number in range(int(seconds // step) + 1):
        ago = number * step
        at = names + room * (1 - ago / seconds)
        words = f"−{ago // 60} min" if step >= 60 else f"−{ago} s"
        yield element("path", "rule", d=f"M{at:g} 0V{bottom:g}", key=f"tick-{ago}")
        yield text(
            at,
            bottom + 18,
            words if ago else "now",
            f"text soft small {'end' if ago == 0 else 'middle'}",
            key=f"ago-{ago}",
        )


def _stretch(key: str, stretch: Stretch, begin: float, end: float) -> Element:
    wide = end - begin
    fits = stretch.words and width_of(stretch.words, 15) <= wide - 12
    words = text(wide / 2, 17, stretch.words, f"{stretch.ink} small middle") if fits else None
    return group(
        key,
        element("title", "", stretch.words),
        box(0, 0, wide, BAR, stretch.classes, 4),
        *([words] if words else []),
        x=begin,
        y=(LANE - BAR) / 2,
    )


def _mark(key: str, mark: Mark, at: float) -> Element:
    return group(
        key,
        element("title", "", mark.words),
        icon(mark.icon, -MARK, 0, mark.classes),
        x=at,
        y=LANE / 2 - MARK,
    )
