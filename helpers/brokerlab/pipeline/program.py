"""What the long-running programs of the ML queue share: they say what happens in lines of JSON, and end when told to."""

from __future__ import annotations

import json
import signal
import sys
import threading
from collections.abc import Callable
from typing import Any

Say = Callable[..., None]
"""Called with the name of an event and what there is to say of it."""


def say(event: str, **details: Any) -> None:
    """Print an event as a line of JSON, at once."""
    line = json.dumps({"event": event, **details}, separators=(",", ":"), ensure_ascii=False)
    try:
        sys.stdout.write(f"{line}\n")
        sys.stdout.flush()
    except (OSError, ValueError):
        # Whoever listened is gone: work goes on all the same.
        return


def stop_on_signals() -> threading.Event:
    """Return an event that SIGTERM and SIGINT set, instead of ending the process where it stands."""
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    return stop


class Patience:
    """Waits longer after each failure, up to a limit, and from the beginning after a success."""

    def __init__(self, stop: threading.Event, first: float = 0.2, longest: float = 5.0) -> None:
        self._stop = stop
        self._first = first
        self._longest = longest
        self._next = first

    def wait(self) -> None:
        """Wait, unless the program is to end."""
        self._stop.wait(self._next)
        self._next = min(self._longest, self._next * 2)

    def restore(self) -> None:
        """Begin with the shortest wait again."""
        self._next = self._first
