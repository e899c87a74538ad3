"""The cluster as it is now: ZooKeeper, its link to each broker, and the replicas that each broker holds."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from brokerlab.errors import BrokerLabError
from brokerlab.flow import FlowObserver, Place
from brokerlab.observe import Observer, Snapshot
from brokerlab.widgets.base import STALE_AFTER, Command, LiveView, sheet
from brokerlab.widgets.cluster_flow import flow_sheet
from brokerlab.widgets.cluster_picture import VERBS, ClusterPicture
from brokerlab.widgets.scene import Element

if TYPE_CHECKING:
    from brokerlab.lab import Lab


class ClusterMap(LiveView[Snapshot]):
    """A live map of the cluster, with a button for each thing that can happen to a node.

    Parameters
    ----------
    lab : Lab
        The lab to show.
    topics : sequence of str, optional
        The topics to show; all but Kafka's own, if not given.
    controls : bool
        Whether the nodes have buttons, where the lab's nodes can be stopped at all.
    observer : Observer, optional
        Who looks at the cluster; the map makes (and closes) one of its own, if not given.
    flow : bool
        Whether messages are shown on their way: how fast each log grows, as its end says, and dots that move
        into the leader and on to the followers in sync. A message counts once all of these have it.
    """

    title = "Cluster"
    _css = sheet() + flow_sheet()

    def __init__(
        self,
        lab: Lab,
        topics: Sequence[str] | None = None,
        controls: bool = True,
        observer: Observer | None = None,
        flow: bool = False,
    ) -> None:
        if isinstance(topics, str):
            topics = (topics,)
        self._lab = lab
        self._topics = None if topics is None else tuple(topics)
        self._controls = controls and lab.capabilities.can_kill
        self._observer = observer or Observer(lab)
        self._own_observer = observer is None
        self._flow = FlowObserver(lab, self._topics) if flow else None
        self._answered: Snapshot | None = None
        self._remember(self._observer.latest)
        super().__init__()
        self._unsubscribe = self._observer.subscribe(self._see)
        if self._flow is not None:
            self._flow.subscribe(self.touch)

    @property
    def snapshot(self) -> Snapshot:
        """The cluster as last seen."""
        return self._observer.latest

    @property
    def rates(self) -> dict[Place, float | None]:
        """Topic and partition -> records per second as last seen, None where nobody tells; empty without flow."""
        seen = self._flow.latest if self._flow is not None else None
        if seen is None or time.time() - seen.taken > STALE_AFTER:
            return {}
        return dict(seen.rates)

    def look(self) -> Snapshot:
        return self._observer.latest

    def draw(self, seen: Snapshot) -> Element:
        if not seen.reachable and self._answered is not None:
            seen = as_last_seen(seen, self._answered)
        rates = None if self._flow is None else self.rates
        busy = busy_nodes(self.pending)
        return ClusterPicture(seen, self._topics, self._controls, busy, rates).picture()

    def run(self, command: Command) -> str:
        return do_to_node(self._lab, command)

    def describe(self, command: Command) -> str:
        return f"{command['kind']} {command.get('node')} …"

    def release(self) -> None:
        self._unsubscribe()
        if self._flow is not None:
            self._flow.close()
        if self._own_observer:
            self._observer.close()

    def _see(self, seen: Snapshot) -> None:
        self._remember(seen)
        self.touch()

    def _remember(self, seen: Snapshot) -> None:
        if seen.reachable:
            self._answered = seen


def busy_nodes(pending: Sequence[Command]) -> frozenset[str]:
    """Return the names of the nodes to which something is being done."""
    return frozenset(str(command.get("node")) for command in pending)


def do_to_node(lab: Lab, command: Command) -> str:
    """Do to a node of `lab` what its button says, and return the report as a sentence.

    Raises
    ------
    BrokerLabError
        There is no such node, or nothing of this kind can be done to one.
    """
    kind = command["kind"]
    if kind not in {verb for verbs in VERBS.values() for verb in verbs}:
        raise BrokerLabError(
            f"A node has no control {kind!r}: use kill, stop, pause, resume or start."
        )
    name = command.get("node")
    node = lab.nodes.get(name) if isinstance(name, str) else None
    if node is None:
        raise BrokerLabError(f"This lab has no node {name!r}: lab.status() lists its nodes.")
    return str(getattr(node, kind)())


def as_last_seen(seen: Snapshot, answered: Snapshot) -> Snapshot:
    """Fill what a lost cluster cannot tell with what it told last."""
    nodes = seen.nodes or tuple(replace(node, state="unknown", pid=None) for node in answered.nodes)
    return replace(seen, topics=answered.topics, nodes=nodes)
