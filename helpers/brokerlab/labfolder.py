"""The folder of one lab: what its files are called, its state, and the locks that say who is there.

::

    BROKERLAB_HOME/labs/NAME/
        state.json        what runs, written whole or not at all
        client.properties what a Kafka client needs to know
        zookeeper.json    what a ZooKeeper client needs to know
        login.jaas        how Java logs in, if the lab asks for a password
        controllers.pem   the key of those who talk to its controllers then, if it has any
        controllers.properties  the same for Kafka's tools: it names that file
        control.sock      where the supervisor listens
        supervisor.lock   held by the supervisor as long as it lives
        spawn.lock        held by whoever is starting a supervisor
        leases/           one locked file for each process that uses the lab
        nodes/NAME/       a node's properties, log and data
        containers.mark   what its containers are labelled with, while there may be any
        supervisor.log

All locks are the operating system's: they end with the process that holds them, however it ends, so none
can be stale, and nobody has to send heartbeats that a sleeping laptop would miss.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import re
import secrets
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from brokerlab import access
from brokerlab.errors import LabBusyError, SettingError
from brokerlab.machine import make_private_folder, write_private
from brokerlab.processes import Identity

# The system's limit on the address of a local socket is 108 bytes (Linux) or 104 (macOS).
_LONGEST_ADDRESS = 100


class LabFolder:
    """The folder of the lab `name` below `home`."""

    def __init__(self, home: Path, name: str = "main") -> None:
        if not isinstance(name, str) or not re.fullmatch(r"[a-z0-9][a-z0-9-]{0,31}", name):
            raise SettingError(
                f"{name!r} cannot be the name of a lab: use up to 32 small letters, digits and hyphens, such as 'main'."
            )
        self.home = home
        self.name = name
        self.path = home / "labs" / name
        self.nodes = self.path / "nodes"
        self.leases = self.path / "leases"
        self.connect = self.path / "connect"
        self.state_file = self.path / "state.json"
        self.log = self.path / "supervisor.log"
        self.client_file = self.path / access.CLIENT
        self.zookeeper_client_file = self.path / access.ZOOKEEPER_CLIENT
        self.login_file = self.path / access.LOGIN
        self.controller_key = self.path / access.CONTROLLER_KEY
        self.controller_client_file = self.path / access.CONTROLLER_CLIENT
        self.containers_mark = self.path / "containers.mark"

    def create(self) -> None:
        """Create the folder, for its owner alone."""
        for folder in (self.home, self.home / "labs", self.path, self.nodes, self.leases):
            make_private_folder(folder, "BROKERLAB_HOME")

    def node(self, name: str) -> Path:
        return self.nodes / name

    def read_state(self) -> dict[str, Any] | None:
        """Return the state as last written, or None when there is none."""
        try:
            state = json.loads(self.state_file.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None
        return state if isinstance(state, dict) else None

    def write_state(self, state: dict[str, Any]) -> None:
        """Replace the state whole."""
        write_private(self.state_file, json.dumps(state, indent=1))

    def socket_address(self) -> Path:
        """Return where a new supervisor should listen: here, or elsewhere if this path is too long."""
        here = self.path / "control.sock"
        if len(os.fsencode(here)) <= _LONGEST_ADDRESS:
            return here
        return Path(tempfile.mkdtemp(prefix="brokerlab-")) / "control.sock"

    def clear(self) -> None:
        """Remove what only a running lab needs; the nodes' logs stay until the next start."""
        state = self.read_state()
        self.state_file.unlink(missing_ok=True)
        for file in (self.controller_key, self.controller_client_file):
            file.unlink(missing_ok=True)
        if state and "control" in state:
            control = Path(state["control"])
            control.unlink(missing_ok=True)
            if control.parent != self.path:
                with contextlib.suppress(OSError):
                    control.parent.rmdir()
        for node in self._node_folders():
            for part in ("data", "tmp"):
                shutil.rmtree(node / part, ignore_errors=True)
        shutil.rmtree(self.connect, ignore_errors=True)

    def clear_nodes(self) -> None:
        """Remove all that is left of the nodes of an earlier run, logs too."""
        for node in self._node_folders():
            shutil.rmtree(node, ignore_errors=True)

    def _node_folders(self) -> list[Path]:
        return sorted(self.nodes.iterdir()) if self.nodes.is_dir() else []

    def try_lock(self, name: str) -> int | None:
        """Take ``NAME.lock`` if nobody holds it; return the descriptor that holds it, or None."""
        descriptor = os.open(
            self.path / f"{name}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600
        )
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(descriptor)
            return None
        return descriptor

    @contextlib.contextmanager
    def lock(self, name: str, seconds: float, what: str) -> Iterator[int]:
        """Hold ``NAME.lock``, waiting for it at most `seconds`; yields the descriptor that holds it.

        Raises
        ------
        LabBusyError
            Somebody else held it all the time; the sentence says that it was for `what`.
        """
        deadline = time.monotonic() + seconds
        while (descriptor := self.try_lock(name)) is None:
            if time.monotonic() > deadline:
                raise LabBusyError(
                    f"Somebody else has been {what} for {seconds:.0f} s: wait for them, or run `brokerlab stop --all`."
                )
            time.sleep(0.02)
        try:
            yield descriptor
        finally:
            os.close(descriptor)

    def has_lock(self, descriptor: int, name: str) -> bool:
        """Whether `descriptor` is that of ``NAME.lock``, and not of a file that was deleted since."""
        return _is_at(descriptor, self.path / f"{name}.lock")

    def lease_holders(self) -> list[dict[str, Any]]:
        """Return who uses the lab, and forget those who are gone."""
        holders = []
        for file in sorted(self.leases.glob("*.json")) if self.leases.is_dir() else []:
            try:
                with file.open("r+", encoding="utf-8") as lease:
                    try:
                        fcntl.flock(lease, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    except OSError:
                        holders.append(json.load(lease))
                        continue
                    file.unlink(missing_ok=True)
            except (OSError, ValueError):
                continue
        return holders


class Lease:
    """The use of a lab by one process: an exclusive lock on a file of its own, until `release` or death."""

    def __init__(self, folder: LabFolder, holder: dict[str, Any]) -> None:
        draft = folder.leases / f".{secrets.token_hex(8)}"
        self._descriptor = os.open(draft, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        fcntl.flock(self._descriptor, fcntl.LOCK_EX)
        os.write(self._descriptor, json.dumps(holder).encode())
        # Under its final name only once it is locked: unlocked, it would be swept as somebody gone.
        self._file = draft.with_name(f"{os.getpid()}-{secrets.token_hex(4)}.json")
        draft.rename(self._file)
        self._held = True
        # A forked child would keep the lock alive beyond this process.
        os.register_at_fork(after_in_child=self._close)

    def counts(self) -> bool:
        """Whether a supervisor can still see it, since its file has not been deleted."""
        return self._held and _is_at(self._descriptor, self._file)

    def release(self) -> None:
        """Stop using the lab."""
        self._file.unlink(missing_ok=True)
        self._close()

    def _close(self) -> None:
        if self._held:
            self._held = False
            with contextlib.suppress(OSError):
                os.close(self._descriptor)


def _is_at(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except OSError:
        return False


def running_labs(home: Path) -> list[LabFolder]:
    """Return the folders of all labs of this home whose supervisor lives."""
    return [folder for folder in _labs(home) if _is_running(folder)]


def labs_with_anything(home: Path) -> list[LabFolder]:
    """Return the folders of the running labs, and of those that may have left containers."""
    return [f for f in _labs(home) if _is_running(f) or f.containers_mark.exists()]


def _labs(home: Path) -> list[LabFolder]:
    found = []
    for path in sorted((home / "labs").glob("*")):
        with contextlib.suppress(SettingError):
            found.append(LabFolder(home, path.name))
    return found


def _is_running(folder: LabFolder) -> bool:
    owner = (folder.read_state() or {}).get("supervisor")
    return owner is not None and Identity(owner["pid"], owner["born"]).alive()


def ports_of_running_labs(home: Path) -> set[int]:
    """Return the ports of all nodes of all labs of this home, whether the nodes are up or down."""
    states = (folder.read_state() or {} for folder in running_labs(home))
    return {node["port"] for state in states for node in state.get("nodes", ())}
