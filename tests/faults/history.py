"""A checker of loss: what became of every request, from the sender's own notes and from what is in the log.

It shares no code with what it checks. A request is invoked, then acknowledged or refused, or its fate stays
unknown; later it is seen so many times. Only what was acknowledged has to be there.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from confluent_kafka import KafkaError, Message, Producer

TICK = 0.01
FLUSH_SECONDS = 60.0


@dataclass
class History:
    """When each request, by its number, was invoked and answered; in seconds of a monotonic clock."""

    invoked: dict[int, float] = field(default_factory=dict)
    acknowledged: dict[int, float] = field(default_factory=dict)
    refused: dict[int, str] = field(default_factory=dict)

    @property
    def unknown(self) -> set[int]:
        """Invoked, and neither acknowledged nor refused."""
        return self.invoked.keys() - self.acknowledged.keys() - self.refused.keys()

    @property
    def slowest(self) -> float:
        """Seconds of the longest way from being invoked to being acknowledged."""
        return max(at - self.invoked[number] for number, at in self.acknowledged.items())

    @property
    def longest_pause(self) -> float:
        """Seconds of the longest time in which nothing was acknowledged."""
        moments = sorted(self.acknowledged.values())
        return max(after - before for before, after in pairwise(moments))


@dataclass(frozen=True)
class Verdict:
    """What the history comes to, beside what was seen.

    Attributes
    ----------
    lost : tuple of int
        Acknowledged, and not seen.
    duplicated : tuple of int
        Seen more than once.
    invented : tuple of int
        Seen, and never invoked.
    """

    lost: tuple[int, ...]
    duplicated: tuple[int, ...]
    invented: tuple[int, ...]


def judge(history: History, seen: Iterable[int]) -> Verdict:
    """Compare a finished history with the numbers that were seen, each as often as it was."""
    times = Counter(seen)
    return Verdict(
        lost=tuple(sorted(history.acknowledged.keys() - times.keys())),
        duplicated=tuple(sorted(number for number, count in times.items() if count > 1)),
        invented=tuple(sorted(times.keys() - history.invoked.keys())),
    )


class Sender:
    """Sends numbered requests at a steady rate from a thread of its own, and keeps their history.

    Parameters
    ----------
    client : mapping
        As `Lab.client`.
    topic : str
    per_second : float
    count : int
        It ends after so many.
    **settings : Any
        Of the producer.
    """

    def __init__(
        self, client: Mapping[str, Any], topic: str, per_second: float, count: int, **settings: Any
    ) -> None:
        self.history = History()
        self._producer = Producer({**client, "log_level": 0, **settings})
        self._topic, self._rate, self._count = topic, per_second, count
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._send_all, daemon=True)
        self._thread.start()

    def _send_all(self) -> None:
        begun = time.monotonic()
        number = 0
        while number < self._count and not self._stop.is_set():
            while number < min(self._count, (time.monotonic() - begun) * self._rate):
                self.history.invoked[number] = time.monotonic()
                self._producer.produce(
                    self._topic, str(number), key=str(number), on_delivery=self._answered
                )
                number += 1
            self._producer.poll(TICK)

    def _answered(self, error: KafkaError | None, message: Message) -> None:
        number = int(message.value() or b"")
        if error is None:
            self.history.acknowledged[number] = time.monotonic()
        else:
            self.history.refused[number] = error.name()

    def acknowledged(self) -> int:
        """Return how many are acknowledged so far."""
        return len(self.history.acknowledged)

    def finish(self, seconds: float = 300.0) -> History:
        """Wait until all are sent and answered; return their history."""
        self._thread.join(seconds)
        assert not self._thread.is_alive(), f"after {seconds:g} s it is still sending"
        assert self._producer.flush(FLUSH_SECONDS) == 0, "some requests have no answer"
        return self.history

    def end(self) -> None:
        """Send no more, whatever is still to be sent."""
        self._stop.set()
        self._thread.join(10)
