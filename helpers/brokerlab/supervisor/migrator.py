"""The way of a running lab from ZooKeeper to controllers, step by step."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from brokerlab import kraft, machine, topology
from brokerlab.errors import NodeFailedError
from brokerlab.kraft import MIGRATION_STEPS
from brokerlab.supervisor import logins, nodes
from brokerlab.supervisor.cluster import Cluster, Node
from brokerlab.supervisor.protocol import Steps
from brokerlab.supervisor.waiting import until

COPIED_SECONDS = 30.0
IN_SYNC_SECONDS = 30.0

Change = dict[str, Any]
"""``node``, and ``lines``: how its properties file differs from the one before."""


class Migrator:
    """Knows how far a lab is on its way.

    Attributes
    ----------
    phase : str
        The last step of `kraft.MIGRATION_STEPS` that was taken; empty before the first.
    """

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self.phase = ""

    async def take(self, steps: Steps, step: str) -> dict[str, Any]:
        """Take the step of this name; the answer has the seconds it took, and what changed.

        Raises
        ------
        NodeFailedError
            This lab cannot be migrated, or it is another's turn, or a node is down, or did not come back.
        """
        self._check_lab()
        begun = time.monotonic()
        self._check_turn(step)
        down = [node.spec.name for node in self._cluster.nodes.values() if not node.up]
        if down:
            raise NodeFailedError(
                f"{', '.join(down)} must run before the next step: lab.repair() brings back what is down."
            )
        take: Callable[[Steps], Awaitable[list[Change]]] = getattr(self, f"_{step}")
        changes = await take(steps)
        self.phase = step
        logins.write_client_files(self._cluster)
        self._cluster.changed()
        return {"seconds": time.monotonic() - begun, "changes": changes}

    def _check_lab(self) -> None:
        if self._cluster.runtime.apart or self._cluster.folder.name == "main":
            raise NodeFailedError(
                "Only a lab of its own, of local processes, can be migrated: brokerlab.start(name='migration', runtime='local')."
            )

    def _check_turn(self, step: str) -> None:
        if step not in MIGRATION_STEPS:
            raise NodeFailedError(
                f"A migration has no step {step!r}: it has {', '.join(MIGRATION_STEPS)}, in this order."
            )
        taken = MIGRATION_STEPS.index(self.phase) + 1 if self.phase else 0
        if self._cluster.mode == "kraft":
            raise NodeFailedError(
                "This lab has no ZooKeeper any more: there is nothing to migrate."
            )
        if MIGRATION_STEPS.index(step) != taken:
            raise NodeFailedError(
                f"Now it is the turn of lab.migration.{MIGRATION_STEPS[taken]}(), not of {step}(): the steps keep their order."
            )

    async def _start_controller(self, steps: Steps) -> list[Change]:
        machine.check_memory(0, controllers=1)
        spec = self._cluster.plan.controller(1, migrating=True)
        topology.check_port_free(spec.name, spec.port)
        node = Node(spec)
        self._cluster.nodes[spec.name] = node
        try:
            with steps.step(f"{spec.name} starts"):
                if self._cluster.closed:
                    await asyncio.to_thread(logins.make_controller_key, self._cluster)
                await nodes.launch(self._cluster, node)
                await nodes.until_usable(self._cluster, node)
        except NodeFailedError:
            await nodes.end(node, 0)
            del self._cluster.nodes[spec.name]
            raise
        return [_change(node, "")]

    async def _join_brokers(self, steps: Steps) -> list[Change]:
        changes = [
            await self._renewed(steps, node, self._cluster.plan.migrating_broker(node.spec))
            for node in self._cluster.of_role("broker")
        ]
        with steps.step("the controller has copied what ZooKeeper knows"):
            await until(self._copied, COPIED_SECONDS, "the controller to copy what ZooKeeper knows")
        return changes

    async def _move_brokers(self, steps: Steps) -> list[Change]:
        return [
            await self._renewed(steps, node, self._cluster.plan.broker(node.spec.id or 0))
            for node in self._cluster.of_role("broker")
        ]

    async def _finalise(self, steps: Steps) -> list[Change]:
        (node,) = self._cluster.of_role("controller")
        return [await self._renewed(steps, node, self._cluster.plan.controller(1))]

    async def _stop_zookeeper(self, steps: Steps) -> list[Change]:
        (node,) = self._cluster.of_role("zookeeper")
        with steps.step("ZooKeeper stops"):
            await nodes.end(node, 5)
        del self._cluster.nodes["zookeeper"]
        self._cluster.controllers = 1
        return []

    async def _renewed(self, steps: Steps, node: Node, spec: topology.NodeSpec) -> Change:
        before = node.spec.properties
        # A step that was broken off is taken again, and what was done of it is not done twice.
        if spec.properties != before:
            with steps.step(f"{spec.name} stops"):
                await nodes.stop(node)
            node.spec = spec
            self._cluster.changed()
            await nodes.start(self._cluster, steps, node)
            await self._until_in_sync(steps, spec.name)
        return _change(node, before)

    async def _until_in_sync(self, steps: Steps, name: str) -> None:
        async def in_sync() -> bool:
            seen = await self._cluster.metadata()
            everybody = {node.spec.id for node in self._cluster.of_role("broker")}
            return (
                seen is not None
                and seen.brokers == everybody
                and all(set(p.isr) == set(p.replicas) and p.leader for p in seen.partitions)
            )

        with steps.step(f"every replica is in sync again after {name}"):
            await until(in_sync, IN_SYNC_SECONDS, "every replica to be in sync")

    async def _copied(self) -> bool:
        return await asyncio.to_thread(copied, self._cluster.zookeeper_client)


def copied(zookeeper_client: Mapping[str, Any]) -> bool:
    """Whether this ZooKeeper says that a controller has taken over all it knows."""
    # No other lab needs this, and a supervisor is to be there at once.
    from kazoo.client import KazooClient
    from kazoo.exceptions import KazooException
    from kazoo.handlers.threading import KazooTimeoutError

    client = KazooClient(**zookeeper_client, timeout=3)
    try:
        client.start(timeout=3)
        migration = json.loads(client.get("/migration")[0])
        chief = json.loads(client.get("/controller")[0])["brokerid"]
    except (KazooException, KazooTimeoutError, ValueError):
        return False
    finally:
        client.stop()
        client.close()
    return bool(migration["kraft_metadata_offset"] > 0 and chief > kraft.FIRST_ID)


def _change(node: Node, before: str) -> Change:
    return {"node": node.spec.name, "lines": kraft.difference(before, node.spec.properties)}
