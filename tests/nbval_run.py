"""How one notebook is tested: nbval, strictly, in a kernel and a BROKERLAB_HOME of its own."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest
from leftovers import wait_until_gone

HERE = Path(__file__).resolve().parent / "notebooks"
ROOT = HERE.parents[1]
SANITIZE = HERE / "sanitize.cfg"
LINGER = 3
GONE_WITHIN = LINGER + 15
CELL_SECONDS = 90
NOTEBOOK_SECONDS = 400


@dataclass(frozen=True)
class Run:
    """How a notebook did: pytest's exit code and words, and seconds."""

    code: int
    output: str
    seconds: float


def run(
    notebook: Path, variables: Mapping[str, str] | None = None, sanitize: Path = SANITIZE
) -> Run:
    """Run one notebook under nbval, with these environment variables beside those that there are."""
    command = [sys.executable, "-m", "pytest", "-p", "stop_at_first_failure", "--nbval"]
    command += ["--nbval-current-env", "--nbval-sanitize-with", str(sanitize)]
    command += ["--nbval-cell-timeout", str(CELL_SECONDS), "-p", "no:cacheprovider"]
    command += ["--rootdir", str(notebook.parent), "-c", os.devnull, "--color=no"]
    environ = os.environ | {
        "BROKERLAB_LINGER": str(LINGER),
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}",
        "PYTHONPATH": f"{HERE}{os.pathsep}{os.environ.get('PYTHONPATH', '')}",
        **(variables or {}),
    }
    begun = time.monotonic()
    done = subprocess.run(
        [*command, str(notebook)],
        env=environ,
        cwd=ROOT,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=NOTEBOOK_SECONDS,
    )
    return Run(done.returncode, done.stdout, time.monotonic() - begun)


@pytest.fixture
def run_notebook(home: Path) -> Callable[[Path], Run]:
    """Run one notebook under nbval in the fixture's home."""
    return run


@pytest.fixture
def nothing_left(home: Path) -> Callable[[], None]:
    """Assert that every process of the fixture's home ends within the linger and 15 s."""

    def wait() -> None:
        left = wait_until_gone(home, GONE_WITHIN)
        assert not left, f"left {GONE_WITHIN} s after the notebook: {left}"

    return wait
