"""The way of a running lab from ZooKeeper to controllers, step by step, as the supervisor takes it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any

from kazoo.client import KazooClient
from kazoo.exceptions import KazooException
from kazoo.handlers.threading import KazooTimeoutError

from brokerlab import kraft, machine, topology
from brokerlab.errors import NodeFailedError
from brokerlab.waiting import until

if TYPE_CHECKING:
    from brokerlab.supervisor import Node, Steps, Supervisor

STEPS = ("start_controller", "join_brokers", "move_brokers", "finalise", "stop_zookeeper")
"""What there is to do, in this order; each is a verb of `brokerlab.migration.Migration`."""

COPIED_SECONDS = 30.0
IN_SYNC_SECONDS = 30.0

Change = dict[str, Any]
"""``node``, and ``lines``: how its properties file differs from the one before."""


class Migrator:
    """Knows how far a lab is on its way.

    Attributes
    ----------
    phase : str
        The last step of `STEPS` that was taken; empty before the first.
    """

    def __init__(self, supervisor: Supervisor) -> None:
        self._lab = supervisor
        self.phase = ""

    async def take(self, steps: Steps, step: str) -> list[Change]:
        """Take the step of this name.

        Raises
        ------
        NodeFailedError
            It is another's turn, or a node is down, or did not come back.
        """
        self._check_turn(step)
        down = [node.spec.name for node in self._lab.nodes.values() if not node.up]
        if down:
            raise NodeFailedError(
                f"{', '.join(down)} must run before the next step: lab.repair() brings back what is down."
            )
        take: Callable[[Steps], Awaitable[list[Change]]] = getattr(self, f"_{step}")
        changes = await take(steps)
        self.phase = step
        return changes

    def _check_turn(self, step: str) -> None:
        if step not in STEPS:
            raise NodeFailedError(
                f"A migration has no step {step!r}: it has {', '.join(STEPS)}, in this order."
            )
        taken = STEPS.index(self.phase) + 1 if self.phase else 0
        if self._lab.mode == "kraft":
            raise NodeFailedError(
                "This lab has no ZooKeeper any more: there is nothing to migrate."
            )
        if STEPS.index(step) != taken:
            raise NodeFailedError(
                f"Now it is the turn of lab.migration.{STEPS[taken]}(), not of {step}(): the steps keep their order."
            )

    async def _start_controller(self, steps: Steps) -> list[Change]:
        from brokerlab.supervisor import Node

        machine.check_memory(0, controllers=1)
        spec = self._lab.plan.controller(1, migrating=True)
        topology.check_port_free(spec.name, spec.port)
        node = Node(spec)
        self._lab.nodes[spec.name] = node
        try:
            with steps.step(f"{spec.name} starts"):
                await self._lab.launch(node)
                await self._lab.until_usable(node)
        except NodeFailedError:
            await self._lab.end(node, 0)
            del self._lab.nodes[spec.name]
            raise
        return [_change(node, "")]

    async def _join_brokers(self, steps: Steps) -> list[Change]:
        changes = [
            await self._renewed(steps, node, self._lab.plan.migrating_broker(node.spec))
            for node in self._lab.of_role("broker")
        ]
        with steps.step("the controller has copied what ZooKeeper knows"):
            await until(self._copied, COPIED_SECONDS, "the controller to copy what ZooKeeper knows")
        return changes

    async def _move_brokers(self, steps: Steps) -> list[Change]:
        return [
            await self._renewed(steps, node, self._lab.plan.broker(node.spec.id or 0))
            for node in self._lab.of_role("broker")
        ]

    async def _finalise(self, steps: Steps) -> list[Change]:
        (node,) = self._lab.of_role("controller")
        return [await self._renewed(steps, node, self._lab.plan.controller(1))]

    async def _stop_zookeeper(self, steps: Steps) -> list[Change]:
        (node,) = self._lab.of_role("zookeeper")
        with steps.step("ZooKeeper stops"):
            await self._lab.end(node, 5)
        del self._lab.nodes["zookeeper"]
        self._lab.controllers = 1
        return []

    async def _renewed(self, steps: Steps, node: Node, spec: topology.NodeSpec) -> Change:
        before = node.spec.properties
        # A step that was broken off is taken again, and what was done of it is not done twice.
        if spec.properties != before:
            await self._lab.renew(steps, node, spec)
            await self._until_in_sync(steps, spec.name)
        return _change(node, before)

    async def _until_in_sync(self, steps: Steps, name: str) -> None:
        async def in_sync() -> bool:
            seen = await self._lab.metadata()
            everybody = {node.spec.id for node in self._lab.of_role("broker")}
            return (
                seen is not None
                and seen.brokers == everybody
                and all(set(p.isr) == set(p.replicas) and p.leader for p in seen.partitions)
            )

        with steps.step(f"every replica is in sync again after {name}"):
            await until(in_sync, IN_SYNC_SECONDS, "every replica to be in sync")

    async def _copied(self) -> bool:
        return await asyncio.to_thread(copied, self._lab.zookeeper_client)


def copied(zookeeper_client: Mapping[str, Any]) -> bool:
    """Whether this ZooKeeper says that a controller has taken over all it knows."""
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
