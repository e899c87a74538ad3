"""A lab and an observer without processes, and the snapshots that the widget tests look at."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

from brokerlab.capabilities import Capabilities
from brokerlab.errors import NodeFailedError
from brokerlab.observe import Event, NodeView, PartitionView, Snapshot, TopicView
from brokerlab.widgets import LiveView
from brokerlab.widgets.scene import Element

BEGIN = 1_700_000_000.0


def until(condition: Callable[[], bool], limit: float = 5) -> bool:
    end = time.monotonic() + limit
    while not condition() and time.monotonic() < end:
        time.sleep(0.01)
    return condition()


def notice(view: LiveView[Any]) -> tuple[str, str]:
    return view.state["notice"]["kind"], view.state["notice"]["text"]


def nodes(
    zookeeper: str = "running", brokers: tuple[str, ...] = ("running",) * 3
) -> tuple[NodeView, ...]:
    views = [NodeView("zookeeper", "zookeeper", None, 2181, zookeeper, 100)]
    for number, state in enumerate(brokers, start=1):
        views.append(
            NodeView(f"broker-{number}", "broker", number, 9091 + number, state, 100 + number)
        )
    return tuple(views)


def topic(name: str, partitions: int = 3, brokers: int = 3, internal: bool = False) -> TopicView:
    replicas = [tuple((p + r) % brokers + 1 for r in range(brokers)) for p in range(partitions)]
    return TopicView(
        name,
        internal,
        tuple(
            PartitionView(name, p, replicas[p][0], replicas[p], replicas[p])
            for p in range(partitions)
        ),
    )


def snapshot(**changes: Any) -> Snapshot:
    """Return a healthy cluster of three brokers with one topic, changed as told."""
    whole: dict[str, Any] = {
        "taken": time.time(),
        "reachable": True,
        "cluster_id": "6yb0sQ1pQ9y5n1V8",
        "controller": 1,
        "nodes": nodes(),
        "registered": (1, 2, 3),
        "topics": (topic("photos"), topic("__consumer_offsets", internal=True)),
        "events": (
            Event(BEGIN, "broker 1 joined"),
            Event(BEGIN + 1, "broker 2 joined"),
            Event(BEGIN + 2, "broker 3 joined"),
            Event(BEGIN + 3, "topic photos appeared"),
        ),
        "problem": None,
    }
    return Snapshot(**(whole | changes))


def without(view: TopicView, gone: int) -> TopicView:
    """Return the topic after the cluster noticed that broker `gone` is dead."""
    partitions = []
    for partition in view.partitions:
        isr = tuple(broker for broker in partition.isr if broker != gone)
        leader = isr[0] if isr else None
        partitions.append(dataclasses.replace(partition, isr=isr, leader=leader))
    return dataclasses.replace(view, partitions=tuple(partitions))


def broker_2_killed() -> Snapshot:
    return snapshot(
        nodes=nodes(brokers=("running", "killed", "running")),
        registered=(1, 3),
        topics=(without(topic("photos"), 2), topic("__consumer_offsets", internal=True)),
        events=(Event(BEGIN + 9, "broker 2 left"), Event(BEGIN + 9.2, "photos 1: leader 2 → 3")),
    )


def lost() -> Snapshot:
    return snapshot(
        reachable=False,
        controller=None,
        nodes=nodes(brokers=("killed",) * 3),
        registered=(),
        topics=(),
        problem="no broker answers: lab.repair() starts what is down.",
    )


def found(scene: Element, **wanted: Any) -> list[Element]:
    """Return the elements with these attributes (``_`` for ``-``), however deep."""
    named = {name.replace("_", "-"): value for name, value in wanted.items()}
    _, attributes, *children = scene
    here = [scene] if all(attributes.get(name) == value for name, value in named.items()) else []
    return here + [
        hit for child in children if isinstance(child, list) for hit in found(child, **wanted)
    ]


def figure(scene: Element, name: str) -> str:
    """Return what the one figure of this name shows."""
    (tile,) = found(scene, data_figure=name)
    return str(tile[1]["data-value"])


def words(scene: Element) -> str:
    return " ".join(child if isinstance(child, str) else words(child) for child in scene[2:])


class FakeObserver:
    """Shows the snapshot that it is told to show."""

    def __init__(self, latest: Snapshot) -> None:
        self.latest = latest
        self.callbacks: list[Callable[[Snapshot], None]] = []
        self.closed = False

    def subscribe(self, callback: Callable[[Snapshot], None]) -> Callable[[], None]:
        self.callbacks.append(callback)
        return lambda: self.callbacks.remove(callback)

    def show(self, latest: Snapshot) -> None:
        self.latest = latest
        for callback in tuple(self.callbacks):
            callback(latest)

    def close(self) -> None:
        self.closed = True


class FakeNode:
    def __init__(self, name: str) -> None:
        self.name = name
        self.done: list[str] = []

    def kill(self) -> str:
        self.done.append("kill")
        return f"{self.name} was killed."

    def stop(self) -> str:
        raise NodeFailedError(f"{self.name} did not stop within 15 s: kill it instead.")

    def pause(self) -> str:
        raise OSError("no such process")


class FakeLab:
    bootstrap_servers = "127.0.0.1:9092,127.0.0.1:9093,127.0.0.1:9094"
    client: ClassVar = {"bootstrap.servers": bootstrap_servers}
    client_file = Path("client.properties")
    capabilities = Capabilities()

    def __init__(self, brokers: int = 3) -> None:
        self.zookeeper = FakeNode("zookeeper")
        self.brokers = {number: FakeNode(f"broker-{number}") for number in range(1, brokers + 1)}

    def group(self, name: str) -> str:
        return name

    @property
    def nodes(self) -> dict[str, Any]:
        return {node.name: node for node in (self.zookeeper, *self.brokers.values())}
