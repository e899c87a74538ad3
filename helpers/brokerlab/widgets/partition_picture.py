"""How a topic's partitions are drawn: a lane for each log, a chip for each record."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

from brokerlab.records import Record
from brokerlab.widgets.partition_layout import Layout
from brokerlab.widgets.scene import (
    Element,
    box,
    button,
    element,
    group,
    icon,
    picture,
    placed,
    shortened,
    text,
    width_of,
)
from brokerlab.widgets.style import SERIES

WIDTH = 880
STAGE_TOP = 70
ROWS = 6
ROW = 60
STAGE = ROWS * ROW
LEGEND_TOP = STAGE_TOP + STAGE + 14
HEIGHT = LEGEND_TOP + 62
INSET = 8
NAMES, NAMES_NARROW = 178, 128
CHIP, CHIP_HEIGHT, BAND = 33, 38, 19
STEP = 35
LINE = 58
OLDER_SLOTS = 2
COLUMN_GAP = 8
BURST = 12


@dataclass(frozen=True)
class Lane:
    """A partition: who leads it, its newest records by offset, and how many it holds in all."""

    number: int
    leader: int | None
    records: tuple[Record, ...] = ()
    count: int = 0


@dataclass(frozen=True)
class Lanes:
    """A topic at one moment.

    Attributes
    ----------
    taken : float
        Seconds since 1970.
    topic : str
        Its name.
    lanes : tuple of Lane
        Its partitions; none if there is no such topic.
    what_if : Layout or None
        The records as they would lie, when that is asked for.
    reachable : bool
        Whether the cluster answered.
    problem : str
        What could not be asked, in a sentence.
    """

    taken: float
    topic: str
    lanes: tuple[Lane, ...]
    what_if: Layout | None = None
    reachable: bool = True
    problem: str = ""

    @property
    def count(self) -> int:
        """How many records the topic holds."""
        return sum(lane.count for lane in self.lanes)


@dataclass(frozen=True)
class _Strip:
    """One lane as it is drawn: names, records, how many there are in all, and what stands below a record's chip."""

    number: int
    below: str
    records: tuple[Record, ...]
    count: int
    foot: Callable[[Record], _Foot]
    alarm: bool = False


class _Foot(NamedTuple):
    words: str = ""
    moved: bool = False


def lanes_picture(seen: Lanes, variable: str, sending: bool) -> Element:
    """Draw a topic.

    Parameters
    ----------
    seen : Lanes
        The topic.
    variable : str
        What the lessons call the view.
    sending : bool
        Whether a burst is under way.
    """
    strips = _what_if(seen.what_if) if seen.what_if else _as_it_is(seen)
    colours = _colours(record for lane in seen.lanes for record in lane.records)
    title, words = _headline(seen)
    return picture(
        WIDTH,
        HEIGHT,
        f"{title} {words}",
        text(4, 23, shortened(title, WIDTH - 330, 20), "heading", key="title"),
        *_buttons(variable, bool(seen.lanes) and not sending),
        text(4, 54, shortened(words, WIDTH - 8), "text", key="words"),
        _stage(seen, strips, colours),
        _legend(seen, colours),
    )


def _headline(seen: Lanes) -> tuple[str, str]:
    if seen.what_if:
        return _what_if_headline(seen, seen.what_if)
    if not seen.lanes:
        return f"{seen.topic}: nothing to show", ""
    few = f" The first {2 * ROWS} partitions are shown." if len(seen.lanes) > 2 * ROWS else ""
    return (
        f"The topic {seen.topic}: {_many(len(seen.lanes), 'partition')}",
        f"{_many(seen.count, 'record')}. A lane is a log of its own: oldest left, newest right.{few}",
    )


def _what_if_headline(seen: Lanes, layout: Layout) -> tuple[str, str]:
    words = f"{len(layout.moved)} of {_many(len(layout.keys), 'key')} would move."
    if layout.keyless:
        words += f" Left out: {layout.keyless} without a key, which go anywhere."
    kept = sum(len(lane.records) for lane in seen.lanes)
    if kept < seen.count:
        words += f" Of the newest {kept} records."
    title = f"What if {seen.topic} had {_many(len(layout.lanes), 'partition')}, by {layout.partitioner}?"
    return title, words


def _buttons(variable: str, enabled: bool) -> Iterator[Element]:
    for keyed, words, x, width, code in (
        (True, f"send {BURST}, with key", WIDTH - 318, 160, f"{variable}.send({BURST})"),
        (
            False,
            f"send {BURST}, no key",
            WIDTH - 152,
            148,
            f"{variable}.send({BURST}, keyed=False)",
        ),
    ):
        yield button(
            words,
            {"kind": "send", "count": BURST, "keyed": keyed},
            code,
            x=x,
            y=2,
            width=width,
            enabled=enabled,
            group_name=f"send-{keyed}",
        )


