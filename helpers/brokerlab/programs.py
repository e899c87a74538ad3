"""Programs that a notebook writes and runs beside itself: ``%%program NAME``, then `run`.

A consumer that is to be killed must be a process of its own, and a learner should see its code. So a cell
holds the program, and any number of processes can be started from it.
"""

from __future__ import annotations

import contextlib
import os
import sys
from pathlib import Path

from brokerlab import scratch
from brokerlab.background import Background
from brokerlab.errors import SettingError

KEPT_LINES = 100_000
_KIND = "programs"


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
    file = scratch.made(_KIND) / name
    draft = file.with_suffix(".draft")
    draft.write_text(source, encoding="utf-8")
    draft.replace(file)
    return file


def written(name: str) -> bool:
    """Tell whether a program of this name was written."""
    return (scratch.folder(_KIND) / name).is_file()


def run(name: str, *arguments: object) -> Program:
    """Start a program that was written before; it ends with this process, at the latest.

    Parameters
    ----------
    name : str
        As given to ``%%program``.
    *arguments : object
        Its command line, as text in ``sys.argv[1:]``; by custom `Lab.client_file` comes first.

    Raises
    ------
    SettingError
        No program of this name was written.
    """
    if not written(name):
        raise SettingError(
            f"There is no program {name!r} yet: run the cell that begins with %%program {name}."
        )
    return Program(scratch.folder(_KIND) / name, tuple(map(str, arguments)))


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
