"""Folders that belong to one process, and are forgotten when it ends."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import psutil

from brokerlab import settings


def folder(kind: str) -> Path:
    """Return this process's folder for one kind of file; it may not exist yet."""
    return settings.read().home / kind / str(os.getpid())


def made(kind: str) -> Path:
    """Return it, made where it is missing, after what ended processes have left was removed."""
    mine = folder(kind)
    mine.mkdir(parents=True, exist_ok=True, mode=0o700)
    for left in mine.parent.iterdir():
        if left.name.isdigit() and not psutil.pid_exists(int(left.name)):
            shutil.rmtree(left, ignore_errors=True)
    return mine
