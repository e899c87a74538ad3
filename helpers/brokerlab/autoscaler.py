"""An autoscaler for the workers of an ML queue: a rule says how many the lag wants, this starts and stops them.

To want more is done at once. To want fewer is done when it has been wanted for a while, since each change is a rebalance, in
which all workers wait: of what the rule said lately the largest number counts, as in Kubernetes' autoscaler.
"""

from __future__ import annotations

import math
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from brokerlab.errors import BrokerLabError, SettingError
from brokerlab.groups import GroupObserver, GroupView
from brokerlab.mlqueue import MLQueue
from brokerlab.pipeline.clients import PARTITIONS

EVERY = 0.5
"""Seconds between two decisions."""
STEADY = 5.0
"""Seconds for which fewer workers are wanted before some are stopped; Kubernetes waits for five minutes."""
MOST = 8
"""Workers that are started at most, whatever the rule says: each takes some 100 MB."""
OLD = 3.0
"""Seconds after which a lag is not known any more, and nothing is changed."""

Rule = Callable[[int], int]
"""Takes the lag; returns how many workers it wants."""


@dataclass(frozen=True)
class Decision:
    """What was decided, and from what.

    Attributes
    ----------
    at
        Seconds since the autoscaler began.
    lag
        Of the workers' group.
    wanted
        What the rule said.
    workers
        How many ran then.
    aim
        How many are to run from now on.
    """

    at: float
    lag: int
    wanted: int
    workers: int
    aim: int


class Autoscaler:
    """Looks at the lag again and again, and lets as many workers run as a rule says.

    Parameters
    ----------
    queue : MLQueue
        Its workers are started and stopped by nobody else meanwhile.
    rule : callable
        See `Rule`.
    steady : float
        See `STEADY`.
    most : int
        See `MOST`.
    observer : GroupObserver, optional
        Who looks at the workers' group and the topic of requests; one of its own, if not given.

    Attributes
    ----------
    problem : str
        Why it does not scale now, in a sentence; empty if it does.
    """

    def __init__(
        self,
        queue: MLQueue,
        rule: Rule,
        *,
        steady: float = STEADY,
        most: int = MOST,
        observer: GroupObserver | None = None,
    ) -> None:
        self.problem = ""
        self._queue, self._rule, self._most = queue, rule, most
        self._window = _Window(steady)
        self._observer = observer or watch(queue)
        self._own_observer = observer is None
        self._begun = time.monotonic()
        self._decisions: deque[Decision] = deque(maxlen=10_000)
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="autoscaler", daemon=True)
        self._thread.start()

    @property
    def decisions(self) -> tuple[Decision, ...]:
        """All that was decided so far."""
        return tuple(self._decisions)

    @property
    def changes(self) -> tuple[Decision, ...]:
        """The decisions that changed how many workers run."""
        return tuple(one for one in self._decisions if one.aim != one.workers)

    def stop(self) -> None:
        """Scale no more; the workers go on."""
        self._ended.set()
        self._thread.join()
        if self._own_observer:
            self._observer.close()

    def __enter__(self) -> Autoscaler:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def __repr__(self) -> str:
        return f"<autoscaler: {len(self._queue.workers)} workers>"

    def _run(self) -> None:
        while not self._ended.wait(EVERY):
            try:
                self._decide(self._observer.latest)
            except BrokerLabError as trouble:
                self.problem = str(trouble)

    def _decide(self, seen: GroupView) -> None:
        lag = lag_of(seen)
        if self._queue.ended:
            self.problem = "The queue has ended: make another, and another autoscaler."
            return
        if lag is None:
            self.problem = "The lag is not known: the cluster does not tell it now."
            return
        workers = len(self._queue.workers)
        wanted = asked(self._rule, lag)
        aim = self._window.aim(min(wanted, self._most), workers, time.monotonic())
        at = time.monotonic() - self._begun
        self._decisions.append(Decision(at, lag, wanted, workers, aim))
        self.problem = (
            f"The rule asks for {wanted} workers, and {self._most} are the most here: cap it."
            if wanted > self._most
            else ""
        )
        if aim != workers:
            self._queue.scale(aim)


class _Window:
    """What was wanted lately."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._recent: deque[tuple[float, int]] = deque()

    def aim(self, wanted: int, workers: int, now: float) -> int:
        """Return how many are to run: more at once, fewer when no more were wanted for so long."""
        if not self._recent:
            # Nobody knows what was wanted before; what runs was.
            self._recent.append((now, workers))
        self._recent.append((now, wanted))
        while now - self._recent[0][0] > self._seconds:
            self._recent.popleft()
        return max(wanted, min(workers, max(number for _, number in self._recent)))


def watch(queue: MLQueue, every: float = EVERY) -> GroupObserver:
    """Return an observer of the queue's workers and of the requests that wait for them."""
    return GroupObserver(queue.lab, queue.names.workers, [queue.names.requests], every)


def lag_of(seen: GroupView) -> int | None:
    """Return the lag that an observer told; None if it is not known, or not any more."""
    known = seen.spans and not seen.problem and time.time() - seen.taken <= OLD
    return seen.lag if known else None


def wanted_by(lag: int, per_worker: int = 100) -> int:
    """Return how many workers a lag wants: one for every `per_worker` pictures, one at least, one a partition at most.

    KEDA's rule for Kafka.
    """
    return max(1, min(math.ceil(lag / per_worker), PARTITIONS))


def asked(rule: Rule, lag: int) -> int:
    """Return how many workers a rule wants.

    Raises
    ------
    SettingError
        It fails, or returns something else.
    """
    try:
        wanted = rule(lag)
    except Exception as trouble:
        raise SettingError(
            f"The rule failed at a lag of {lag} ({type(trouble).__name__}: {trouble}): correct it."
        ) from trouble
    if isinstance(wanted, bool) or not isinstance(wanted, int) or wanted < 0:
        raise SettingError(
            f"The rule returned {wanted!r} at a lag of {lag}: return a whole number of workers, 0 or more."
        )
    return wanted
