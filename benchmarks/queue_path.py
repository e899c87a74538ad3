"""The ML queue's own figures: how fast a pile goes through, what senders and their pictures wait for, and what is lost."""

from __future__ import annotations

import json
import math
import random
import sys
import threading
import time
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass

import numpy as np
import psutil
from brokerlab.lab import Lab
from brokerlab.mlqueue import MLQueue, Part
from brokerlab.pipeline.camera import FASTEST, Camera, Sent, percentile
from brokerlab.pipeline.clients import PARTITIONS
from side import SideError, resident_memory

WORKERS = 2
PATIENCE = 300.0
OVERLOAD = 1.5
WARM_UP = 0.25
"""The part of a pile that goes before it."""
PROBE = 300
SEED = 6
BUNDLE = 0.05
"""Seconds within which answers that were published together are confirmed."""

Pictures = Sequence[bytes]


@dataclass(frozen=True)
class Drained:
    """A pile that went through: when each answer came, and what it took.

    Attributes
    ----------
    ends : list of float
        Monotonic seconds, in order.
    published : float
        When the last picture was in its topic: from then on the pile is the workers' lag.
    work, whole_work : float
        Seconds of processor time of the workers, and of everything from the relay to the collector, brokers included.
    worker_memory : list of float
        Resident memory of each worker, in MB.
    whole_memory : float
        That of the whole lab with every part of the queue.
    """

    ends: list[float]
    published: float
    work: float
    whole_work: float
    worker_memory: list[float]
    whole_memory: float


@dataclass(frozen=True)
class Line:
    """A straight line through what was left of a pile over time.

    Attributes
    ----------
    r_squared : float
    deviation : float
        The largest distance from the line, in percent of the lag at its beginning.
    """

    r_squared: float
    deviation: float


def line_through(drained: Drained) -> Line:
    """Fit a line to the workers' lag, from the last publication on."""
    ends = drained.ends[bisect_right(drained.ends, drained.published) :]
    times = np.array(ends) - ends[0]
    left = np.arange(len(ends), 0, -1) - 1.0
    slope, begin = np.polyfit(times, left, 1)
    off = left - (slope * times + begin)
    spread = float(((left - left.mean()) ** 2).sum())
    return Line(1 - float((off**2).sum()) / spread, 100 * float(np.abs(off).max()) / len(ends))


