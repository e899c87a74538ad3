"""A lab's one owner: it takes requests in turn, and holds the nodes for as long as somebody needs them."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import time
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

from brokerlab.errors import DockerError, LabBusyError, NodeFailedError
from brokerlab.labfolder import LabFolder
from brokerlab.processes import Identity
from brokerlab.runtimes import choice
from brokerlab.settings import Settings
from brokerlab.supervisor import nodes, orchestration
from brokerlab.supervisor.cluster import Cluster
from brokerlab.supervisor.migrator import Migrator
from brokerlab.supervisor.protocol import Steps, serve
from brokerlab.supervisor.waiting import until_gone
from brokerlab.supervisor.wanted import Wanted

log = logging.getLogger(__name__)


class Supervisor:
    """Owns the nodes of one lab, as long as `lock` is the descriptor of its folder's ``supervisor.lock``."""

    def __init__(self, folder: LabFolder, asked: Settings, lock: int) -> None:
        self._folder = folder
        self._lock = lock
        self._settings = asked
        self._kept = False
        self._control = folder.socket_address()
        self._cluster = Cluster(folder, self._write_state)
        self._migrator = Migrator(self._cluster)
        self._changing = asyncio.Lock()
        self._change: asyncio.Task[Any] | None = None
        self._finished = asyncio.Event()
        self._answering: set[asyncio.Task[None]] = set()

    # Its life.

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
            await orchestration.stop(self._cluster)
        server.close()
        if self._answering:
            await asyncio.wait(self._answering, timeout=2)
        if self._owns_folder():
            self._folder.clear()

    async def _sweep(self) -> None:
        """End what a supervisor that died left behind: its own nodes only, by identity."""
        left = self._folder.read_state() or {}
        orphans = [
            Identity(node["pid"], node["born"])
            for node in left.get("nodes", ())
            if node.get("born")
        ]
        for orphan in orphans:
            if orphan.send(signal.SIGKILL):
                log.warning("ended a node left behind: pid %d", orphan.pid)
        await until_gone(orphans, 5, "the nodes left behind to end")
        try:
            await asyncio.to_thread(choice.sweep, self._folder)
        except DockerError as error:
            log.warning("containers may be left behind: %s", error)
        self._folder.clear()
        self._folder.clear_nodes()

    async def _watch(self) -> None:
        """Notice nodes that die, and the time when nobody needs the lab any more."""
        unused_since: float | None = None
        while True:
            await asyncio.sleep(0.25)
            if not self._owns_folder():
                log.warning("the lab's folder was deleted")
                self._finished.set()
            for node in self._cluster.nodes.values():
                if node.state in ("running", "paused") and node.gone:
                    nodes.died(self._cluster, node)
                    log.warning("%s died: %s", node.spec.name, node.cause)
            if self._kept or self._changing.locked() or self._folder.lease_holders():
                unused_since = None
            elif unused_since is None:
                unused_since = time.monotonic()
            elif time.monotonic() - unused_since >= self._settings.linger:
                log.info("nobody has used the lab for %s s", self._settings.linger)
                self._finished.set()

    def _owns_folder(self) -> bool:
        # Once it has been deleted, what has its name may be another supervisor's.
        return self._folder.has_lock(self._lock, "supervisor")

    # Requests.

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._answering.add(task)
        task.add_done_callback(self._answering.discard)
        await serve(reader, writer, self._answer, self._folder.log)

    async def _answer(self, steps: Steps, request: dict[str, Any]) -> Any:
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
            "node": partial(nodes.change, self._cluster),
            "add_broker": partial(orchestration.add_broker, self._cluster),
            "data": partial(nodes.data, self._cluster),
            "migrate": self._migrator.take,
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

    async def _up(self, steps: Steps, keep: bool = False, **asked: Any) -> dict[str, Any]:
        """Start the lab, or say what already runs."""
        wanted = Wanted(**asked)
        self._kept = self._kept or keep
        attached = self._cluster.state != "new"
        if attached:
            wanted.check_fits(self._cluster)
        else:
            try:
                await orchestration.start(self._cluster, steps, self._settings, wanted)
            except BaseException:
                # Half a lab is of no use to anybody: take it all down, and let the next start begin afresh.
                self._finished.set()
                raise
        return await self._status() | {"attached": attached}

    # What it tells.

    async def _status(self) -> dict[str, Any]:
        status = self._state() | {"leases": self._leases()}
        if self._cluster.state == "usable" and not await self._cluster.complete():
            status["state"] = "degraded"
        return status

    def _leases(self) -> list[dict[str, Any]]:
        kept = [{"pid": None, "what": "kept until `brokerlab stop`"}] if self._kept else []
        return kept + self._folder.lease_holders()

    def _state(self) -> dict[str, Any]:
        cluster, runtime = self._cluster, self._cluster.chosen_runtime
        own = Identity.of(os.getpid())
        return {
            "schema": 1,
            "lab": self._folder.name,
            "runtime": runtime.name if runtime else self._settings.runtime,
            "why": cluster.runtime_why,
            "auth": cluster.closed,
            "auth_why": cluster.access_why,
            **(runtime.describe() if runtime else {}),
            "state": cluster.state,
            "cluster_id": cluster.cluster_id,
            "bootstrap_servers": cluster.addresses("broker"),
            "zookeeper_connect": cluster.addresses("zookeeper"),
            "bootstrap_controllers": cluster.addresses("controller"),
            "mode": cluster.mode,
            "phase": self._migrator.phase,
            "nodes": [node.to_dict() for node in cluster.nodes.values()],
            "supervisor": own.to_dict() if own else None,
            "control": str(self._control),
            "kept": self._kept,
        }

    def _write_state(self) -> None:
        if self._owns_folder():
            with contextlib.suppress(OSError):
                self._folder.write_state(self._state())
