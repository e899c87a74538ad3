"""Bad luck on order: something that happens at a certain step of a start, and ports that somebody else has."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from brokerlab import topology
from brokerlab.progress import Progress


class At(Progress):
    """Does something when a step begins."""

    def __init__(self, words: str, do: Callable[[], object]) -> None:
        super().__init__()
        self._words, self._do = words, do

    def begin(self, text: str) -> None:
        super().begin(text)
        if self._words in text:
            words, self._words = self._words, "\0"
            assert words
            self._do()


def take(listener: socket.socket, port: int) -> None:
    """Listen on a port; an OSError says that somebody does already."""
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind((topology.HOST, port))
    listener.listen()


@contextmanager
def stranger(port: int) -> Iterator[None]:
    """Let a program listen on a port, unless one does already."""
    with socket.socket() as listener:
        with suppress(OSError):
            take(listener, port)
        yield
