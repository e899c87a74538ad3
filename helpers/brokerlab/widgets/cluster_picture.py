"""How a snapshot of the cluster is drawn: where each node, replica and sentence of the cluster map stands."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from brokerlab.flow import Place
from brokerlab.observe import Event, NodeView, PartitionView, Snapshot, TopicView
from brokerlab.widgets.cluster_flow import Spot, dots, rate_words, routes
from brokerlab.widgets.headline import HEIGHT as HEADLINE
from brokerlab.widgets.headline import headline
from brokerlab.widgets.leadership import why_silent
from brokerlab.widgets.scene import (
    Element,
    box,
    button,
    element,
    group,
    hatch,
    icon,
    picture,
    shortened,
    text,
    width_of,
)

WIDTH = 880
GAP = 14
BAR = 50
LINK = 46
LINK_FROM_LEFT = 26
HEAD = 68
CHIP_GAP = 6
MORE = 24
BUTTONS = 42
BUTTON_GAP = 4
EVENTS = 4
EVENT_LINE = 20
NARROW = 230
KEEPER_NARROW = 400


@dataclass(frozen=True)
class Rows:
    """How the rows of the topics are laid out.

    Attributes
    ----------
    height : float
        Of a row, in px.
    chip_top, chip_height, chip_width, chip_width_narrow : float
        Where in a row the chips of the replicas begin, and how large they are.
    default, most : int
        How many rows there are without and with a choice of topics.
    """

    height: float
    chip_top: float
    chip_height: float
    chip_width: float
    chip_width_narrow: float
    default: int
    most: int


PLAIN = Rows(50, 23, 27, 32, 26, default=3, most=6)
FLOWING = Rows(108, 36, 36, 50, 42, default=2, most=4)
"""With room above the chips for messages that come, and below for copies that go from broker to broker."""

LANES = 30
SAMPLE_RATE = 60

STATES = {
    "running": ("dot", "zookeeper-ink", "up"),
    "paused": ("bars", "paused-ink", "paused"),
    "stopped": ("square", "soft", "stopped"),
    "killed": ("cross", "alarm-ink", "killed"),
    "died": ("cross", "alarm-ink", "died"),
    "starting": ("ring", "soft", "starting"),
    "unknown": ("ring", "soft", "unknown"),
}
"""State of a node -> its mark, the mark's class, its word."""

VERBS = {
    "running": ("kill", "stop", "pause"),
    "paused": ("resume", "kill"),
    "stopped": ("start",),
    "killed": ("start",),
    "died": ("start",),
    "starting": (),
}
"""State of a node -> what can be done with it, in the order of the buttons."""


