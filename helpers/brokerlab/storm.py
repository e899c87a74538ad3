"""A storm over an ML queue: while pictures come, every part of it and of the cluster is killed once, in a seed's order."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache, partial

from brokerlab.errors import NodeFailedError, SettingError
from brokerlab.mlqueue import MLQueue
from brokerlab.pipeline.camera import Camera
from brokerlab.pipeline.scenes import scene

POISON_EVERY = 100
"""One picture of so many breaks off in the middle, which only decoding shows."""
ZOOKEEPER_AWAY = 20.0
PATIENCE = 180.0
UNPUBLISHED = 20
"""Pictures that are accepted, and in no topic, when the API server is killed."""
_FROZEN = 2.0
"""Seconds for which brokers are frozen at most: ZooKeeper and the clients would not wait much longer."""
_PILE = 1.5
"""Seconds for which pictures pile up before a worker is killed: it is in the middle of one of them then."""
_BEGINS = 30.0


@cache
def picture(number: int, size: int = 128, seed: int = 14) -> bytes:
    """Return a picture of the storm, or what is left of it if it is a poison one."""
    whole = scene(seed, number, size).picture
    return whole[: len(whole) // 2] if is_poison(number) else whole


def is_poison(number: int) -> bool:
    """Tell whether the picture of this number cannot be decoded."""
    return number % POISON_EVERY == POISON_EVERY // 2


def crash(queue: MLQueue, name: str) -> None:
    """Kill a part of the queue or a node of its cluster (SIGKILL), and start it again.

    Parameters
    ----------
    name : str
        A part, as in ``queue.parts``; or ``zookeeper``, ``broker-1`` and so on.
    """
    if (node := queue.lab.nodes.get(name)) is not None:
        node.kill()
        node.start()
    else:
        queue.kill(name)
        queue.start(name)


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
    _end: threading.Event = field(default_factory=threading.Event, init=False, repr=False)

    def faults(self) -> list[Fault]:
        """Return every fault, in the seed's order."""
        queue, lab = self.queue, self.queue.lab
        found = [
            Fault("kill the API server between commit and publish", self._crash_between),
            Fault(f"ZooKeeper away for {self.zookeeper_away:g} s", self._zookeeper_away),
        ]
        if "relay" in queue.parts:
            found.append(Fault("kill the relay", partial(crash, queue, "relay")))
        found += [
            Fault(f"kill {w} at work", partial(self._crash_at_work, w)) for w in queue.workers
        ]
        found += [
            Fault(f"kill broker {b}", partial(crash, queue, f"broker-{b}")) for b in lab.brokers
        ]
        random.Random(self.seed).shuffle(found)
        return found

    def run(self, camera: Camera, count: int) -> None:
        """Let the faults come evenly among `count` pictures; let the camera finish, and return when all it sent is through.

        Parameters
        ----------
        camera : Camera
            Without an end of its own: on a slow machine faults take longer, and pictures must come meanwhile.

        Raises
        ------
        SettingError
            The camera has an end of its own.
        NodeFailedError
            Pictures did not get through for minutes, or a worker had nothing to do.
        """
        if camera.count is not None:
            raise SettingError(
                "A storm needs a camera without an end of its own: Camera(..., count=None)."
            )
        faults = self.faults()
        begun = time.monotonic()
        try:
            for turn, fault in enumerate(faults, 1):
                self._await(camera, turn * count // (len(faults) + 1))
                if self._end.is_set():
                    return
                self.log.append((time.monotonic() - begun, fault.name))
                fault.strike()
            self._await(camera, count)
        finally:
            camera.finish()
        self._await(camera, camera.count or 0)

    def end(self) -> None:
        """Let no more faults come; what is under way is put right first."""
        self._end.set()

    def _await(self, camera: Camera, count: int) -> None:
        deadline = time.monotonic() + PATIENCE
        while (through := len(camera.sent)) < count and not self._end.wait(0.05):
            if time.monotonic() > deadline:
                raise NodeFailedError(
                    f"{through:,} of {count:,} pictures are through after {PATIENCE:.0f} s: does the API server run?"
                )

    def _crash_between(self) -> None:
        """Freeze the brokers until some pictures are accepted that none of them has, and kill the API server then."""
        brokers = self.queue.lab.brokers.values()
        enough = self.queue.store.counts().total + UNPUBLISHED
        try:
            for broker in brokers:
                broker.pause(watch=False)
            deadline = time.monotonic() + _FROZEN
            while self.queue.store.counts().total < enough and time.monotonic() < deadline:
                self._end.wait(0.01)
            self.queue.kill("api")
        finally:
            for broker in brokers:
                if broker.state == "paused":
                    broker.resume()
        self.queue.start("api")

    def _crash_at_work(self, name: str) -> None:
        """Let pictures pile up before all workers, let these go on, and kill one in the middle."""
        workers = [self.queue.parts[one] for one in self.queue.workers]
        works = threading.Event()
        try:
            for worker in workers:
                worker.pause()
            self._end.wait(_PILE)
            ended = self.queue.parts[name].subscribe(lambda line: works.set())
        finally:
            for worker in workers:
                worker.resume()
        if not works.wait(_BEGINS):
            raise NodeFailedError(
                f"{name} does nothing within {_BEGINS:.0f} s: does it share the work?"
            )
        ended()
        crash(self.queue, name)

    def _zookeeper_away(self) -> None:
        zookeeper = self.queue.lab.zookeeper
        zookeeper.kill()
        try:
            self._end.wait(self.zookeeper_away)
        finally:
            zookeeper.start()
