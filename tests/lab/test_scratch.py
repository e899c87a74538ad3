"""Folders of one process: private, and gone with it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from brokerlab import scratch


def test_a_folder_is_private_and_what_dead_processes_left_goes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BROKERLAB_HOME", str(tmp_path))
    assert not scratch.folder("things").exists()
    left = subprocess.run(
        [
            sys.executable,
            "-c",
            "from brokerlab import scratch; made = scratch.made('things'); print(made)",
        ],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()
    assert Path(left).is_dir()
    other = tmp_path / "things" / "not-a-process"
    other.mkdir()
    mine = scratch.made("things")
    assert mine == scratch.folder("things") == tmp_path / "things" / str(os.getpid())
    assert mine.stat().st_mode & 0o777 == 0o700
    assert not Path(left).exists() and other.exists()
