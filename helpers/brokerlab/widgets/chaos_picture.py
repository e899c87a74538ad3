"""How the chaos panel is drawn: the way of a picture, part by part, and below it the audit of all that were accepted."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from brokerlab.observe import NodeView
from brokerlab.pipeline.audit import Audit
from brokerlab.pipeline.store import Counts
from brokerlab.widgets.buttons import Verb, row
from brokerlab.widgets.cluster_picture import STATES, state_mark
from brokerlab.widgets.cluster_picture import VERBS as NODE_VERBS
from brokerlab.widgets.figures import GAP as TILE_GAP
from brokerlab.widgets.figures import HEIGHT as TILE
from brokerlab.widgets.figures import Figure, figures
from brokerlab.widgets.headline import HEIGHT as HEADLINE
from brokerlab.widgets.headline import headline
from brokerlab.widgets.scene import (
    Element,
    box,
    button,
    element,
    group,
    icon,
    picture,
    shortened,
    text,
)

WIDTH = 880
EDGE = 2
GAP = 22
PART = 96
WIDER = {"camera": -12, "api": 24, "collector": -12}
"""Px that a box of the first row is wider than the others."""
TOP = 2
BUS = 36
"""Px between the two rows, for the arrows into Kafka and out of it."""
NODE = 96
NODE_GAP = 12
WORKERS = 3
"""Workers that are shown; of more there is only their number."""
VERB_GAP = 6
BUTTONS = 46
MISSING = 206
LINES = 5
LINE = 20

NO_COUNTS = Counts(0, 0, 0, 0, 0, 0.0, None, 0, 0, 0)

VERBS = {
    state: tuple(verb for verb in verbs if verb != "stop") for state, verbs in NODE_VERBS.items()
}
"""State of a part or node -> what can be done with it here: what ends in an orderly way is no fault."""

WORDS = {"pause": "freeze", "resume": "go on"}
"""Verb -> what its button says, where that is another word."""

TITLES = {"api": "API + database", "relay": "relay", "collector": "collector"}


@dataclass(frozen=True)
class PartView:
    """A part of the queue, or a node of the cluster: its name, its state, what can be said of it."""

    name: str
    state: str


@dataclass(frozen=True)
class Sending:
    """A camera at work, or done.

    Attributes
    ----------
    count : int or None
        How many pictures it sends; None while that is open.
    sent, again : int
        How many are through, and how many of these were sent more than once.
    """

    count: int | None
    sent: int
    again: int
    over: bool


@dataclass(frozen=True)
class Chaos:
    """Everything the panel shows, at one moment.

    Attributes
    ----------
    taken : float
        Seconds since 1970.
    prefix : str
        Of the queue.
    parts : tuple of PartView
        API server, relay, workers, collector.
    nodes : tuple of NodeView
        ZooKeeper and the brokers.
    counts : Counts
        What the database counts.
    audit : Audit or None
        The last one; None before the first.
    audit_age : int
        Whole seconds since it was begun.
    log : tuple of (float, str)
        What was done, and when (seconds since 1970), the newest last.
    sending : Sending or None
        The latest camera; None before the first.
    storm : (int, int) or None
        While a storm goes on: how many of its faults have come, of how many.
    problem : str or None
        Why nothing can be told or done now.
    """

    taken: float
    prefix: str
    parts: tuple[PartView, ...] = ()
    nodes: tuple[NodeView, ...] = ()
    counts: Counts = NO_COUNTS
    audit: Audit | None = None
    audit_age: int = 0
    log: tuple[tuple[float, str], ...] = field(default=())
    sending: Sending | None = None
    storm: tuple[int, int] | None = None
    problem: str | None = None

    @property
    def missing(self) -> int | None:
        """How many accepted pictures the last audit found nowhere; None before the first."""
        return None if self.audit is None else len(self.audit.missing)

    @property
    def settled(self) -> bool:
        """Whether nothing is sent any more, and the audit has found an outcome for each picture that was accepted."""
        return (
            self.storm is None
            and (self.sending is None or self.sending.over)
            and self.audit is not None
            and self.audit.settled
            and self.audit.accepted == self.counts.total > 0
        )

    @property
    def down(self) -> tuple[str, ...]:
        """The names of parts and nodes that do not run."""
        everything = (*self.parts, *(PartView(node.name, node.state) for node in self.nodes))
        return tuple(one.name for one in everything if one.state != "running")


def draw(seen: Chaos, verbs: Sequence[Verb], busy: frozenset[str], free: bool) -> Element:
    """Draw the panel; its height never changes.

    Parameters
    ----------
    busy : frozenset of str
        The names of parts and nodes with which something is being done.
    free : bool
        Whether the learner's hand is free: not while a storm goes on.
    """
    nodes_top = TOP + PART + BUS
    strip = nodes_top + NODE + 14
    tiles = strip + HEADLINE + 12
    below = tiles + 2 * TILE + TILE_GAP + 12
    kind, words = verdict(seen)
    return picture(
        WIDTH,
        below + BUTTONS + LINES * LINE + 6,
        f"Chaos panel of {seen.prefix}. {words} {_summary(seen)}",
        group("path", *_path(seen, busy, free), y=TOP),
        group("kafka", *_kafka(seen, busy, free), y=nodes_top),
        headline(kind, words, y=strip, width=WIDTH - 4, room=WIDTH - 60, size=18),
        group("audit", *_audit(seen), y=tiles),
        row(verbs, "panel", below),
        _log(seen, below + BUTTONS),
    )


def verdict(seen: Chaos) -> tuple[str, str]:
    """Return the headline: its kind and its sentence."""
    counts = seen.counts
    if seen.problem:
        return "warned", seen.problem
    if seen.missing:
        return "lost", (
            f"Missing: {_pictures(seen.missing)} accepted, and in no place: not waiting, not in Kafka, not done."
        )
    if counts.duplicate_effects:
        return "lost", f"{_pictures(counts.duplicate_effects)} took effect twice."
    if seen.storm:
        done, of = seen.storm
        return "warned", f"Storm: {done} of {of} faults have come. {_lately(seen) if done else ''}"
    if seen.down:
        waits = ""
        if counts.backlog:
            waits = f" {_pictures(counts.backlog)} without an outcome yet; none is missing so far."
        return (
            "warned",
            f"{', '.join(seen.down)} {'is' if len(seen.down) == 1 else 'are'} down.{waits}",
        )
    if seen.settled:
        return (
            "fine",
            f"Each of {_pictures(counts.total)} has its outcome. None is missing, none took effect twice.",
        )
    if counts.total:
        return "empty", f"{_pictures(counts.backlog)} on the way to an outcome."
    return "empty", "Nothing was accepted yet: send pictures, or let a storm come."


def _pictures(number: int) -> str:
    return f"{number:,} picture{'' if number == 1 else 's'}"


def _lately(seen: Chaos) -> str:
    return f"Now: {seen.log[-1][1]}." if seen.log else ""


# The way of a picture.


def _columns(seen: Chaos) -> list[PartView | None]:
    """Return the boxes of the first row from left to right; None is the camera."""
    workers = [one for one in seen.parts if one.name.startswith("worker-")]
    others = {one.name: one for one in seen.parts}
    before = [others[name] for name in ("api", "relay") if name in others]
    after = [others["collector"]] if "collector" in others else []
    return [None, *before, *workers[:WORKERS], *after]


def _path(seen: Chaos, busy: frozenset[str], free: bool) -> Iterator[Element]:
    columns = _columns(seen)
    names = [one.name if one else "camera" for one in columns]
    even = (WIDTH - 2 * EDGE - GAP * (len(columns) - 1)) / len(columns)
    widths = [even + WIDER.get(name, 0) for name in names]
    lefts = [EDGE + sum(widths[:number]) + number * GAP for number in range(len(columns))]
    for left, width, one in zip(lefts, widths, columns, strict=True):
        if one is None:
            yield _camera(seen.sending, left, width)
        else:
            yield _part(one, left, width, one.name in busy, free)
    for left, name in zip(lefts, names, strict=True):
        # Workers and collector meet the others in Kafka only.
        if name in ("api", "relay"):
            yield _arrow(f"to-{name}", left - GAP + 3, PART / 2, left - 3, PART / 2)
    for left, width, name in zip(lefts, widths, names, strict=True):
        yield from _into_kafka(name, left + width / 2, careless="relay" not in names)
    hidden = sum(one.name.startswith("worker-") for one in seen.parts) - WORKERS
    if hidden > 0:
        words = f"+ {hidden} more worker{'' if hidden == 1 else 's'}"
        yield text(WIDTH - 6, PART + 26, words, "text soft small end", key="more")


def _into_kafka(name: str, middle: float, *, careless: bool) -> Iterator[Element]:
    top, bottom = PART + 4, PART + BUS - 4
    if name == "relay" or (name == "api" and careless):
        yield _arrow(f"{name}-publishes", middle, top, middle, bottom)
    elif name.startswith("worker-"):
        yield _arrow(f"{name}-takes", middle - 14, bottom, middle - 14, top)
        yield _arrow(f"{name}-answers", middle + 14, top, middle + 14, bottom)
    elif name == "collector":
        yield _arrow(f"{name}-reads", middle, bottom, middle, top)


def _arrow(key: str, x1: float, y1: float, x2: float, y2: float) -> Element:
    if y1 == y2:
        head = f"M{x2 - 7:g} {y2 - 5:g}L{x2:g} {y2:g}L{x2 - 7:g} {y2 + 5:g}"
    else:
        back = -7 if y2 > y1 else 7
        head = f"M{x2 - 5:g} {y2 + back:g}L{x2:g} {y2:g}L{x2 + 5:g} {y2 + back:g}"
    return element(
        "path", "pole", d=f"M{x1:g} {y1:g}L{x2:g} {y2:g}{head}", key=key, aria_hidden="true"
    )


def _camera(sending: Sending | None, left: float, width: float) -> Element:
    lines = ["at rest"]
    if sending is not None:
        lines = [f"{sending.sent:,} sent"]
        if sending.count is not None and not sending.over:
            lines.append(f"of {sending.count:,}")
        if sending.again:
            lines.append(f"{sending.again:,} again")
    return group(
        "camera",
        box(0, 0, width, PART, "calm"),
        text(12, 26, "camera", "text strong"),
        *(
            text(12, 47 + 19 * number, shortened(words, width - 18, 15), "text small")
            for number, words in enumerate(lines)
        ),
        x=left,
        data_camera="none" if sending is None else "over" if sending.over else "sends",
        data_sent=sending.sent if sending else 0,
    )


def _part(one: PartView, left: float, width: float, busy: bool, free: bool) -> Element:
    frame = {"running": "node", "paused": "frozen"}.get(one.state, "down")
    title = TITLES.get(one.name, one.name)
    return group(
        one.name,
        box(0, 0, width, PART, frame),
        text(12, 26, shortened(title, width - 16, 17), "text strong"),
        state_mark(one.state, 12, 38),
        _verbs(one, "queue", f'"{one.name}"', width - 16, enabled=free and not busy, y=PART - 38),
        x=left,
        data_part=one.name,
        data_state=one.state,
    )


def _kafka(seen: Chaos, busy: frozenset[str], free: bool) -> Iterator[Element]:
    nodes = [*(one for one in seen.nodes if one.role == "broker")]
    nodes += [one for one in seen.nodes if one.role == "zookeeper"]
    width = (WIDTH - 2 * EDGE - NODE_GAP * (len(nodes) - 1)) / max(len(nodes), 1)
    for number, node in enumerate(nodes):
        title = "ZooKeeper" if node.role == "zookeeper" else f"Kafka broker {node.id}"
        target = "lab.zookeeper" if node.role == "zookeeper" else f"lab.brokers[{node.id}]"
        one = PartView(node.name, node.state)
        frame = {"running": "node", "paused": "frozen"}.get(node.state, "down")
        if node.role == "zookeeper" and node.state == "running":
            frame = "zookeeper"
        verbs = _verbs(
            one, target, "", width - 16, enabled=free and node.name not in busy, y=NODE - 38
        )
        yield group(
            node.name,
            box(0, 0, width, NODE, frame),
            text(12, 26, shortened(title, width - 16, 17), "text strong"),
            state_mark(node.state, 12, 38),
            verbs,
            x=EDGE + number * (width + NODE_GAP),
            data_node=node.name,
            data_state=node.state,
        )


def _verbs(
    one: PartView, target: str, argument: str, room: float, *, enabled: bool, y: float
) -> Element:
    verbs = VERBS.get(one.state, ())
    letters = [len(WORDS.get(verb, verb)) + 3 for verb in verbs]
    widths = [min(84.0, (room - VERB_GAP) * many / max(sum(letters), 16)) for many in letters]
    return group(
        "buttons",
        *(
            button(
                WORDS.get(verb, verb),
                {"kind": verb, "part": one.name},
                f"{target}.{verb}({argument})",
                x=sum(widths[:number]) + number * VERB_GAP,
                y=0,
                width=width,
                group_name=one.name,
                label=f"{WORDS.get(verb, verb)} {one.name}",
                enabled=enabled,
            )
            for number, (verb, width) in enumerate(zip(verbs, widths, strict=True))
        ),
        x=8,
        y=y,
    )


# The audit.


def _audit(seen: Chaos) -> Iterator[Element]:
    counts = seen.counts
    shown = WIDTH - MISSING - TILE_GAP - 2 * EDGE
    known = seen.counts.total > 0
    above = (
        Figure("accepted", f"{counts.total:,}"),
        Figure("waiting", f"{counts.accepted:,}"),
        Figure("queued", f"{counts.queued:,}"),
        Figure("done", f"{counts.done:,}"),
    )
    lower = (
        Figure("dead-lettered", f"{counts.dead_lettered:,}"),
        Figure("came twice", f"{counts.duplicates:,}"),
        Figure(
            "effects twice",
            f"{counts.duplicate_effects:,}",
            _kind(counts.duplicate_effects, known),
        ),
        Figure("last audit", _age(seen)),
    )
    yield figures(above, width=shown, x=EDGE)
    yield group("lower", figures(lower, width=shown, x=EDGE), y=TILE + TILE_GAP)
    yield _missing(seen, WIDTH - MISSING - EDGE)


def _kind(number: int, known: bool) -> str:
    return "bad" if number else "good" if known else "plain"


def _age(seen: Chaos) -> str:
    if seen.audit is None:
        return "none yet"
    return "just now" if seen.audit_age < 2 else f"{seen.audit_age} s ago"


def _missing(seen: Chaos, left: float) -> Element:
    said = "…" if seen.missing is None else f"{seen.missing:,}"
    frame, ink, mark, mark_ink = ("calm", "text", "", "")
    if seen.missing:
        frame, ink, mark, mark_ink = "alarm", "on-alarm", "warning", "on-alarm"
    elif seen.missing == 0 and seen.audit is not None and seen.audit.accepted:
        mark, mark_ink = "tick", "zookeeper-ink"
    height = 2 * TILE + TILE_GAP
    parts = [
        element("title", "", f"missing: {said}"),
        box(0, 0, MISSING, height, frame),
        text(16, 32, "missing", f"{ink} heading" if not seen.missing else "on-alarm"),
        text(16, 96, said, f"{ink} huge"),
        text(
            16,
            height - 14,
            "accepted, in no place",
            f"{ink}{'' if seen.missing else ' soft'} small",
        ),
    ]
    if mark:
        parts.append(icon(mark, MISSING - 48, 14, mark_ink, 2))
    return group(
        "missing",
        *parts,
        x=left,
        role="img",
        aria_label=f"missing: {said}",
        data_figure="missing",
        data_value=said,
    )


# Below.


def _log(seen: Chaos, top: float) -> Element:
    lines = [
        group(
            f"line-{number}",
            text(0, 15, time.strftime("%H:%M:%S", time.localtime(at)), "text soft mono small"),
            text(84, 15, shortened(words, WIDTH - 100, 15), "text small"),
            y=number * LINE,
            role="listitem",
        )
        for number, (at, words) in enumerate(seen.log[-LINES:])
    ]
    if not lines:
        lines = [text(0, 15, "Nothing was done yet.", "text soft small")]
    return group("log", *lines, x=4, y=top, role="list", aria_label="what was done")


def _summary(seen: Chaos) -> str:
    everything = [*seen.parts, *(PartView(node.name, node.state) for node in seen.nodes)]
    states = ", ".join(
        f"{one.name} {STATES.get(one.state, ('', '', one.state))[2]}" for one in everything
    )
    counts = seen.counts
    return (
        f"{counts.total} accepted, {counts.accepted} waiting, {counts.queued} queued, {counts.done} done, "
        f"{counts.dead_lettered} dead-lettered. {states}."
    )
