"""A storm over an ML queue: while pictures come, every part of it and of the cluster is killed once, in a seed's order."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache, partial

from brokerlab.errors import NodeFailedError
from brokerlab.mlqueue import MLQueue
from brokerlab.pipeline.camera import Camera
from brokerlab.pipeline.scenes import scene

POISON_EVERY = 100
"""One picture of so many breaks off in the middle, which only decoding shows."""
ZOOKEEPER_AWAY = 20.0
PATIENCE = 180.0
_PILE = 1.5
"""Seconds for which pictures pile up before a worker is killed: it is in the middle of one of them then."""


@cache
def picture(number: int, size: int = 128, seed: int = 14) -> bytes:
    """Return a picture of the storm, or what is left of it if it is a poison one."""
    whole = scene(seed, number, size).picture
    return whole[: len(whole) // 2] if is_poison(number) else whole


def is_poison(number: int) -> bool:
    """Tell whether the picture of this number cannot be decoded."""
    return number % POISON_EVERY == POISON_EVERY // 2


@dataclass(frozen=True)
class Fault:
    """One thing to be done to the queue or its cluster: what it is called, and what does it."""

    name: str
    strike: Callable[[], None]


@dataclass
class Storm:
    """Every fault once while a camera sends.

    Parameters
    ----------
    queue : MLQueue
        With all its parts running.
    seed : int
        Of the order.
    zookeeper_away : float
        Seconds for which ZooKeeper is stopped.

    Attributes
    ----------
    log : list of (float, str)
        What was done, with seconds since the storm began.
    """

    queue: MLQueue
    seed: int = 14
    zookeeper_away: float = ZOOKEEPER_AWAY
    log: list[tuple[float, str]] = field(default_factory=list)

    def faults(self) -> list[Fault]:
        """Return every fault, in the seed's order."""
        queue, lab = self.queue, self.queue.lab
        found = [
            Fault("kill the API server", partial(self._crash, "api")),
            Fault(f"ZooKeeper away for {self.zookeeper_away:.0f} s", self._zookeeper_away),
        ]
        if "relay" in queue.parts:
            found.append(Fault("kill the relay", partial(self._crash, "relay")))
        found += [
            Fault(f"kill {w} at work", partial(self._crash_at_work, w)) for w in queue.workers
        ]
        found += [Fault(f"kill broker {b}", partial(self._broker, b)) for b in lab.brokers]
        random.Random(self.seed).shuffle(found)
        return found

    def run(self, camera: Camera) -> None:
        """Let the faults come evenly among the camera's pictures; return when all of these are through."""
        faults = self.faults()
        begun = time.monotonic()
        for turn, fault in enumerate(faults, 1):
            camera.wait(PATIENCE, turn * camera.count // (len(faults) + 1))
            self.log.append((time.monotonic() - begun, fault.name))
            fault.strike()
        camera.wait(PATIENCE)

    def _crash(self, name: str) -> None:
        self.queue.kill(name)
        self.queue.start(name)

    def _crash_at_work(self, name: str) -> None:
        """Let pictures pile up before all workers, let these go on, and kill one in the middle."""
        workers = [self.queue.parts[one] for one in self.queue.workers]
        for worker in workers:
            worker.pause()
        time.sleep(_PILE)
        works = threading.Event()
        ended = self.queue.parts[name].subscribe(lambda line: works.set())
        for worker in workers:
            worker.resume()
        if not works.wait(30):
            raise NodeFailedError(f"{name} does nothing within 30 s: does it share the work?")
        ended()
        self._crash(name)

    def _broker(self, number: int) -> None:
        broker = self.queue.lab.brokers[number]
        broker.kill()
        broker.start()

    def _zookeeper_away(self) -> None:
        zookeeper = self.queue.lab.zookeeper
        zookeeper.kill()
        time.sleep(self.zookeeper_away)
        zookeeper.start()
