"""A node as a Java process on this machine."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import psutil

from brokerlab.distribution import Distribution, java_environment
from brokerlab.processes import Identity, spawn_tied
from brokerlab.runtimes import HEAPS, RunningNode
from brokerlab.tools import LOG4J, MAIN_CLASSES, login_properties
from brokerlab.topology import DATA, NodeSpec

FREEZE_LIMIT = 1.0


class LocalNode:
    """A Java process that was started by `LocalRuntime`."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process
        identity = Identity.of(process.pid)
        # A process that died at once has no birth to read any more; it is simply not alive.
        self._identity = identity or Identity(process.pid, "gone")

    def alive(self) -> bool:
        return self._process.poll() is None

    def exit_code(self) -> int | None:
        return self._process.poll()

    def describe(self) -> dict[str, Any]:
        return self._identity.to_dict() | {"container": None}

    def terminate(self) -> None:
        self._signal(signal.SIGTERM)

    def kill(self) -> None:
        self._signal(signal.SIGKILL)

    def pause(self) -> None:
        self._signal(signal.SIGSTOP)
        # One thread takes the signal when it is next scheduled, and until then the others go on.
        limit = time.monotonic() + FREEZE_LIMIT
        with contextlib.suppress(psutil.NoSuchProcess):
            while time.monotonic() < limit and not self._frozen():
                time.sleep(0.001)

    def _frozen(self) -> bool:
        status: str = psutil.Process(self._process.pid).status()
        return status == psutil.STATUS_STOPPED

    def resume(self) -> None:
        self._signal(signal.SIGCONT)

    def _signal(self, number: int) -> None:
        # Popen checks that it has not been reaped, so no stranger with the same pid is ever met.
        self._process.send_signal(number)


class LocalRuntime:
    """Starts ZooKeeper and brokers as Java processes, straight from the jars."""

    name = "local"
    apart = False
    clear_seconds = 0.0

    def __init__(self, distribution: Distribution) -> None:
        self._distribution = distribution

    def describe(self) -> dict[str, Any]:
        return {}

    def start(self, node: NodeSpec, folder: Path, login: Path | None) -> RunningNode:
        for name in (DATA, "tmp"):
            (folder / name).mkdir(parents=True, exist_ok=True)
        (folder / node.properties_file).write_text(node.properties, encoding="ascii")
        identity = folder / DATA / "meta.properties"
        if node.formatted and not identity.exists():
            identity.write_text(node.formatted, encoding="ascii")
        heap, initial = HEAPS[node.role]
        argv = self._distribution.command(
            MAIN_CLASSES[node.role],
            node.properties_file,
            heap=heap,
            initial_heap=initial,
            properties={
                "log4j.configuration": LOG4J["node"],
                "java.io.tmpdir": str(folder / "tmp"),
                **login_properties(login),
            },
        )
        with (folder / "node.log").open("ab") as log:
            process = spawn_tied(argv, cwd=folder, env=java_environment(), stdout=log)
        return LocalNode(process)

    def data(self, node: NodeSpec, folder: Path) -> Path:
        return folder / DATA

    def clear(self) -> None:
        """Do nothing: a process leaves nothing but its folder."""