def _as_it_is(seen: Lanes) -> list[_Strip]:
    return [
        _Strip(
            lane.number,
            f"leader {lane.leader}" if lane.leader is not None else "no leader",
            lane.records,
            lane.count,
            lambda record: _Foot(str(record.offset)),
            lane.leader is None,
        )
        for lane in seen.lanes
    ]


def _what_if(layout: Layout) -> list[_Strip]:
    def foot(record: Record) -> _Foot:
        return _Foot(str(record.partition), True) if record.key in layout.moved else _Foot()

    return [
        _Strip(number, "", records, len(records), foot)
        for number, records in enumerate(layout.lanes)
    ]


def _stage(seen: Lanes, strips: Sequence[_Strip], colours: dict[bytes, int]) -> Element:
    if not strips:
        return group("stage", box(2, 0, WIDTH - 4, STAGE, "down"), *_empty(seen), y=STAGE_TOP)
    two_columns = len(strips) > ROWS
    shown = strips[: 2 * ROWS]
    lines = 2 if len(shown) <= ROWS // 2 else 1
    frame = [box(1, -5, WIDTH - 2, STAGE + 6, "what-if", 10)] if seen.what_if else []
    width = (WIDTH - 2 * INSET - COLUMN_GAP) / 2 if two_columns else WIDTH - 2 * INSET
    lanes = []
    for place, strip in enumerate(shown):
        column, row = divmod(place, ROWS)
        lanes.append(
            _lane(
                strip,
                colours,
                x=INSET + column * (width + COLUMN_GAP),
                y=row * ROW * lines,
                width=width,
                lines=lines,
                names=NAMES_NARROW if two_columns else NAMES,
            )
        )
    dim = "" if seen.reachable else "dim"
    return group("stage", *frame, group("lanes", *lanes, classes=dim), *_lost(seen), y=STAGE_TOP)


def _empty(seen: Lanes) -> Iterator[Element]:
    if not seen.reachable:
        yield from _lost(seen)
        return
    words = f"There is no topic {seen.topic!r} now."
    yield text(WIDTH / 2, STAGE / 2 - 8, words, "text middle", key="empty")
    how = "Create it with kafka-topics.sh --create: its lanes appear here."
    yield text(WIDTH / 2, STAGE / 2 + 18, how, "text soft middle", key="how")


def _lost(seen: Lanes) -> Iterator[Element]:
    if seen.reachable:
        return
    words = f"Cluster lost: {seen.problem}"
    yield group(
        "lost",
        box(0, 0, WIDTH - 120, 40, "alarm"),
        icon("cross", 14, 12, "on-alarm"),
        text(42, 26, shortened(words, WIDTH - 180), "on-alarm"),
        x=60,
        y=STAGE / 2 - 20,
        data_headline="lost",
    )


