"""What became of every photo in a run of the load bench: a ledger, written from what the processes print."""

from __future__ import annotations

import threading
import time
from bisect import bisect_right
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from statistics import fmean, linear_regression

from brokerlab.groups import GroupView

WAIT, MEMORY, KAFKA = FRONTS = ("call and wait", "queue in memory", "Kafka")
PATIENCE = 8
"""Callers give up after the time of so many photos."""
WARM_UP = 0.3
"""Part of the time in which callers come that `Run.growth` leaves out."""
SAMPLES = 60


@dataclass(frozen=True)
class Load:
    """What is asked of a bench.

    Attributes
    ----------
    front : str
        One of `FRONTS`.
    rate : float
        Calls a second, evenly spaced.
    work : float
        Seconds for which one photo keeps one core of this machine busy, when nothing else wants it.
    fetch : float
        Seconds for which a worker waits for a photo to come over the camera's line; needs no core.
    workers : int
        How many photos are worked on at the same time.
    seconds : float
        For how long callers come.
    """

    front: str = WAIT
    rate: float = 10
    work: float = 0.08
    fetch: float = 0.0
    workers: int = 1
    seconds: float = 8.0

    @property
    def patience(self) -> float:
        """Seconds after which a caller gives up."""
        return PATIENCE * (self.work + self.fetch)


@dataclass(frozen=True)
class Call:
    """One caller.

    Attributes
    ----------
    at : float
        When he called, in seconds since the first call.
    seconds : float or None
        How long until he had his answer or gave up; None while he waits.
    status : str
        ``"answered"``, ``"timed out"``, ``"failed"``, or ``"waits"``.
    done_after : float or None
        Seconds until his photo was done for the first time.
    """

    at: float
    seconds: float | None
    status: str
    done_after: float | None


@dataclass(frozen=True)
class Run:
    """A run at one moment; times in it are seconds since the first call.

    Attributes
    ----------
    taken : float
        Unix time in seconds.
    load : Load
        What was asked for.
    phase : str
        ``"starting"``, ``"arriving"``, ``"draining"`` or ``"over"``.
    at : float
        Now, or the end.
    calls : tuple of Call
        In the order in which they came.
    backlog : tuple of (float, int)
        From when on so many photos were in line or being worked on.
    kills : tuple of float
        When something was killed.
    done : int
        Photos that are done, each counted once.
    twice : int
        How often a photo was done that had been done before.
    lost : int
        Photos that were accepted and will never be done.
    service_time : float or None
        Seconds that a worker needed for a photo, on average, as measured.
    problem : str
        Why it ended early, in a sentence.
    """

    taken: float
    load: Load
    phase: str
    at: float
    calls: tuple[Call, ...] = ()
    backlog: tuple[tuple[float, int], ...] = ()
    kills: tuple[float, ...] = ()
    done: int = 0
    twice: int = 0
    lost: int = 0
    service_time: float | None = None
    problem: str = ""

    def count(self, status: str) -> int:
        """Return how many callers have this status."""
        return sum(call.status == status for call in self.calls)

    @property
    def accepted(self) -> int:
        """Callers who were answered."""
        return self.count("answered")

    @property
    def in_vain(self) -> int:
        """Photos that were done for a caller who had left."""
        left = ("timed out", "failed")
        return sum(call.done_after is not None and call.status in left for call in self.calls)

    @property
    def waiting(self) -> int:
        """Photos in line or being worked on."""
        return self.backlog[-1][1] if self.backlog else 0

    @property
    def arrival_rate(self) -> float | None:
        """Calls a second, as measured; None before the second."""
        if len(self.calls) < 2:
            return None
        return (len(self.calls) - 1) / (self.calls[-1].at - self.calls[0].at)

    @property
    def capacity(self) -> float | None:
        """Photos a second that the workers can do, by the measured service time; None without one."""
        return self.load.workers / self.service_time if self.service_time else None

    @property
    def growth(self) -> float | None:
        """Photos a second by which the backlog grew while callers came, as measured; None before there is enough."""
        if not self.calls or not self.backlog:
            return None
        end = min(self.at, self.load.seconds)
        moments = [end * (WARM_UP + (1 - WARM_UP) * n / SAMPLES) for n in range(SAMPLES + 1)]
        if end < 1:
            return None
        return linear_regression(moments, [self._backlog_at(moment) for moment in moments]).slope

    def _backlog_at(self, moment: float) -> int:
        place = bisect_right(self.backlog, (moment, float("inf")))
        return self.backlog[place - 1][1] if place else 0


