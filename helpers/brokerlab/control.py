"""The client's end of the supervisor: take a lease, start a supervisor where there is none, ask it."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from brokerlab import distribution, errors
from brokerlab.errors import (
    BrokerLabError,
    ImageNotFetchedError,
    LabBusyError,
    NodeFailedError,
    NoLabError,
    NotFetchedError,
)
from brokerlab.labfolder import LabFolder, Lease
from brokerlab.progress import Progress
from brokerlab.runtimes import choice, daemon
from brokerlab.settings import Settings

SPAWN_SECONDS = 20.0
# A supervisor that stops needs a few seconds; one that starts a lab on a loaded machine up to minutes.
STOPPING_SECONDS = 30.0
ANSWER_SECONDS = 180.0

_leases: dict[Path, Lease] = {}


def take_lease(folder: LabFolder) -> None:
    """Hold the lab for as long as this process lives, or until `release_lease`."""
    lease = _leases.get(folder.path)
    if lease is None or not lease.counts():
        release_lease(folder)
        folder.create()
        what = os.environ.get("JPY_SESSION_NAME") or Path(sys.argv[0]).name or "python"
        holder = {"pid": os.getpid(), "what": Path(what).name}
        _leases[folder.path] = Lease(folder, holder)


def release_lease(folder: LabFolder) -> None:
    """Stop holding the lab."""
    lease = _leases.pop(folder.path, None)
    if lease:
        lease.release()


# A forked child closes the lock it inherits, so it must not believe that it holds a lease.
os.register_at_fork(after_in_child=_leases.clear)


def up(folder: LabFolder, settings: Settings, progress: Progress, **wanted: Any) -> dict[str, Any]:
    """Start the lab or attach to it; return its status, with ``attached`` true or false.

    Raises
    ------
    BrokerLabError
        It could not be started; nothing of it is left running.
    """
    held_before = folder.path in _leases
    take_lease(folder)
    deadline = time.monotonic() + STOPPING_SECONDS
    mended = pulled = False
    try:
        while True:
            try:
                return ask(folder, progress, "up", **wanted)
            except NoLabError:
                _spawn(folder, settings, progress)
            except NotFetchedError:
                # The supervisor hashes every jar, and found one that is not what was locked.
                if mended:
                    raise
                mended = True
                distribution.prefetch(settings, progress)
            except ImageNotFetchedError:
                if pulled:
                    raise
                pulled = True
                daemon.pull(settings.image, progress)
            except LabBusyError:
                if time.monotonic() > deadline:
                    raise
                _wait_until_stopped(folder)
    except BrokerLabError:
        if not held_before:
            release_lease(folder)
        raise


def stop(folder: LabFolder) -> None:
    """Stop the lab and wait until nothing of it is left."""
    release_lease(folder)
    try:
        ask(folder, Progress(), "stop")
    except LabBusyError:
        pass
    except NoLabError:
        # A supervisor that was killed may have left containers.
        if not folder.containers_mark.exists():
            raise
        with folder.lock("supervisor", STOPPING_SECONDS, "starting this lab"):
            choice.sweep(folder)
            folder.clear()
    _wait_until_stopped(folder)


def ask(folder: LabFolder, progress: Progress, op: str, **arguments: Any) -> Any:
    """Ask the lab's supervisor and return its answer; steps go to `progress`.

    Raises
    ------
    NoLabError
        No supervisor listens.
    BrokerLabError
        What the supervisor answered.
    """
    with _connected(folder) as connection, connection.makefile("rwb") as stream:
        try:
            stream.write(json.dumps({"op": op, **arguments}).encode() + b"\n")
            stream.flush()
            for line in stream:
                message = json.loads(line)
                if "begin" in message:
                    progress.begin(message["begin"])
                elif "end" in message:
                    progress.end(message["seconds"], message["end"], message["mark"])
                elif "error" in message:
                    _close_open_step(progress)
                    raise _error(message)
                else:
                    return message["ok"]
        except TimeoutError:
            raise NodeFailedError(
                f"The supervisor of lab {folder.name!r} did not answer within {ANSWER_SECONDS:.0f} s: run `brokerlab stop --all`, then start again."
            ) from None
        except OSError:
            pass
    _close_open_step(progress)
    raise NoLabError(
        f"The supervisor of lab {folder.name!r} went away while it was asked: start the lab again."
    )


def _close_open_step(progress: Progress) -> None:
    if progress.steps and progress.steps[-1].mark == "…":
        progress.end(mark="✗")


def _error(message: dict[str, str]) -> BrokerLabError:
    kind = getattr(errors, message["error"], BrokerLabError)
    error: BrokerLabError = kind(message["message"])
    return error


@contextlib.contextmanager
def _connected(folder: LabFolder) -> Iterator[socket.socket]:
    state = folder.read_state()
    connection = socket.socket(socket.AF_UNIX)
    connection.settimeout(ANSWER_SECONDS)
    try:
        if not state:
            raise FileNotFoundError
        connection.connect(state["control"])
    except OSError:
        connection.close()
        raise NoLabError(no_lab(folder.name)) from None
    with connection:
        yield connection


def no_lab(name: str) -> str:
    """Say that there is no such lab, and how to get one."""
    which = "" if name == "main" else f" {name!r}"
    return f"No lab{which} is running: start one with `brokerlab start`, or with brokerlab.start() in a notebook."


def _spawn(folder: LabFolder, settings: Settings, progress: Progress) -> None:
    """Start a supervisor, unless somebody else is just doing it."""
    fetch_what_is_missing(settings, progress)
    with folder.lock("spawn", 60, "starting this lab"):
        if _listens(folder):
            return
        # One that is just ending still holds its lock; a new one would find it taken and give up.
        _wait_until_stopped(folder)
        folder.log.touch(mode=0o600)
        with folder.log.open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-P", "-m", "brokerlab.supervisor", folder.home, folder.name],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=folder.path,
                env={
                    **os.environ,
                    # The supervisor has another working folder, where a relative path would lead elsewhere.
                    "BROKERLAB_HOME": str(settings.home),
                    "BROKERLAB_CACHE": str(settings.cache),
                    "PYTHONUTF8": "1",
                },
                start_new_session=True,
            )
        # Reap it when it ends, so that it is no zombie child of a notebook's kernel.
        threading.Thread(target=process.wait, daemon=True).start()
        deadline = time.monotonic() + SPAWN_SECONDS
        while not _listens(folder):
            if process.poll() is not None or time.monotonic() > deadline:
                raise NodeFailedError(
                    f"The lab's supervisor did not come up ({_last_line(folder.log)}): see {folder.log}, then start again."
                )
            time.sleep(0.01)


def fetch_what_is_missing(settings: Settings, progress: Progress) -> None:
    """Fetch the jars and make the class-data archive, unless the cache has both."""
    with contextlib.suppress(NotFetchedError):
        if distribution.installed(settings).archive is not None:
            return
    distribution.prefetch(settings, progress)


def _last_line(log: Path) -> str:
    lines = log.read_text("utf-8", "replace").split("\n") if log.exists() else []
    return next((line.strip() for line in reversed(lines) if line.strip()), "it left no log")


def _listens(folder: LabFolder) -> bool:
    with contextlib.suppress(NoLabError), _connected(folder):
        return True
    return False


def _wait_until_stopped(folder: LabFolder) -> None:
    if not folder.path.is_dir():
        return
    with folder.lock("supervisor", STOPPING_SECONDS, "stopping this lab"):
        pass


def status(folder: LabFolder) -> dict[str, Any]:
    """Return the lab's status.

    Raises
    ------
    NoLabError
        There is no such lab.
    """
    answer: dict[str, Any] = ask(folder, Progress(), "status")
    return answer
