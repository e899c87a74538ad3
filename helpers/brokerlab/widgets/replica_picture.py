"""How a topic's replicas are drawn: a column a broker, a row a partition, a clock, and the last minute."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from brokerlab.observe import NodeView, PartitionView, Snapshot
from brokerlab.traffic import Ledger
from brokerlab.widgets import figures
from brokerlab.widgets.cluster_picture import (
    VERBS,
    controller_badge,
    node_buttons,
    state_mark,
)
from brokerlab.widgets.headline import HEIGHT as HEADLINE
from brokerlab.widgets.headline import headline
from brokerlab.widgets.leadership import GAPS, LED, NONE, SILENT, Leadership, Reign, why_silent
from brokerlab.widgets.scene import (
    Element,
    box,
    element,
    group,
    hatch,
    icon,
    picture,
    shortened,
    text,
    width_of,
)
from brokerlab.widgets.style import SERIES
from brokerlab.widgets.timeline import Lane, Mark, Stretch, timeline, timeline_height

WIDTH = 880
NAMES = 112
CLOCK = 170
GAP = 10
HEAD = 104
ROW = 44
CELL = 34
LEGEND = 28
BUTTON_GAP = 4
NARROWEST_BUTTON = 46
SECONDS = 60.0
"""How much of the past is shown."""

MANY_WAITING = 50
INSIDE = 0.8
"""Seconds from the beginning of a gap to its mark, so that the mark stands inside."""

CELLS = {
    "leader": ("leader", "on-leader", ("leader", "L")),
    "silent-leader": ("leaderless", "on-leaderless", ("! still leader", "! leader", "L!")),
    "follower": ("follower", "on-follower", ("in sync", "F")),
    "silent-follower": ("warned", "alarm-ink", ("! still in ISR", "! in ISR", "F!")),
    "last": ("warned", "alarm-ink", ("last in sync", "last")),
    "out-of-sync": ("out-of-sync", "on-follower halo", ("out of sync", "out")),
}
"""Role of a replica -> frame, ink, and its words, from the fullest to the shortest."""


@dataclass(frozen=True)
class Matrix:
    """What the matrix shows: a snapshot, the past of each partition by number, the ledger of the traffic."""

    snapshot: Snapshot
    topic: str
    past: Mapping[int, Leadership]
    ledger: Ledger | None = None

    @property
    def taken(self) -> float:
        return self.snapshot.taken

    @property
    def partitions(self) -> tuple[PartitionView, ...]:
        """The topic's partitions; none if there is no such topic."""
        found = self.snapshot.topic(self.topic)
        return found.partitions if found else ()


