"""What this machine can give a lab: memory, disk, folders that can be used."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import psutil

from brokerlab.errors import BrokerLabError, ResourceError

MB = 1_000_000
# Measured resident memory, rounded up, with room for what a lesson adds.
CONTROLLER_MEMORY = 160 * MB
ZOOKEEPER_MEMORY = 90 * MB
BROKER_MEMORY = 180 * MB
LAB_DISK = 300 * MB


def check_platform() -> None:
    """Refuse a system on which the lab is not proven.

    Raises
    ------
    BrokerLabError
        On native Windows.
    """
    if sys.platform == "win32":
        raise BrokerLabError(
            "Kafka on native Windows cannot delete a topic without stopping the broker: open this course in WSL2, where it runs as on Linux."
        )


def available_memory() -> int:
    """Return the bytes of memory that may still be used: the machine's, or what its control group leaves."""
    free = psutil.virtual_memory().available
    for limit, usage, statistics, cache_key in _cgroup_files():
        try:
            allowed = int(limit.read_text())
            used = int(usage.read_text())
            counts = dict(line.split() for line in statistics.read_text().splitlines())
        except (OSError, ValueError):
            continue
        # The page cache counts as used and is given back when it is needed.
        free = min(free, allowed - used + int(counts.get(cache_key, 0)))
    return max(0, free)


def _cgroup_files() -> list[tuple[Path, Path, Path, str]]:
    root = Path("/sys/fs/cgroup")
    found = []
    try:
        lines = Path("/proc/self/cgroup").read_text().splitlines()
    except OSError:
        return []
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers == "":
            base, names = root, ("memory.max", "memory.current", "inactive_file")
        elif "memory" in controllers.split(","):
            base = root / "memory"
            names = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
        else:
            continue
        # A limit on any level above counts too.
        folder = base / path.lstrip("/")
        for level in [folder, *folder.parents]:
            found.append((level / names[0], level / names[1], level / "memory.stat", names[2]))
            if level == base:
                break
    return found


def needed_memory(brokers: int, controllers: int = 0) -> int:
    """Return the bytes of memory that this many brokers need, and with them so many controllers, or else ZooKeeper."""
    keepers = controllers * CONTROLLER_MEMORY or ZOOKEEPER_MEMORY
    return keepers + brokers * BROKER_MEMORY


def check_memory(brokers: int, available: int | None = None, controllers: int = 0) -> None:
    """Make sure that this many brokers fit into memory, and with them so many controllers, or else ZooKeeper.

    Raises
    ------
    ResourceError
        They do not; the sentence offers what fits.
    """
    free = available_memory() if available is None else available
    if needed_memory(brokers, controllers) <= free:
        return
    keepers = (
        f"{controllers} controller{'s' if controllers > 1 else ''}" if controllers else "ZooKeeper"
    )
    shortage = (
        f"{brokers} broker{'s' if brokers > 1 else ''} and {keepers} need {needed_memory(brokers, controllers) // MB} MB of memory "
        f"and {free // MB} MB are free"
    )
    fitting = max(
        (n for n in range(1, brokers) if needed_memory(n, controllers) <= free), default=0
    )
    if fitting:
        raise ResourceError(
            f"{shortage}: close other programs, or take a smaller lab with brokerlab.start(brokers={fitting})."
        )
    raise ResourceError(f"{shortage}: close other programs, then start again.")


def make_private_folder(folder: Path, setting: str) -> None:
    """Create a folder that only its owner can enter; one that exists keeps its permissions.

    Raises
    ------
    ResourceError
        It cannot be created or written; the sentence names the setting that moves it.
    """
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise ResourceError(
            f"The folder {folder} cannot be used ({error.strerror}): set {setting} to a folder that you may write."
        ) from None
    if not os.access(folder, os.W_OK | os.X_OK):
        raise ResourceError(
            f"The folder {folder} cannot be written: set {setting} to a folder that you may write."
        )


def write_private(file: Path, text: str) -> None:
    """Replace a file of text whole, and let only its owner read it."""
    draft = file.with_name(f".{file.name}.{os.getpid()}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as opened:
        opened.write(text)
    draft.replace(file)


def check_disk(folder: Path, needed: int, setting: str) -> None:
    """Make sure that a file system has room.

    Raises
    ------
    ResourceError
        Less than `needed` bytes are free.
    """
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise ResourceError(
            f"{folder} has {free // MB} MB of free disk and the lab needs {needed // MB} MB: free some, or set {setting} to another disk."
        )