def per_second(ends: Sequence[float]) -> float:
    """Return how many answers a second came, from the end of the first twentieth's last bundle to the last."""
    first = bisect_right(ends, ends[len(ends) // 20] + BUNDLE) - 1
    return (len(ends) - 1 - first) / (ends[-1] - ends[first])


@contextmanager
def queue_of(lab: Lab, *parts: str) -> Iterator[MLQueue]:
    """Hold an ML queue of which some parts run."""
    with MLQueue(lab, "bench") as queue:
        for name in parts:
            queue.start(name)
        yield queue


def workers() -> list[str]:
    return [f"worker-{number}" for number in range(1, WORKERS + 1)]


def drain(lab: Lab, pictures: Pictures) -> Drained:
    """Let a pile that waits in the database go through relay, brokers, workers and collector.

    A smaller pile goes before it, so that all parts are as warm as the recogniser of the bare loop is.
    """
    before = pictures[: math.ceil(len(pictures) * WARM_UP)]
    with queue_of(lab, "api", "relay", "collector", *workers()) as queue:
        _wait_until_shared(queue)
        _pile_up(queue, before, key="warm-up")
        queue.settle(PATIENCE)
        # Frozen, so that the pile is whole before the first of it goes.
        queue.parts["relay"].pause()
        _pile_up(queue, pictures)
        answers, publications = _Answers(queue), _Publications(queue)
        workers_before, whole_before = _work(_workers_of(queue)), _work(_path_of(queue))
        queue.parts["relay"].resume()
        answers.wait(len(pictures))
        work = _work(_workers_of(queue)) - workers_before
        whole = _work(_path_of(queue)) - whole_before
        memory = [resident_memory([one])[0] for one in _workers_of(queue)]
        everything, _ = resident_memory([*_path_of(queue), *_processes(queue, ["api"])])
        _demand_all(queue, len(before) + len(pictures))
        ends = sorted(answers.times)
        return Drained(ends, publications.last, work, whole, memory, everything)


def flat_out(lab: Lab, pictures: Pictures) -> float:
    """Return how many pictures a second go the whole way, from a sender to their answer, when they are sent without pause."""
    with queue_of(lab, "api", "relay", "collector", *workers()) as queue:
        _wait_until_shared(queue)
        answers = _Answers(queue)
        begun = time.monotonic()
        _pile_up(queue, pictures)
        answers.wait(len(pictures))
        _demand_all(queue, len(pictures))
    return len(pictures) / (answers.times[-1] - begun)


def post_seconds(lab: Lab, pictures: Pictures, per_second: float, seconds: float) -> list[float]:
    """Return what senders waited for at a steady rate, in the order in which their pictures were due."""
    with queue_of(lab, "api", "relay", "collector", *workers()) as queue:
        _wait_until_shared(queue)
        sent = _burst(queue.url, pictures, round(per_second * seconds), per_second)
        _demand_all(queue, len(sent))
    return [one.seconds for one in sent]


def synchronous_seconds(pictures: Pictures, seconds: float) -> tuple[float, list[float]]:
    """Overload the version without a queue, as far as pictures can be sent; return the rate and what senders waited for."""
    command = [sys.executable, "-m", "brokerlab.pipeline", "api", "--synchronous", "--port", "0"]
    server = Part(command, name="the synchronous version")
    try:
        url = json.loads(server.wait_for('"ready"', 60))["url"]
        probe = _burst(url, pictures, PROBE, FASTEST)
        rate = min(FASTEST, OVERLOAD * PROBE / max(one.answered for one in probe))
        sent = _burst(url, pictures, round(rate * seconds), rate)
    finally:
        server.kill()
    return rate, [one.seconds for one in sent]


def whole_way_seconds(
    lab: Lab, pictures: Pictures, per_second: float, seconds: float
) -> list[float]:
    """Return how long pictures took from the moment that they were due to their result in the database."""
    with queue_of(lab, "api", "relay", "collector", *workers()) as queue:
        _wait_until_shared(queue)
        with Camera(
            lambda: queue.url, _in_turn(pictures), round(per_second * seconds), per_second
        ) as camera:
            begun = time.time() - camera.seconds
            sent = camera.wait(PATIENCE)
        _demand_all(queue, len(sent))
        ends = {job.id: job.finished_at for job in queue.store.jobs(limit=len(sent))}
    return [ends[one.id] - begun - one.due for one in sent if one.id]  # type: ignore[operator]


def lost_to_kills(lab: Lab, pictures: Pictures, kills: int) -> int:
    """Kill a worker each time that another part is answered; return how many pictures have no result in the end."""
    choice = random.Random(SEED)
    with queue_of(lab, "api", "relay", "collector", *workers()) as queue:
        _wait_until_shared(queue)
        answers = _Answers(queue)
        _pile_up(queue, pictures)
        for number in range(1, kills + 1):
            answers.wait(number * len(pictures) // (kills + 1))
            name = choice.choice(workers())
            queue.kill(name)
            queue.start(name)
            answers.listen(name)
        found = queue.settle(PATIENCE)
    return len(pictures) - found.done


class _Publications:
    """Hears when pictures were published."""

    def __init__(self, queue: MLQueue) -> None:
        self.last = 0.0
        queue.parts["relay"].subscribe(self._hear)

    def _hear(self, line: str) -> None:
        if line.startswith('{"event":"published"'):
            self.last = time.monotonic()


class _Answers:
    """Hears of each answer as its worker does."""

    def __init__(self, queue: MLQueue) -> None:
        self.times: list[float] = []
        self._queue = queue
        self._news = threading.Condition()
        for name in queue.workers:
            self.listen(name)

    def listen(self, name: str) -> None:
        self._queue.parts[name].subscribe(self._hear)

    def wait(self, count: int) -> None:
        with self._news:
            if not self._news.wait_for(lambda: len(self.times) >= count, PATIENCE):
                raise SideError(f"{len(self.times)} of {count} pictures had an answer in time")

    def _hear(self, line: str) -> None:
        if line.startswith('{"event":"done"'):
            with self._news:
                self.times.append(time.monotonic())
                self._news.notify_all()


def _burst(url: str, pictures: Pictures, count: int, rate: float) -> list[Sent]:
    with Camera(lambda: url, _in_turn(pictures), count, rate, again=False) as camera:
        sent = sorted(camera.wait(PATIENCE), key=lambda one: one.number)
    if refused := [one.status for one in sent if one.id is None]:
        raise SideError(
            f"{len(refused)} of {count} pictures were not taken, the first with {refused[0]}"
        )
    return sent


def _in_turn(pictures: Pictures) -> Callable[[int], bytes]:
    return lambda number: pictures[number % len(pictures)]


def _pile_up(queue: MLQueue, pictures: Pictures, key: str = "pile") -> None:
    with Camera(lambda: queue.url, _in_turn(pictures), len(pictures), FASTEST, key=key) as camera:
        camera.wait(PATIENCE)


def _wait_until_shared(queue: MLQueue) -> None:
    """Wait until each worker has its share of the requests topic."""
    deadline = time.monotonic() + 60
    while not all(_has_share(queue.parts[name], queue.names.requests) for name in queue.workers):
        if time.monotonic() > deadline:
            raise SideError("the workers did not share the partitions within 60 s")
        time.sleep(0.02)


def _has_share(part: Part, topic: str) -> bool:
    assigned = [event["partitions"] for event in part.events if event["event"] == "assigned"]
    mine = [one for one in (assigned[-1] if assigned else []) if one.startswith(f"{topic}[")]
    return 0 < len(mine) <= PARTITIONS // WORKERS


def _demand_all(queue: MLQueue, count: int) -> None:
    found = queue.settle(PATIENCE)
    if found.done != count or not found.sound:
        raise SideError(f"the queue did not do its work: {found}")


def _processes(queue: MLQueue, names: Sequence[str]) -> list[psutil.Process]:
    return [psutil.Process(queue.parts[name].pid) for name in names if name in queue.parts]


def _workers_of(queue: MLQueue) -> list[psutil.Process]:
    return _processes(queue, workers())


def _path_of(queue: MLQueue) -> list[psutil.Process]:
    status = queue.lab.status()
    pids = [status["supervisor"]["pid"], *(node["pid"] for node in status["nodes"])]
    nodes = [psutil.Process(pid) for pid in pids]
    return [*nodes, *_processes(queue, ["relay", "collector"]), *_workers_of(queue)]


def _work(processes: Sequence[psutil.Process]) -> float:
    total = 0.0
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            used = process.cpu_times()
            total += used.user + used.system
    return total


def thirds(values: Sequence[float]) -> list[float]:
    """Return the 95th percentile of each third, in milliseconds."""
    third = len(values) // 3
    return [1000 * percentile(list(values[n * third : (n + 1) * third]), 95) for n in range(3)]
