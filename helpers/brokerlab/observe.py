"""What the cluster says of itself: one immutable snapshot, and an observer that keeps taking them.

Everything that is shown to a learner comes from here, so that a picture never shows what a button
assumed. A snapshot is put together from three witnesses: the supervisor (which processes run), ZooKeeper
(which brokers hold their ephemeral znode) and the brokers (controller, topics, leaders, ISR).
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from typing import Any

from brokerlab.errors import BrokerLabError, NodeFailedError
from brokerlab.kraft import FIRST_ID
from brokerlab.lab import Lab
from brokerlab.probes import FREEZE_SECONDS, Metadata, registered_brokers
from brokerlab.probes import Partition as PartitionView

KEPT_EVENTS = 50
PERIOD = 0.15
"""Seconds from one look at the cluster to the next: what changes shows five times a second or more."""

PERIOD_OF_OTHERS = 1.0
"""The same on a cluster that is not the learner's own: a whole class looks at it."""

QUORUM_SECONDS = 0.3
"""How long a controller has to answer: a frozen one would else hold up the picture."""

REST = 0.02
"""Seconds between two snapshots at least, however long one takes: a busy cell makes each step of it wait."""


@dataclass(frozen=True)
class NodeView:
    """A node's process, as the supervisor sees it; `state` as in `brokerlab.nodes.LabNode.state`."""

    name: str
    role: str
    id: int | None
    port: int
    state: str
    pid: int | None


@dataclass(frozen=True)
class TopicView:
    """A topic; `internal` for Kafka's own."""

    name: str
    internal: bool
    partitions: tuple[PartitionView, ...]


@dataclass(frozen=True)
class Event:
    """Something that changed between two snapshots; `at` in seconds since 1970."""

    at: float
    text: str


@dataclass(frozen=True)
class Snapshot:
    """The cluster at one moment.

    Attributes
    ----------
    taken : float
        Seconds since 1970.
    reachable : bool
        Whether a broker answered.
    cluster_id : str or None
    controller : int or None
        The id of the broker, or of the controller of a lab without ZooKeeper, that decides.
    nodes : tuple of NodeView
        ZooKeeper and the controllers first, then the brokers by id.
    registered : tuple of int
        Ids of the brokers that hold their znode in ZooKeeper; where controllers decide, of those that they let in.
    topics : tuple of TopicView
        By name.
    events : tuple of Event
        What changed lately, the newest last; empty in a single snapshot.
    problem : str or None
        What could not be asked, in one sentence.
    mode : str
        As in `brokerlab.lab.Lab.mode`.
    listed : bool
        Whether anybody told who is registered; if not, `registered` says nothing.
    """

    taken: float
    reachable: bool
    cluster_id: str | None
    controller: int | None
    nodes: tuple[NodeView, ...]
    registered: tuple[int, ...]
    topics: tuple[TopicView, ...]
    events: tuple[Event, ...]
    problem: str | None
    mode: str = "zookeeper"
    listed: bool = True

    def to_dict(self) -> dict[str, Any]:
        """Return the same as plain dictionaries and lists, ready for JSON."""
        return asdict(self)

    def topic(self, name: str) -> TopicView | None:
        """Return one topic, or None if there is none of this name."""
        return next((topic for topic in self.topics if topic.name == name), None)


def snapshot(lab: Lab) -> Snapshot:
    """Ask all three witnesses once. Never raises: what cannot be asked is in `Snapshot.problem`.

    ZooKeeper is asked after the brokers: a leader that it does not list any more has left since it was named, and has
    no successor yet. In the other order a successor could be seen before the death that it comes from.
    """
    taken = time.time()
    try:
        status = lab.status()
    except BrokerLabError as error:
        return Snapshot(taken, False, None, None, (), (), (), (), str(error), listed=False)
    nodes = tuple(
        NodeView(*(node[key] for key in ("name", "role", "id", "port", "state", "pid")))
        for node in status["nodes"]
    )
    mode: str = status["mode"]
    metadata = _metadata(lab, nodes)
    controller = metadata.controller if metadata else None
    problems = []
    if mode == "zookeeper":
        # A supervisor answers a moment before it has planned its nodes: then there is no address yet.
        port = status["zookeeper_connect"].rpartition(":")[2]
        registered = registered_brokers(int(port)) if port else None
        if registered is None:
            problems.append("ZooKeeper does not answer")
    else:
        registered = metadata.brokers if metadata else None
        if mode == "kraft" or status["phase"] not in ("", "start_controller"):
            quorum = lab.leader_among(status["bootstrap_controllers"].split(","), QUORUM_SECONDS)
            controller = quorum.leader if quorum else None
            if quorum is None:
                problems.append("no controller leads")
    if metadata is None:
        problems.append("no broker answers")
    return Snapshot(
        taken=taken,
        reachable=metadata is not None,
        cluster_id=metadata.cluster_id if metadata else None,
        controller=controller,
        nodes=nodes,
        registered=tuple(sorted(registered or ())),
        topics=tuple(_topics(metadata)) if metadata else (),
        events=(),
        problem=f"{' and '.join(problems)}: lab.repair() starts what is down."
        if problems
        else None,
        mode=mode,
        listed=registered is not None,
    )


def _metadata(lab: Lab, nodes: tuple[NodeView, ...]) -> Metadata | None:
    if not any(node.role == "broker" and node.state == "running" for node in nodes):
        return None
    return lab.probe.metadata(FREEZE_SECONDS)