class ClusterPicture:
    """One picture of one snapshot; its height depends on the topics asked for, never on the snapshot.

    With `rates` (records per second, None where they are not known) messages flow.
    """

    def __init__(
        self,
        seen: Snapshot,
        topics: tuple[str, ...] | None,
        controls: bool,
        busy: frozenset[str],
        rates: Mapping[Place, float | None] | None = None,
    ) -> None:
        self.seen = seen
        self.rates = rates
        self.layout = PLAIN if rates is None else FLOWING
        self.controls = controls
        self.busy = busy
        self.zookeeper = next((node for node in seen.nodes if node.role == "zookeeper"), None)
        self.controllers = [node for node in seen.nodes if node.role == "controller"]
        self.brokers = [node for node in seen.nodes if node.role == "broker"]
        self.topics = _chosen(seen.topics, topics)
        there = {topic.name for topic in seen.topics}
        self.missing = [name for name in topics or () if name not in there]
        layout = self.layout
        self.rows = layout.default if topics is None else min(max(len(topics), 1), layout.most)
        self.internal = [
            topic for topic in seen.topics if topic.internal and topic not in self.topics
        ]
        self.node_height = HEAD + self.rows * layout.height + MORE + (BUTTONS if controls else 8)
        self.node_top = BAR + LINK + 2
        self.strip_top = self.node_top + self.node_height + 12
        self.events_top = self.strip_top + HEADLINE + 12
        count = max(len(self.brokers), 1)
        self.node_width: float = (WIDTH - 4 - GAP * (count - 1)) / count

        self.narrow = self.node_width < NARROW
        self.chip_width = layout.chip_width_narrow if self.narrow else layout.chip_width

    def picture(self) -> Element:
        height = self.events_top + EVENTS * EVENT_LINE + 6
        links = [self._link(node, self._left(i)) for i, node in enumerate(self.brokers)]
        nodes = [self._broker(node, self._left(i)) for i, node in enumerate(self.brokers)]
        return picture(
            WIDTH,
            height,
            f"Cluster map. {_summary(self.seen)}",
            group("links", *links),
            *self._keepers(),
            group("brokers", *nodes),
            *([group("flow", *self._flow())] if self.rates is not None else []),
            self._strip(),
            self._events(),
            self._legend(),
        )

    def _left(self, index: int) -> float:
        return 2 + index * (self.node_width + GAP)

    # ZooKeeper and the links

    def _keepers(self) -> Iterator[Element]:
        """Draw those who keep the list of the brokers: ZooKeeper, controllers, or both."""
        if not self.controllers:
            yield self._zookeeper()
            return
        nodes = [*([self.zookeeper] if self.zookeeper else []), *self.controllers]
        width = (WIDTH - 4 - GAP * (len(nodes) - 1)) / len(nodes)
        for i, node in enumerate(nodes):
            yield self._keeper(node, 2 + i * (width + GAP), width)

    def _keeper(self, node: NodeView, x: float, width: float) -> Element:
        narrow = width < KEEPER_NARROW
        name = "ZooKeeper" if node.role == "zookeeper" else f"Controller {node.id}"
        if narrow:
            name = name.removeprefix("Controller ")
        beside = 102 if narrow else 190
        number = node.name.rpartition("-")[2]
        target = "lab.zookeeper" if node.role == "zookeeper" else f"lab.controllers[{number}]"
        parts = [
            box(0, 0, width, BAR, "zookeeper" if node.state == "running" else _frame(node.state)),
            text(12, 21, name, "text strong small"),
            text(12, 41, "" if narrow else f":{node.port}", "text soft mono small"),
            state_mark(node.state, 12 if narrow else 68, 27),
        ]
        if node.id is not None and node.id == self.seen.controller:
            parts.append(controller_badge(beside - 16, 3, short=True))
        if self.controls:
            verbs = VERBS.get(node.state, ())
            each = min(64.0, (width - beside) / max(len(verbs), 1) - BUTTON_GAP)
            left = width - 6 - len(verbs) * (each + BUTTON_GAP) + BUTTON_GAP
            parts.append(
                node_buttons(
                    node,
                    verbs,
                    target,
                    x=left,
                    y=10,
                    width=each,
                    enabled=node.name not in self.busy,
                )
            )
        return group(node.name, *parts, x=x, y=2, data_node=node.name, data_state=node.state)

    def _zookeeper(self) -> Element:
        node = self.zookeeper
        state = node.state if node else "stopped"
        port = f":{node.port}" if node else ""
        width = WIDTH - 4
        alive = ", ".join(str(number) for number in sorted(self.seen.registered)) or "none"
        known = f"brokers registered: {alive}" if self._zookeeper_answers() else ""
        parts = [
            box(0, 0, width, BAR, "zookeeper" if state == "running" else _frame(state)),
            text(16, 32, "ZooKeeper", "heading"),
            text(152, 32, port, "text soft mono"),
            state_mark(state, 224, 17),
            text(336, 32, known, "text"),
        ]
        if node and self.controls:
            parts.append(
                self._buttons(node, width - 8, 10, from_right=True, target="lab.zookeeper")
            )
        return group("zookeeper", *parts, x=2, y=2, data_node="zookeeper", data_state=state)

    def _watched(self) -> bool:
        """Whether somebody keeps the list of the brokers now, and it can be read."""
        if self.seen.mode == "zookeeper":
            return self._zookeeper_answers()
        return self.seen.reachable and self.seen.controller is not None

    def _zookeeper_answers(self) -> bool:
        running = self.zookeeper is not None and self.zookeeper.state == "running"
        return running and self.seen.listed

    def _link(self, node: NodeView, left: float) -> Element:
        x = left + LINK_FROM_LEFT
        top, bottom = BAR + 4, self.node_top - 2
        middle = (top + bottom) / 2
        line = f"M{x:g} {top}V{bottom}"
        path, note, below = f"/brokers/ids/{node.id}", "text mono small", ""
        if self.seen.mode != "zookeeper":
            path, note = "heartbeats", "text small"
        if not self._watched():
            state, note, below = "unknown", "text soft mono small", "nobody watches it now"
        elif node.id in self.seen.registered:
            state = "whole" if node.state == "running" else "waiting"
            below = "" if state == "whole" else "its session is not over yet"
        else:
            absent = "no znode" if self.seen.mode == "zookeeper" else "fenced"
            state, path, note = "broken", absent, "alarm-ink small"
            line = f"M{x:g} {top}V{middle - 11:g}M{x:g} {middle + 11:g}V{bottom}"
        if self.narrow:
            path, below = path.removeprefix("/brokers"), ""
        parts = [
            element("path", "link" if state == "whole" else f"link link-{state}", d=line),
            text(x + 16, middle + (-3 if below else 5), path, note),
            text(x + 16, middle + 14, below, "text soft small"),
        ]
        if state == "broken":
            parts.append(icon("cross", x - 8, middle - 8, "alarm-ink"))
        return group(f"link-{node.name}", *parts, data_link=node.name, data_state=state)

    # Brokers and their replicas

    def _broker(self, node: NodeView, left: float) -> Element:
        width = self.node_width
        parts = [
            box(0, 0, width, self.node_height, _frame(node.state)),
            text(
                14, 29, f"Broker {node.id}", "heading heading-narrow" if self.narrow else "heading"
            ),
            text(width - 14, 29, f":{node.port}", "text soft mono end"),
            state_mark(node.state, 14, 38),
        ]
        if self.seen.controller is not None and self.seen.controller == node.id:
            parts.append(controller_badge(width - 14, 37, short=self.narrow))
        parts.append(element("path", "rule", d=f"M12 {HEAD}H{width - 12:g}"))
        parts.append(self._replicas(node, width))
        if self.controls:
            code = f"lab.brokers[{node.id}]"
            top = self.node_height - BUTTONS + 2
            parts.append(
                self._buttons(node, 8 if self.narrow else 12, top, from_right=False, target=code)
            )
        return group(
            node.name, *parts, x=left, y=self.node_top, data_node=node.name, data_state=node.state
        )

    def _replicas(self, node: NodeView, width: float) -> Element:
        if not self.topics:
            said = "unknown"
            if self.seen.reachable:
                said = "no such topic yet" if self.missing else "no topics yet"
            middle = HEAD + self.rows * self.layout.height / 2
            words = text(width / 2, middle, said, "text soft middle")
            return group("replicas", words)
        rows = [
            self._topic_row(topic, node, HEAD + i * self.layout.height, width)
            for i, topic in enumerate(self.topics[: self.rows])
        ]
        below = HEAD + self.rows * self.layout.height + 16
        words = text(14, below, self._folded(width), "text soft small")
        return group("replicas", *rows, words, classes="" if self.seen.reachable else "dim")

    def _topic_row(self, topic: TopicView, node: NodeView, top: float, width: float) -> Element:
        partitions = self._shown(topic)
        hidden = len(topic.partitions) - len(partitions)
        here = [(i, p) for i, p in enumerate(partitions) if node.id in p.replicas]
        parts = [text(13, 17, shortened(topic.name, width - 26, 15), "text small")]
        parts += [self._chip(p, node, self._chip_left(i)) for i, p in here]
        line = self.layout.chip_top + self.layout.chip_height / 2 + 5.5
        if hidden:
            beside = self._chip_left(len(partitions)) + 2
            parts.append(text(beside, line, f"+{hidden}", "text soft small"))
        elif not here:
            parts.append(text(13, line - 1, "no replica here", "text soft small"))
        return group(f"topic-{topic.name}", *parts, y=top, data_topic=topic.name)

    def _shown(self, topic: TopicView) -> tuple[PartitionView, ...]:
        """Return the partitions that have room."""
        fitting = max(1, int((self.node_width - 24 + CHIP_GAP) // (self.chip_width + CHIP_GAP)))
        partitions = topic.partitions
        return partitions if len(partitions) <= fitting else partitions[: fitting - 1]

    def _chip_left(self, index: int) -> float:
        return 12 + index * (self.chip_width + CHIP_GAP)

    def _chip(self, partition: PartitionView, node: NodeView, x: float) -> Element:
        role = _role(partition, node.id, node.id in _down(self.seen))
        rate = ""
        if self.rates is not None and role in ("leader", "silent-leader"):
            rate = rate_words(self._rate(partition))
        layout = self.layout
        return _chip(partition, role, x, layout.chip_top, self.chip_width, layout.chip_height, rate)

    # Messages that flow

    def _rate(self, partition: PartitionView) -> float | None:
        """Return the records per second of a partition; None when nobody can tell, or no leader can write."""
        if self.rates is None or not self.seen.reachable:
            return None
        leader = next((n for n in self.brokers if n.id == partition.leader), None)
        if leader is None or leader.state != "running":
            return None
        return self.rates.get((partition.topic, partition.id))

    def _flow(self) -> Iterator[Element]:
        layout = self.layout
        for row, topic in enumerate(self.topics[: self.rows]):
            shown = self._shown(topic)
            top = self.node_top + HEAD + row * layout.height + layout.chip_top
            bottom = top + layout.chip_height
            for i, partition in enumerate(shown):
                rate = self._rate(partition)
                if not rate:
                    continue
                middle = self._chip_left(i) + self.chip_width / 2
                spots = {
                    node.id: Spot(self._left(number) + middle, top, bottom)
                    for number, node in enumerate(self.brokers)
                    if node.id in partition.replicas and node.state == "running"
                }
                lane = bottom + 4 + (i + 1) * LANES / (len(shown) + 1)
                yield routes(partition, rate, spots, lane)

    def _total(self) -> str:
        """Return how many messages a second all the topics take, in words; nothing when it is not known."""
        known = [
            rate
            for topic in self.seen.topics
            for partition in topic.partitions
            if (rate := self._rate(partition)) is not None
        ]
        return f"messages: {rate_words(sum(known))}" if known else ""

    def _folded(self, width: float) -> str:
        if not self.seen.reachable:
            return "as last seen"
        folded = [f"{topic.name} ×{len(topic.partitions)}" for topic in self.internal]
        return shortened(" · ".join(folded), width - 28, 15)

    def _buttons(
        self, node: NodeView, x: float, y: float, *, from_right: bool, target: str
    ) -> Element:
        verbs = VERBS.get(node.state, ())
        fitting = (self.node_width - 16 + BUTTON_GAP) / max(len(verbs), 1) - BUTTON_GAP
        width = 64.0 if from_right else min(80.0, fitting)
        left = x - len(verbs) * (width + BUTTON_GAP) + BUTTON_GAP if from_right else x
        busy = node.name in self.busy
        return node_buttons(node, verbs, target, x=left, y=y, width=width, enabled=not busy)

    # What to notice, what happened, what the marks mean

    def _strip(self) -> Element:
        kind, words = _headline(self.seen, self.topics, self.missing)
        hidden = len(self.topics) - self.rows
        more = " · ".join(
            filter(None, [f"+ {hidden} more topics" if hidden > 0 else "", self._total()])
        )
        room = WIDTH - 70 - (width_of(more, 16) + 20 if more else 0)
        return headline(kind, words, y=self.strip_top, width=WIDTH - 4, room=room, beside=more)

    def _events(self) -> Element:
        latest = self.seen.events[-EVENTS:]
        lines = [_event_line(event, i) for i, event in enumerate(latest)]
        if not latest:
            lines = [text(0, 15, "nothing has happened yet", "text soft small")]
        return group(
            "events", *lines, x=4, y=self.events_top, role="list", aria_label="last events"
        )

    def _legend(self) -> Element:
        marks = [
            (box(0, 0, 22, 20, "leader", 5), "leader"),
            (box(0, 0, 22, 20, "follower", 5), "follower, in sync"),
            (group("", box(0, 0, 22, 20, "out-of-sync", 5), hatch(22, 20)), "out of sync"),
            (
                group(
                    "",
                    box(0, 0, 22, 20, "leaderless", 5),
                    text(11, 15, "!", "on-leaderless middle small"),
                ),
                "no live leader",
            ),
        ]
        places = [(0, 0), (132, 0), (0, 30), (132, 30)]
        rows = [
            group(words, mark, text(30, 15, words, "text soft small"), x=x, y=y)
            for (mark, words), (x, y) in zip(marks, places, strict=True)
        ]
        if self.rates is not None:
            line = "M0 10H22"
            sample = group("", element("path", "rule", d=line), dots("", line, SAMPLE_RATE))
            words = text(30, 15, "messages on their way", "text soft small")
            rows.append(group("messages", sample, words, y=60))
        return group("legend", *rows, x=WIDTH - 298, y=self.events_top + 6)


def node_buttons(
    node: NodeView,
    verbs: Sequence[str],
    target: str,
    *,
    x: float,
    y: float,
    width: float,
    enabled: bool,
) -> Element:
    """Draw a button, `width` px wide, for each of `verbs`; `target` is the node in Python."""
    return group(
        "buttons",
        *(
            button(
                verb,
                {"kind": verb, "node": node.name},
                f"{target}.{verb}()",
                x=x + i * (width + BUTTON_GAP),
                y=y,
                width=width,
                group_name=node.name,
                label=f"{verb} {node.name}",
                enabled=enabled,
            )
            for i, verb in enumerate(verbs)
        ),
    )


def _chosen(topics: Iterable[TopicView], names: tuple[str, ...] | None) -> list[TopicView]:
    if names is None:
        return sorted(
            (topic for topic in topics if not topic.internal), key=lambda topic: topic.name
        )
    found = {topic.name: topic for topic in topics}
    return [found[name] for name in names if name in found]


def _frame(state: str) -> str:
    return {"running": "node", "starting": "node", "paused": "frozen"}.get(state, "down")


def state_mark(state: str, x: float, y: float) -> Element:
    """Draw how a node stands: its mark and its word."""
    mark, ink, words = STATES.get(state, ("ring", "soft", state))
    loud = "text alarm-ink" if ink == "alarm-ink" else "text"
    return group("state", icon(mark, x, y, ink), text(x + 22, y + 14, words, loud))


def controller_badge(right: float, y: float, *, short: bool) -> Element:
    """Draw the mark of the controller, ending at `right`; `short` leaves out the word."""
    width, words = (30, "") if short else (120, "controller")
    return group(
        "controller",
        element("title", "", "controller"),
        box(0, 0, width, 22, "controller", 11),
        icon("crown", 8, 4, "on-controller", 0.88),
        text(28, 16, words, "on-controller small"),
        x=right - width,
        y=y,
        data_badge="controller",
    )


def _chip(
    partition: PartitionView,
    role: str,
    x: float,
    y: float,
    width: float,
    height: float,
    rate: str,
) -> Element:
    said = {
        "leader": "leader",
        "follower": "follower, in sync",
        "out-of-sync": "out of sync",
        "leaderless": "no leader",
        "silent-leader": "still leader, but does not answer",
    }[role]
    alarming = role in ("leaderless", "silent-leader")
    label = f"{partition.topic} {partition.id}: {said}{f', {rate}' if rate else ''}"
    parts: list[Element] = [
        element("title", "", label),
        box(0, 0, width, height, "leaderless" if alarming else role, 7),
    ]
    if role == "out-of-sync":
        parts.append(hatch(width, height))
    inks = {"leader": "on-leader", "out-of-sync": "on-follower halo"}
    ink = f"{'on-leaderless' if alarming else inks.get(role, 'on-follower')} middle"
    words = f"{partition.id}!" if alarming else str(partition.id)
    line = height / 2 + (-2 if rate else 6)
    parts.append(text(width / 2, line, words, f"chip-text {ink}"))
    if rate:
        fits = width_of(rate, 15) <= width - 3
        words = rate if fits else rate.removesuffix("/s")
        parts.append(text(width / 2, line + 16, words, f"small {ink}"))
    return group(
        f"chip-{partition.id}",
        *parts,
        x=x,
        y=y,
        role="img",
        aria_label=label,
        data_partition=f"{partition.topic}-{partition.id}",
        data_role=role,
    )


def _role(partition: PartitionView, broker: int | None, down: bool) -> str:
    if partition.leader is None:
        return "leaderless"
    if partition.leader == broker:
        # The cluster names its leader until it has noticed; that this one is down is known before.
        return "silent-leader" if down else "leader"
    return "follower" if broker in partition.isr else "out-of-sync"


def _headline(
    seen: Snapshot, topics: Sequence[TopicView], missing: Sequence[str] = ()
) -> tuple[str, str]:
    if not seen.reachable:
        problem = seen.problem or "no broker answers."
        return "lost", f"Cluster lost. {problem[0].upper()}{problem[1:]}"
    leaderless = [
        f"{partition.topic} {partition.id}"
        for topic in seen.topics
        for partition in topic.partitions
        if partition.leader is None
    ]
    if leaderless:
        names = ", ".join(leaderless[:6]) + (
            f" and {len(leaderless) - 6} more" if len(leaderless) > 6 else ""
        )
        return "leaderless", f"No leader: {names}. Nothing can be written or read there."
    if seen.problem:
        return "warned", seen.problem
    leaders = {p.leader for topic in seen.topics for p in topic.partitions}
    if silent := sorted(_down(seen) & leaders):
        return "warned", why_silent(silent, seen)
    if missing:
        names = " and ".join(filter(None, [", ".join(missing[:-1]), missing[-1]]))
        return "empty", f"There is no topic {names} yet; what is shown here appears with it."
    partitions = [partition for topic in topics for partition in topic.partitions]
    if not partitions:
        return "empty", "no topics yet"
    replicas = sum(len(partition.replicas) for partition in partitions)
    behind = sum(len(set(partition.replicas) - set(partition.isr)) for partition in partitions)
    if behind:
        return (
            "warned",
            f"Every partition has a leader, but {behind} of {replicas} replicas are out of sync.",
        )
    return "fine", f"Every partition has a leader, and all {replicas} replicas are in sync."


def _down(seen: Snapshot) -> set[int]:
    """Return the brokers that do not run; none where the picture shows what was seen before nobody answered."""
    if not seen.reachable:
        return set()
    return {node.id for node in seen.nodes if node.id is not None and node.state != "running"}


def _summary(seen: Snapshot) -> str:
    nodes = ", ".join(f"{node.name} {node.state}" for node in seen.nodes)
    controller = f" Controller: broker {seen.controller}." if seen.controller is not None else ""
    return f"{nodes or 'no nodes'}.{controller} {_headline(seen, seen.topics)[1]}"


def _event_line(event: Event, index: int) -> Element:
    clock = time.strftime("%H:%M:%S", time.localtime(event.at))
    return group(
        f"event-{index}",
        text(0, 15, clock, "text soft mono small"),
        text(84, 15, shortened(event.text, WIDTH - 298 - 84 - 20, 15), "text small"),
        y=index * EVENT_LINE,
        role="listitem",
    )
