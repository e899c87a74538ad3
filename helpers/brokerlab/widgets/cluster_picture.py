"""How a snapshot of the cluster is drawn: where each node, replica and sentence of the cluster map stands."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence

from brokerlab.observe import Event, NodeView, PartitionView, Snapshot, TopicView
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
)

WIDTH = 880
GAP = 14
BAR = 50
LINK = 46
LINK_FROM_LEFT = 26
HEAD = 68
ROW = 50
CHIP_WIDTH, CHIP_WIDTH_NARROW = 32, 26
CHIP_HEIGHT = 27
CHIP_GAP = 6
MORE = 24
BUTTONS = 42
BUTTON_GAP = 4
STRIP = 36
EVENTS = 4
EVENT_LINE = 20
NARROW = 230
DEFAULT_ROWS = 3
MOST_ROWS = 6

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
    """One picture of one snapshot; its height depends on the topics asked for, never on the snapshot."""

    def __init__(
        self, seen: Snapshot, topics: tuple[str, ...] | None, controls: bool, busy: frozenset[str]
    ) -> None:
        self.seen = seen
        self.controls = controls
        self.busy = busy
        self.zookeeper = next((node for node in seen.nodes if node.role == "zookeeper"), None)
        self.brokers = [node for node in seen.nodes if node.role == "broker"]
        self.topics = _chosen(seen.topics, topics)
        self.rows = DEFAULT_ROWS if topics is None else min(max(len(topics), 1), MOST_ROWS)
        self.internal = [
            topic for topic in seen.topics if topic.internal and topic not in self.topics
        ]
        self.node_height = HEAD + self.rows * ROW + MORE + (BUTTONS if controls else 8)
        self.node_top = BAR + LINK + 2
        self.strip_top = self.node_top + self.node_height + 12
        self.events_top = self.strip_top + STRIP + 12
        count = max(len(self.brokers), 1)
        self.node_width: float = (WIDTH - 4 - GAP * (count - 1)) / count

        self.narrow = self.node_width < NARROW
        self.chip_width = CHIP_WIDTH_NARROW if self.narrow else CHIP_WIDTH

    def picture(self) -> Element:
        height = self.events_top + EVENTS * EVENT_LINE + 6
        links = [self._link(node, self._left(i)) for i, node in enumerate(self.brokers)]
        nodes = [self._broker(node, self._left(i)) for i, node in enumerate(self.brokers)]
        return picture(
            WIDTH,
            height,
            f"Cluster map. {_summary(self.seen)}",
            group("links", *links),
            self._zookeeper(),
            group("brokers", *nodes),
            self._strip(),
            self._events(),
            self._legend(),
        )

    def _left(self, index: int) -> float:
        return 2 + index * (self.node_width + GAP)

    # ZooKeeper and the links

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
            _state_mark(state, 224, 17),
            text(336, 32, known, "text"),
        ]
        if node and self.controls:
            parts.append(
                self._buttons(node, width - 8, 10, from_right=True, target="lab.zookeeper")
            )
        return group("zookeeper", *parts, x=2, y=2, data_node="zookeeper", data_state=state)

    def _zookeeper_answers(self) -> bool:
        running = self.zookeeper is not None and self.zookeeper.state == "running"
        return running and "ZooKeeper" not in (self.seen.problem or "")

    def _link(self, node: NodeView, left: float) -> Element:
        x = left + LINK_FROM_LEFT
        top, bottom = BAR + 4, self.node_top - 2
        middle = (top + bottom) / 2
        line = f"M{x:g} {top}V{bottom}"
        path, note, below = f"/brokers/ids/{node.id}", "text mono small", ""
        if not self._zookeeper_answers():
            state, note, below = "unknown", "text soft mono small", "nobody watches it now"
        elif node.id in self.seen.registered:
            state = "whole" if node.state == "running" else "waiting"
            below = "" if state == "whole" else "its session is not over yet"
        else:
            state, path, note = "broken", "no znode", "alarm-ink small"
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
            _state_mark(node.state, 14, 38),
        ]
        if self.seen.controller is not None and self.seen.controller == node.id:
            parts.append(_controller_badge(width - 14, 37, short=self.narrow))
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
            said = "no topics yet" if self.seen.reachable else "unknown"
            words = text(width / 2, HEAD + self.rows * ROW / 2, said, "text soft middle")
            return group("replicas", words)
        rows = [
            self._topic_row(topic, node, HEAD + i * ROW, width)
            for i, topic in enumerate(self.topics[: self.rows])
        ]
        words = text(14, HEAD + self.rows * ROW + 16, self._folded(width), "text soft small")
        return group("replicas", *rows, words, classes="" if self.seen.reachable else "dim")

    def _topic_row(self, topic: TopicView, node: NodeView, top: float, width: float) -> Element:
        step = self.chip_width + CHIP_GAP
        fitting = max(1, int((width - 24 + CHIP_GAP) // step))
        partitions = topic.partitions
        if len(partitions) > fitting:
            partitions = partitions[: fitting - 1]
        hidden = len(topic.partitions) - len(partitions)
        here = [(i, p) for i, p in enumerate(partitions) if node.id in p.replicas]
        parts = [text(13, 17, shortened(topic.name, width - 26, 15), "text small")]
        parts += [_chip(p, node, 12 + i * step, 23, self.chip_width) for i, p in here]
        if hidden:
            parts.append(text(14 + len(partitions) * step, 42, f"+{hidden}", "text soft small"))
        elif not here:
            parts.append(text(13, 41, "no replica here", "text soft small"))
        return group(f"topic-{topic.name}", *parts, y=top, data_topic=topic.name)

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
        return group(
            "buttons",
            *(
                button(
                    verb,
                    {"kind": verb, "node": node.name},
                    f"{target}.{verb}()",
                    x=left + i * (width + BUTTON_GAP),
                    y=y,
                    width=width,
                    group_name=node.name,
                    label=f"{verb} {node.name}",
                    enabled=node.name not in self.busy,
                )
                for i, verb in enumerate(verbs)
            ),
        )

    # What to notice, what happened, what the marks mean

    def _strip(self) -> Element:
        kind, words = _headline(self.seen, self.topics)
        frame, ink, mark = {
            "lost": ("alarm", "on-alarm", "cross"),
            "leaderless": ("alarm", "on-alarm", "warning"),
            "warned": ("warned", "text strong", "warning"),
            "fine": ("calm", "text", "tick"),
            "empty": ("calm", "text soft", "dot"),
        }[kind]
        mark_ink = {"warned": "alarm-ink", "fine": "zookeeper-ink", "empty": "soft"}.get(kind, ink)
        hidden = len(self.topics) - self.rows
        more = f"+ {hidden} more topics" if hidden > 0 else ""
        room = WIDTH - 70 - (170 if more else 0)
        return group(
            "headline",
            element("title", "", words),
            box(0, 0, WIDTH - 4, STRIP, frame),
            icon(mark, 14, 10, mark_ink),
            text(40, 24, shortened(words, room, 16), ink),
            text(WIDTH - 18, 24, more, f"{ink} end"),
            x=2,
            y=self.strip_top,
            data_headline=kind,
        )

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
                "no leader",
            ),
        ]
        places = [(0, 0), (132, 0), (0, 30), (132, 30)]
        rows = [
            group(words, mark, text(30, 15, words, "text soft small"), x=x, y=y)
            for (mark, words), (x, y) in zip(marks, places, strict=True)
        ]
        return group("legend", *rows, x=WIDTH - 298, y=self.events_top + 6)


def _chosen(topics: Iterable[TopicView], names: tuple[str, ...] | None) -> list[TopicView]:
    if names is None:
        return sorted(
            (topic for topic in topics if not topic.internal), key=lambda topic: topic.name
        )
    found = {topic.name: topic for topic in topics}
    return [found[name] for name in names if name in found]


def _frame(state: str) -> str:
    return {"running": "node", "starting": "node", "paused": "frozen"}.get(state, "down")


def _state_mark(state: str, x: float, y: float) -> Element:
    mark, ink, words = STATES.get(state, ("ring", "soft", state))
    loud = "text alarm-ink" if ink == "alarm-ink" else "text"
    return group("state", icon(mark, x, y, ink), text(x + 22, y + 14, words, loud))


def _controller_badge(right: float, y: float, *, short: bool) -> Element:
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


def _chip(partition: PartitionView, node: NodeView, x: float, y: float, width: float) -> Element:
    role = _role(partition, node.id)
    said = {
        "leader": "leader",
        "follower": "follower, in sync",
        "out-of-sync": "out of sync",
        "leaderless": "no leader",
    }[role]
    label = f"{partition.topic} {partition.id}: {said}"
    parts: list[Element] = [
        element("title", "", label),
        box(0, 0, width, CHIP_HEIGHT, role, 7),
    ]
    if role == "out-of-sync":
        parts.append(hatch(width, CHIP_HEIGHT))
    ink = {"leader": "on-leader", "leaderless": "on-leaderless", "out-of-sync": "on-follower halo"}
    words = f"{partition.id}!" if role == "leaderless" else str(partition.id)
    parts.append(text(width / 2, 19.5, words, f"chip-text {ink.get(role, 'on-follower')} middle"))
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


def _role(partition: PartitionView, broker: int | None) -> str:
    if partition.leader is None:
        return "leaderless"
    if partition.leader == broker:
        return "leader"
    return "follower" if broker in partition.isr else "out-of-sync"


def _headline(seen: Snapshot, topics: Sequence[TopicView]) -> tuple[str, str]:
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
