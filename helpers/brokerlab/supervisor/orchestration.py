"""The whole cluster: it starts in order, takes in one more broker, and stops in order."""

from __future__ import annotations

import asyncio
import importlib
import logging
import time
from collections.abc import Sequence
from typing import Any

from brokerlab import kraft, machine, neighbours, topology
from brokerlab.access import Access
from brokerlab.errors import (
    BrokerLabError,
    DockerError,
    NodeFailedError,
    PortTakenError,
    SettingError,
)
from brokerlab.labfolder import ports_of_running_labs
from brokerlab.runtimes import choice
from brokerlab.settings import Settings
from brokerlab.supervisor import logins, nodes
from brokerlab.supervisor.cluster import Cluster, Node
from brokerlab.supervisor.protocol import Steps
from brokerlab.supervisor.waiting import START_SECONDS, to_its_end
from brokerlab.supervisor.wanted import Wanted
from brokerlab.topology import Ports

LAB_STOP_SECONDS = 4.0

log = logging.getLogger(__name__)


async def start(cluster: Cluster, steps: Steps, asked: Settings, wanted: Wanted) -> None:
    """Start a cluster that has no nodes yet, and wait until it is usable."""
    runtime = wanted.runtime or asked.runtime
    if wanted.mode == "kraft":
        cluster.controllers = wanted.controllers
        cluster.cluster_id = kraft.new_cluster_id()
        if runtime == "auto":
            runtime = "local"
    cluster.state = "starting"
    cluster.brokers = wanted.brokers or 3
    cluster.overrides.update(wanted.overrides)
    machine.check_memory(cluster.brokers, controllers=cluster.controllers)
    machine.check_disk(cluster.folder.path, machine.LAB_DISK, "BROKERLAB_HOME")
    cluster.chosen_runtime, cluster.runtime_why = await asyncio.to_thread(
        choice.choose, runtime, asked, cluster.folder
    )
    if cluster.runtime_why:
        with steps.step(cluster.runtime_why):
            pass
    closed, cluster.access_why = neighbours.decide(wanted.auth)
    cluster.access = Access.closed() if closed else Access()
    if closed:
        with steps.step(f"Clients must log in: {cluster.access_why}"):
            pass
    if cluster.controllers:
        _check_controllers_possible(cluster)
    ports = _choose_ports(cluster)
    try:
        await _start_nodes(cluster, steps, ports)
    except (NodeFailedError, PortTakenError) as error:
        if not (isinstance(error, PortTakenError) or _failed_to_bind(cluster)):
            raise
        # Somebody took a port between our look and the node's bind: once more, elsewhere.
        await stop(cluster)
        cluster.folder.clear_nodes()
        await _start_nodes(cluster, steps, _choose_ports(cluster))
    cluster.state = "usable"
    cluster.changed()


def _check_controllers_possible(cluster: Cluster) -> None:
    if cluster.runtime.apart:
        raise SettingError(
            f"A lab without ZooKeeper runs as local processes only: leave out runtime={cluster.runtime.name!r}, or give runtime='local'."
        )


def _failed_to_bind(cluster: Cluster) -> bool:
    logs = (nodes.log_of(cluster, node) for node in cluster.nodes.values())
    return any("Address already in use" in text for text in logs)


def _choose_ports(cluster: Cluster) -> Ports:
    reserved = ports_of_running_labs(cluster.folder.home)
    return topology.choose_ports(cluster.brokers, reserved, cluster.controllers)


async def _start_nodes(cluster: Cluster, steps: Steps, ports: Ports) -> None:
    cluster.chosen_ports = ports
    brokers = cluster.brokers
    keepers = [Node(spec) for spec in cluster.keeper_specs()]
    others = [Node(cluster.broker_spec(number)) for number in range(1, brokers + 1)]
    cluster.nodes = {node.spec.name: node for node in (*keepers, *others)}
    logins.write_client_files(cluster)
    await _start_keepers(cluster, steps, keepers)
    where = ", ".join(str(node.spec.port) for node in others)
    with steps.step(f"{topology.brokers_in_words(brokers)} registered, on {where}"):
        try:
            async with asyncio.TaskGroup() as starting:
                for node in others:
                    starting.create_task(nodes.bring_up(cluster, steps, node))
        except ExceptionGroup as failed:
            raise failed.exceptions[0] from None
    with steps.step("a controller is elected and the group coordinator answers"):
        await _until_coordinated(cluster)


