"""What was known when: facts about processes, znodes and one partition, put on one clock."""

from __future__ import annotations

from bisect import insort
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

KEPT_SECONDS = 120.0
KEPT_HAPPENINGS = 12
ENDS = {
    ("running", "ending"): "is told to end",
    ("running", "killed"): "is killed",
    ("running", "paused"): "is frozen",
    ("running", "stopped"): "is stopped",
    ("running", "died"): "has died",
    ("paused", "killed"): "is killed",
    ("paused", "ending"): "is told to end",
}
"""State before and after -> what was done to the node, so that it works no more."""
FOLLOWS = {
    ("ending", "stopped"): "has ended",
    ("starting", "running"): "is ready",
}
"""State before and after -> what came of it."""

States = tuple[tuple[str, str], ...]
"""Each node with the state of its process, as in `brokerlab.nodes.LabNode.state`."""


@dataclass(frozen=True)
class Facts:
    """What holds at one moment.

    Attributes
    ----------
    states : States
    answers : bool
        Whether ZooKeeper answers; if not, all that follows is as last seen.
    listed : frozenset of int or None
        Brokers that have a znode in ``/brokers/ids``; None while it is not known.
    controller : int or None
        The broker that ``/controller`` names.
    epoch : int or None
        What ``/controller_epoch`` says: how many elections of a controller there have been.
    replicas, isr : tuple of int
        Of the partition; empty while it is not known, or there is none.
    leader : int or None
        Of the partition.
    """

    states: States = ()
    answers: bool = False
    listed: frozenset[int] | None = None
    controller: int | None = None
    epoch: int | None = None
    replicas: tuple[int, ...] = ()
    leader: int | None = None
    isr: tuple[int, ...] = ()

    def state(self, node: str) -> str:
        """Return the state of a node's process."""
        return dict(self.states).get(node, "unknown")

    def of_broker(self, number: int) -> str:
        """Return the state of a broker's process."""
        return self.state(f"broker-{number}")

    @property
    def works(self) -> bool:
        """Whether the partition has a leader whose process runs."""
        return self.leader is not None and self.of_broker(self.leader) in ("running", "ending")


@dataclass(frozen=True)
class Moment:
    """Facts that held from `at` on, in seconds since 1970."""

    at: float
    facts: Facts


@dataclass(frozen=True)
class Happening:
    """Something that changed; `since` is how many seconds after the last act (None if there was none).

    An act is what somebody did to a node; all else is what came of it.
    """

    at: float
    text: str
    act: bool
    since: float | None

    def __str__(self) -> str:
        when = "" if self.act or self.since is None else f"+{self.since:.2f} s"
        return f"{when:>8}  {self.text}"

    __repr__ = __str__


@dataclass(frozen=True)
class Line:
    """All that is shown: facts on one clock, and what changed; the newest last.

    Attributes
    ----------
    taken : float
        Seconds since 1970.
    moments : tuple of Moment
        One at least.
    happenings : tuple of Happening
    problem : str
        Why nothing is known any more, in a sentence; else empty.
    """

    taken: float
    moments: tuple[Moment, ...]
    happenings: tuple[Happening, ...] = ()
    problem: str = ""

    @property
    def now(self) -> Facts:
        """The newest facts."""
        return self.moments[-1].facts


