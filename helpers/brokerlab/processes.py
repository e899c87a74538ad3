"""A process by identity, and one that cannot outlive its owner.

A pid alone is reused by the system, so everything that may be signalled later is remembered as an
`Identity`: the pid together with what only that process has, the moment of its birth.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import IO, Any

import psutil

_PR_SET_PDEATHSIG = 1


@dataclass(frozen=True)
class Identity:
    """One process, told apart from any later one with the same pid.

    Attributes
    ----------
    pid : int
    born : str
        When it started, in a form that never changes while it lives (not even when the clock is set).
    """

    pid: int
    born: str

    @classmethod
    def of(cls, pid: int) -> Identity | None:
        """Return the identity of the live process `pid`, or None if there is none."""
        born = _born(pid)
        return cls(pid, born) if born else None

    def alive(self) -> bool:
        """Whether this very process still runs (a zombie does not)."""
        return _born(self.pid) == self.born

    def send(self, number: int) -> bool:
        """Signal this process, never another; return whether it was there."""
        if not self.alive():
            return False
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, number)
            return True
        return False

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def _born(pid: int) -> str | None:
    try:
        if sys.platform == "linux":
            # The wall-clock create time moves when the clock is set; ticks since boot do not.
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            state, ticks = fields[0], fields[19]
            return None if state in "ZX" else f"{_boot()}-{ticks}"
        process = psutil.Process(pid)
        return None if process.status() == psutil.STATUS_ZOMBIE else str(process.create_time())
    except (OSError, IndexError, psutil.Error):
        return None


@cache
def _boot() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text()[:8]


def spawn_tied(
    argv: Sequence[str],
    *,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    stdin: int | IO[bytes] = subprocess.DEVNULL,
    stdout: int | IO[bytes] = subprocess.DEVNULL,
    stderr: int | IO[bytes] = subprocess.STDOUT,
) -> subprocess.Popen[bytes]:
    """Start a process in a session of its own that is killed when this process dies, however it dies.

    The session keeps Jupyter's "interrupt" (a SIGINT to the kernel's group) away from it. On Linux the
    system itself does the killing; elsewhere what is left is swept at the next start.
    """
    # The system ties a child to the *thread* that forked it, so all are forked by one that never ends.
    return (
        _spawner()
        .submit(
            lambda: subprocess.Popen(
                list(argv),
                cwd=cwd,
                env=dict(env) if env is not None else None,
                stdin=stdin,
                stdout=stdout,
                stderr=stderr,
                start_new_session=True,
                preexec_fn=_die_with_parent(),
            )
        )
        .result()
    )


@cache
def _spawner() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(max_workers=1, thread_name_prefix="brokerlab-spawner")


def _die_with_parent() -> Any:
    if sys.platform != "linux":
        return None
    prctl, parent = _libc().prctl, os.getpid()

    def tie() -> None:
        prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != parent:
            os._exit(1)

    return tie


@cache
def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None)


def listener_on(port: int) -> str:
    """Say who listens on a local TCP port, as far as this user may know, for an error message."""
    with contextlib.suppress(psutil.Error, OSError):
        for connection in psutil.net_connections("tcp"):
            if _is_listener(connection, port):
                if connection.pid is None:
                    break
                return f"process {connection.pid} ({psutil.Process(connection.pid).name()})"
    return "another program"


def listens(pid: int, port: int) -> bool:
    """Tell whether a process of this account listens on a local TCP port."""
    with contextlib.suppress(psutil.Error, OSError):
        found = psutil.Process(pid).net_connections("tcp")
        return any(_is_listener(connection, port) for connection in found)
    return False


def _is_listener(connection: Any, port: int) -> bool:
    return connection.status == psutil.CONN_LISTEN and tuple(connection.laddr)[1:] == (port,)
