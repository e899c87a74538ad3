"""One side of a comparison: a cluster, started and stopped by a process of its own."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import secrets
import shutil
import subprocess
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import psutil

MARK = "BROKERLAB_BENCHMARK"
READY_SECONDS = 60.0
ANSWER_SECONDS = 120.0
END_SECONDS = 10.0


class SideError(Exception):
    """A side did not do what it was told; the sentence holds the end of what it printed."""


class Side:
    """A process of ``sides/``, everything that it starts, and a folder that ends with it.

    Everything is found again by a mark in its environment, which children inherit whatever session or
    parent they have.

    Parameters
    ----------
    name : str
        What it is called in messages.
    argv : sequence of str
        The command.
    environ : mapping of str to str
        What is added to this process's environment; ``{folder}`` stands for the side's folder.

    Attributes
    ----------
    folder : pathlib.Path
    environ : dict of str to str
        What was added.
    """

    def __init__(self, name: str, argv: Sequence[str], environ: Mapping[str, str]) -> None:
        self.name = name
        self.folder = Path(tempfile.mkdtemp(prefix="bench-"))
        self._mark = secrets.token_hex(8)
        self._answers: queue.Queue[str | None] = queue.Queue()
        self._log = self.folder / "side.log"
        self.environ = {key: value.format(folder=self.folder) for key, value in environ.items()}
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                argv,
                cwd=self.folder,
                env={**os.environ, **self.environ, MARK: self._mark},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                start_new_session=True,
                text=True,
            )
        threading.Thread(target=self._read, daemon=True).start()

    def __enter__(self) -> Side:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.end()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._answers.put(line)
        self._answers.put(None)

    def wait_until_ready(self) -> None:
        """Wait until the side has imported everything.

        Raises
        ------
        SideError
            It has not within `READY_SECONDS`.
        """
        self._answer("get ready", READY_SECONDS)

    def ask(self, command: str) -> Any:
        """Give a command and return the answer.

        Raises
        ------
        SideError
            It failed, or did not answer within `ANSWER_SECONDS`.
        """
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(f"{command}\n")
            self._process.stdin.flush()
        except OSError:
            raise SideError(self._failure(command)) from None
        return self._answer(command, ANSWER_SECONDS)

    def _answer(self, command: str, seconds: float) -> Any:
        try:
            line = self._answers.get(timeout=seconds)
        except queue.Empty:
            raise SideError(f"{self._failure(command)} (waited {seconds:.0f} s)") from None
        if line is None:
            raise SideError(self._failure(command))
        return json.loads(line)

    def _failure(self, command: str) -> str:
        lines = self._log.read_text("utf-8", "replace").splitlines()
        return f"{self.name} did not {command}: {' / '.join(lines[-3:]) or 'it printed nothing'}"

    def processes(self) -> list[psutil.Process]:
        """Return the processes of this side that live."""
        found = []
        for process in psutil.process_iter():
            try:
                zombie = process.status() == psutil.STATUS_ZOMBIE
                if not zombie and process.environ().get(MARK) == self._mark:
                    found.append(process)
            except (psutil.Error, OSError):
                continue
        return found

    def jvms(self) -> list[psutil.Process]:
        """Return the JVMs of this side."""
        return [process for process in self.processes() if process.name() == "java"]

    def end(self) -> None:
        """End whatever still lives of this side, and remove its folder.

        Raises
        ------
        SideError
            Something outlived `END_SECONDS`.
        """
        assert self._process.stdin is not None
        deadline = time.monotonic() + END_SECONDS
        while left := self.processes():
            if time.monotonic() > deadline:
                raise SideError(f"{self.name} left processes behind: {[p.pid for p in left]}")
            for process in left:
                # psutil compares birth times, so a pid that has been given away is not met.
                with contextlib.suppress(psutil.NoSuchProcess):
                    process.kill()
            psutil.wait_procs(left, timeout=0.2)
        self._process.wait(END_SECONDS)
        # It may have been ended with a command still unread.
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()
        shutil.rmtree(self.folder, ignore_errors=True)


def resident_memory(processes: Sequence[psutil.Process]) -> tuple[float, float | None]:
    """Return resident and proportional memory of all together, in MB.

    The second is None where the system does not tell it. It counts a page that several share once.
    """
    resident = sum(process.memory_info().rss for process in processes)
    try:
        proportional = sum(process.memory_full_info().pss for process in processes)
    except (AttributeError, psutil.Error):
        return resident / 1e6, None
    return resident / 1e6, proportional / 1e6
