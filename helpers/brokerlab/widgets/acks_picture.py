"""How the acks ladder is drawn: the way of a photo, and how far each ``acks`` lets it go before it counts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from brokerlab.widgets.buttons import Verb, row
from brokerlab.widgets.cluster_picture import STATES
from brokerlab.widgets.scene import (
    Element,
    box,
    element,
    group,
    icon,
    picture,
    shortened,
    text,
)

WIDTH = 880
STATIONS_HEIGHT = 74
RUNG = 82
RUNG_GAP = 8
RUNGS_TOP = STATIONS_HEIGHT + 14
BUTTONS_HEIGHT = 46
LEGEND_LINE = 22
LANE = 26

APPLICATION = (64, 112)
QUEUE = (200, 122)
LEADER = (374, 126)
FOLLOWERS = (524, 152)
COUNTS = {"in the log": 720, "lost": 788, "twice": 845}
COUNTS_LEFT = 684
TILE = 54

FLAG_AT = {"0": QUEUE[0] + QUEUE[1] + 16, "1": LEADER[0] + 104, "all": FOLLOWERS[0] + 136}
"""acks -> where the lane is when this setting counts a photo as acknowledged."""

MEANING = {
    "0": "counts when it has left the program",
    "1": "counts when the leader has it",
    "all": "counts when the followers in sync have it too",
}
LEGEND = (
    "The flag stands where a photo counts as acknowledged; beyond it nobody waits.",
    "lost: acknowledged, and not in the log.   twice: in the log more than once.",
)


@dataclass(frozen=True)
class Replica:
    """A broker that holds the topic; `state` as in `brokerlab.observe.NodeView`."""

    broker: int
    state: str
    in_sync: bool


@dataclass(frozen=True)
class Rung:
    """One ``acks`` setting, and what became of its latest run.

    Attributes
    ----------
    acks : str
        ``0``, ``1`` or ``all``.
    phase : str
        ``idle``, ``sending``, ``waiting`` (all sent, not all acknowledged) or ``done``.
    sent, waiting, acknowledged, failed : int
        Photos; `failed` were refused or given up.
    in_log : int or None
        Different photos of the run that can be read; None before the log was read.
    lost, twice : int or None
        Acknowledged and not in the log; in the log more than once. None until the run is over.
    per_second : float
        Acknowledgements a second, over the run.
    p99 : float
        Seconds within which 99 of 100 acknowledgements came.
    settings : str
        What else was set.
    """

    acks: str
    phase: str = "idle"
    sent: int = 0
    waiting: int = 0
    acknowledged: int = 0
    failed: int = 0
    in_log: int | None = None
    lost: int | None = None
    twice: int | None = None
    per_second: float = 0.0
    p99: float = 0.0
    settings: str = ""


@dataclass(frozen=True)
class Climb:
    """The whole ladder at one moment; `problem` says why nothing can be sent now."""

    taken: float
    topic: str
    photos: int
    rungs: tuple[Rung, ...]
    leader: Replica | None = None
    followers: tuple[Replica, ...] = ()
    problem: str | None = None

    @property
    def done(self) -> bool:
        """Whether something was sent, and every run is over."""
        phases = {rung.phase for rung in self.rungs}
        return "done" in phases and phases <= {"done", "idle"}

    def rung(self, acks: str) -> Rung:
        """Return one rung."""
        return next(rung for rung in self.rungs if rung.acks == acks)


def ladder(seen: Climb, verbs: Sequence[Verb]) -> Element:
    """Draw the ladder; its height never changes."""
    rungs = [
        _rung(rung, seen, RUNGS_TOP + number * (RUNG + RUNG_GAP))
        for number, rung in enumerate(seen.rungs)
    ]
    below = RUNGS_TOP + len(rungs) * (RUNG + RUNG_GAP) + 4
    said, ink = (seen.problem, "alarm-ink") if seen.problem else (LEGEND[0], "soft")
    legend = [
        text(4, 16, shortened(said, WIDTH - 12, 15), f"text {ink} small"),
        text(4, 16 + LEGEND_LINE, LEGEND[1], "text soft small"),
    ]
    height = below + BUTTONS_HEIGHT + len(LEGEND) * LEGEND_LINE + 4
    return picture(
        WIDTH,
        height,
        f"Acks ladder of topic {seen.topic}. {_summary(seen)}",
        _stations(seen),
        group("rungs", *rungs),
        row(verbs, "ladder", below),
        group("legend", *legend, y=below + BUTTONS_HEIGHT),
    )


def _stations(seen: Climb) -> Element:
    leader = seen.leader
    parts = [
        text(4, 30, "acks", "heading heading-narrow"),
        _station("application", APPLICATION, "application", "produce()"),
        _station("queue", QUEUE, "local queue", "in the program"),
        _station("leader", LEADER, "leader's log", ""),
        _station("followers", FOLLOWERS, "followers' logs", ""),
        *(_arrow(left, right) for left, right in _neighbours()),
        *(
            text(at, 34, words, "text strong small middle", key=f"head-{words}")
            for words, at in COUNTS.items()
        ),
    ]
    if leader is None:
        parts.append(text(LEADER[0] + 12, 58, "no leader", "alarm-ink small"))
    else:
        parts.append(_replica(leader, LEADER[0] + 12, "broker "))
    step = (FOLLOWERS[1] - 16) / max(len(seen.followers), 2)
    parts += [
        _replica(one, FOLLOWERS[0] + 12 + number * step)
        for number, one in enumerate(seen.followers)
    ]
    return group("stations", *parts, y=2)


def _station(key: str, place: tuple[float, float], title: str, below: str) -> Element:
    left, width = place
    return group(
        key,
        box(0, 0, width, STATIONS_HEIGHT - 4, "node"),
        text(width / 2, 28, title, "text strong middle"),
        text(width / 2, 55, below, "text soft small middle"),
        x=left,
        data_station=key,
    )


def _neighbours() -> list[tuple[float, float]]:
    places = (APPLICATION, QUEUE, LEADER, FOLLOWERS)
    return [(a[0] + a[1], b[0]) for a, b in pairwise(places)]


def _arrow(left: float, right: float) -> Element:
    middle = (STATIONS_HEIGHT - 4) / 2
    tip = right - 3
    head = f"M{tip - 7:g} {middle - 5:g}L{tip:g} {middle:g}L{tip - 7:g} {middle + 5:g}"
    return element("path", "pole", d=f"M{left + 3:g} {middle:g}H{tip:g}{head}", aria_hidden="true")


def _replica(one: Replica, x: float, before: str = "") -> Element:
    mark, ink, said = STATES.get(one.state, STATES["unknown"])
    behind = "" if one.in_sync else ", out of sync"
    words = f"{before}{one.broker}" if one.in_sync else f"{before}{one.broker}!"
    return group(
        f"replica-{one.broker}",
        element("title", "", f"broker {one.broker}: {said}{behind}"),
        icon(mark, 0, 0, ink),
        text(21, 13, words, "text small" if one.in_sync else "text alarm-ink small"),
        x=x,
        y=44,
        role="img",
        aria_label=f"broker {one.broker}: {said}{behind}",
        data_replica=one.broker,
        data_state=one.state,
    )


def _rung(rung: Rung, seen: Climb, top: float) -> Element:
    flag = FLAG_AT[rung.acks]
    begin, end = APPLICATION[0] + APPLICATION[1] / 2, FOLLOWERS[0] + FOLLOWERS[1]
    parts = [
        box(0, 0, WIDTH - 4, RUNG, "calm"),
        text(14, 33, rung.acks, "heading"),
        element("path", "pole", d=f"M{begin:g} {LANE}H{flag:g}"),
        element("path", "link-unknown rule", d=f"M{flag + 4:g} {LANE}H{end:g}"),
        element("path", "shade", d=f"M{COUNTS_LEFT:g} 10V{RUNG - 10:g}"),
        _flag(flag),
        text(62, 73, _story(rung, seen), "text soft small"),
    ]
    if rung.phase != "idle":
        parts += [
            _count("sent", rung.sent, "sent", begin),
            _count("waiting", rung.waiting, "waiting", QUEUE[0] + QUEUE[1] / 2 - 4),
            _acknowledged(rung.acknowledged, flag, end_there=rung.acks == "all"),
        ]
    parts += [
        _tally(name, value, COUNTS[name], rung.phase)
        for name, value in (("in the log", rung.in_log), ("lost", rung.lost), ("twice", rung.twice))
    ]
    return group(
        f"rung-{rung.acks}", *parts, x=2, y=top, data_rung=rung.acks, data_phase=rung.phase
    )


def _flag(x: float) -> Element:
    return group(
        "flag",
        element("path", "pole", d=f"M{x:g} {LANE + 8}V6"),
        element("path", "leader", d=f"M{x:g} 6H{x + 18:g}L{x + 12:g} 12.5L{x + 18:g} 19H{x:g}Z"),
    )


def _count(name: str, value: int, words: str, middle: float) -> Element:
    return group(
        name,
        element("path", "halo backdrop", d=f"M{middle:g} {LANE}h0"),
        text(middle, 50, f"{value:,} {words}", "text small middle"),
        data_figure=name,
        data_value=value,
    )


def _acknowledged(value: int, flag: float, *, end_there: bool) -> Element:
    return group(
        "acknowledged",
        text(
            flag + (6 if end_there else -8),
            50,
            f"{value:,} acknowledged",
            f"text strong small{' end' if end_there else ''}",
        ),
        data_figure="acknowledged",
        data_value=value,
    )


def _tally(name: str, value: int | None, middle: float, phase: str) -> Element:
    said = "–" if phase == "idle" else "…" if value is None else f"{value:,}"
    bad = bool(value) and name != "in the log"
    parts: list[Element] = []
    if bad:
        parts = [
            box(middle - TILE / 2, 14, TILE, 32, "alarm", 6),
            icon("warning", middle - 8, 52, "alarm-ink"),
        ]
    parts.append(text(middle, 37, said, f"{'on-alarm' if bad else 'text strong'} chip-text middle"))
    return group(
        f"tally-{name}",
        *parts,
        role="img",
        aria_label=f"{name}: {said}",
        data_figure=name,
        data_value=said,
    )


def _story(rung: Rung, seen: Climb) -> str:
    if rung.phase == "idle":
        return MEANING[rung.acks]
    parts = []
    if rung.phase == "sending":
        parts.append("sending …")
    elif rung.phase == "waiting":
        parts.append("all sent, waiting …" if rung.waiting else "reading the log …")
    if rung.acknowledged:
        parts.append(f"99 % acknowledged in {_duration(rung.p99)}")
        parts.append(f"{rung.per_second:,.0f} a second")
    if rung.failed:
        parts.append(f"{rung.failed:,} given up")
    return shortened(" · ".join([*parts, rung.settings]), COUNTS_LEFT - 72, 15)


def _duration(seconds: float) -> str:
    return f"{seconds * 1000:.0f} ms" if seconds < 1 else f"{seconds:.1f} s"


def _summary(seen: Climb) -> str:
    if seen.problem:
        return seen.problem
    said = [
        f"acks={rung.acks}: {rung.acknowledged} of {rung.sent} acknowledged, "
        f"{'not read yet' if rung.in_log is None else rung.in_log} in the log"
        + ("" if rung.lost is None else f", {rung.lost} lost, {rung.twice} twice")
        for rung in seen.rungs
        if rung.phase != "idle"
    ]
    return ". ".join(said) or "Nothing sent yet."
