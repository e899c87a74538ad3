"""Groups and member processes without a cluster, for the tests of the assignment board."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from brokerlab.errors import NodeFailedError
from brokerlab.groups import GroupView, Member, Span

TOPIC = "photos"
GROUP = "recognisers"
NOW = time.time()


def view(
    state: str | None = "STABLE",
    shares: Mapping[str, Sequence[int]] | None = None,
    *,
    at: float = 0.0,
    partitions: int = 3,
    problem: str | None = None,
) -> GroupView:
    """Return a group: member -> its partitions; `at` in seconds from when the tests began."""
    members = tuple(
        Member(f"{name}-5f2c", name, tuple((TOPIC, number) for number in numbers))
        for name, numbers in (shares or {}).items()
    )
    spans = tuple(Span(TOPIC, n, 0, 120 + n, 100 + 5 * n) for n in range(partitions))
    return GroupView(NOW + at, GROUP, state, members, spans, problem)


class FakeGroupObserver:
    """Shows the group that it is told to show."""

    def __init__(self, latest: GroupView | None = None) -> None:
        self.latest = latest or view(None, problem="nothing is known of the group yet")
        self.callbacks: list[Callable[[GroupView], None]] = []
        self.closed = False

    def subscribe(self, callback: Callable[[GroupView], None]) -> Callable[[], None]:
        self.callbacks.append(callback)
        return lambda: self.callbacks.remove(callback)

    def show(self, latest: GroupView) -> None:
        self.latest = latest
        for callback in tuple(self.callbacks):
            callback(latest)

    def close(self) -> None:
        self.closed = True


class FakeProgram:
    """A process that prints what a test makes it print."""

    def __init__(self, *words: Any) -> None:
        self.words = tuple(map(str, words))
        self.exit_code: int | None = None
        self.pid = 0
        self.done: list[str] = []
        self._listeners: list[Callable[[str], None]] = []

    @property
    def running(self) -> bool:
        return self.exit_code is None

    def subscribe(self, listener: Callable[[str], None]) -> Callable[[], None]:
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener)

    def say(self, *lines: str) -> None:
        for line in lines:
            for listener in self._listeners:
                listener(line)

    def stop(self, timeout: float = 5.0) -> int:
        self.done.append("stop")
        self.exit_code = 0
        return 0

    def kill(self) -> int:
        self.done.append("kill")
        self.exit_code = -signal.SIGKILL
        return self.exit_code

    def pause(self) -> None:
        self.done.append("pause")

    def resume(self) -> None:
        if "stuck" in self.words:
            raise NodeFailedError("it cannot go on.")
        self.done.append("resume")
