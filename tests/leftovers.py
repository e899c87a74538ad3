"""Which processes, containers and networks still belong to a BROKERLAB_HOME."""

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path

import psutil


def processes_of(home: Path) -> list[str]:
    """Return pid and command line of the processes that were started for a lab in `home`."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.pid != os.getpid() and process.environ().get("BROKERLAB_HOME") == str(home):
                found.append(f"{process.pid} {' '.join(process.cmdline())[:200]}")
        except psutil.Error:
            continue
    return found


def containers_of(home: Path) -> list[str]:
    """Return the name of each container, running or not, and each network of the labs in `home`."""
    label = f"--filter=label=brokerlab.home={home}"
    listings = (["ps", "--all", "--format={{.Names}}"], ["network", "ls", "--format={{.Name}}"])
    return [
        name
        for listing in listings
        for name in subprocess.run(
            ["docker", *listing, label], capture_output=True, text=True, check=True, timeout=30
        ).stdout.split()
    ]


def wait_until_gone(home: Path, seconds: float) -> list[str]:
    """Wait until no process of `home` is left; return those that still are after `seconds`."""
    limit = time.monotonic() + seconds
    while (left := processes_of(home)) and time.monotonic() < limit:
        time.sleep(0.1)
    return left
