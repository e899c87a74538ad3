"""What tests of a lab share: its folders, and one lab for those that leave it as they found it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from brokerlab import settings
from leftovers import wait_until_gone

LINGER = 3
STOP_SECONDS = 15


@contextmanager
def fresh_home() -> Iterator[Path]:
    """Set a BROKERLAB_HOME of its own, with a short path; at the end stop every lab in it."""
    path = Path(tempfile.mkdtemp(prefix="bl-"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BROKERLAB_HOME", str(path))
        patch.setenv("BROKERLAB_LINGER", str(LINGER))
        try:
            yield path
        finally:
            stop = [sys.executable, "-m", "brokerlab.cli", "stop", "--all"]
            environ = os.environ | {"BROKERLAB_HOME": str(path)}
            stopped = subprocess.run(stop, env=environ, capture_output=True, text=True, timeout=60)
            left = wait_until_gone(path, STOP_SECONDS)
            shutil.rmtree(path, ignore_errors=True)
    assert not left, f"after brokerlab stop --all ({stopped.stderr.strip()}) these are left: {left}"


@pytest.fixture(scope="session")
def cache() -> Path:
    """The folder of the jars: the machine's own, or BROKERLAB_CACHE."""
    return settings.read().cache


@pytest.fixture
def home() -> Iterator[Path]:
    """A fresh BROKERLAB_HOME for one test."""
    with fresh_home() as path:
        yield path


@pytest.fixture(scope="session")
def lab(cache: Path) -> Iterator[Any]:
    """A lab of three brokers for the whole session: leave it as you found it."""
    import brokerlab

    with fresh_home():
        started = brokerlab.start(brokers=3)
        yield started
        started.stop()
