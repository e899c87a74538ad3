"""Looks at the cluster through a process of its own: the newest look, and whoever wants to hear of it.

A request to one chosen broker can abort the whole process that asks while brokers come and go, so such questions
are asked by a module that is run beside the notebook and prints each look as a line of JSON.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Sequence
from typing import Generic, Protocol, TypeVar

from brokerlab.background import Background
from brokerlab.errors import NodeFailedError

AGAIN_AFTER = 0.5
"""Seconds until a process that ended is started again."""

SILENT = 15.0
"""Seconds without a look after which a process is taken for stuck."""


class Look(Protocol):
    """What is seen at one moment."""

    @property
    def taken(self) -> float:
        """Seconds since 1970."""


L = TypeVar("L", bound=Look)


class Lookout(Generic[L]):
    """Keeps a process that looks again and again, and tells its subscribers what it saw.

    Parameters
    ----------
    module : str
        Run with ``python -m``.
    words : sequence of str
        Its arguments.
    name : str
        What it is called in messages.
    first : look
        What there is before the first look.
    """

    def __init__(self, module: str, words: Sequence[str], name: str, first: L) -> None:
        self._argv = [sys.executable, "-m", module, *words]
        self._name = name
        self._subscribers: list[Callable[[L], None]] = []
        self._lock = threading.Lock()
        self._closing = threading.Event()
        self._latest = first
        self._heard = time.monotonic()
        self._news = threading.Condition()
        self._thread = threading.Thread(target=self._keep, name=name, daemon=True)
        self._thread.start()

    # What a subclass says.

    def read(self, line: str) -> L | None:
        """Return what a line of the process tells; None if it is no look."""
        raise NotImplementedError

    def tell(self, seen: L) -> str:
        """Return `seen` in words, for an error: a sentence without its full stop."""
        raise NotImplementedError

    # What everybody calls.

    @property
    def latest(self) -> L:
        """The newest look."""
        return self._latest

    def subscribe(self, subscriber: Callable[[L], None]) -> Callable[[], None]:
        """Call `subscriber` with every new look, on a thread of the observer; return what ends that."""
        with self._lock:
            self._subscribers.append(subscriber)

        def unsubscribe() -> None:
            with self._lock:
                if subscriber in self._subscribers:
                    self._subscribers.remove(subscriber)

        return unsubscribe

    def wait_until(self, true: Callable[[L], bool], timeout: float = 20.0, what: str = "this") -> L:
        """Wait for a look, taken from now on, of which `true` says yes; return it.

        Raises
        ------
        NodeFailedError
            There was none within `timeout` seconds.
        """
        begun, deadline = time.time(), time.monotonic() + timeout
        while True:
            seen = self._latest
            if seen.taken >= begun and true(seen):
                return seen
            left = deadline - time.monotonic()
            if left <= 0 or self._closing.is_set():
                raise NodeFailedError(f"Waited {timeout:g} s for {what}, and {self.tell(seen)}.")
            with self._news:
                self._news.wait(min(left, 0.1))

    def close(self) -> None:
        """End the looking, and its process."""
        self._closing.set()
        if threading.current_thread() is not self._thread:
            self._thread.join(10)

    def _keep(self) -> None:
        while not self._closing.is_set():
            self._heard = time.monotonic()
            watch = Background(self._argv, name=self._name, keep=5)
            watch.subscribe(self._hear)
            while watch.running and not self._closing.wait(0.1):
                if time.monotonic() - self._heard > SILENT:
                    break
            watch.kill()
            self._closing.wait(AGAIN_AFTER)

    def _hear(self, line: str) -> None:
        self._heard = time.monotonic()
        if self._closing.is_set() or (seen := self.read(line)) is None:
            return
        self._latest = seen
        with self._news:
            self._news.notify_all()
        with self._lock:
            subscribers = list(self._subscribers)
        for subscriber in subscribers:
            subscriber(seen)
