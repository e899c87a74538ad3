"""What the task queues beside the ML queue have in common: the task, and workers that are killed while they work."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import asdict
from functools import cache
from pathlib import Path
from typing import Any

import psutil
from brokerlab.pipeline.detector import Detector

QUIET_SECONDS = 10.0
"""After so long without one more answer there will be none."""
LOOK_EVERY = 0.01
SEED = 6


@cache
def _detector() -> Detector:
    return Detector()


def look(picture: bytes) -> dict[str, Any]:
    """Look at a picture; return what was found, and when that was (monotonic seconds)."""
    found = [asdict(one) for one in _detector().detect(picture)]
    return {"found": found, "at": time.monotonic()}


def pictures_in(folder: Path) -> list[bytes]:
    """Return the pictures of a folder, in the order of their names."""
    return [file.read_bytes() for file in sorted(folder.iterdir())]


def kill_at_work(
    workers: Callable[[], list[psutil.Process]],
    answered: Callable[[], int],
    count: int,
    kills: int,
) -> int:
    """Kill a worker each time that another part of the pictures is answered; return how many were killed at work."""
    choice = random.Random(SEED)
    killed = 0
    for number in range(1, kills + 1):
        if _wait(answered, number * count // (kills + 1)) and answered() < count:
            choice.choice(workers()).kill()
            killed += 1
    _wait(answered, count)
    return killed


def _wait(answered: Callable[[], int], wanted: int) -> bool:
    """Wait for so many answers; return whether they came before it grew quiet."""
    last, since = -1, time.monotonic()
    while (now := answered()) < wanted:
        if now != last:
            last, since = now, time.monotonic()
        if time.monotonic() - since > QUIET_SECONDS:
            return False
        time.sleep(LOOK_EVERY)
    return True
