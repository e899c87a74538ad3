"""How the connector board is drawn: a sentence, a line a connector with what it moved, and the worker's buttons."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from brokerlab.connectors import Connector
from brokerlab.widgets.buttons import Verb, row
from brokerlab.widgets.headline import HEIGHT as SENTENCE
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
MOST = 5
"""Connectors that are shown; more would make the picture higher than a page."""
LINE, GAP = 62, 8
TOP = SENTENCE + 44
OUTSIDE, TOPIC, BEHIND, PLACE, BUTTON = 440, 540, 640, 764, 772
MARKS = {
    "RUNNING": ("dot", "zookeeper-ink"),
    "PAUSED": ("bars", "paused-ink"),
    "FAILED": ("cross", "alarm-ink"),
}


@dataclass(frozen=True)
class Moved:
    """One connector, and what it has moved.

    Attributes
    ----------
    connector
    outside
        Lines or rows outside Kafka, on its other end; None if nobody counts them.
    records
        What its topic holds; None if the cluster did not tell.
    place
        How far it says it is, in a few words; empty if it keeps no place.
    """

    connector: Connector
    outside: int | None = None
    records: int | None = None
    place: str = ""

    @property
    def difference(self) -> int | None:
        """By how much more came out than went in: more than 0 is twice, less is on its way or lost."""
        if self.outside is None or self.records is None:
            return None
        more = self.records - self.outside
        return more if self.connector.kind == "source" else -more


@dataclass(frozen=True)
class Board:
    """All connectors of a worker, when they were `taken` (in seconds since 1970).

    Attributes
    ----------
    state
        The worker's: ``running``, ``paused``, ``stopped``, ``killed`` or ``died``.
    moved
        By name. While the worker does not run, how they were when it did.
    problem
        What is wrong with the worker or the cluster, in a sentence; empty if nothing is.
    """

    taken: float
    state: str = "stopped"
    moved: tuple[Moved, ...] = ()
    problem: str = ""

    def of(self, name: str) -> Moved | None:
        """Return what a connector has moved; None if there is none of this name."""
        return next((one for one in self.moved if one.connector.name == name), None)

    def difference(self, name: str) -> int | None:
        """Return the difference of a connector; None if it is not known, or there is none of this name."""
        one = self.of(name)
        return one.difference if one else None


def verdict(seen: Board) -> tuple[str, str]:
    """Return a kind of `headline.KINDS`, and one sentence."""
    if seen.state != "running":
        return "warned", f"Kafka Connect is {seen.state}: nothing moves."
    if seen.problem:
        return "warned", seen.problem
    if not seen.moved:
        return "empty", "Kafka Connect runs, and has no connector yet."
    for one in seen.moved:
        if one.connector.problem:
            return "lost", f"{one.connector.name} failed: {one.connector.problem}"
    resting = [one for one in seen.moved if one.connector.state == "PAUSED"]
    if resting:
        behind = -(resting[0].difference or 0)
        waits = f"{behind:,} wait"
        if behind < 2:
            waits = "1 waits" if behind == 1 else "nothing waits yet"
        return "warned", f"{resting[0].connector.name} rests: {waits}."
    for one in seen.moved:
        if (one.difference or 0) > 0:
            return "warned", f"{one.connector.name}: {one.difference:,} more came out than went in."
    for one in seen.moved:
        if (one.difference or 0) < 0:
            return (
                "warned",
                f"{one.connector.name}: {-(one.difference or 0):,} did not arrive so far.",
            )
    counted = all(one.difference is not None for one in seen.moved)
    words = "what went in came out, once." if counted else "all tasks run."
    return "fine", f"{_connectors(len(seen.moved))}: {words}"


def _connectors(count: int) -> str:
    return "1 connector" if count == 1 else f"{count} connectors"


def draw(seen: Board, busy: Sequence[str] = ()) -> Element:
    """Draw the board; its size never changes. `busy` are the commands that are being done."""
    kind, sentence = verdict(seen)
    shown = seen.moved[:MOST]
    end = TOP + MOST * (LINE + GAP)
    return picture(
        WIDTH,
        end + 50,
        f"Connector board. {sentence}",
        headline(kind, sentence, y=2, width=WIDTH - 4, room=WIDTH - 70),
        group("heads", *_heads(), y=TOP - 10),
        *(
            group(
                f"connector-{one.connector.name}",
                *_line(one, seen.state, busy),
                x=2,
                y=TOP + number * (LINE + GAP),
                data_connector=one.connector.name,
                data_state=_state(one, seen.state),
            )
            for number, one in enumerate(shown)
        ),
        text(
            WIDTH - 4,
            end + 32,
            f"and {len(seen.moved) - MOST} more" if len(seen.moved) > MOST else "",
            "text soft small end",
            key="more",
        ),
        row(_verbs(seen.state, busy), "worker", end + 8),
    )


def _heads() -> Iterator[Element]:
    for x, words in (
        (OUTSIDE, "outside"),
        (TOPIC, "in the topic"),
        (BEHIND, "difference"),
        (PLACE, "its place"),
    ):
        yield text(x, 0, words, "text soft small end", key=words)


def _state(one: Moved, worker: str) -> str:
    return one.connector.state if worker == "running" else worker


def _line(one: Moved, worker: str, busy: Sequence[str]) -> Iterator[Element]:
    connector, state = one.connector, _state(one, worker)
    failed = bool(connector.problem)
    mark, ink = MARKS["FAILED"] if failed else MARKS.get(state, ("ring", "soft"))
    arrow = "→ topic" if connector.kind == "source" else "← topic"
    tasks = f"{len(connector.tasks)} task{'' if len(connector.tasks) == 1 else 's'}"
    yield element("title", "", str(connector))
    yield box(
        0, 0, WIDTH - 4, LINE, "warned" if failed else "node" if state == "RUNNING" else "down"
    )
    yield icon(mark, 12, 23, ink)
    yield text(40, 27, shortened(connector.name, 300, 18), "text strong")
    words = f"{connector.kind} {arrow} {connector.topic} · {state} · {tasks}"
    yield text(40, 49, shortened(words, 330, 15), "text soft small")
    for x, value, look in (
        (OUTSIDE, one.outside, "text"),
        (TOPIC, one.records, "text"),
        (BEHIND, one.difference, "alarm-ink" if one.difference else "text"),
    ):
        sign = "+" if x == BEHIND and value else ""
        words = "–" if value is None else f"{value:{sign},}".replace("-", "−")
        yield text(x, 37, words, f"{look} heading-narrow end", key=f"at-{x}", data_value=value)
    yield text(PLACE, 37, shortened(one.place or "none", 112, 15), "text small end", key="place")
    paused = state == "PAUSED"
    verb = "resume" if paused else "pause"
    yield button(
        verb.capitalize(),
        {"kind": verb, "name": connector.name},
        f'lab.connect.{verb}("{connector.name}")',
        x=BUTTON,
        y=14,
        width=92,
        height=34,
        group_name=f"connector-{connector.name}",
        label=f"{verb.capitalize()} {connector.name}",
        enabled=worker == "running" and not busy,
    )


def _verbs(state: str, busy: Sequence[str]) -> tuple[Verb, ...]:
    runs = state == "running"
    return (
        Verb("Start", "start", "lab.connect.start()", 110, not runs and not busy),
        Verb("Stop", "stop", "lab.connect.stop()", 110, runs and not busy),
        Verb("Kill", "kill", "lab.connect.kill()", 110, runs and not busy),
    )
