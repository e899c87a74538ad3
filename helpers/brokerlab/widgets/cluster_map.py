"""The cluster as it is now: ZooKeeper, its link to each broker, and the replicas that each broker holds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from brokerlab.errors import BrokerLabError
from brokerlab.observe import Observer, Snapshot
from brokerlab.widgets.base import Command, LiveView
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
        Whether the nodes have buttons.
    observer : Observer, optional
        Who looks at the cluster; the map makes (and closes) one of its own, if not given.
    """

    title = "Cluster"

    def __init__(
        self,
        lab: Lab,
        topics: Sequence[str] | None = None,
        controls: bool = True,
        observer: Observer | None = None,
    ) -> None:
        if isinstance(topics, str):
            topics = (topics,)
        self._lab = lab
        self._topics = None if topics is None else tuple(topics)
        self._controls = controls
        self._observer = observer or Observer(lab)
        self._own_observer = observer is None
        self._answered: Snapshot | None = None
        self._remember(self._observer.latest)
        super().__init__()
        self._unsubscribe = self._observer.subscribe(self._see)

    @property
    def snapshot(self) -> Snapshot:
        """The cluster as last seen."""
        return self._observer.latest

    def look(self) -> Snapshot:
        return self._observer.latest

    def draw(self, seen: Snapshot) -> Element:
        if not seen.reachable and self._answered is not None:
            seen = _as_last_seen(seen, self._answered)
        return ClusterPicture(seen, self._topics, self._controls, self._busy_nodes()).picture()

    def run(self, command: Command) -> str:
        name, kind = command.get("node"), command["kind"]
        if kind not in {verb for verbs in VERBS.values() for verb in verbs}:
            raise BrokerLabError(
                f"A node has no control {kind!r}: use kill, stop, pause, resume or start."
            )
        return str(getattr(self._node(name), kind)())

    def describe(self, command: Command) -> str:
        return f"{command['kind']} {command.get('node')} …"

    def release(self) -> None:
        self._unsubscribe()
        if self._own_observer:
            self._observer.close()

    def _see(self, seen: Snapshot) -> None:
        self._remember(seen)
        self.touch()

    def _remember(self, seen: Snapshot) -> None:
        if seen.reachable:
            self._answered = seen

    def _node(self, name: Any) -> Any:
        if name == "zookeeper":
            return self._lab.zookeeper
        for number, broker in self._lab.brokers.items():
            if name == f"broker-{number}":
                return broker
        raise BrokerLabError(f"This lab has no node {name!r}: lab.status() lists its nodes.")

    def _busy_nodes(self) -> frozenset[str]:
        return frozenset(str(command.get("node")) for command in self.pending)


def _as_last_seen(seen: Snapshot, answered: Snapshot) -> Snapshot:
    """Fill what a lost cluster cannot tell with what it told last."""
    nodes = seen.nodes or tuple(replace(node, state="unknown", pid=None) for node in answered.nodes)
    return replace(seen, topics=answered.topics, nodes=nodes)
