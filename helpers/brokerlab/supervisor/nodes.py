"""The life of one node: it starts, is usable, is stopped, killed, frozen, and perhaps dies."""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import Any

from brokerlab import quorum, topology
from brokerlab.errors import NodeFailedError, NoLabError
from brokerlab.lastwords import why_it_died
from brokerlab.supervisor.cluster import Cluster, Node
from brokerlab.supervisor.protocol import Steps
from brokerlab.supervisor.waiting import START_SECONDS, to_its_end, until, until_gone

STOP_SECONDS = 15.0
STARTS = 3

VERBS = {
    "stop": ("running", "paused"),
    "kill": ("running", "paused"),
    "pause": ("running",),
    "resume": ("paused",),
    "start": ("stopped", "killed", "died"),
}
"""What can be done to a node, and in which states."""


async def change(cluster: Cluster, steps: Steps, name: str, verb: str) -> dict[str, Any]:
    """Do one thing to one node; the answer has the seconds it took."""
    node = _named(cluster, name)
    if node.state not in VERBS[verb]:
        possible = [v for v, states in VERBS.items() if node.state in states]
        how = "has died" if node.state == "died" else f"is {node.state}"
        raise NodeFailedError(f"{name} {how}, so it cannot {verb}: it can {' or '.join(possible)}.")
    begun = time.monotonic()
    match verb:
        case "start":
            await start(cluster, steps, node)
        case "stop":
            await stop(node)
        case "kill":
            await end(node, 0)
            node.state = "killed"
        case "pause":
            assert node.running is not None
            await to_its_end(node.running.pause)
            node.state = "paused"
        case "resume":
            assert node.running is not None
            await to_its_end(node.running.resume)
            node.state = "running"
    cluster.changed()
    return {"seconds": time.monotonic() - begun, "state": node.state}


async def data(cluster: Cluster, steps: Steps, name: str) -> str:
    """Return the path of a folder with a node's data."""
    spec = _named(cluster, name).spec
    return str(await asyncio.to_thread(cluster.runtime.data, spec, cluster.folder.node(name)))


def _named(cluster: Cluster, name: str) -> Node:
    node = cluster.nodes.get(name)
    if node is None:
        raise NoLabError(f"The lab has no node {name!r}: it has {', '.join(cluster.nodes)}.")
    return node


async def start(cluster: Cluster, steps: Steps, node: Node) -> None:
    """Start a node of a cluster that runs, and wait until it is usable."""
    if node.spec.role == "broker" and node.spec.kraft:
        if not await cluster.controllers_agree():
            raise NodeFailedError(
                f"{node.spec.name} cannot start while most controllers are down: lab.repair() brings back all."
            )
    elif node.spec.role == "broker":
        if not await cluster.zookeeper_serves():
            raise NodeFailedError(
                f"{node.spec.name} cannot start while ZooKeeper is {cluster.nodes['zookeeper'].state}: lab.repair() brings back both."
            )
        await _until_forgotten(cluster, steps, node)
    with steps.step(f"{node.spec.name} starts"):
        await bring_up(cluster, steps, node)


async def bring_up(cluster: Cluster, steps: Steps, node: Node) -> None:
    """Start a node and wait until it is usable.

    On a machine that is short of breath a broker's session may expire while it starts; it then finds its own
    znode in the way and gives up. That is no fault of anybody: it is started once more.
    """
    for _ in range(STARTS):
        await launch(cluster, node)
        try:
            return await until_usable(cluster, node)
        except NodeFailedError as error:
            failed = error
            if node.state != "died" or "NodeExists" not in node.cause:
                break
        await _until_forgotten(cluster, steps, node)
    raise failed


