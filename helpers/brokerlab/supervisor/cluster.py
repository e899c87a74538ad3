"""What a lab consists of: its nodes, what it was started with, and what its cluster says when it is asked."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from brokerlab import kraft, probes, quorum, topology
from brokerlab.access import Access
from brokerlab.labfolder import LabFolder
from brokerlab.runtimes import RunningNode, Runtime
from brokerlab.topology import NodeSpec, Ports


@dataclass
class Node:
    """A node of the lab: what it is, what runs it now (if anything does), and how it stands."""

    spec: NodeSpec
    running: RunningNode | None = None
    state: str = "new"
    cause: str = ""

    def to_dict(self) -> dict[str, Any]:
        nothing = dict.fromkeys(("pid", "born", "container"))
        return {
            "name": self.spec.name,
            "role": self.spec.role,
            "id": self.spec.id,
            "port": self.spec.port,
            "state": self.state,
            "cause": self.cause if self.state == "died" else "",
            **(self.running.describe() if self.running and self.running.alive() else nothing),
        }

    @property
    def up(self) -> bool:
        return self.state == "running"

    @property
    def gone(self) -> bool:
        """Whether it was started and its process is no more."""
        return self.running is not None and not self.running.alive()


class Cluster:
    """A lab's nodes, what they have in common, and the questions that they answer themselves.

    Attributes
    ----------
    folder : LabFolder
    changed : callable
        To be called whenever a node, or the whole, stands otherwise than before.
    state : str
        ``new``, ``starting``, ``usable`` or ``stopping``.
    nodes : dict of str to Node
        By name: ZooKeeper or the controllers first, then the brokers.
    chosen_runtime : Runtime or None
        None until a start has chosen one; `runtime_why` says why it was this one, if there was a choice.
    access : Access
        Who is let in; `access_why` says why.
    brokers, controllers : int
        How many it was started with; no controllers where ZooKeeper is.
    overrides : dict of str to dict
        Properties that were asked for, by role.
    cluster_id : str or None
    """

    def __init__(self, folder: LabFolder, changed: Callable[[], None]) -> None:
        self.folder = folder
        self.changed = changed
        self.state = "new"
        self.nodes: dict[str, Node] = {}
        self.chosen_runtime: Runtime | None = None
        self.runtime_why = ""
        self.access = Access()
        self.access_why = ""
        self.brokers = self.controllers = 0
        self.overrides: dict[str, dict[str, str]] = {"zookeeper": {}, "broker": {}}
        self.cluster_id: str | None = None
        self.chosen_ports: Ports | None = None
        self._probe: probes.KafkaProbe | None = None

    @property
    def runtime(self) -> Runtime:
        """The runtime of a lab that was started."""
        assert self.chosen_runtime is not None
        return self.chosen_runtime

    @property
    def ports(self) -> Ports:
        """The ports that the lab's nodes have, or may have."""
        assert self.chosen_ports is not None
        return self.chosen_ports

    @property
    def closed(self) -> bool:
        """Whether it lets in only who logs in."""
        return self.access.secret is not None

    @property
    def mode(self) -> str:
        """``zookeeper``, ``kraft``, or ``migrating`` while there are both."""
        if not self.of_role("controller"):
            return "zookeeper"
        return "migrating" if self.of_role("zookeeper") else "kraft"

    def of_role(self, role: str) -> list[Node]:
        """Return the nodes of this role."""
        return [node for node in self.nodes.values() if node.spec.role == role]

    def addresses(self, role: str) -> str:
        """Return where the nodes of this role are, as a client's settings list them."""
        return ",".join(f"{topology.HOST}:{node.spec.port}" for node in self.of_role(role))

    @property
    def zookeeper_client(self) -> dict[str, Any]:
        """What a ZooKeeper client needs to know of this lab."""
        where = self.addresses("zookeeper")
        return (self.access if where else Access()).zookeeper(where)

    @property
    def controller_key(self) -> Path | None:
        """The file with the key that lets in at the controllers, where they ask for one."""
        return self.folder.controller_key if self.closed else None

    # What its nodes are to be.

    @property
    def plan(self) -> kraft.Plan:
        """What this lab's nodes have in common where controllers decide."""
        assert self.cluster_id is not None
        return kraft.Plan(
            self.ports,
            self.controllers or 1,
            self.brokers,
            self.cluster_id,
            self.overrides["broker"],
            self.closed,
        )

    def keeper_specs(self) -> list[NodeSpec]:
        """Describe those who keep the list of the brokers: ZooKeeper, or the controllers."""
        if self.controllers:
            return [self.plan.controller(number) for number in range(1, self.controllers + 1)]
        return [
            topology.zookeeper(
                self.ports.zookeeper,
                self.overrides["zookeeper"],
                self.runtime.apart,
                closed=self.closed,
            )
        ]

    def broker_spec(self, number: int) -> NodeSpec:
        """Describe broker `number`."""
        if self.controllers:
            return self.plan.broker(number)
        return topology.broker(
            number,
            self.ports.of_broker(number),
            self.ports.zookeeper,
            self.brokers,
            self.overrides["broker"],
            self.runtime.apart,
            closed=self.closed,
        )

    # What it says of itself.

    async def complete(self) -> bool:
        """Whether every node is up and the cluster itself says so."""
        ids = {node.spec.id for node in self.of_role("broker")}
        return all(node.up for node in self.nodes.values()) and await self.registered() == ids

    async def registered(self) -> frozenset[int]:
        """Return the ids of the brokers that belong to the cluster now, as ZooKeeper or the controllers say."""
        if self.mode == "zookeeper":
            return await self.registered_in_zookeeper()
        seen = await self.metadata()
        return seen.brokers if seen else frozenset()

    async def registered_in_zookeeper(self) -> frozenset[int]:
        """Return the ids of the brokers that hold their znode."""
        ids = await asyncio.to_thread(probes.registered_brokers, self.ports.zookeeper)
        return ids or frozenset()

    async def zookeeper_serves(self) -> bool:
        """Whether ZooKeeper serves."""
        return await asyncio.to_thread(probes.zookeeper_serves, self.ports.zookeeper)

    async def metadata(self) -> probes.Metadata | None:
        """Ask the brokers what there is."""
        where = self.addresses("broker")
        if self._probe is None or self._probe.bootstrap_servers != where:
            self._probe = self.probe(where)
        return await asyncio.to_thread(self._probe.metadata)

    def probe(self, bootstrap_servers: str) -> probes.KafkaProbe:
        """Return a new client for these brokers alone."""
        return probes.KafkaProbe(self.access.kafka(bootstrap_servers))

    @property
    def most_controllers_run(self) -> bool:
        """Whether there are enough controllers, up or on their way up, to elect a leader."""
        controllers = self.of_role("controller")
        return 2 * sum(one.state in ("running", "starting") for one in controllers) > len(
            controllers
        )

    async def controllers_agree(self) -> bool:
        """Whether a controller leads the others."""
        where = self.addresses("controller").split(",")
        leads = await asyncio.to_thread(quorum.leader_of, where, key=self.controller_key)
        return leads is not None
