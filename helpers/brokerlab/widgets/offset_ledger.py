"""What workers said of their records, beside what their group committed: what is done, repeated, lost."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import pairwise

Place = tuple[int, int]
"""Partition and offset."""

SAID = re.compile(r"(working|done) (\d+) (\d+)(?: |$)")


@dataclass(frozen=True)
class Work:
    """What workers have said so far.

    Attributes
    ----------
    done : mapping of (int, int) to int
        Partition and offset of a record -> how many times its work was finished.
    working : (int, int) or None
        The record that the running worker has in its hands.
    positions : mapping of int to int
        Partition -> the offset that the running worker will be handed next.
    """

    done: Mapping[Place, int] = field(default_factory=dict)
    working: Place | None = None
    positions: Mapping[int, int] = field(default_factory=dict)


def work_of(lines: Iterable[str], before: Work | None = None) -> Work:
    """Read the lines of a new worker, which say ``working PARTITION OFFSET ...`` and ``done PARTITION OFFSET ...``.

    Parameters
    ----------
    lines : iterable of str
        All other lines are passed over.
    before : Work, optional
        What earlier workers have done.
    """
    done = Counter(before.done if before else {})
    working: Place | None = None
    positions: dict[int, int] = {}
    for line in lines:
        said = SAID.match(line)
        if said is None:
            continue
        place = int(said[2]), int(said[3])
        if said[1] == "working":
            working = place
            positions[place[0]] = place[1] + 1
        else:
            working = None
            done[place] += 1
    return Work(done, working, positions)


@dataclass(frozen=True)
class Run:
    """Neighbouring records of which the same can be said.

    Attributes
    ----------
    begin, end : int
        Offsets, `end` not included.
    state : str
        ``waiting``: to be read. ``working``: in a worker's hands. ``risk``: in its hands, and committed already.
        ``done``: processed. ``again``: processed, not committed. ``missing``: committed, not processed.
        ``before``: committed before anybody looked.
    times : int
        How many times they were processed.
    """

    begin: int
    end: int
    state: str
    times: int = 0


@dataclass(frozen=True)
class Track:
    """One partition: the four places, and what became of its records.

    Attributes
    ----------
    partition : int
    low, high : int
        Log start and high watermark.
    committed, position : int or None
        Of the group; of the running worker.
    since : int
        Where the looking began: what was committed then, or the log start.
    done : mapping of int to int
        Offset -> how many times it was processed.
    working : int or None
        The offset in the running worker's hands.
    """

    partition: int
    low: int
    high: int
    committed: int | None
    position: int | None
    since: int
    done: Mapping[int, int]
    working: int | None

    @property
    def lag(self) -> int:
        """Records after the committed offset; all there are, without one."""
        return self.high - max(self.low, min(self.committed or 0, self.high))

    @property
    def missing(self) -> int:
        """Records that the group committed past although nobody processed them, or does so now."""
        end = self.committed if self.committed is not None else self.since
        accounted = {offset for offset in self.done if self.since <= offset < end}
        if self.working is not None and self.since <= self.working < end:
            accounted.add(self.working)
        return max(0, end - self.since - len(accounted))

    def runs(self) -> list[Run]:
        """Return the records from log start to high watermark as stretches of equals."""
        edges = {self.low, self.high, self.since}
        edges |= {self.committed} if self.committed is not None else set()
        edges |= {offset + n for offset in self.done for n in (0, 1)}
        edges |= {self.working, self.working + 1} if self.working is not None else set()
        inside = sorted(edge for edge in edges if self.low <= edge <= self.high)
        found: list[Run] = []
        for begin, end in pairwise(inside):
            state, times = self._state(begin)
            if found and (found[-1].state, found[-1].times) == (state, times):
                begin = found.pop().begin
            found.append(Run(begin, end, state, times))
        return found

    def _state(self, offset: int) -> tuple[str, int]:
        times = self.done.get(offset, 0)
        past = self.committed is not None and offset < self.committed
        if offset == self.working:
            return ("risk" if past and not times else "working"), times
        if times:
            return ("done" if past else "again"), times
        if not past:
            return "waiting", 0
        return ("before" if offset < self.since else "missing"), 0
