"""Exercises of lesson 15: a pile drained within a budget of workers, and a backlog that never makes anybody wait too long."""

from __future__ import annotations

import re
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from types import FunctionType
from typing import Any

import httpx
from confluent_kafka import Consumer, TopicPartition

from brokerlab.autoscaler import Autoscaler, asked, watch
from brokerlab.errors import NodeFailedError, SettingError
from brokerlab.exercises.engine import Exercise, Fact, demand_whole
from brokerlab.mlqueue import MLQueue
from brokerlab.pipeline.audit import Audit
from brokerlab.pipeline.camera import FASTEST, Camera
from brokerlab.pipeline.scenes import scene
from brokerlab.pipeline.store import Job

LOOK_EVERY = 0.05
SECONDS = 5.0

PILE = 3000
SMALL = 256
BUDGET = 3
AT_MOST = 0.8
"""Of what the learner's workers did, one worker beside them may have done so much: beside two it is half."""
DRAIN_SECONDS = 100.0
STEADY = 2.0
DOWN_SECONDS = 20.0
UP_SECONDS = 30.0
DRAIN, BESIDE = "drain", "drain-beside"

LARGE = 640
LONGEST = 6.0
"""Seconds that an accepted picture may wait."""
LINE = 8
"""Pictures in line at least, by Little's law: with fewer the worker has gaps."""
OVERLOADS = (3.0, 6.0)
"""Times as many pictures as one worker does; more only if the worker got so much faster that this was no overload."""
OVERLOAD_SECONDS = 4.0
WARM = 30
AFTERWARDS = 20.0
MOST = 100_000
REFUSE = "refuse"


@cache
def drawn(size: int) -> tuple[bytes, ...]:
    """Return a few pictures, which are sent again and again."""
    return tuple(scene(15, number, size).picture for number in range(24))


@dataclass(frozen=True)
class _Drain:
    """What became of the pile under the learner's rule."""

    audit: Audit
    problem: str
    most_wanted: int
    names: tuple[str, ...]
    beside: float
    """What one worker did meanwhile, as a share of what the learner's did."""
    left_working: int


class WithinABudget(Exercise):
    """The learner's rule decides how many workers drain a pile, beside a queue with one worker."""

    title = f"Drain {PILE:,} with {BUDGET} workers at most"
    answer_type = FunctionType
    deadline = 240.0
    patience = 0.0
    hints = (
        "The check calls your function with the lag, twice a second: `rule(3000)`, a moment later perhaps `rule(2700)`, and in "
        "the end `rule(0)`. What should it return for each?",
        "Round up: of 40 pictures that wait, none may be left without a worker. And never more than the budget.",
        f"`max(1, min(math.ceil(lag / 100), {BUDGET}))`: a worker for every hundred, {BUDGET} at most, one at least.",
    )

    def attempted(self, lab: Any, answer: Any) -> bool:
        return True

    def facts(self, lab: Any, answer: Any) -> Iterator[Fact]:
        sound = list(_asked_beforehand(answer))
        yield from sound
        if not all(fact.ok for fact in sound):
            return
        demand_whole(lab)
        seen = _drained(lab, answer)
        yield Fact("and it did so to the end", not seen.problem, seen.problem)
        yield Fact(
            f"never more than {BUDGET} were wanted, and never more worked",
            seen.most_wanted <= BUDGET and len(seen.names) <= BUDGET,
            f"It wanted {seen.most_wanted}: min() caps it at the budget, {BUDGET}, whatever the lag.",
        )
        left = PILE - seen.audit.done
        yield Fact(
            f"all {PILE:,} are done, each once, and none is missing",
            left == 0 and seen.audit.sound,
            f"{left:,} were left after {DRAIN_SECONDS:.0f} s: is this machine very busy? Check again.",
        )
        yield Fact(
            "they were clearly faster than one worker alone, who drained a pile beside them",
            seen.beside <= AT_MOST,
            "That one was as fast: a lag of thousands has to bring up more workers. Let fewer pictures be enough for one more.",
        )
        yield Fact(
            "afterwards one worker is left, for the next picture",
            seen.left_working == 1,
            f"{seen.left_working} still worked {DOWN_SECONDS:.0f} s later: at a lag of 0 your rule should want 1.",
        )