class ReplicaPicture:
    """One picture of one look; its height depends on `rows` and on whether there is a ledger, on nothing else."""

    def __init__(self, seen: Matrix, rows: int, busy: frozenset[str]) -> None:
        self.seen = seen
        self.rows = rows
        self.busy = busy
        self.brokers = [node for node in seen.snapshot.nodes if node.role == "broker"]
        self.up = {node.id for node in self.brokers if node.state == "running"}
        self.shown = seen.partitions[:rows]
        count = max(len(self.brokers), 1)
        self.column = (WIDTH - 4 - NAMES - CLOCK - GAP * count) / count
        self.figures_height = figures.HEIGHT + 12 if seen.ledger else 0
        self.matrix_height = HEAD + rows * ROW + 4

    def picture(self) -> Element:
        strip_top = 2 + self.figures_height + self.matrix_height + 10
        line_top = strip_top + HEADLINE + 12
        legend_top = line_top + timeline_height(self.rows) + 4
        return picture(
            WIDTH,
            legend_top + LEGEND,
            f"Replicas of {self.seen.topic}. {self._headline()[1]} {self._clocks_in_words()}",
            *self._figures(),
            group("matrix", *self._matrix(), y=2 + self.figures_height),
            self._strip(strip_top),
            timeline(
                [self._lane(partition) for partition in self.shown],
                self.seen.taken,
                SECONDS,
                width=WIDTH - 4,
                y=line_top,
                names=NAMES,
            ),
            self._legend(legend_top),
        )

    def _figures(self) -> Iterator[Element]:
        ledger = self.seen.ledger
        if ledger is None:
            return
        failed = sum(ledger.failed.values()) + ledger.refused
        where = max(ledger.gaps, key=ledger.gaps.__getitem__, default=None)
        longest = f"{ledger.gaps[where]:.1f} s" if where is not None else "none yet"
        pause = "longest pause" if where is None else f"longest pause (p {where})"
        shown = (
            figures.Figure("acknowledged", f"{len(ledger.acknowledged):,}"),
            figures.Figure(
                "waiting",
                f"{ledger.waiting:,}",
                "waiting" if ledger.waiting > MANY_WAITING else "plain",
            ),
            figures.Figure("failed", f"{failed:,}", "bad" if failed else "plain"),
            figures.Figure(pause, longest),
        )
        yield figures.figures(shown, width=WIDTH - 4, y=2)

    # The matrix

    def _matrix(self) -> Iterator[Element]:
        copies = sorted({len(partition.replicas) for partition in self.seen.partitions})
        yield text(2, 29, shortened(self.seen.topic, NAMES - 8, 18), "text strong")
        yield text(2, 52, f"RF {', '.join(map(str, copies))}" if copies else "", "text soft small")
        for number, node in enumerate(self.brokers):
            yield self._column(node, NAMES + number * (self.column + GAP))
        right = WIDTH - CLOCK
        yield text(right, 29, "seconds without a", "text soft small")
        yield text(right, 48, "leader that answers", "text soft small")
        yield text(right, 84, "(about ±0.25 s)", "text soft small")
        for number, partition in enumerate(self.shown):
            top = HEAD + number * ROW
            yield text(2, top + 23, f"partition {partition.id}", "text", key=f"name-{number}")
            yield self._clock(partition, right, top)
        hidden = len(self.seen.partitions) - len(self.shown)
        yield text(2, 84, f"+ {hidden} more" if hidden else "", "text soft small", key="more")
        if not self.seen.partitions:
            words = "unknown" if not self.seen.snapshot.reachable else "no such topic"
            yield text(2, HEAD + 23, words, "text soft small", key="none")

    def _column(self, node: NodeView, left: float) -> Element:
        width = self.column
        state = {"running": "node", "starting": "node", "paused": "frozen"}.get(node.state, "down")
        roomy = width > 120
        parts = [
            box(0, 0, width, self.matrix_height, state),
            text(
                12, 28, f"Broker {node.id}" if roomy else f"B {node.id}", "heading heading-narrow"
            ),
            _swatch(node.id, width - 34 if roomy else width - 26),
            state_mark(node.state, 12, 36),
        ]
        if self.seen.snapshot.controller == node.id:
            parts.append(controller_badge(width - 12, 36, short=True))
        parts += [self._buttons(node), *self._cells(node)]
        return group(node.name, *parts, x=left, data_node=node.name, data_state=node.state)

    def _buttons(self, node: NodeView) -> Element:
        verbs = VERBS.get(node.state, ())
        room = self.column - 16 + BUTTON_GAP
        verbs = verbs[: max(1, int(room // (NARROWEST_BUTTON + BUTTON_GAP)))]
        width = min(70.0, room / max(len(verbs), 1) - BUTTON_GAP)
        target, enabled = f"lab.brokers[{node.id}]", node.name not in self.busy
        return node_buttons(node, verbs, target, x=8, y=64, width=width, enabled=enabled)

    def _cells(self, node: NodeView) -> Iterator[Element]:
        for number, partition in enumerate(self.shown):
            top = HEAD + number * ROW
            if node.id in partition.replicas:
                yield self._cell(partition, node, top)
            else:
                yield text(
                    self.column / 2,
                    top + 23,
                    "no replica",
                    "text soft small middle",
                    key=f"{number}",
                )

    def _cell(self, partition: PartitionView, node: NodeView, top: float) -> Element:
        role = _role(partition, node, node.id in self.up)
        frame, ink, words = CELLS[role]
        width = self.column - 16
        fitting = (w for w in words if width_of(w, 16) <= width - 8)
        label = f"{partition.topic} {partition.id} on broker {node.id}: {words[0].lstrip('! ')}"
        return group(
            f"cell-{partition.id}",
            element("title", "", label),
            box(0, 0, width, CELL, frame, 7),
            *([hatch(width, CELL)] if role == "out-of-sync" else []),
            text(width / 2, 22, next(fitting, words[-1]), f"text {ink} middle"),
            x=8,
            y=top,
            role="img",
            aria_label=label,
            data_partition=f"{partition.topic}-{partition.id}",
            data_role=role,
        )

    def _clock(self, partition: PartitionView, left: float, top: float) -> Element:
        past = self.seen.past[partition.id]
        width = CLOCK - 4
        if past.gap_since is not None:
            seconds = max(0.0, self.seen.taken - past.gap_since)
            parts = [
                box(0, 0, width, CELL, "alarm", 7),
                icon("warning", 10, 9, "on-alarm"),
                text(width - 12, 26, f"{seconds:.1f} s", "on-alarm figure end"),
            ]
            state = "running"
        else:
            parts, state = [box(0, 0, width, CELL, "calm", 7)], "stopped"
            last = "none so far" if past.last is None else f"last {past.last:.1f} s"
            more = past.longest is not None and past.longest != past.last
            words = f"{last} · most {past.longest:.1f}" if more else last
            parts.append(
                text(10, 22, words, "text" if past.last is not None else "text soft small")
            )
        return group(f"clock-{partition.id}", *parts, x=left, y=top, data_clock=state, role="timer")

    # What to notice, the last minute, what the marks mean

    def _headline(self) -> tuple[str, str]:
        snapshot, partitions = self.seen.snapshot, self.seen.partitions
        if not snapshot.reachable:
            return "lost", f"Cluster lost: {snapshot.problem or 'no broker answers.'}"
        if not partitions:
            return (
                "empty",
                f"There is no topic {self.seen.topic} yet: create it, and it shows here.",
            )
        leaderless = [p for p in partitions if self.seen.past[p.id].now.kind == NONE]
        if leaderless:
            return "leaderless", _why_leaderless(leaderless)
        dead = sorted({b for p in partitions for b in p.isr if b not in self.up})
        if dead:
            return "warned", why_silent(dead, snapshot)
        replicas = sum(len(p.replicas) for p in partitions)
        behind = sum(len(set(p.replicas) - set(p.isr)) for p in partitions)
        if behind:
            return (
                "warned",
                f"Every partition has a leader that answers; {behind} of {replicas} replicas are out of sync.",
            )
        return "fine", f"Every partition has a leader, and all {replicas} replicas are in sync."

    def _strip(self, top: float) -> Element:
        kind, words = self._headline()
        return headline(
            kind,
            words,
            y=top,
            width=WIDTH - 4,
            room=WIDTH - 60,
            size=17 if kind in ("lost", "leaderless") else 16,
            ink="text" if kind == "warned" else None,
        )

    def _lane(self, partition: PartitionView) -> Lane:
        reigns = self.seen.past[partition.id].reigns
        return Lane(
            f"partition {partition.id}",
            tuple(self._stretch(reign) for reign in reigns),
            tuple(self._mark(reign) for reign in reigns if reign.kind in GAPS),
        )

    def _stretch(self, reign: Reign) -> Stretch:
        if reign.kind != LED:
            frame, ink, words = {
                SILENT: ("warned", "text", f"broker {reign.broker} does not answer"),
                NONE: ("alarm", "on-alarm", "no leader"),
            }.get(reign.kind, ("frozen", "text", "unknown"))
            return Stretch(reign.begin, reign.end, frame, words, ink)
        words = f"broker {reign.broker}"
        begin = max(reign.begin, self.seen.taken - SECONDS)
        room = ((reign.end or self.seen.taken) - begin) / SECONDS * (WIDTH - 4 - NAMES)
        if width_of(words, 15) > room - 12:
            words = str(reign.broker)
        return Stretch(reign.begin, reign.end, _series(reign.broker), words, "on-series")

    def _mark(self, reign: Reign) -> Mark:
        ink = "on-alarm" if reign.kind == NONE else "alarm-ink"
        end = self.seen.taken if reign.end is None else reign.end
        return Mark(min(reign.begin + INSIDE, end), "warning", ink)

    def _legend(self, top: float) -> Element:
        parts = [
            box(0, 4, 26, 18, "series-1", 4),
            text(13, 18, "1", "on-series small middle"),
            text(34, 18, "led by broker 1", "text soft small"),
            box(178, 4, 26, 18, "warned", 4),
            icon("warning", 184, 6, "alarm-ink", 0.9),
            text(212, 18, "named leader does not answer", "text soft small"),
            box(464, 4, 26, 18, "alarm", 4),
            icon("warning", 470, 6, "on-alarm", 0.9),
            text(498, 18, "no leader is named", "text soft small"),
            controller_badge(706, 2, short=True),
            text(714, 18, "controller", "text soft small"),
        ]
        return group("legend", *parts, x=2, y=top)

    def _clocks_in_words(self) -> str:
        said = []
        for partition in self.shown:
            longest = self.seen.past[partition.id].longest
            if longest is not None:
                said.append(
                    f"Partition {partition.id} was without one for {longest:.1f} s at most."
                )
        return " ".join(said)


def _role(partition: PartitionView, node: NodeView, up: bool) -> str:
    if partition.leader == node.id:
        return "leader" if up else "silent-leader"
    if node.id not in partition.isr:
        return "out-of-sync"
    if partition.leader is None:
        return "last"
    return "follower" if up else "silent-follower"


def _why_leaderless(partitions: list[PartitionView]) -> str:
    first = partitions[0]
    names = ", ".join(str(partition.id) for partition in partitions)
    has_all = " or ".join(str(broker) for broker in sorted(first.isr))
    plural = "Partition" if len(partitions) == 1 else "Partitions"
    verb = "has" if len(partitions) == 1 else "have"
    why = f"only broker {has_all} surely has every message" if has_all else "none was ever in sync"
    return f"{plural} {names} {verb} no leader: {why}."


def _series(broker: int | None) -> str:
    return f"series-{((broker or 1) - 1) % SERIES + 1}"


def _swatch(broker: int | None, x: float) -> Element:
    return group(
        "swatch",
        box(0, 0, 22, 16, _series(broker), 4),
        text(11, 13, str(broker), "on-series small middle"),
        x=x,
        y=14,
    )
