"""Pictures that take their worker down with them: found out by the offsets' metadata, and given up.

A picture that ends the process (out of memory, a fault in a decoder) raises nothing that could be caught: the next worker begins
with it, and ends too, and so on for ever. So the first picture after an assignment is marked before it is begun, in the
metadata of a commit that does not move. Whoever is assigned the partition and finds a mark knows that a worker died there,
takes the next pictures one at a time, each marked, and gives up the one that has cost too many workers.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from brokerlab.pipeline.commits import Place

ONE_AT_A_TIME = 50
"""Pictures that are taken singly where a worker died: it may have been well past its last commit."""


class Suspects:
    """What one member knows of workers that died at its partitions."""

    def __init__(self) -> None:
        self._deaths: dict[Place, tuple[int, int]] = {}
        self._singly: dict[Place, int] = {}
        self._marked: dict[Place, int] = {}

    def assigned(self, committed: Iterable[Any]) -> None:
        """Take note of what was committed for partitions that are ours from now on, as `TopicPartition` objects."""
        for one in committed:
            place, deaths = (one.topic, one.partition), _count(one.metadata)
            self._deaths[place] = one.offset, deaths
            if deaths:
                self._singly[place] = ONE_AT_A_TIME

    def singly(self, place: Place) -> bool:
        """Whether this partition's next picture waits until the one before is finished."""
        return place in self._singly

    def begin(self, place: Place, offset: int) -> int | None:
        """Return how many workers died at this picture, so that it is marked with one more; None if it needs no mark."""
        if self.singly(place):
            self._singly[place] -= 1
            if not self._singly[place]:
                del self._singly[place]
        elif place not in self._deaths:
            return None
        at, deaths = self._deaths.pop(place, (offset, 0))
        self._marked[place] = offset
        return deaths if at == offset else 0

    def left(self, place: Place) -> int | None:
        """Forget a partition that is given back in good order; return the offset of its last mark."""
        self._deaths.pop(place, None)
        self._singly.pop(place, None)
        return self._marked.pop(place, None)


def _count(metadata: str | None) -> int:
    return int(metadata) if metadata and metadata.isdecimal() else 0
