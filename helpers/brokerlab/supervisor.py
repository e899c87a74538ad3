"""The one detached process that owns a lab's nodes.

A notebook's kernel is interrupted, restarted and killed by Jupyter together with its children, so it
cannot own a broker. The supervisor can: it lives in a session of its own, starts and stops the nodes,
and holds them as long as any process has a lease on the lab. When the last lease has been gone for
`linger` seconds it stops the brokers, then ZooKeeper, then itself. If it is killed, the system kills its
nodes with it.

It listens on a socket in the lab's private folder. A request is one line of JSON, ``{"op": ..., ...}``;
the answer is a line for each step, ``{"begin": text}`` and ``{"end": text, "seconds": s, "mark": "✓"}``,
and a last line, ``{"ok": value}`` or ``{"error": kind, "message": sentence}``.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import json
import logging
import os
import signal
import sys
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from brokerlab import access, kraft, machine, neighbours, probes, quorum, settings, topology
from brokerlab.access import Access
from brokerlab.errors import (
    BrokerLabError,
    DockerError,
    LabBusyError,
    NodeFailedError,
    NoLabError,
    PortTakenError,
    SettingError,
)
from brokerlab.labfolder import LabFolder, ports_of_running_labs
from brokerlab.lastwords import why_it_died
from brokerlab.migrator import Migrator
from brokerlab.processes import Identity
from brokerlab.runtimes import RunningNode, Runtime, choice
from brokerlab.topology import NodeSpec, Ports
from brokerlab.waiting import until

START_SECONDS = 60.0
STOP_SECONDS = 15.0
LAB_STOP_SECONDS = 4.0
STARTS = 3

log = logging.getLogger(__name__)


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


class Steps:
    """Tells the asking client what is being done, with times."""

    def __init__(self, send: Callable[[dict[str, Any]], None]) -> None:
        self._send = send

    @contextlib.contextmanager
    def step(self, text: str) -> Iterator[None]:
        begun = time.monotonic()
        self._send({"begin": text})
        mark = "✗"
        try:
            yield
            mark = "✓"
        finally:
            self._send({"end": text, "seconds": time.monotonic() - begun, "mark": mark})


class Supervisor:
    """Owns the nodes of one lab, as long as `lock` is the descriptor of its folder's ``supervisor.lock``."""

    def __init__(self, folder: LabFolder, asked: settings.Settings, lock: int) -> None:
        self.folder = folder
        self._lock = lock
        self.settings = asked
        self.nodes: dict[str, Node] = {}
        self.state = "new"
        self.kept = False
        self._started_with = 0
        self._ports: Ports | None = None
        self._overrides: dict[str, dict[str, str]] = {"zookeeper": {}, "broker": {}}
        self._runtime: Runtime | None = None
        self._why = ""
        self._auth_why = ""
        self._cluster_id: str | None = None
        self.controllers = 0
        self.migrator: Migrator | None = None
        self._probe: probes.KafkaProbe | None = None
        self._control = folder.socket_address()
        self._access = Access()
        self._changing = asyncio.Lock()
        self._change: asyncio.Task[Any] | None = None
        self._finished = asyncio.Event()
        self._answering: set[asyncio.Task[None]] = set()

    # -- life ----------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Serve until the lab is stopped or nobody has needed it for a while."""
        await self._sweep()
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGTERM, self._finished.set)
        self._control.unlink(missing_ok=True)
        server = await asyncio.start_unix_server(self._serve, self._control)
        self._control.chmod(0o600)
        self._write_state()
        watch = asyncio.create_task(self._watch())
        await self._finished.wait()
        watch.cancel()
        if self._change:
            self._change.cancel()
        async with self._changing:
            await self._stop_nodes()
        server.close()
        if self._answering:
            await asyncio.wait(self._answering, timeout=2)
        if self._owns_folder():
            self.folder.clear()

    async def _sweep(self) -> None:
        """End what a supervisor that died left behind: its own nodes only, by identity."""
        left = self.folder.read_state() or {}
        orphans = [
            Identity(node["pid"], node["born"])
            for node in left.get("nodes", ())
            if node.get("born")
        ]
        for orphan in orphans:
            if orphan.send(signal.SIGKILL):
                log.warning("ended a node left behind: pid %d", orphan.pid)
        await until(_all_gone(orphans), 5, "the nodes left behind to end")
        try:
            await asyncio.to_thread(choice.sweep, self.folder)
        except DockerError as error:
            log.warning("containers may be left behind: %s", error)
        self.folder.clear()
        self.folder.clear_nodes()

    async def _watch(self) -> None:
        """Notice nodes that die, and the time when nobody needs the lab any more."""
        unused_since: float | None = None
        while True:
            await asyncio.sleep(0.25)
            if not self._owns_folder():
                log.warning("the lab's folder was deleted")
                self._finished.set()
            for node in self.nodes.values():
                if (
                    node.state in ("running", "paused")
                    and node.running
                    and not node.running.alive()
                ):
                    self._died(node)
                    log.warning("%s died: %s", node.spec.name, node.cause)
            if self.kept or self._changing.locked() or self.folder.lease_holders():
                unused_since = None
            elif unused_since is None:
                unused_since = time.monotonic()
            elif time.monotonic() - unused_since >= self.settings.linger:
                log.info("nobody has used the lab for %s s", self.settings.linger)
                self._finished.set()

    # -- requests ------------------------------------------------------------------------------------

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        def send(message: dict[str, Any]) -> None:
            # The client may have been interrupted; what it asked for is finished all the same.
            with contextlib.suppress(ConnectionError, RuntimeError):
                writer.write(json.dumps(message).encode() + b"\n")

        task = asyncio.current_task()
        assert task is not None
        self._answering.add(task)
        task.add_done_callback(self._answering.discard)
        try:
            # Who only wants to know whether anybody listens connects and asks nothing.
            if line := await reader.readline():
                send({"ok": await self._answer(json.loads(line), Steps(send))})
        except BrokerLabError as error:
            send({"error": type(error).__name__, "message": str(error)})
        except Exception as error:
            log.exception("a request failed")
            send(
                {
                    "error": "BrokerLabError",
                    "message": f"The supervisor failed ({error!r}): see {self.folder.log}, then run `brokerlab stop`.",
                }
            )
        with contextlib.suppress(ConnectionError):
            await writer.drain()
            writer.close()

    async def _answer(self, request: dict[str, Any], steps: Steps) -> Any:
        op = request.pop("op")
        if op == "status":
            return await self._status()
        if self._finished.is_set():
            raise LabBusyError("The lab is stopping: wait a moment, then start it again.")
        if op == "stop":
            self._finished.set()
            return None
        changes: dict[str, Callable[..., Awaitable[Any]]] = {
            "up": self._up,
            "node": self._node,
            "add_broker": self._add_broker,
            "data": self._data,
            "migrate": self._migrate,
        }
        async with self._changing:
            self._change = asyncio.current_task()
            try:
                return await changes[op](steps, **request)
            except asyncio.CancelledError:
                raise NodeFailedError(
                    "The lab was stopped in the middle of this: start it again."
                ) from None
            finally:
                self._change = None

    async def _status(self) -> dict[str, Any]:
        status = self._state() | {"leases": self._leases()}
        if self.state == "usable" and not await self._answers():
            status["state"] = "degraded"
        return status

    async def _answers(self) -> bool:
        """Whether every node is up and the cluster itself says so."""
        ids = {node.spec.id for node in self.nodes.values() if node.spec.role == "broker"}
        return all(node.up for node in self.nodes.values()) and await self.registered() == ids

    def _leases(self) -> list[dict[str, Any]]:
        kept = [{"pid": None, "what": "kept until `brokerlab stop`"}] if self.kept else []
        return kept + self.folder.lease_holders()

    def _state(self) -> dict[str, Any]:
        own = Identity.of(os.getpid())
        return {
            "schema": 1,
            "lab": self.folder.name,
            "runtime": self._runtime.name if self._runtime else self.settings.runtime,
            "why": self._why,
            "auth": self._access.secret is not None,
            "auth_why": self._auth_why,
            **(self._runtime.describe() if self._runtime else {}),
            "state": self.state,
            "cluster_id": self._cluster_id,
            "bootstrap_servers": self._bootstrap_servers,
            "zookeeper_connect": self._zookeeper_connect,
            "bootstrap_controllers": self._addresses("controller"),
            "mode": self.mode,
            "phase": self.migrator.phase if self.migrator else "",
            "nodes": [node.to_dict() for node in self.nodes.values()],
            "supervisor": own.to_dict() if own else None,
            "control": str(self._control),
            "kept": self.kept,
        }

    @property
    def mode(self) -> str:
        """``zookeeper``, ``kraft``, or ``migrating`` while there are both."""
        if not self.of_role("controller"):
            return "zookeeper"
        return "migrating" if self.of_role("zookeeper") else "kraft"

    def of_role(self, role: str) -> list[Node]:
        """Return the nodes of this role."""
        return [node for node in self.nodes.values() if node.spec.role == role]

    def _addresses(self, role: str) -> str:
        return ",".join(f"{topology.HOST}:{node.spec.port}" for node in self.of_role(role))

    @property
    def _bootstrap_servers(self) -> str:
        return self._addresses("broker")

    @property
    def _zookeeper_connect(self) -> str:
        return self._addresses("zookeeper")

    @property
    def zookeeper_client(self) -> dict[str, Any]:
        """What a ZooKeeper client needs to know of this lab."""
        return self._access.zookeeper(self._zookeeper_connect)

    def _write_client_files(self) -> None:
        """Write what clients of this lab are given, anew whenever there are other nodes."""
        if self._access.secret:
            machine.write_private(self.folder.login_file, self._access.jaas())
        kafka = self._access.kafka(self._bootstrap_servers)
        machine.write_private(self.folder.client_file, access.properties(kafka))
        machine.write_private(self.folder.zookeeper_client_file, json.dumps(self.zookeeper_client))

    def _write_state(self) -> None:
        if self._owns_folder():
            with contextlib.suppress(OSError):
                self.folder.write_state(self._state())

    def _owns_folder(self) -> bool:
        # Once it has been deleted, what has its name may be another supervisor's.
        return self.folder.has_lock(self._lock, "supervisor")

    # -- starting ------------------------------------------------------------------------------------

    async def _up(
        self,
        steps: Steps,
        brokers: int | None = None,
        keep: bool = False,
        overrides: dict[str, dict[str, str]] | None = None,
        runtime: str | None = None,
        auth: str = "auto",
        mode: str | None = None,
        controllers: int = 1,
    ) -> dict[str, Any]:
        """Start the lab, or say what already runs."""
        self.kept = self.kept or keep
        overrides = overrides or {}
        if self.state != "new":
            self._check_same(brokers, overrides, runtime, auth)
            self._check_mode(mode)
            return await self._status() | {"attached": True}
        runtime = runtime or self.settings.runtime
        if mode == "kraft":
            self.controllers = controllers
            self._cluster_id = kraft.new_cluster_id()
            if runtime == "auto":
                runtime = "local"
        try:
            await self._start_lab(steps, brokers or 3, overrides, runtime, auth)
        except BaseException:
            # Half a lab is of no use to anybody: take it all down, and let the next start begin afresh.
            self._finished.set()
            raise
        return await self._status() | {"attached": False}

    def _check_same(
        self,
        brokers: int | None,
        overrides: dict[str, dict[str, str]],
        runtime: str | None,
        auth: str,
    ) -> None:
        assert self._runtime is not None
        has = "on" if self._access.secret else "off"
        if auth not in ("auto", has):
            raise SettingError(
                f"The lab {self.folder.name!r} already runs with BROKERLAB_AUTH={has} and {auth} was asked for: stop it (`brokerlab stop`), then start again."
            )
        if runtime not in (None, "auto", self._runtime.name):
            raise SettingError(
                f"The lab {self.folder.name!r} already runs with runtime {self._runtime.name!r} and {runtime!r} was asked for: stop it (`brokerlab stop`), then start again."
            )
        have = sum(node.spec.role == "broker" for node in self.nodes.values())
        if brokers is not None and brokers > have:
            raise SettingError(
                f"The lab {self.folder.name!r} already runs with {have} broker{'s' if have > 1 else ''} and {brokers} were asked for: "
                "take it with brokerlab.attach() and call lab.add_broker(), or stop it (`brokerlab stop`) and start again."
            )
        for role, wanted in overrides.items():
            if any(self._overrides[role].get(key) != value for key, value in wanted.items()):
                raise SettingError(
                    f"The lab {self.folder.name!r} already runs with other {role} properties: stop it (`brokerlab stop`), then start again."
                )

    def _check_mode(self, mode: str | None) -> None:
        if mode not in (None, self.mode):
            raise SettingError(
                f"The lab {self.folder.name!r} already runs in mode {self.mode!r} and {mode!r} was asked for: stop it (`brokerlab stop`), or start another with name='other'."
            )

    async def _start_lab(
        self,
        steps: Steps,
        brokers: int,
        overrides: dict[str, dict[str, str]],
        runtime: str,
        auth: str,
    ) -> None:
        self.state = "starting"
        self._started_with = brokers
        self._overrides.update(overrides)
        machine.check_memory(brokers, controllers=self.controllers)
        machine.check_disk(self.folder.path, machine.LAB_DISK, "BROKERLAB_HOME")
        self._runtime, self._why = await asyncio.to_thread(
            choice.choose, runtime, self.settings, self.folder
        )
        if self._why:
            with steps.step(self._why):
                pass
        closed, self._auth_why = neighbours.decide(auth)
        self._access = Access.closed() if closed else Access()
        if closed:
            with steps.step(f"Clients must log in: {self._auth_why}"):
                pass
        if self.controllers and self._runtime and self._runtime.apart:
            raise SettingError(
                f"A lab without ZooKeeper runs as local processes only: leave out runtime={self._runtime.name!r}, or give runtime='local'."
            )
        if self.controllers and closed:
            raise SettingError(
                "A lab without ZooKeeper cannot ask for a password yet: set BROKERLAB_AUTH=off if you trust everybody on this machine."
            )
        ports = self._choose_ports(brokers)
        try:
            await self._start_nodes(steps, ports)
        except (NodeFailedError, PortTakenError) as error:
            if not (isinstance(error, PortTakenError) or self._failed_to_bind()):
                raise
            # Somebody took a port between our look and the node's bind: once more, elsewhere.
            await self._stop_nodes()
            self.folder.clear_nodes()
            await self._start_nodes(steps, self._choose_ports(brokers))
        self.state = "usable"
        self._write_state()

    def _failed_to_bind(self) -> bool:
        return any("Address already in use" in self._log(node) for node in self.nodes.values())

    def _choose_ports(self, brokers: int) -> Ports:
        reserved = ports_of_running_labs(self.folder.home)
        return topology.choose_ports(brokers, reserved, self.controllers)

    async def _start_nodes(self, steps: Steps, ports: Ports) -> None:
        assert self._runtime is not None
        brokers = self._started_with
        self._ports = ports
        keepers = (
            [self.plan.controller(number) for number in range(1, self.controllers + 1)]
            if self.controllers
            else [
                topology.zookeeper(
                    ports.zookeeper,
                    self._overrides["zookeeper"],
                    self._runtime.apart,
                    closed=self._access.secret is not None,
                )
            ]
        )
        specs = [*keepers, *(self._broker_spec(number) for number in range(1, brokers + 1))]
        self.nodes = {spec.name: Node(spec) for spec in specs}
        others = self.of_role("broker")
        self._write_client_files()
        await self._start_keepers(steps, keepers)
        plural = "broker" if brokers == 1 else "brokers"
        where = ", ".join(str(node.spec.port) for node in others)
        with steps.step(f"{brokers} {plural} registered, on {where}"):
            try:
                async with asyncio.TaskGroup() as starting:
                    for node in others:
                        starting.create_task(self._bring_up(steps, node))
            except ExceptionGroup as failed:
                raise failed.exceptions[0] from None
        with steps.step("a controller is elected and the group coordinator answers"):
            await self._until_coordinated(brokers)

    def _tell_brokers_whom_to_let_in(self) -> None:
        """Write the user of this lab where its brokers look for users, before there are any brokers."""
        from kazoo.client import KazooClient
        from kazoo.exceptions import KazooException, NodeExistsError
        from kazoo.handlers.threading import KazooTimeoutError
        from kazoo.retry import KazooRetry
        from kazoo.security import make_acl

        client = KazooClient(**self._access.zookeeper(self._zookeeper_connect))
        only_us = [make_acl("sasl", access.USER, all=True)]
        try:
            client.start(timeout=START_SECONDS)
            value = self._access.scram_credential().encode()
            user = f"/config/users/{access.USER}"
            # On a busy machine the connection may be lost, before or after ZooKeeper has taken it.
            again = KazooRetry(max_tries=-1, max_delay=1, deadline=START_SECONDS)
            with contextlib.suppress(NodeExistsError):
                again(client.create, user, value, acl=only_us, makepath=True)
        except (KazooException, KazooTimeoutError) as error:
            raise NodeFailedError(
                f"ZooKeeper did not take the lab's user ({error!r}): look at `brokerlab logs zookeeper`, then start again."
            ) from None
        finally:
            client.stop()
            client.close()

    async def _start_keepers(self, steps: Steps, keepers: Sequence[NodeSpec]) -> None:
        """Start those who keep the list of the brokers: ZooKeeper, or the controllers."""
        nodes = [self.nodes[spec.name] for spec in keepers]
        where = ", ".join(f"{topology.HOST}:{spec.port}" for spec in keepers)
        plural = "controllers elect their leader" if len(nodes) > 1 else "a controller leads"
        said = plural if self.controllers else "ZooKeeper serves"
        with steps.step(f"{said} on {where}"):
            for node in nodes:
                await self.launch(node)
            if self._access.secret:
                # A tenth of a second, which passes here while ZooKeeper starts.
                await asyncio.to_thread(importlib.import_module, "kazoo.client")
            for node in nodes:
                await self.until_usable(node)
            if self._access.secret:
                await asyncio.to_thread(self._tell_brokers_whom_to_let_in)

    @property
    def plan(self) -> kraft.Plan:
        """What this lab's nodes have in common where controllers decide."""
        assert self._cluster_id is not None
        return kraft.Plan(
            self.ports,
            self.controllers or 1,
            self._started_with,
            self._cluster_id,
            self._overrides["broker"],
        )

    @property
    def ports(self) -> Ports:
        """The ports that the lab's nodes have, or may have."""
        assert self._ports is not None
        return self._ports

    def _broker_spec(self, number: int) -> NodeSpec:
        assert self._runtime is not None
        if self.controllers:
            return self.plan.broker(number)
        return topology.broker(
            number,
            self.ports.of_broker(number),
            self.ports.zookeeper,
            self._started_with,
            self._overrides["broker"],
            self._runtime.apart,
            closed=self._access.secret is not None,
        )

    async def launch(self, node: Node) -> None:
        runtime = self._runtime
        assert runtime is not None
        topology.check_port_free(node.spec.name, node.spec.port)

        def start() -> None:
            folder = self.folder.node(node.spec.name)
            login = self.folder.login_file if self._access.secret else None
            node.running = runtime.start(node.spec, folder, login)

        await _to_its_end(start)
        node.state = "starting"
        self._write_state()

    async def until_usable(self, node: Node) -> None:
        port = self.ports.zookeeper
        itself = probes.KafkaProbe(self._access.kafka(f"{topology.HOST}:{node.spec.port}"))

        async def usable() -> bool:
            self._check_alive(node)
            if node.spec.role == "zookeeper":
                return await asyncio.to_thread(probes.zookeeper_serves, port)
            if node.spec.role == "controller":
                return await self._leads() and await self._answered(node)
            # In KRaft mode it is its own witness: it serves only after the controllers have let it in.
            if not node.spec.kraft and node.spec.id not in await self._in_zookeeper():
                return False
            # A broker registers before it opens its port, and serves before it knows the cluster.
            seen = await asyncio.to_thread(itself.metadata)
            return seen is not None and node.spec.id in seen.brokers

        await until(usable, START_SECONDS, f"{node.spec.name} to be usable")
        node.state = "running"
        self._write_state()

    async def _bring_up(self, steps: Steps, node: Node) -> None:
        """Start a broker and wait until it is usable.

        On a machine that is short of breath its session may expire while it starts; it then finds its own
        znode in the way and gives up. That is no fault of anybody: it is started once more.
        """
        for _ in range(STARTS):
            await self.launch(node)
            try:
                return await self.until_usable(node)
            except NodeFailedError as error:
                failed = error
                if node.state != "died" or "NodeExists" not in node.cause:
                    break
            await self._until_forgotten(steps, node)
        raise failed

    async def registered(self) -> frozenset[int]:
        """Return the ids of the brokers that belong to the cluster now, as ZooKeeper or the controllers say."""
        if self.mode == "zookeeper":
            return await self._in_zookeeper()
        seen = await self.metadata()
        return seen.brokers if seen else frozenset()

    async def metadata(self) -> probes.Metadata | None:
        """Ask the brokers what there is."""
        where = self._bootstrap_servers
        if self._probe is None or self._probe.bootstrap_servers != where:
            self._probe = probes.KafkaProbe(self._access.kafka(where))
        return await asyncio.to_thread(self._probe.metadata)

    async def _in_zookeeper(self) -> frozenset[int]:
        ids = await asyncio.to_thread(probes.registered_brokers, self.ports.zookeeper)
        return ids or frozenset()

    async def _leads(self) -> bool:
        where = self._addresses("controller").split(",")
        return await asyncio.to_thread(quorum.leader_of, where) is not None

    async def _answered(self, node: Node) -> bool:
        return await asyncio.to_thread(quorum.ask, f"{topology.HOST}:{node.spec.port}") is not None

    async def _until_coordinated(self, brokers: int) -> None:
        probe = probes.KafkaProbe(self._access.kafka(self._bootstrap_servers))
        deadline = time.monotonic() + START_SECONDS
        answers = False
        while not answers:
            for node in self.nodes.values():
                self._check_alive(node)
            if time.monotonic() > deadline:
                raise NodeFailedError(
                    f"The brokers run but no group coordinator answered within {START_SECONDS:.0f} s: look at `brokerlab logs broker-1`."
                )
            seen = await asyncio.to_thread(probe.metadata)
            if seen and len(seen.brokers) == brokers and seen.controller is not None:
                self._cluster_id = seen.cluster_id
                answers = await asyncio.to_thread(probe.coordinator_answers)

    def _check_alive(self, node: Node) -> None:
        if node.running is not None and not node.running.alive():
            self._died(node)
            raise NodeFailedError(
                f"{node.spec.name} died at its start: {node.cause} (`brokerlab logs {node.spec.name}` shows its whole log)."
            )

    def _died(self, node: Node) -> None:
        node.state, node.cause = "died", self._cause(node)
        self._write_state()

    def _log(self, node: Node) -> str:
        try:
            return (self.folder.node(node.spec.name) / "node.log").read_text("utf-8", "replace")
        except OSError:
            return ""

    def _cause(self, node: Node) -> str:
        ended = node.running.exit_code() if node.running else None
        return why_it_died(self._log(node), ended)

    # -- the verbs -----------------------------------------------------------------------------------

    async def _node(self, steps: Steps, name: str, verb: str) -> dict[str, Any]:
        """Do one thing to one node; the answer has the seconds it took."""
        node = self._named(name)
        allowed = {
            "stop": ("running", "paused"),
            "kill": ("running", "paused"),
            "pause": ("running",),
            "resume": ("paused",),
            "start": ("stopped", "killed", "died"),
        }
        if node.state not in allowed[verb]:
            possible = [v for v, states in allowed.items() if node.state in states]
            how = "has died" if node.state == "died" else f"is {node.state}"
            raise NodeFailedError(
                f"{name} {how}, so it cannot {verb}: it can {' or '.join(possible)}."
            )
        begun = time.monotonic()
        await getattr(self, f"_{verb}_node")(steps, node)
        self._write_state()
        return {"seconds": time.monotonic() - begun, "state": node.state}

    def _named(self, name: str) -> Node:
        node = self.nodes.get(name)
        if node is None:
            raise NoLabError(f"The lab has no node {name!r}: it has {', '.join(self.nodes)}.")
        return node

    async def _data(self, steps: Steps, name: str) -> str:
        """Return the path of a folder with a node's data."""
        assert self._runtime is not None
        spec = self._named(name).spec
        return str(await asyncio.to_thread(self._runtime.data, spec, self.folder.node(name)))

    async def _start_node(self, steps: Steps, node: Node) -> None:
        assert self._ports is not None
        if node.spec.role == "broker" and node.spec.kraft:
            if not await self._leads():
                raise NodeFailedError(
                    f"{node.spec.name} cannot start while most controllers are down: lab.repair() brings back all."
                )
        elif node.spec.role == "broker":
            if not await asyncio.to_thread(probes.zookeeper_serves, self.ports.zookeeper):
                raise NodeFailedError(
                    f"{node.spec.name} cannot start while ZooKeeper is {self.nodes['zookeeper'].state}: lab.repair() brings back both."
                )
            await self._until_forgotten(steps, node)
        with steps.step(f"{node.spec.name} starts"):
            await self._bring_up(steps, node)

    async def _until_forgotten(self, steps: Steps, node: Node) -> None:
        """Wait until ZooKeeper has dropped the znode of the broker's former life.

        A broker that finds its own id registered by another session gives up, and a killed broker's
        session lives on until it expires.
        """

        async def forgotten() -> bool:
            return node.spec.id not in await self._in_zookeeper()

        if not await forgotten():
            with steps.step(
                f"ZooKeeper forgets the old session of {node.spec.name} (at most {topology.ZOOKEEPER_SESSION_SECONDS:.0f} s after a kill)"
            ):
                limit = topology.ZOOKEEPER_SESSION_SECONDS + 10
                await until(forgotten, limit, f"ZooKeeper to forget {node.spec.name}")

    async def _stop_node(self, steps: Steps, node: Node) -> None:
        await self.end(node, STOP_SECONDS)
        node.state = "stopped"

    async def _kill_node(self, steps: Steps, node: Node) -> None:
        await self.end(node, 0)
        node.state = "killed"

    async def _pause_node(self, steps: Steps, node: Node) -> None:
        assert node.running is not None
        await _to_its_end(node.running.pause)
        node.state = "paused"

    async def _resume_node(self, steps: Steps, node: Node) -> None:
        assert node.running is not None
        await _to_its_end(node.running.resume)
        node.state = "running"

    async def end(self, node: Node, patience: float) -> None:
        """End a node: politely for `patience` seconds, then as a crash would."""
        running = node.running
        if running is None or not running.alive():
            return
        # From here on its end is meant, not a death to be noticed.
        node.state = "ending"
        gone = _all_gone([running])
        if patience:
            await _to_its_end(running.resume)
            await _to_its_end(running.terminate)
            with contextlib.suppress(NodeFailedError):
                await until(gone, patience, f"{node.spec.name} to stop")
        if running.alive():
            await _to_its_end(running.kill)
            await until(gone, 5, f"{node.spec.name} to end")

    async def _add_broker(self, steps: Steps) -> dict[str, Any]:
        """Let one more broker join."""
        if self.mode == "migrating":
            raise NodeFailedError(
                "No broker can join in the middle of a migration: finish its steps, then add one."
            )
        number = 1 + max(node.spec.id or 0 for node in self.of_role("broker"))
        if number > topology.MOST_BROKERS:
            raise SettingError(
                f"The lab has {topology.MOST_BROKERS} brokers, and that is all it can hold."
            )
        machine.check_memory(1)
        spec = self._broker_spec(number)
        node = Node(spec)
        topology.check_port_free(spec.name, spec.port)
        self.nodes[spec.name] = node
        try:
            await self._start_node(steps, node)
        except BrokerLabError:
            await self.end(node, 0)
            del self.nodes[spec.name]
            self._write_state()
            raise
        self._write_client_files()
        return node.to_dict()

    async def _migrate(self, steps: Steps, step: str) -> dict[str, Any]:
        """Take one step of the way from ZooKeeper to controllers."""
        assert self._runtime is not None
        if self._runtime.apart or self.folder.name == "main":
            raise NodeFailedError(
                "Only a lab of its own, of local processes, can be migrated: brokerlab.start(name='migration', runtime='local')."
            )
        if self._access.secret:
            raise NodeFailedError(
                "A lab that asks for a password cannot be migrated yet: stop it, set BROKERLAB_AUTH=off if you trust everybody on this machine, and start again."
            )
        if self.migrator is None:
            self.migrator = Migrator(self)
        begun = time.monotonic()
        changes = await self.migrator.take(steps, step)
        self._write_client_files()
        self._write_state()
        return {"seconds": time.monotonic() - begun, "changes": changes}

    async def renew(self, steps: Steps, node: Node, spec: NodeSpec) -> None:
        """Stop a node in an orderly way, and start it again with another properties file."""
        with steps.step(f"{spec.name} stops"):
            await self.end(node, STOP_SECONDS)
        node.state, node.spec = "stopped", spec
        self._write_state()
        await self._start_node(steps, node)

    async def _stop_nodes(self) -> None:
        """Stop everything: the brokers first, since they need ZooKeeper or the controllers to leave in peace."""
        self.state = "stopping"
        self._write_state()
        keepers = [*self.of_role("controller"), *self.of_role("zookeeper")]
        patience = 0.0
        if keepers and all(node.up for node in keepers) and self._runtime:
            patience = LAB_STOP_SECONDS - self._runtime.clear_seconds
        await self._end_all(self.of_role("broker"), patience)
        await self._end_all(keepers, 1)
        if self._runtime:
            try:
                await _to_its_end(self._runtime.clear)
            except DockerError as error:
                log.warning("containers are left behind: %s", error)

    async def _end_all(self, nodes: Sequence[Node], patience: float) -> None:
        ends = (self.end(node, patience) for node in nodes)
        for outcome in await asyncio.gather(*ends, return_exceptions=True):
            if isinstance(outcome, BrokerLabError):
                log.warning("a node did not end: %s", outcome)
            elif outcome is not None:
                raise outcome