async def _start_keepers(cluster: Cluster, steps: Steps, keepers: Sequence[Node]) -> None:
    """Start those who keep the list of the brokers: ZooKeeper, or the controllers."""
    where = ", ".join(f"{topology.HOST}:{node.spec.port}" for node in keepers)
    plural = "controllers elect their leader" if len(keepers) > 1 else "a controller leads"
    said = plural if cluster.controllers else "ZooKeeper serves"
    with steps.step(f"{said} on {where}"):
        if cluster.closed and cluster.controllers:
            await asyncio.to_thread(logins.make_controller_key, cluster)
        for node in keepers:
            await nodes.launch(cluster, node)
        if cluster.closed and not cluster.controllers:
            # A tenth of a second, which passes here while ZooKeeper starts.
            await asyncio.to_thread(importlib.import_module, "kazoo.client")
        for node in keepers:
            await nodes.until_usable(cluster, node)
        if cluster.closed:
            await asyncio.to_thread(logins.tell_brokers_whom_to_let_in, cluster)


async def _until_coordinated(cluster: Cluster) -> None:
    probe = cluster.probe(cluster.addresses("broker"))
    deadline = time.monotonic() + START_SECONDS
    answers = False
    while not answers:
        for node in cluster.nodes.values():
            nodes.check_alive(cluster, node)
        if time.monotonic() > deadline:
            raise NodeFailedError(
                f"The brokers run but no group coordinator answered within {START_SECONDS:.0f} s: look at `brokerlab logs broker-1`."
            )
        seen = await asyncio.to_thread(probe.metadata)
        if seen and len(seen.brokers) == cluster.brokers and seen.controller is not None:
            cluster.cluster_id = seen.cluster_id
            answers = await asyncio.to_thread(probe.coordinator_answers)


async def add_broker(cluster: Cluster, steps: Steps) -> dict[str, Any]:
    """Let one more broker join."""
    if cluster.mode == "migrating":
        raise NodeFailedError(
            "No broker can join in the middle of a migration: finish its steps, then add one."
        )
    number = 1 + max(node.spec.id or 0 for node in cluster.of_role("broker"))
    if number > topology.MOST_BROKERS:
        raise SettingError(
            f"The lab has {topology.MOST_BROKERS} brokers, and that is all it can hold."
        )
    machine.check_memory(1)
    node = Node(cluster.broker_spec(number))
    topology.check_port_free(node.spec.name, node.spec.port)
    cluster.nodes[node.spec.name] = node
    try:
        await nodes.start(cluster, steps, node)
    except BrokerLabError:
        await nodes.end(node, 0)
        del cluster.nodes[node.spec.name]
        cluster.changed()
        raise
    logins.write_client_files(cluster)
    return node.to_dict()


async def stop(cluster: Cluster) -> None:
    """Stop everything: the brokers first, since they need ZooKeeper or the controllers to leave in peace."""
    cluster.state = "stopping"
    cluster.changed()
    keepers = [*cluster.of_role("controller"), *cluster.of_role("zookeeper")]
    runtime = cluster.chosen_runtime
    patience = 0.0
    if keepers and all(node.up for node in keepers) and runtime:
        patience = LAB_STOP_SECONDS - runtime.clear_seconds
    await _end_all(cluster.of_role("broker"), patience)
    await _end_all(keepers, 1)
    if runtime:
        try:
            await to_its_end(runtime.clear)
        except DockerError as error:
            log.warning("containers are left behind: %s", error)


async def _end_all(those: Sequence[Node], patience: float) -> None:
    ends = (nodes.end(node, patience) for node in those)
    for outcome in await asyncio.gather(*ends, return_exceptions=True):
        if isinstance(outcome, BrokerLabError):
            log.warning("a node did not end: %s", outcome)
        elif outcome is not None:
            raise outcome