async def launch(cluster: Cluster, node: Node) -> None:
    """Start a node; it is not usable yet."""
    topology.check_port_free(node.spec.name, node.spec.port)
    folder = cluster.folder.node(node.spec.name)
    login = cluster.folder.login_file if cluster.closed else None

    def begin() -> None:
        node.running = cluster.runtime.start(node.spec, folder, login)

    await to_its_end(begin)
    node.state = "starting"
    cluster.changed()


async def until_usable(cluster: Cluster, node: Node) -> None:
    """Wait until a node that was launched does its work; fail at once if it dies."""
    itself = cluster.probe(f"{topology.HOST}:{node.spec.port}")

    async def usable() -> bool:
        check_alive(cluster, node)
        if node.spec.role == "zookeeper":
            return await cluster.zookeeper_serves()
        if node.spec.role == "controller":
            # With too few others to agree with, it does its part when it answers.
            alone = not cluster.most_controllers_run
            return (alone or await cluster.controllers_agree()) and await _answers(cluster, node)
        # In KRaft mode it is its own witness: it serves only after the controllers have let it in.
        if not node.spec.kraft and node.spec.id not in await cluster.registered_in_zookeeper():
            return False
        # A broker registers before it opens its port, and serves before it knows the cluster.
        seen = await asyncio.to_thread(itself.metadata)
        return seen is not None and node.spec.id in seen.brokers

    await until(usable, START_SECONDS, f"{node.spec.name} to be usable")
    node.state = "running"
    cluster.changed()


async def _answers(cluster: Cluster, controller: Node) -> bool:
    where = f"{topology.HOST}:{controller.spec.port}"
    return await asyncio.to_thread(quorum.ask, where, key=cluster.controller_key) is not None


async def _until_forgotten(cluster: Cluster, steps: Steps, node: Node) -> None:
    """Wait until ZooKeeper has dropped the znode of the broker's former life.

    A broker that finds its own id registered by another session gives up, and a killed broker's
    session lives on until it expires.
    """

    async def forgotten() -> bool:
        return node.spec.id not in await cluster.registered_in_zookeeper()

    if not await forgotten():
        with steps.step(
            f"ZooKeeper forgets the old session of {node.spec.name} (at most {topology.ZOOKEEPER_SESSION_SECONDS:.0f} s after a kill)"
        ):
            limit = topology.ZOOKEEPER_SESSION_SECONDS + 10
            await until(forgotten, limit, f"ZooKeeper to forget {node.spec.name}")


async def stop(node: Node) -> None:
    """Stop a node in an orderly way."""
    await end(node, STOP_SECONDS)
    node.state = "stopped"


async def end(node: Node, patience: float) -> None:
    """End a node: politely for `patience` seconds, then as a crash would."""
    running = node.running
    if running is None or not running.alive():
        return
    # From here on its end is meant, not a death to be noticed.
    node.state = "ending"
    if patience:
        await to_its_end(running.resume)
        await to_its_end(running.terminate)
        with contextlib.suppress(NodeFailedError):
            await until_gone([running], patience, f"{node.spec.name} to stop")
    if running.alive():
        await to_its_end(running.kill)
        await until_gone([running], 5, f"{node.spec.name} to end")


def check_alive(cluster: Cluster, node: Node) -> None:
    """Make sure that a node which starts has not died of it.

    Raises
    ------
    NodeFailedError
        It has; the sentence says of what.
    """
    if node.gone:
        died(cluster, node)
        raise NodeFailedError(
            f"{node.spec.name} died at its start: {node.cause} (`brokerlab logs {node.spec.name}` shows its whole log)."
        )


def died(cluster: Cluster, node: Node) -> None:
    """Note that a node has died, and of what."""
    ended = node.running.exit_code() if node.running else None
    node.state, node.cause = "died", why_it_died(log_of(cluster, node), ended)
    cluster.changed()


def log_of(cluster: Cluster, node: Node) -> str:
    """Return what a node has logged."""
    try:
        return (cluster.folder.node(node.spec.name) / "node.log").read_text("utf-8", "replace")
    except OSError:
        return ""
