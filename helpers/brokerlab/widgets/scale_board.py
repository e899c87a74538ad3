"""What comes, what is done, what waits, and who works: an ML queue under a load that can be set."""

from __future__ import annotations

import re
import sqlite3
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

import httpx

from brokerlab.autoscaler import Autoscaler, lag_of, wanted_by, watch
from brokerlab.errors import BrokerLabError
from brokerlab.mlqueue import MLQueue
from brokerlab.pipeline.camera import FASTEST, Camera
from brokerlab.pipeline.clients import PARTITIONS
from brokerlab.widgets.base import Command, LiveView
from brokerlab.widgets.inputs import Choice, Input, Slider
from brokerlab.widgets.scale_picture import AUTOSCALER, BURST, BY_HAND, SECONDS, Sample, Scale, draw
from brokerlab.widgets.scene import Element

EVERY = 1.0
"""Seconds between two samples."""
ANSWER = 2.0
"""Seconds for the API server's figures."""
_FIGURES = {
    "refused": re.compile(r'^pipeline_refused_total\{reason="backlog"\} (\S+)$', re.M),
    "limit": re.compile(r"^pipeline_backlog_limit (\S+)$", re.M),
}


class ScaleBoard(LiveView[Scale]):
    """Sends pictures at a chosen rate, with a chosen number of workers, or an autoscaler that chooses.

    The lag comes from Kafka, what came and was done from the database, what was refused from the API server's
    figures for Prometheus.

    Parameters
    ----------
    queue : MLQueue
        Whose API server was started.
    picture : callable
        Returns the bytes of a picture by its number, from 0.
    rule : callable
        Takes the lag and how much of it is for one worker; returns how many workers are wanted.
    """

    title = "Scale board"
    variable = "board"

    def __init__(
        self,
        queue: MLQueue,
        picture: Callable[[int], bytes],
        rule: Callable[[int, int], int] = wanted_by,
    ) -> None:
        self._queue, self._picture, self._rule = queue, picture, rule
        self._rate = 0
        self._per_worker = 100
        self._scaling = BY_HAND
        self._autoscaler: Autoscaler | None = None
        self._camera: Camera | None = None
        self._bursts: list[Camera] = []
        self._cameras = 0
        self._samples: deque[Sample] = deque(maxlen=round(SECONDS / EVERY) + 1)
        self._limit: int | None = None
        self._problem = ""
        self._client = httpx.Client(timeout=ANSWER, trust_env=False)
        self._observer = watch(queue)
        super().__init__()
        self._sampler = threading.Thread(target=self._sample, name=f"{self!r} samples", daemon=True)
        self._sampler.start()

    # What a lesson calls.

    def burst(self) -> None:
        """Send 150 pictures, as fast as they go."""
        self.press("burst")

    # What the base asks.

    @property
    def subject(self) -> str:
        return self._queue.names.prefix

    def look(self) -> Scale:
        samples = tuple(self._samples.copy())
        taken = samples[-1].at if samples else time.time()
        scaler = self._autoscaler
        problem = self._problem or (scaler.problem if scaler is not None else "")
        return Scale(taken, samples, self._limit, self._scaling, problem)

    def draw(self, seen: Scale) -> Element:
        return draw(seen, busy=any(command["kind"] == "burst" for command in self.pending))

    def inputs(self) -> Sequence[Input]:
        workers = min(len(self._queue.workers), PARTITIONS)
        return (
            Slider("rate", "pictures come", 0, 200, 5, self._rate, "a second"),
            Choice("scaling", "workers", (BY_HAND, AUTOSCALER), self._scaling),
            Slider("workers", "by hand", 0, PARTITIONS, 1, workers),
            Slider("per_worker", "autoscaler: one for", 20, 500, 20, self._per_worker, "waiting"),
        )

    def change(self, name: str, value: Any) -> str:
        match name:
            case "rate":
                self._send_at(value)
            case "scaling":
                self._scale_by(value)
            case "per_worker":
                self._per_worker = value
            case "workers":
                if self._scaling == AUTOSCALER:
                    raise BrokerLabError(
                        "The autoscaler decides how many work: choose 'by hand' first."
                    )
                self._queue.scale(value)
        return ""

    def run(self, command: Command) -> str:
        if command["kind"] == "burst":
            self._bursts = [camera for camera in self._bursts if not camera.done]
            self._bursts.append(self._new_camera(BURST, FASTEST))
            return f"{BURST} pictures are on their way."
        return super().run(command)

    def release(self) -> None:
        if self._autoscaler is not None:
            self._autoscaler.stop()
        for camera in (*self._bursts, *([self._camera] if self._camera else [])):
            camera.stop()
        self._sampler.join(ANSWER + EVERY)
        self._client.close()
        self._observer.close()

    # Pictures and workers.

    def _send_at(self, rate: int) -> None:
        if self._camera is not None:
            self._camera.stop()
        self._camera, self._rate = None, 0
        if rate:
            self._camera = self._new_camera(None, rate)
        self._rate = rate

    def _new_camera(self, count: int | None, rate: float) -> Camera:
        url = self._queue.url
        self._cameras += 1
        key = f"board-{id(self)}-{self._cameras}"
        return Camera(lambda: url, self._picture, count, rate, key=key)

    def _scale_by(self, scaling: str) -> None:
        if self._autoscaler is not None:
            self._autoscaler.stop()
        self._autoscaler = None
        if scaling == AUTOSCALER:
            self._autoscaler = Autoscaler(
                self._queue,
                lambda lag: self._rule(lag, self._per_worker),
                observer=self._observer,
            )
        self._scaling = scaling

    # Looking.

    def _sample(self) -> None:
        refused = 0
        while not self._ended.is_set():
            try:
                counts = self._queue.store.counts()
            except (BrokerLabError, sqlite3.Error):
                self._problem = "The queue's database does not answer: has the queue ended?"
            else:
                said = self._figures()
                refused = said.get("refused", refused if said else 0)
                self._limit = said.get("limit")
                done = counts.done + counts.dead_lettered
                lag, workers = lag_of(self._observer.latest), len(self._queue.workers)
                self._samples.append(Sample(time.time(), lag, counts.total, done, refused, workers))
                self._problem = (
                    "" if said else "The API server does not answer: queue.start('api') starts it."
                )
            self.touch()
            self._ended.wait(EVERY)

    def _figures(self) -> dict[str, int]:
        """Return what the API server tells; nothing, if it does not answer."""
        with suppress(httpx.HTTPError, BrokerLabError):
            told = self._client.get(f"{self._queue.url}/metrics").text
            found = {name: figure.search(told) for name, figure in _FIGURES.items()}
            return {name: round(float(match[1])) for name, match in found.items() if match}
        return {}
