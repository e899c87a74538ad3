"""How fast the partitions of topics grow, in records per second, as the ends of their logs say."""

from __future__ import annotations

import json
import time
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from brokerlab.lookout import Lookout
from brokerlab.observe import PERIOD

if TYPE_CHECKING:
    from brokerlab.lab import Lab

WINDOW = 1.0
NOT_YET = "nothing is known of the logs yet"
Place = tuple[str, int]


@dataclass(frozen=True)
class FlowView:
    """How fast the logs grow at one moment.

    Attributes
    ----------
    taken : float
        Seconds since 1970.
    rates : mapping of (str, int) to float or None
        Topic and partition -> records per second over the last second or so; None where the leader does not
        tell. A record counts once its end of the log is the high watermark: every replica in sync has it.
    problem : str or None
        What could not be asked, in words.
    """

    taken: float
    rates: Mapping[Place, float | None]
    problem: str | None

    def rate(self, topic: str, partition: int) -> float | None:
        """Return the records per second of one partition; None if they are not known."""
        return self.rates.get((topic, partition))


class Gauge:
    """Makes rates of what is read off the logs, look by look.

    Parameters
    ----------
    window : float
        Seconds over which a rate is taken.
    """

    def __init__(self, window: float = WINDOW) -> None:
        self._window = window
        self._read: dict[Place, deque[tuple[float, int]]] = {}

    def read(self, clock: float, ends: Mapping[Place, int | None]) -> dict[Place, float | None]:
        """Return the rates after one more look.

        Parameters
        ----------
        clock : float
            Seconds on a clock that is never set.
        ends : mapping of (str, int) to int or None
            Topic and partition -> where the log ends; None where nobody told.
        """
        self._read = {place: self._read.get(place, deque()) for place in ends}
        return {place: self._rate(self._read[place], clock, end) for place, end in ends.items()}

    def _rate(self, known: deque[tuple[float, int]], clock: float, end: int | None) -> float | None:
        # A log that got shorter is another one, or was cut by a new leader: what was before does not count.
        if end is None or (known and (end < known[-1][1] or clock <= known[-1][0])):
            known.clear()
        if end is None:
            return None
        known.append((clock, end))
        while len(known) > 2 and known[1][0] <= clock - self._window:
            known.popleft()
        begun, began_at = known[0]
        return (end - began_at) / (clock - begun) if len(known) > 1 else None


class FlowObserver(Lookout[FlowView]):
    """Keeps looking at how fast topics grow, through a process of its own, and tells its subscribers.

    Parameters
    ----------
    lab : Lab
        Anything with `Lab.client_file`.
    topics : sequence of str, optional
        The topics; all but Kafka's own, if not given. They need not exist yet.
    period : float
        Seconds from one look to the next.
    """

    def __init__(
        self, lab: Lab, topics: Sequence[str] | None = None, period: float = PERIOD
    ) -> None:
        self._gauge = Gauge()
        super().__init__(
            "brokerlab.flowwatch",
            [str(lab.client_file), str(period), *(topics or ())],
            "watch of the logs",
            FlowView(time.time(), {}, NOT_YET),
        )

    def read(self, line: str) -> FlowView | None:
        try:
            seen = json.loads(line)
            ends = {(topic, partition): end for topic, partition, end in seen["ends"]}
            return FlowView(seen["taken"], self._gauge.read(seen["clock"], ends), seen["problem"])
        except (ValueError, KeyError, TypeError):
            return None

    def tell(self, seen: FlowView) -> str:
        return f"{len(seen.rates)} partitions are known: {seen.problem or 'they grow otherwise'}"
