"""From nothing to an open lab: what is fetched, and how long it takes."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import peers

LOCK = peers.ROOT / "requirements.lock"
PIP = ("-m", "pip", "--disable-pip-version-check", "-q")


@dataclass(frozen=True)
class Part:
    """A part of a first run: its seconds, and the bytes that it fetched or made."""

    name: str
    seconds: float
    fetched: int = 0
    made: int = 0


@dataclass(frozen=True)
class FirstRun:
    """The parts of a first run, in order."""

    parts: tuple[Part, ...]

    def lines(self) -> list[str]:
        parts = (*self.parts, self.total)
        width = max(len(part.name) for part in parts)
        return [
            f"{part.name:<{width}}  {part.seconds:7.1f} s"
            + (f"  {part.fetched / 1e6:7.1f} MB fetched" if part.fetched else "")
            + (f"  {part.made / 1e6:7.1f} MB made" if part.made else "")
            for part in parts
        ]

    @property
    def total(self) -> Part:
        seconds = sum(part.seconds for part in self.parts)
        return Part("from nothing to an open lab", seconds, sum(p.fetched for p in self.parts))

    def to_dict(self) -> dict[str, Any]:
        return {part.name: vars(part) for part in (*self.parts, self.total)}


def first_run() -> FirstRun:
    """Do in a folder of its own what ``make lab`` and a first cell do, and remove it again."""
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        folder = Path(name)
        packages, environment, cache = folder / "packages", folder / "venv", folder / "cache"
        python = environment / "bin" / "python"
        pip = [python, *PIP]
        parts = [
            _timed("environment", [sys.executable, "-m", "venv", environment]),
            # Apart from installing, so that the bytes can be counted.
            _timed(
                "packages fetched",
                [
                    *pip,
                    "download",
                    "--no-cache-dir",
                    "--require-hashes",
                    "-r",
                    LOCK,
                    "-d",
                    packages,
                ],
                lambda: _size(packages),
            ),
            _timed(
                "packages installed",
                [*pip, "install", "--require-hashes", "--no-index", "-f", packages, "-r", LOCK],
            ),
        ]
        helpers = str(peers.ROOT / "helpers")
        own = {"python": str(python), "PYTHONPATH": helpers, "BROKERLAB_CACHE": str(cache)}
        with peers.lab(**own) as side:
            side.wait_until_ready()
            begun = time.monotonic()
            steps = side.ask("start")["steps"]
            whole = time.monotonic() - begun
            side.ask("stop")
        fetching = _seconds(steps, "Fetching")
        making = _seconds(steps, "Making")
        parts += [
            Part("jars fetched", fetching, fetched=_size(cache / "maven")),
            Part("class-data archive made", making, made=_size(cache / "archive")),
            Part("lab started", whole - fetching - making),
        ]
        return FirstRun(tuple(parts))


def _timed(name: str, command: list[Any], fetched: Callable[[], int] = lambda: 0) -> Part:
    begun = time.monotonic()
    subprocess.run(command, check=True, env={**os.environ, "PIP_NO_INPUT": "1"})
    return Part(name, time.monotonic() - begun, fetched())


def _seconds(steps: list[dict[str, Any]], first_word: str) -> float:
    return sum(step["seconds"] for step in steps if step["step"].startswith(first_word))


def _size(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