class History:
    """Collects what becomes known, also when it becomes known late.

    Parameters
    ----------
    begun : float
        Seconds since 1970.
    facts : Facts
        What holds then.
    partition : str
        What the partition is called, for the sentences: ``photos 0``.
    """

    def __init__(self, begun: float, facts: Facts, partition: str) -> None:
        self._partition = partition
        self._first = Moment(begun, facts)
        self._changes: list[tuple[float, bool, int, dict[str, Any]]] = []
        self._count = 0
        self._line = Line(self._first.at, (self._first,))

    def note(self, at: float, **facts: Any) -> bool:
        """Keep that these facts hold since `at`; return whether any of them is new.

        Facts of one name come in the order of their times; those of different names need not.
        """
        last = self._line.now
        new = {name: value for name, value in facts.items() if getattr(last, name) != value}
        if not new:
            return False
        self._count += 1
        # Of two at one moment, processes come first: they are the cause.
        insort(self._changes, (at, "states" not in new, self._count, new))
        # By the newest change and not by the clock: what is known depends on what was told alone.
        while self._changes[0][0] < self._changes[-1][0] - KEPT_SECONDS:
            begun, _, _, gone = self._changes.pop(0)
            self._first = Moment(begun, replace(self._first.facts, **gone))
        self._fold(at)
        return True

    def _fold(self, at: float) -> None:
        moments = tuple(self._moments())
        self._line = Line(at, moments, tuple(self._happenings(moments))[-KEPT_HAPPENINGS:])

    def note_states(self, states: States, since: float, now: float) -> bool:
        """Keep the states of the processes, asked at `now`, and before that at `since`.

        What ended in between is dated before the first thing that may have come of it.
        """
        before = dict(self._line.now.states)
        for node, state in states:
            if (before.get(node), state) == ("ending", "killed"):
                self._was_killed(node)
        if not any((before.get(node), state) in ENDS for node, state in states):
            return self.note(now, states=states)
        effects = (
            (max(since, earlier.at) + later.at) / 2
            for earlier, later in pairwise(self._line.moments)
            if since < later.at <= now and _takes_away(earlier.facts, later.facts)
        )
        return self.note(next(effects, now), states=states)

    def _was_killed(self, node: str) -> None:
        """Correct what was taken for an orderly end: a kill too begins with the state ``ending``."""
        for _, _, _, changed in reversed(self._changes):
            if "states" in changed:
                if dict(changed["states"])[node] != "ending":
                    return
                changed["states"] = tuple(
                    (name, "killed" if name == node else state) for name, state in changed["states"]
                )
                self._fold(self._line.taken)

    def line(self, taken: float, problem: str = "") -> Line:
        """Return all of it, as it is known at `taken`."""
        return replace(self._line, taken=taken, problem=problem)

    def _moments(self) -> Iterator[Moment]:
        facts = self._first.facts
        yield self._first
        for at, _, _, changed in self._changes:
            facts = replace(facts, **changed)
            yield Moment(at, facts)

    def _happenings(self, moments: Sequence[Moment]) -> Iterator[Happening]:
        act: float | None = None
        for before, after in pairwise(moments):
            for words, is_act in changes(before.facts, after.facts, self._partition):
                if is_act:
                    act = after.at
                yield Happening(after.at, words, is_act, None if act is None else after.at - act)


def changes(before: Facts, after: Facts, partition: str) -> Iterator[tuple[str, bool]]:
    """Tell what changed, in words, and whether somebody did it."""
    # Of two that were seen at once, what came of an earlier act goes first.
    yield from sorted(_processes(before.states, after.states), key=lambda told: told[1])
    if before.answers != after.answers:
        yield "ZooKeeper answers again" if after.answers else "ZooKeeper is silent", False
    yield from _listed(before.listed, after.listed)
    if before.controller != after.controller:
        who = "is gone" if after.controller is None else f"names broker {after.controller}"
        yield f"/controller {who}", False
    if None not in (before.epoch, after.epoch) and before.epoch != after.epoch:
        yield f"/controller_epoch is {after.epoch}", False
    yield from _partition(before, after, partition)


def _processes(before: States, after: States) -> Iterator[tuple[str, bool]]:
    known = dict(before)
    for node, state in after:
        was = known.get(node, state)
        if was == state:
            continue
        name = "ZooKeeper" if node == "zookeeper" else node.replace("-", " ")
        if (was, state) in FOLLOWS:
            yield f"{name} {FOLLOWS[was, state]}", False
        elif (was, state) in ENDS:
            yield f"{name} {ENDS[was, state]}", True
        elif state in ("starting", "running"):
            yield f"{name} is {'resumed' if was == 'paused' else 'started'}", True


def _takes_away(before: Facts, after: Facts) -> bool:
    """Tell whether the end of a process may have caused this."""
    return (
        bool((before.listed or frozenset()) - (after.listed or frozenset()))
        or bool(set(before.isr) - set(after.isr))
        or before.leader != after.leader
        or before.controller != after.controller
        or (before.answers and not after.answers)
    )


def _listed(
    before: frozenset[int] | None, after: frozenset[int] | None
) -> Iterator[tuple[str, bool]]:
    if before is None or after is None:
        return
    for broker in sorted(before - after):
        yield f"ZooKeeper dropped broker {broker}", False
    for broker in sorted(after - before):
        yield f"ZooKeeper lists broker {broker}", False


def _partition(before: Facts, after: Facts, partition: str) -> Iterator[tuple[str, bool]]:
    if not (before.isr and after.isr):
        if before.isr != after.isr:
            yield f"{partition} {'appeared' if after.isr else 'is gone'}", False
        return
    said = []
    if before.leader != after.leader:
        said.append("no leader" if after.leader is None else f"leader {after.leader}")
    if set(before.isr) != set(after.isr):
        said.append(f"ISR {' '.join(map(str, sorted(after.isr)))}")
    if said:
        yield f"{partition}: {', '.join(said)}", False
