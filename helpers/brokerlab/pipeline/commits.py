"""How far each partition may be committed: to the first record whose work is not finished."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import Any

Place = tuple[str, int]
"""Topic and partition."""


class Commits:
    """Remembers which records of each partition were taken, and which of them are finished.

    Work may finish in any order; an offset is committed only when everything before it is finished.
    """

    def __init__(self) -> None:
        self._open: dict[Place, deque[int]] = {}
        self._finished: dict[Place, set[int]] = {}
        self._ready: dict[Place, int] = {}

    def __len__(self) -> int:
        """Return how many records were taken and cannot be committed yet."""
        return sum(map(len, self._open.values()))

    def take(self, place: Place, offset: int) -> None:
        """Note that work on a record begins; offsets of a partition come in order."""
        self._open.setdefault(place, deque()).append(offset)

    def finish(self, place: Place, offset: int) -> None:
        """Note that a record needs no more work; of a partition that was given away, nothing is noted."""
        waiting = self._open.get(place)
        if not waiting or offset < waiting[0]:
            return
        finished = self._finished.setdefault(place, set())
        finished.add(offset)
        while waiting and waiting[0] in finished:
            finished.discard(waiting[0])
            self._ready[place] = waiting.popleft() + 1

    def ready(self, places: Iterable[Place] | None = None) -> dict[Place, int]:
        """Hand out what can be committed, the next offset of each partition, once."""
        wanted = set(self._ready) if places is None else set(places) & set(self._ready)
        return {place: self._ready.pop(place) for place in sorted(wanted)}

    def first(self, place: Place) -> int | None:
        """Return the offset of the first record that is not finished; None if all are."""
        waiting = self._open.get(place)
        return waiting[0] if waiting else None

    def again(self, place: Place, offset: int) -> None:
        """Note that a commit failed, so that it is handed out once more; one that came later stands for it."""
        if place in self._open:
            self._ready.setdefault(place, offset)

    def forget(self, places: Iterable[Place]) -> None:
        """Drop all of these partitions: they are somebody else's now."""
        for place in places:
            for kept in (self._open, self._finished, self._ready):
                kept.pop(place, None)


def places_of(partitions: Iterable[Any]) -> list[Place]:
    """Return where these are, of `TopicPartition` objects."""
    return [(one.topic, one.partition) for one in partitions]
