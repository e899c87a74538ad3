"""How the watch line is drawn: lanes on one clock, what to notice, what happened, what the marks mean."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise

from brokerlab.topology import ZOOKEEPER_SESSION_SECONDS
from brokerlab.widgets.cluster_picture import STATES, VERBS
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
from brokerlab.widgets.timeline import LANE, Lane, Mark, Stretch, timeline, timeline_height
from brokerlab.widgets.watch_history import Facts, Happening, Line

WIDTH = 880
NAMES = 158
CONTROLS = 216
HEAD = 30
EVENTS, EVENT_LINE = 6, 22
EVENTS_HEAD = 26
LEGEND_LEFT = 560
ZOOKEEPER = "zookeeper"
GONE = ("killed", "stopped", "died")

Reading = tuple[str, str, str]
"""Class of a bar, the words on it, the class of the words."""

ACTS = {
    "killed": "cross",
    "died": "cross",
    "paused": "bars",
    "stopped": "square",
    "ending": "square",
}
"""State that a process comes into -> its mark on the lane."""


class WatchPicture:
    """One picture; its height depends on how many brokers there are, never on what happens."""

    def __init__(
        self,
        seen: Line,
        brokers: Sequence[int],
        partition: str,
        seconds: float,
        busy: frozenset[str],
    ) -> None:
        self.seen = seen
        self.brokers = brokers
        self.partition = partition
        self.seconds = seconds
        self.busy = busy

    def picture(self) -> Element:
        lanes = tuple(self._lanes())
        strip_top = HEAD + timeline_height(len(lanes)) + 12
        events_top = strip_top + HEADLINE + 12
        kind, words = notice(self.seen, self.partition)
        return picture(
            WIDTH,
            events_top + EVENTS_HEAD + EVENTS * EVENT_LINE + 4,
            f"Time line. {words}",
            self._head(),
            timeline(
                lanes, self.seen.taken, self.seconds, width=WIDTH - CONTROLS, y=HEAD, names=NAMES
            ),
            self._controls(),
            headline(kind, words, y=strip_top, width=WIDTH - 4, room=WIDTH - 60),
            self._events(events_top),
            _legend(events_top, bool(self.partition)),
        )

    def _head(self) -> Element:
        return group(
            "head",
            text(2, 18, "in ZooKeeper", "text soft small"),
            text(NAMES + 2, 18, f"the last {self.seconds} s", "text soft small"),
            text(WIDTH - CONTROLS + 14, 18, "the process", "text soft small"),
        )

    # The lanes

    def _lanes(self) -> Iterator[Lane]:
        yield self._lane("ZooKeeper itself", _zookeeper, ZOOKEEPER)
        for number in self.brokers:
            yield self._lane(f"/brokers/ids/{number}", _broker(number), f"broker-{number}")
        yield self._lane("/controller", _controller)
        if self.partition:
            yield self._lane(f"{self.partition}: leader", _leader)
            yield self._lane(f"{self.partition}: ISR", _isr)

    def _lane(self, name: str, read: Callable[[Facts], Reading], node: str = "") -> Lane:
        marks = tuple(self._marks(node)) if node else ()
        return Lane(name, tuple(self._stretches(read)), marks)

    def _stretches(self, read: Callable[[Facts], Reading]) -> Iterator[Stretch]:
        begun, shown = self.seen.moments[0].at, read(self.seen.moments[0].facts)
        for moment in self.seen.moments[1:]:
            if (now := read(moment.facts)) != shown:
                yield _stretch(begun, moment.at, shown)
                begun, shown = moment.at, now
        yield _stretch(begun, None, shown)

    def _marks(self, node: str) -> Iterator[Mark]:
        for before, after in pairwise(self.seen.moments):
            was, state = before.facts.state(node), after.facts.state(node)
            if was == "running" and state in ACTS:
                yield Mark(after.at, ACTS[state], "alarm-ink halo", state)

    # The controls

    def _controls(self) -> Element:
        nodes = [(ZOOKEEPER, "lab.zookeeper")]
        nodes += [(f"broker-{number}", f"lab.brokers[{number}]") for number in self.brokers]
        rows = [self._node(*node, i * LANE) for i, node in enumerate(nodes)]
        return group("controls", *rows, x=WIDTH - CONTROLS + 12, y=HEAD)

    def _node(self, name: str, target: str, y: float) -> Element:
        state = "unknown" if self.seen.problem else self.seen.now.state(name)
        mark, ink, word = STATES.get(state, ("ring", "soft", state))
        verbs = VERBS.get(state, ())
        each = (CONTROLS - 38) / max(len(verbs), 1) - 4
        return group(
            name,
            element("title", "", f"{name} is {word}"),
            icon(mark, 2, LANE / 2 - 8, ink),
            text(26, LANE / 2 + 5, word if not verbs else "", "text soft small"),
            *(
                button(
                    verb,
                    {"kind": verb, "node": name},
                    f"{target}.{verb}()",
                    x=26 + i * (each + 4),
                    y=(LANE - 30) / 2,
                    width=each,
                    group_name=name,
                    label=f"{verb} {name}",
                    enabled=name not in self.busy,
                )
                for i, verb in enumerate(verbs)
            ),
            y=y,
            data_node=name,
            data_state=state,
        )

    # What happened

    def _events(self, top: float) -> Element:
        latest = self.seen.happenings[-EVENTS:]
        rows = [_event(one, EVENTS_HEAD + i * EVENT_LINE) for i, one in enumerate(latest)]
        if not latest:
            words = "nothing in the last two minutes: press a button"
            rows = [text(0, EVENTS_HEAD + 15, words, "text soft small")]
        return group(
            "events",
            text(0, 15, "What happened, and how long after the last act", "text strong small"),
            *rows,
            x=4,
            y=top,
            role="list",
            aria_label="last events",
        )


def _stretch(begin: float, end: float | None, shown: Reading) -> Stretch:
    classes, words, ink = shown
    return Stretch(begin, end, classes, words, ink)


def _zookeeper(facts: Facts) -> Reading:
    state = facts.state(ZOOKEEPER)
    if facts.answers:
        return "zookeeper", "watches", "text"
    if state == "running":
        return "frozen", "no answer yet", "text"
    return (
        "leaderless",
        "frozen: nobody watches" if state == "paused" else "nobody watches now",
        "on-leaderless",
    )


def _broker(number: int) -> Callable[[Facts], Reading]:
    def read(facts: Facts) -> Reading:
        state = facts.of_broker(number)
        if not facts.answers or facts.listed is None:
            return "down", "unwatched", "text soft"
        if number not in facts.listed:
            return "down", "no znode", "text soft"
        if state in GONE:
            return "out-of-sync", "dead, but listed", "text"
        if state == "paused":
            return "out-of-sync", "frozen, but listed", "text"
        return "zookeeper", "listed", "text"

    return read


def _controller(facts: Facts) -> Reading:
    if facts.controller is None:
        return "leaderless", "nobody", "on-leaderless"
    if not facts.answers:
        return "down", f"broker {facts.controller}, as last seen", "text soft"
    return "controller", f"broker {facts.controller}", "on-controller"


def _leader(facts: Facts) -> Reading:
    if not facts.isr:
        return "down", "no such partition", "text soft"
    if facts.works:
        return "leader", f"broker {facts.leader}", "on-leader"
    return "leaderless", "none", "on-leaderless"


def _isr(facts: Facts) -> Reading:
    if not facts.isr:
        return "down", "no such partition", "text soft"
    whole = set(facts.isr) >= set(facts.replicas)
    return "follower" if whole else "out-of-sync", " ".join(map(str, sorted(facts.isr))), "text"


def notice(seen: Line, partition: str) -> tuple[str, str]:
    """Say in one sentence what is to be noticed now, and of which kind it is."""
    facts = seen.now
    if seen.problem:
        return "lost", seen.problem
    leaderless = bool(partition and facts.isr and not facts.works)
    if not facts.answers:
        if leaderless:
            return (
                "leaderless",
                f"{partition} has no leader, and nobody watches: nobody will elect one.",
            )
        return (
            "warned",
            "ZooKeeper does not answer: nobody watches. Leaders that live go on working.",
        )
    silent = [n for n in sorted(facts.listed or ()) if facts.of_broker(n) in (*GONE, "paused")]
    if silent:
        limit = f"about {ZOOKEEPER_SESSION_SECONDS:g} s"
        words = f"broker {silent[0]} is silent, but listed; ZooKeeper waits {limit} for it."
        if leaderless:
            return "leaderless", f"{partition} has no leader: {words}"
        return "warned", f"{words[0].upper()}{words[1:]}"
    if facts.controller is None:
        return "leaderless", "There is no controller: the brokers race to write /controller."
    if leaderless:
        return "leaderless", f"{partition} has no leader."
    if partition and not facts.isr:
        return "empty", f"There is no partition {partition} yet."
    missing = ", ".join(map(str, sorted(set(facts.replicas) - set(facts.isr))))
    if missing:
        return (
            "warned",
            f"Broker {facts.controller}, the controller, has acted: broker {facts.leader} leads "
            f"{partition}, {missing} is out of its ISR.",
        )
    return (
        "fine",
        f"ZooKeeper lists every broker. When that changes, broker {facts.controller} acts: it is the controller.",
    )


def _event(one: Happening, y: float) -> Element:
    clock = time.strftime("%H:%M:%S", time.localtime(one.at))
    after = clock if one.act or one.since is None else f"+{one.since:.2f} s"
    return group(
        f"event-{one.at:.3f}-{one.text}",
        text(76, 15, after, f"text mono small end{'' if one.act else ' soft'}"),
        text(
            92,
            15,
            shortened(one.text, LEGEND_LEFT - 120, 15),
            f"text small{' strong' if one.act else ''}",
        ),
        y=y,
        role="listitem",
        data_event="act" if one.act else "effect",
    )


def _legend(top: float, with_partition: bool) -> Element:
    marks = [
        ("zookeeper", "listed: its session lives"),
        ("out-of-sync", "silent, but its session is not over"),
        ("down", "no znode, or nobody watches"),
        ("controller", "the controller: it acts"),
    ]
    if with_partition:
        marks += [("leader", "a leader that works"), ("leaderless", "nobody does it now")]
    rows = [
        group(
            classes,
            box(0, 3, 28, 15, classes, 3),
            text(38, 16, words, "text soft small"),
            y=i * EVENT_LINE,
        )
        for i, (classes, words) in enumerate(marks)
    ]
    return group("legend", *rows, x=LEGEND_LEFT, y=top + EVENTS_HEAD - 14)
