"""A BROKERLAB_HOME for tests: fresh, private, and empty of processes at the end."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from leftovers import containers_of, wait_until_gone

LINGER = 3
STOP_SECONDS = 15


@contextmanager
def fresh_home(runtime: str = "local") -> Iterator[Path]:
    """Set a BROKERLAB_HOME of its own, with a short path, and a runtime; at the end stop every lab in it."""
    path = Path(tempfile.mkdtemp(prefix="bl-"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BROKERLAB_HOME", str(path))
        patch.setenv("BROKERLAB_LINGER", str(LINGER))
        patch.setenv("BROKERLAB_RUNTIME", runtime)
        # Not what `auto` would make of this machine: the same everywhere, unless somebody asks for the other.
        patch.setenv("BROKERLAB_AUTH", os.environ.get("BROKERLAB_AUTH", "off"))
        try:
            yield path
        finally:
            said = stop_labs(path)
            left = wait_until_gone(path, STOP_SECONDS)
            left += containers_of(path) if runtime == "containers" else []
            shutil.rmtree(path, ignore_errors=True)
    assert not left, f"after brokerlab stop --all ({said}) these are left: {left}"


def stop_labs(home: Path) -> str:
    """Stop every lab of `home`, as a user would; return what the command had to complain of."""
    command = [sys.executable, "-m", "brokerlab.cli", "stop", "--all"]
    environ = os.environ | {"BROKERLAB_HOME": str(home)}
    stopped = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=60)
    return stopped.stderr.strip()
