"""What is typed or run beside a lab while it runs, timed as a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence

from side import Side, SideError

COMMAND_SECONDS = 60.0

ATTACH = """\
import json, time, brokerlab
start = brokerlab.start
begun = time.monotonic()
start()
print(json.dumps(time.monotonic() - begun))
"""


def environ_of(side: Side) -> dict[str, str]:
    """Return the environment in which commands find the lab of a side."""
    return {**os.environ, **side.environ}


def attach(environ: dict[str, str]) -> tuple[float, float]:
    """Attach to a running lab from a new process; return the seconds of the call, and of the whole process."""
    seconds, output = timed([sys.executable, "-c", ATTACH], environ)
    return json.loads(output), seconds


def timed(command: Sequence[str], environ: dict[str, str]) -> tuple[float, str]:
    """Run a command to its end; return the seconds of the whole process, and what it printed."""
    begun = time.monotonic()
    done = subprocess.run(
        command, env=environ, capture_output=True, text=True, timeout=COMMAND_SECONDS
    )
    seconds = time.monotonic() - begun
    if done.returncode:
        raise SideError(f"{command[0]} failed: {done.stderr.strip()[-300:]}")
    return seconds, done.stdout