async def _to_its_end(call: Callable[[], None]) -> None:
    """Make a call that may take a moment, and whose outcome must be known even if nobody waits for it any more."""
    work = asyncio.ensure_future(asyncio.to_thread(call))
    try:
        await asyncio.shield(work)
    except asyncio.CancelledError:
        await asyncio.wait([work])
        raise


def _all_gone(those: Sequence[RunningNode | Identity]) -> Callable[[], Awaitable[bool]]:
    async def gone() -> bool:
        return not any(one.alive() for one in those)

    return gone


def main(argv: list[str]) -> int:
    """Run the supervisor of the lab whose home and name are given."""
    os.umask(0o077)
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    folder = LabFolder(Path(argv[0]), argv[1])
    try:
        # Whoever waits for a former supervisor to end has the lock for a moment.
        with folder.lock("supervisor", 1, "supervising this lab") as descriptor:
            asyncio.run(_supervise(folder, descriptor))
    except LabBusyError as error:
        log.warning("%s", error)
    return 0


async def _supervise(folder: LabFolder, lock: int) -> None:
    await Supervisor(folder, settings.read(), lock).run()


if __name__ == "__main__":
    code = main(sys.argv[1:])
    # Not by way of the clients' destructors: librdkafka's has been seen to wait for ever.
    os._exit(code)