def _lane(
    strip: _Strip,
    colours: dict[bytes, int],
    *,
    x: float,
    y: float,
    width: float,
    lines: int,
    names: float,
) -> Element:
    height = ROW * lines - 4
    each = int((width - names - 4) // STEP)
    records = strip.records
    older = strip.count - len(records)
    if older or len(records) > each * lines:
        records = records[-(each * lines - OLDER_SLOTS) :]
        older = strip.count - len(records)
    chips = [
        _chip(record, strip.foot(record), colours.get(record.key or b"", 0)) for record in records
    ]
    frame = "warned" if strip.alarm else "calm"
    narrow = names == NAMES_NARROW
    return group(
        f"lane-{strip.number}",
        box(0, 0, width, height, frame, 7),
        *_names(strip, narrow, lines),
        *_chips(chips, older, names, each),
        x=x,
        y=y,
        role="img",
        aria_label=_said(strip),
        data_lane=strip.number,
        data_count=strip.count,
    )


def _names(strip: _Strip, narrow: bool, lines: int) -> Iterator[Element]:
    ink = "alarm-ink" if strip.alarm else "text soft"
    bare = strip.below and (narrow or strip.count > 999)
    count = f"{strip.count:,}" if bare else _many(strip.count, "record")
    said = [strip.below, count] if strip.below else [count]
    yield text(11, 24, f"Partition {strip.number}", "text strong")
    for line, words in enumerate(said if lines > 1 else [" · ".join(said)]):
        yield text(11, 46 + 22 * line, words, f"{ink if line == 0 else 'text soft'} small")


def _chips(chips: Sequence[Element], older: int, left: float, each: int) -> Iterator[Element]:
    skip = OLDER_SLOTS if older else 0
    if older:
        yield text(left + 32, 20, f"{older:,}", "text soft small middle", key="older-count")
        yield text(left + 32, 37, "older", "text soft small middle", key="older")
    elif not chips:
        yield text(left + 6, 32, "empty", "text soft small", key="empty")
    for place, chip in enumerate(chips, start=skip):
        line, slot = divmod(place, each)
        yield placed(chip, left + slot * STEP, 2 + line * LINE)


@lru_cache(maxsize=4096)
def _chip(record: Record, foot: _Foot, colour: int) -> Element:
    """Draw a chip, at the origin; kept, since most chips of a picture were in the one before it."""
    key = record.key or b""
    parts = [
        element("title", "", _record_said(record)),
        *_face(record.key, tag(record.text), {key: colour}),
    ]
    if foot.moved:
        parts.append(text(14, CHIP_HEIGHT + 15, foot.words, "alarm-ink small end"))
        parts.append(icon("moved", 17, CHIP_HEIGHT + 3, "alarm-ink", 0.8))
    else:
        parts.append(text(CHIP / 2, CHIP_HEIGHT + 15, foot.words, "text soft small middle"))
    return group(
        f"record-{record.partition}-{record.offset}",
        *parts,
        data_record=f"{record.partition}-{record.offset}",
        data_key=key.decode("utf-8", "replace"),
        data_moved="true" if foot.moved else None,
    )


def _face(key: bytes | None, words: str, colours: dict[bytes, int]) -> Iterator[Element]:
    yield box(0, 0, CHIP, CHIP_HEIGHT, "node", 5)
    if key:
        yield box(0, 0, CHIP, BAND, f"series-{colours.get(key, 0) + 1}", 5)
        yield text(CHIP / 2, 15, tag(key.decode("utf-8", "replace")), "on-series small middle")
    else:
        yield text(CHIP / 2, 15, "–", "text soft small middle")
    yield text(CHIP / 2, 34, words, "text small middle")


def _legend(seen: Lanes, colours: dict[bytes, int]) -> Element:
    """Say how a chip is read, and which key has which colour."""
    foot: list[Element]
    if seen.what_if:
        foot = [
            text(10, 19, "2", "alarm-ink small end"),
            icon("moved", 13, 7, "alarm-ink", 0.8),
            text(34, 19, "would move here from partition 2", "text soft small"),
        ]
    else:
        foot = [text(0, 19, "below a chip: its offset", "text soft small")]
    return group(
        "legend",
        group("keyed", *_face(b"3", "17", {b"3": 3}), x=10),
        text(52, 14, "key cam-3", "text soft small"),
        text(52, 33, "photo 17", "text soft small"),
        group("keyless", *_face(None, "18", {}), x=170),
        text(212, 14, "no key", "text soft small"),
        text(212, 33, "photo 18", "text soft small"),
        group("foot", *foot, x=310, y=0),
        _keys(colours),
        y=LEGEND_TOP,
    )


def _keys(colours: dict[bytes, int]) -> Element:
    parts: list[Element] = []
    if len(colours) > SERIES:
        words = f"{len(colours)} keys, {SERIES} colours: go by the number"
        parts.append(text(0, 42, words, "text soft small"))
    else:
        x = 0.0
        for key in sorted(colours, key=_natural):
            name = shortened(key.decode("utf-8", "replace"), 64, 15)
            parts.append(box(x, 30, 16, 16, f"series-{colours[key] + 1}", 4))
            parts.append(text(x + 21, 43, name, "text soft small"))
            x += 33 + width_of(name, 15)
    return group("keys", *parts, x=310)


def tag(words: str) -> str:
    """Return what fits on a chip: the number at the end of `words`, or their first letters."""
    found = re.search(r"\d+$", words)
    short = found[0][-3:] if found else words[:3]
    while width_of(short, 15) > CHIP - 2:
        short = short[:-1]
    return short


def _colours(records: Iterable[Record]) -> dict[bytes, int]:
    """Give each key a colour: by its number if it ends in one, so that it never changes, else by its rank."""
    keys = sorted({record.key for record in records if record.key})
    others = [key for key in keys if not key[-1:].isdigit()]
    rank = {key: place for place, key in enumerate(others)}
    return {key: (rank[key] if key in rank else _natural(key)[1]) % SERIES for key in keys}


def _natural(key: bytes) -> tuple[bytes, int]:
    found = re.search(rb"\d+$", key)
    return (key[: found.start()], int(found[0])) if found else (key, 0)


def _many(count: int, word: str) -> str:
    return f"{count:,} {word}{'' if count == 1 else 's'}"


def _said(strip: _Strip) -> str:
    keys = {record.key for record in strip.records if record.key}
    names = sorted(key.decode("utf-8", "replace") for key in keys)[:SERIES]
    with_keys = f", keys {' '.join(names)}{' …' if len(keys) > SERIES else ''}" if keys else ""
    below = f"{strip.below}, " if strip.below else ""
    return f"Partition {strip.number}: {below}{_many(strip.count, 'record')}{with_keys}"


def _record_said(record: Record) -> str:
    key = f"key {record.key.decode('utf-8', 'replace')}" if record.key else "no key"
    return f"partition {record.partition}, offset {record.offset}: {key}, {record.text}"
