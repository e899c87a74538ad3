"""Programs that a notebook writes and runs beside itself: ``%%program NAME``, then `run`.

A consumer that is to be killed must be a process of its own, and a learner should see its code. So a cell
holds the program, and any number of processes can be started from it.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
from pathlib import Path

import psutil

from brokerlab import settings
from brokerlab.background import Background
from brokerlab.errors import SettingError

KEPT_LINES = 100_000


class Program(Background):
    """A running program; see `Background` for what can be done with it."""

    def __init__(self, file: Path, arguments: tuple[str, ...]) -> None:
        super().__init__(
            [sys.executable, "-u", str(file), *arguments],
            name=" ".join([file.name, *arguments[1:]]),
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
            keep=KEPT_LINES,
        )


def write(name: str, source: str) -> Path:
    """Keep a program's source under a name, for `run`; it is forgotten when this process ends.

    Raises
    ------
    SettingError
        The name is no plain file name that ends in ``.py``.
    SyntaxError
        The source is no Python.
    """
    if not name.endswith(".py") or Path(name).name != name or name.startswith("."):
        raise SettingError(
            f"A program is called like a Python file, and {name!r} is not: %%program worker.py."
        )
    compile(source, name, "exec")
    folder = _folder()
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    _sweep(folder.parent)
    file = folder / name
    draft = file.with_suffix(".draft")
    draft.write_text(source, encoding="utf-8")
    draft.replace(file)
    return file


def written(name: str) -> bool:
    """Tell whether a program of this name was written."""
    return (_folder() / name).is_file()


def run(name: str, *arguments: object) -> Program:
    """Start a program that was written before; it ends with this process, at the latest.

    Parameters
    ----------
    name : str
        As given to ``%%program``.
    *arguments : object
        Its command line, as text in ``sys.argv[1:]``; by custom the bootstrap servers come first.

    Raises
    ------
    SettingError
        No program of this name was written.
    """
    if not written(name):
        raise SettingError(
            f"There is no program {name!r} yet: run the cell that begins with %%program {name}."
        )
    return Program(_folder() / name, tuple(map(str, arguments)))


def _folder() -> Path:
    return settings.read().home / "programs" / str(os.getpid())


def _sweep(folder: Path) -> None:
    """Remove what processes that are gone have left."""
    for left in folder.iterdir():
        if left.name.isdigit() and not psutil.pid_exists(int(left.name)):
            shutil.rmtree(left, ignore_errors=True)


def _magic(line: str, cell: str) -> None:
    """Keep a cell as a program: ``%%program NAME``."""
    name = line.strip()
    write(name, cell)
    print(f"{name} is written: {len(cell.strip().splitlines())} lines, not running yet")


def _register() -> None:
    """Add ``%%program`` to the notebook, if this is one."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython else None
    if shell is not None:
        with contextlib.suppress(AttributeError):
            shell.register_magic_function(_magic, "cell", "program")


_register()