def _asked_beforehand(rule: Any) -> Iterator[Fact]:
    """Yield what can be told without a pile."""
    try:
        wanted = {lag: asked(rule, lag) for lag in (PILE, PILE // 2, 99, 1, 0)}
    except SettingError as trouble:
        yield Fact("your rule returns a number of workers for every lag", False, str(trouble))
        return
    yield Fact("your rule returns a number of workers for every lag", True, "")
    most = max(wanted.values())
    yield Fact(
        f"it wants {BUDGET} at most",
        most <= BUDGET,
        f"At a lag of {max(wanted, key=lambda lag: wanted[lag]):,} it wants {most}: the budget is {BUDGET}, whatever the lag. min() caps it.",
    )
    starved = [lag for lag, count in wanted.items() if lag and not count]
    yield Fact(
        "while pictures wait it wants 1 at least",
        not starved,
        f"At a lag of {min(starved, default=0)} it wants none, so the last pictures would wait for ever: round up, with math.ceil.",
    )
    yield Fact(
        "when none wait it wants 1",
        wanted[0] == 1,
        f"At a lag of 0 it wants {wanted[0]}: without a worker the next picture would wait for one to start, and more than one "
        "cost memory for nothing. max(1, ...) keeps one.",
    )


def _drained(lab: Any, rule: Any) -> _Drain:
    with MLQueue(lab, DRAIN) as queue, MLQueue(lab, BESIDE) as beside, watch(queue) as observer:
        _pile_up(queue)
        _pile_up_beside(beside)
        queue.start("collector")
        observer.wait_until(lambda seen: seen.lag == PILE, 30, "the pile to be in the topic")
        beside.start("worker-1")
        with (
            Autoscaler(queue, rule, steady=STEADY, most=BUDGET + 1, observer=observer) as scaler,
            _results(beside) as beside_done,
        ):
            share = _race(queue, scaler, beside_done)
            beside.kill("worker-1")
            _wait(lambda: len(queue.workers) == 1, scaler, DOWN_SECONDS)
            return _Drain(
                queue.audit(),
                scaler.problem,
                max([one.wanted for one in scaler.decisions], default=0),
                tuple(sorted({str(job.worker) for job in _jobs(queue) if job.worker})),
                share,
                len(queue.workers),
            )


def _race(queue: MLQueue, scaler: Autoscaler, beside_done: Callable[[], int]) -> float:
    """Wait until the pile is done; return what the worker beside it did meanwhile, as a share of that.

    It counts from when the workers that were wanted first are at work: how long programs take to start is another matter.
    """
    _wait(
        lambda: _all_up(queue, scaler) or queue.store.counts().backlog < PILE / 2,
        scaler,
        UP_SECONDS,
    )
    before, before_beside = queue.store.counts().done, beside_done()
    _wait(lambda: queue.store.counts().backlog == 0, scaler, DRAIN_SECONDS)
    did = queue.store.counts().done - before
    return (beside_done() - before_beside) / max(did, 1)


def _all_up(queue: MLQueue, scaler: Autoscaler) -> bool:
    changes = scaler.changes
    if not changes or len(queue.workers) < changes[0].aim:
        return False
    parts = [queue.parts[name] for name in queue.workers]
    return all(any("assigned" in line for line in part.lines) for part in parts)


def _wait(true: Callable[[], bool], scaler: Autoscaler, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not true() and not scaler.problem and time.monotonic() < deadline:
        time.sleep(LOOK_EVERY)


def _pile_up(queue: MLQueue) -> None:
    """Accept pictures and publish them, while nobody works."""
    queue.start("relay")
    for number in range(PILE):
        queue.store.accept(_small(number), "image/jpeg")
    deadline = time.monotonic() + 60
    while queue.store.counts().unpublished:
        if time.monotonic() > deadline:
            raise NodeFailedError("The pictures could not be published within 60 s: check again.")
        time.sleep(LOOK_EVERY)


def _pile_up_beside(queue: MLQueue) -> None:
    """Put as many pictures into the other topic: nobody will ask what became of each of these."""
    producer = queue.cluster.producer()
    for number in range(PILE):
        producer.produce(queue.names.requests, _small(number), f"{number}".encode())
    if producer.flush(60):
        raise NodeFailedError("The pictures could not be published within 60 s: check again.")


def _small(number: int) -> bytes:
    pictures = drawn(SMALL)
    return pictures[number % len(pictures)]


@contextmanager
def _results(queue: MLQueue) -> Iterator[Callable[[], int]]:
    """Yield what counts the results in the topic of a queue."""
    settings = {**queue.lab.client, "log_level": 0}
    with Consumer({**settings, "group.id": f"check-{uuid.uuid4().hex[:8]}"}) as asking:
        place = TopicPartition(queue.names.results, 0)
        yield lambda: int(asking.get_watermark_offsets(place, timeout=SECONDS)[1])


@dataclass(frozen=True)
class _Overload:
    """What became of pictures under an overload with the learner's limit."""

    jobs: tuple[Job, ...]
    refused: int
    oldest: float
    audit: Audit

    @property
    def longest(self) -> float:
        """Seconds that an accepted picture waited, or waits still."""
        waits = [one.finished_at - one.accepted_at for one in self.jobs if one.finished_at]
        return max([*waits, self.oldest], default=0.0)

    @property
    def line(self) -> float:
        """How many pictures the one that waited longest had before it, by Little's law."""
        return self.longest * _per_second(self.jobs)


class RefuseInTime(Exercise):
    """The check overloads a queue with the learner's limit, and asks the database how long pictures waited."""

    title = f"Nobody waits longer than {LONGEST:.0f} s"
    answer_type = int
    deadline = 90.0
    patience = 0.0
    hints = (
        "Little's law: waiting = pictures in line ÷ pictures done a second. Which of the two does the limit set?",
        "Take what one worker did a second in the cell before, under the same kind of overload.",
        f"`limit = round(per_second * {LONGEST / 3:.0f})` aims at {LONGEST / 3:.0f} s, and leaves room for a machine that gets busier.",
    )

    def attempted(self, lab: Any, answer: Any) -> bool:
        return True

    def facts(self, lab: Any, answer: Any) -> Iterator[Fact]:
        if not 1 <= answer <= MOST:
            yield Fact(
                f"a limit from 1 to {MOST:,}",
                False,
                "It is a number of pictures: seconds of waiting × pictures done a second.",
            )
            return
        demand_whole(lab)
        seen = _overloaded(lab, answer)
        yield Fact(
            f"no accepted picture waited longer than {LONGEST:.0f} s",
            seen.longest <= LONGEST,
            f"Some did. With {answer:,} in line before it, a picture waits for {answer:,} ÷ (pictures done a second): choose a lower limit.",
        )
        yield Fact(
            "the pictures that were too many were refused with 429",
            seen.refused > 0,
            f"None was: {answer:,} never waited, so the limit refuses too late.",
        )
        yield Fact(
            "and no more than these: the worker never ran out of pictures",
            seen.line >= LINE,
            f"A line of {answer:,} is worked off at once, so the worker has gaps while you send pictures away: choose a higher limit.",
        )
        if seen.longest <= LONGEST:
            left = seen.audit.accepted - seen.audit.done
            yield Fact(
                "every accepted picture is done, and none is missing",
                left == 0 and seen.audit.sound,
                f"{left:,} are not done {AFTERWARDS:.0f} s later, {len(seen.audit.missing)} are missing: is a broker down? Check again.",
            )


def _overloaded(lab: Any, limit: int) -> _Overload:
    pictures = drawn(LARGE)
    with MLQueue(lab, REFUSE) as queue:
        queue.start("api", backlog_limit=limit)
        for part in ("relay", "collector", "worker-1"):
            queue.start(part)
        for number in range(WARM):
            queue.store.accept(pictures[number % len(pictures)], "image/jpeg")
        queue.settle(60)
        alone = _per_second(_jobs(queue))
        for times in OVERLOADS:
            since = time.time()
            oldest = _send_and_wait(queue, min(FASTEST, times * alone))
            refused = _refused(queue)
            if refused or oldest:
                break
        jobs = tuple(one for one in _jobs(queue) if one.accepted_at >= since)
        return _Overload(jobs, refused, oldest, queue.audit())


def _send_and_wait(queue: MLQueue, rate: float) -> float:
    """Send pictures for a while, and wait for what becomes of them; return for how long the oldest waits still."""
    pictures = drawn(LARGE)
    with Camera(
        lambda: queue.url,
        lambda number: pictures[number % len(pictures)],
        max(1, round(rate * OVERLOAD_SECONDS)),
        rate,
        again=False,
        key=f"{time.monotonic_ns()}",
    ) as camera:
        return _watched(queue, camera)


def _watched(queue: MLQueue, camera: Camera) -> float:
    """Wait until all is sent and done, or somebody has waited too long; return for how long the oldest waits still."""
    deadline = time.monotonic() + OVERLOAD_SECONDS + AFTERWARDS
    while True:
        waiting = [one.accepted_at for one in _jobs(queue) if not one.finished_at]
        oldest = time.time() - min(waiting) if waiting else 0.0
        if oldest > LONGEST or time.monotonic() > deadline or (camera.done and not waiting):
            return oldest
        time.sleep(5 * LOOK_EVERY)


def _per_second(jobs: Sequence[Job]) -> float:
    ends = sorted(one.finished_at for one in jobs if one.finished_at)
    return (len(ends) - 1) / max(ends[-1] - ends[0], 0.001) if ends else 0.0


def _refused(queue: MLQueue) -> int:
    told = httpx.get(f"{queue.url}/metrics", timeout=SECONDS, trust_env=False).text
    found = re.search(r'^pipeline_refused_total\{reason="backlog"\} (\S+)$', told, re.M)
    return round(float(found[1])) if found else 0


def _jobs(queue: MLQueue) -> list[Job]:
    return queue.store.jobs(limit=MOST)


OWN_LAB = "uses topics and groups whose names are fixed"
EXERCISES = [WithinABudget(), RefuseInTime()]