def _topics(metadata: Metadata) -> Iterator[TopicView]:
    by_topic: dict[str, list[PartitionView]] = {}
    for partition in metadata.partitions:
        by_topic.setdefault(partition.topic, []).append(partition)
    for name, partitions in sorted(by_topic.items()):
        yield TopicView(
            name,
            name.startswith("__"),
            tuple(partitions),
        )


def changes(before: Snapshot, after: Snapshot) -> Iterator[Event]:
    """Tell what changed from one snapshot to the next, as a witness would say it."""
    at = after.taken
    states = {node.name: node.state for node in before.nodes}
    for node in after.nodes:
        if states.get(node.name) != node.state:
            yield Event(at, f"{node.name} is {node.state}")
    yield from _list_changes(before, after)
    if not (before.reachable and after.reachable):
        if before.reachable != after.reachable:
            yield Event(at, "the brokers answer again" if after.reachable else "no broker answers")
        return
    if before.controller != after.controller and after.controller is not None:
        who = "controller" if after.controller > FIRST_ID else "broker"
        leads = "leads the controllers" if after.controller > FIRST_ID else "is the controller"
        yield Event(at, f"{who} {after.controller} {leads}")
    yield from _topic_changes(before, after)


def _list_changes(before: Snapshot, after: Snapshot) -> Iterator[Event]:
    """Tell who left the list of the brokers and who came, as far as it was known both times."""
    keeper = "ZooKeeper" if after.mode == "zookeeper" else "the controller"
    if not (before.listed and after.listed):
        return
    for broker in sorted(set(before.registered) - set(after.registered)):
        yield Event(after.taken, f"{keeper} dropped broker {broker}")
    for broker in sorted(set(after.registered) - set(before.registered)):
        yield Event(after.taken, f"{keeper} registered broker {broker}")


def _topic_changes(before: Snapshot, after: Snapshot) -> Iterator[Event]:
    at = after.taken
    were = {topic.name: topic for topic in before.topics}
    for name in sorted(were.keys() - {topic.name for topic in after.topics}):
        yield Event(at, f"topic {name} is gone")
    for topic in after.topics:
        if topic.internal:
            continue
        if topic.name not in were:
            yield Event(at, f"topic {topic.name} appeared")
            continue
        old = {p.id: p for p in were[topic.name].partitions}
        for now in topic.partitions:
            was = old.get(now.id)
            if was is None:
                yield Event(at, f"{now.topic} {now.id} appeared")
                continue
            if was.leader != now.leader:
                leader = "has no leader" if now.leader is None else f"is led by broker {now.leader}"
                yield Event(at, f"{now.topic} {now.id} {leader}")
            if set(was.isr) != set(now.isr):
                isr = ", ".join(map(str, sorted(now.isr)))
                yield Event(at, f"ISR of {now.topic} {now.id} is {isr}")


class Observer:
    """Takes snapshots on a thread of its own and tells its subscribers.

    Parameters
    ----------
    lab : Lab
    period : float, optional
        Seconds from one snapshot to the next.
    """

    def __init__(self, lab: Lab, period: float | None = None) -> None:
        self._lab = lab
        self._period = period or (PERIOD if lab.capabilities.is_own else PERIOD_OF_OTHERS)
        self._events: deque[Event] = deque(maxlen=KEPT_EVENTS)
        self._subscribers: list[Callable[[Snapshot], None]] = []
        self._lock = threading.Lock()
        self._closing = threading.Event()
        self._latest = snapshot(lab)
        self._thread = threading.Thread(target=self._run, name="brokerlab-observer", daemon=True)
        self._thread.start()

    @property
    def latest(self) -> Snapshot:
        """The newest snapshot."""
        return self._latest

    def _run(self) -> None:
        began = time.monotonic()
        while not self._closing.wait(max(REST, self._period - (time.monotonic() - began))):
            began = time.monotonic()
            now = snapshot(self._lab)
            self._events.extend(changes(self._latest, now))
            self._latest = replace(now, events=tuple(self._events))
            with self._lock:
                subscribers = list(self._subscribers)
            for subscriber in subscribers:
                subscriber(self._latest)

    def subscribe(self, subscriber: Callable[[Snapshot], None]) -> Callable[[], None]:
        """Call `subscriber` with every new snapshot, on the observer's thread; return what ends that."""
        with self._lock:
            self._subscribers.append(subscriber)

        def unsubscribe() -> None:
            with self._lock:
                if subscriber in self._subscribers:
                    self._subscribers.remove(subscriber)

        return unsubscribe

    def close(self) -> None:
        """End the thread."""
        self._closing.set()
        if threading.current_thread() is not self._thread:
            self._thread.join(5)


def wait_until(
    lab: Lab, true: Callable[[Snapshot], bool], timeout: float = 20.0, what: str = "this"
) -> Snapshot:
    """Take snapshots until `true` says yes of one; return it.

    Parameters
    ----------
    timeout : float
        Seconds.
    what : str
        What is waited for, for the error's sentence.

    Raises
    ------
    NodeFailedError
        It did not come true in time.
    """
    deadline = time.monotonic() + timeout
    while not true(seen := snapshot(lab)):
        if time.monotonic() > deadline:
            raise NodeFailedError(
                f"Waited {timeout:.0f} s for {what}, in vain: lab.status() shows what runs."
            )
        time.sleep(0.05)
    return seen