class Ledger:
    """Hears the lines of the processes of a run, and says what they come to.

    Parameters
    ----------
    load : Load
        What was asked for.
    changed : callable
        Called after every entry.
    """

    def __init__(self, load: Load, changed: Callable[[], None]) -> None:
        self._load = load
        self._changed = changed
        self._lock = threading.Lock()
        self._phase, self._problem = "starting", ""
        self._first: float | None = None
        self._end: float | None = None
        self._asked: dict[str, float] = {}
        self._answers: dict[str, tuple[float, str]] = {}
        self._inside: set[str] = set()
        self._done: dict[str, float] = {}
        self._times_done = 0
        self._offsets_done: dict[int, set[int]] = {}
        self._starts: Mapping[int, int] = {}
        self._lost_offsets = 0
        self._backlog: list[tuple[float, int]] = []
        self._kills: list[float] = []
        self._served: list[float] = []
        self._entries: dict[str, Callable[..., None]] = {
            "asked": self._ask,
            "answer": self._answer,
            "in": self._come_in,
            "done": self._finish,
            "served": self._serve,
        }

    def hear(self, line: str) -> None:
        """Enter one line of a process; lines that are no entries are passed over."""
        name, *words = line.split(" ")
        entry = self._entries.get(name)
        if entry is None:
            return
        with self._lock:
            entry(*words)
        self._changed()

    def see(self, group: GroupView) -> None:
        """Enter a look at the group of the workers: its lag is the backlog."""
        with self._lock:
            if not group.spans or any(span.committed is None for span in group.spans):
                return
            moment = group.taken - time.time() + time.monotonic()
            self._note_backlog(moment, group.lag)
            self._lost_offsets = sum(
                sum(
                    offset not in self._offsets_done.get(span.partition, ())
                    for offset in range(self._starts.get(span.partition, 0), span.committed or 0)
                )
                for span in group.spans
            )
        self._changed()

    def begin_at(self, starts: Mapping[int, int]) -> None:
        """Say at which offset of each partition the run begins."""
        self._starts = dict(starts)

    def enter(self, phase: str, problem: str = "") -> None:
        """Say that a phase begins."""
        with self._lock:
            self._phase, self._problem = phase, problem
            if phase == "over":
                self._end = time.monotonic()
        self._changed()

    def killed(self) -> None:
        """Say that something was killed; what a service had in its memory is gone with it."""
        with self._lock:
            now = time.monotonic()
            self._kills.append(now)
            if self._load.front != KAFKA:
                self._inside.clear()
                self._note_backlog(now, 0)
        self._changed()

    @property
    def unanswered(self) -> int:
        """Callers who wait."""
        with self._lock:
            return len(self._asked) - len(self._answers)

    def run(self) -> Run:
        """Return the run as it is now."""
        with self._lock:
            now = time.monotonic() if self._end is None else self._end
            first = now if self._first is None else self._first
            return Run(
                taken=time.time(),
                load=self._load,
                phase=self._phase,
                at=now - first,
                calls=tuple(self._call(photo, first) for photo in self._asked),
                backlog=tuple((max(0.0, at - first), count) for at, count in self._backlog),
                kills=tuple(at - first for at in self._kills),
                done=len(self._done),
                twice=self._times_done - len(self._done),
                lost=self._lost(),
                service_time=fmean(self._served) if self._served else None,
                problem=self._problem,
            )

    def _call(self, photo: str, first: float) -> Call:
        asked, done = self._asked[photo], self._done.get(photo)
        seconds, status = self._answers.get(photo, (None, "waits"))
        return Call(asked - first, seconds, status, None if done is None else done - asked)

    def _lost(self) -> int:
        if self._load.front == KAFKA:
            return self._lost_offsets
        accepted = {photo for photo, (_, status) in self._answers.items() if status == "answered"}
        return len(accepted - self._done.keys() - self._inside)

    def _ask(self, photo: str, at: str) -> None:
        if self._first is None:
            self._first = float(at)
        self._asked[photo] = float(at)

    def _answer(self, photo: str, seconds: str, status: str) -> None:
        self._answers[photo] = (float(seconds), status.replace("-", " "))

    def _come_in(self, photo: str, at: str) -> None:
        if self._load.front != KAFKA:
            self._inside.add(photo)
            self._note_backlog(float(at), len(self._inside))

    def _finish(self, photo: str, at: str, partition: str = "", offset: str = "") -> None:
        self._done.setdefault(photo, float(at))
        self._times_done += 1
        if partition:
            self._offsets_done.setdefault(int(partition), set()).add(int(offset))
        else:
            self._inside.discard(photo)
            self._note_backlog(float(at), len(self._inside))

    def _serve(self, seconds: str) -> None:
        self._served.append(float(seconds))

    def _note_backlog(self, at: float, count: int) -> None:
        # Threads print a moment after they looked at the clock.
        latest = self._backlog[-1][0] if self._backlog else at
        self._backlog.append((max(at, latest), count))
