"""A process that runs beside the notebook: what is written to it is typed, what it prints is kept."""

from __future__ import annotations

import signal
import subprocess
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import psutil

from brokerlab.errors import NodeFailedError
from brokerlab.processes import spawn_tied

# A JVM that is asked to end does so by itself, with the second of these.
_ENDINGS = {0: "stopped", 128 + signal.SIGTERM: "stopped", -signal.SIGKILL: "killed"}


class Background:
    """A process that ends when it is stopped and when this process ends, however it ends.

    Parameters
    ----------
    argv : sequence of str
        The command line.
    name : str
        What it is called in messages.
    cwd : Path, optional
        Its working folder.
    env : mapping, optional
        Its whole environment.
    keep : int
        How many lines of output to keep.
    """

    def __init__(
        self,
        argv: Sequence[str],
        *,
        name: str,
        cwd: Path | None = None,
        env: Mapping[str, str] | None = None,
        keep: int = 1000,
    ) -> None:
        self._name = name
        self._process = spawn_tied(
            argv, cwd=cwd, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        self._lines: deque[str] = deque(maxlen=keep)
        self._changed = threading.Condition()
        self._listeners: list[Callable[[str], None]] = []
        self._reader = threading.Thread(target=self._read, name=name, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for raw in self._process.stdout:
            line = raw.decode("utf-8", "replace").rstrip("\r\n")
            with self._changed:
                self._lines.append(line)
                listeners = list(self._listeners)
                self._changed.notify_all()
            for listener in listeners:
                listener(line)
        self._process.wait()
        with self._changed:
            self._changed.notify_all()

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    @property
    def lines(self) -> tuple[str, ...]:
        """What it has printed so far, standard output and standard error together."""
        with self._changed:
            return tuple(self._lines)

    @property
    def running(self) -> bool:
        """Whether it still runs."""
        return self._process.poll() is None

    @property
    def exit_code(self) -> int | None:
        """Its exit code, or None while it runs."""
        return self._process.poll()

    @property
    def state(self) -> str:
        """``running``, ``paused``, ``stopped``, ``killed`` or ``died``, as a node's of the lab."""
        if self.running:
            with suppress(psutil.NoSuchProcess):
                if psutil.Process(self.pid).status() == psutil.STATUS_STOPPED:
                    return "paused"
            return "running"
        return _ENDINGS.get(self.exit_code or 0, "died")

    def subscribe(self, listener: Callable[[str], None]) -> Callable[[], None]:
        """Call `listener` with every new line, on the thread that reads; return what ends that."""
        with self._changed:
            self._listeners.append(listener)

        def unsubscribe() -> None:
            with self._changed:
                if listener in self._listeners:
                    self._listeners.remove(listener)

        return unsubscribe

    def write(self, line: str) -> None:
        """Type a line, and Enter.

        Raises
        ------
        NodeFailedError
            It has ended.
        """
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(f"{line}\n".encode())
            self._process.stdin.flush()
        except OSError:
            raise NodeFailedError(
                f"{self._name} has ended, so nothing can be typed: start it again."
            ) from None

    def wait_for(self, text: str, timeout: float = 30.0) -> str:
        """Wait until a line holds `text`; return the line.

        Raises
        ------
        NodeFailedError
            It has not come within `timeout` seconds, or the process ended without it.
        """
        deadline = time.monotonic() + timeout
        with self._changed:
            while True:
                for line in self._lines:
                    if text in line:
                        return line
                left = deadline - time.monotonic()
                if not self.running and not self._reader.is_alive():
                    raise NodeFailedError(
                        f"{self._name} ended without printing {text!r}; its last line: {self._last()}"
                    )
                if left <= 0:
                    raise NodeFailedError(
                        f"{self._name} has not printed {text!r} within {timeout:.0f} s; its last line: {self._last()}"
                    )
                self._changed.wait(min(left, 0.1))

    def _last(self) -> str:
        return self._lines[-1] if self._lines else "none"

    def wait(self, timeout: float = 30.0) -> int:
        """Wait until it ends by itself; return its exit code.

        Raises
        ------
        NodeFailedError
            It still runs after `timeout` seconds.
        """
        try:
            code = self._process.wait(timeout)
        except subprocess.TimeoutExpired:
            raise NodeFailedError(
                f"{self._name} still runs after {timeout:.0f} s; stop() ends it."
            ) from None
        self._reader.join(5)
        return code

    def stop(self, timeout: float = 5.0) -> int:
        """End it in an orderly way (SIGTERM), or after `timeout` seconds by force; return its exit code."""
        self._process.terminate()
        try:
            self._process.wait(timeout)
        except subprocess.TimeoutExpired:
            self._process.kill()
        return self._ended()

    def kill(self) -> int:
        """End it as a crash would (SIGKILL); return its exit code."""
        self._process.kill()
        return self._ended()

    def _ended(self) -> int:
        code = self._process.wait()
        self._reader.join(5)
        if self._process.stdin:
            self._process.stdin.close()
        return code

    def pause(self) -> None:
        """Freeze it (SIGSTOP)."""
        psutil.Process(self._process.pid).suspend()

    def resume(self) -> None:
        """Let it go on (SIGCONT)."""
        psutil.Process(self._process.pid).resume()

    def __repr__(self) -> str:
        return f"<{self._name}: {'running' if self.running else 'ended'}>"
