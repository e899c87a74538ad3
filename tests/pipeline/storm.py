"""A storm over a queue: pictures come at a steady rate while every part of it is killed, in an order drawn by a seed."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache

import httpx
from brokerlab.background import Background
from brokerlab.lab import Lab
from brokerlab.pipeline.scenes import scene
from queues import Queue, until

PER_SECOND = 40
POISON_EVERY = 100
"""One picture of so many breaks off in the middle, which only decoding shows."""
ZOOKEEPER_AWAY = 20.0
WORKERS = 2
BURST = 60
"""Pictures that wait when a worker is killed: it is in the middle of one of them."""
SIZE = 128
SEED = 14


@cache
def picture(number: int) -> bytes:
    whole = scene(SEED, number, SIZE).picture
    return whole[: len(whole) // 2] if is_poison(number) else whole


def is_poison(number: int) -> bool:
    return number % POISON_EVERY == POISON_EVERY // 2


class Camera:
    """Sends numbered pictures from a thread, each until it is accepted, as a sensible client does.

    Attributes
    ----------
    ids : dict of int to str
        The id under which a picture was accepted.
    """

    def __init__(self, url: Callable[[], str], count: int) -> None:
        self.ids: dict[int, str] = {}
        self.sent_again = 0
        self._url, self._count = url, count
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._send_all, daemon=True)
        self._thread.start()

    def _send_all(self) -> None:
        begun = time.monotonic()
        with httpx.Client(timeout=10) as client:
            for number in range(self._count):
                while time.monotonic() - begun < number / PER_SECOND:
                    time.sleep(0.002)
                while not self._stop.is_set() and number not in self.ids:
                    self._send(client, number)
                if self._stop.is_set():
                    return

    def _send(self, client: httpx.Client, number: int) -> None:
        headers = {"Content-Type": "image/jpeg", "Idempotency-Key": f"picture-{number}"}
        try:
            answer = client.post(f"{self._url()}/images", content=picture(number), headers=headers)
        except httpx.TransportError:
            answer = None
        if answer is not None and answer.status_code == 202:
            self.ids[number] = answer.json()["id"]
        else:
            self.sent_again += 1
            self._stop.wait(0.1)

    def finish(self, seconds: float) -> None:
        """Wait until all are accepted."""
        self._thread.join(seconds)
        assert not self._thread.is_alive(), f"{len(self.ids)} of {self._count} were accepted"

    def end(self) -> None:
        self._stop.set()
        self._thread.join(15)


@dataclass
class Storm:
    """The parts of a queue, and what is done to them.

    Parameters
    ----------
    module : str
        Which API server and worker: ``brokerlab.pipeline``, or the careless ones.
    careful : bool
        Whether there is an outbox to be relayed.
    """

    lab: Lab
    queue: Queue
    module: str = "brokerlab.pipeline"
    careful: bool = True
    parts: dict[str, Background] = field(default_factory=dict)
    url: str = ""

    def begin(self) -> None:
        names = ["api", "collector", *(f"worker-{n}" for n in range(1, WORKERS + 1))]
        for name in [*names, *(["relay"] if self.careful else [])]:
            self.start(name)

    def start(self, name: str) -> None:
        part = name.partition("-")[0]
        module = self.module if part in ("api", "worker") else "brokerlab.pipeline"
        arguments: tuple[object, ...] = ("--port", 0) if part == "api" else ()
        started = self.queue.start(part, *arguments, module=module)
        self.parts[name] = started
        if part == "api":
            self.url = next(
                line.split('"url":"')[1].split('"')[0] for line in started.lines if '"url"' in line
            )

    def faults(self) -> list[Callable[[], None]]:
        """Return every fault once, in the seed's order."""
        found: list[Callable[[], None]] = [lambda: self._crash("api"), self._zookeeper_away]
        if self.careful:
            found.append(lambda: self._crash("relay"))
        found += [lambda n=n: self._crash_at_work(n) for n in range(1, WORKERS + 1)]
        found += [lambda b=b: self._broker(b) for b in self.lab.brokers]
        random.Random(SEED).shuffle(found)
        return found

    def run(self, count: int) -> Camera:
        """Send `count` pictures, and let the faults come evenly among them; return the camera when all are accepted."""
        faults = self.faults()
        camera = Camera(lambda: self.url, count)
        try:
            for turn, fault in enumerate(faults, 1):
                due = turn * count // (len(faults) + 1)
                until(lambda due=due: len(camera.ids) >= due, 180)
                fault()
            camera.finish(180)
        finally:
            camera.end()
        return camera

    def _crash(self, name: str) -> None:
        self.parts[name].kill()
        self.start(name)

    def _crash_at_work(self, number: int) -> None:
        """Let pictures pile up before all workers, let these go on, and kill one in the middle."""
        workers = [self.parts[f"worker-{n}"] for n in range(1, WORKERS + 1)]
        for worker in workers:
            worker.pause()
        time.sleep(BURST / PER_SECOND)
        victim = workers[number - 1]
        works = threading.Event()
        victim.subscribe(lambda line: works.set())
        for worker in workers:
            worker.resume()
        assert works.wait(30), f"{victim!r} does nothing"
        self._crash(f"worker-{number}")

    def _broker(self, number: int) -> None:
        self.lab.brokers[number].kill()
        self.lab.brokers[number].start()

    def _zookeeper_away(self) -> None:
        self.lab.zookeeper.kill()
        time.sleep(ZOOKEEPER_AWAY)
        self.lab.zookeeper.start()
