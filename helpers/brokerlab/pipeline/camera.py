"""A camera: sends numbered pictures to an API server at a steady rate, whether or not the last one was answered.

Real callers do not wait for each other. So each picture is due at a moment of its own, and how long it took is counted from
that moment: a server that makes callers queue up cannot hide it.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

import httpx

from brokerlab.pipeline.errors import PipelineError

SENDERS = 64
"""Pictures that may be on their way at the same time; those that are due beyond that wait, and their time counts."""
PATIENCE = 10.0
AGAIN_AFTER = 0.1
FASTEST = 500.0
MOST = 100_000
_TAKEN = (200, 202)


@dataclass(frozen=True)
class Sent:
    """What became of one picture at the server's door.

    Attributes
    ----------
    due, answered
        Seconds since the camera began: when it was to be sent, and when the last answer came or was given up.
    status
        Of the last answer; None if there was none in time.
    id
        Under which it was accepted; None if it was not.
    tries
        How often it was sent.
    """

    number: int
    due: float
    answered: float
    status: int | None
    id: str | None
    tries: int

    @property
    def seconds(self) -> float:
        """How long its sender waited, from the moment it was due."""
        return self.answered - self.due


class Camera:
    """Sends pictures from threads of its own, from now on.

    Parameters
    ----------
    url
        The API server's, without a slash at the end; called for each try, so that a server may move.
    picture
        Returns the bytes of a picture by its number, from 0.
    count
        How many; None for as many as there are until `finish`.
    per_second
        How fast they become due.
    again
        While a server is away, full or unwell, send the picture again, always with the same idempotency key, as a sensible
        client does; else once.
    key
        What idempotency keys begin with.
    patience
        Seconds for one answer.
    """

    def __init__(
        self,
        url: Callable[[], str],
        picture: Callable[[int], bytes],
        count: int | None,
        per_second: float,
        *,
        again: bool = True,
        key: str = "picture",
        patience: float = PATIENCE,
    ) -> None:
        if count is not None and not 1 <= count <= MOST:
            raise PipelineError(f"A camera sends 1 to {MOST:,} pictures, and {count} is not that.")
        if not 0 < per_second <= FASTEST:
            raise PipelineError(
                f"A camera sends up to {FASTEST:.0f} pictures a second, and {per_second} is not that."
            )
        self.count = count
        self._url, self._picture, self._per_second = url, picture, per_second
        self._again, self._key = again, key
        self._sent: list[Sent] = []
        self._next = 0
        self._news = threading.Condition()
        self._stop = threading.Event()
        self._client = httpx.Client(
            timeout=patience, limits=httpx.Limits(max_connections=None), trust_env=False
        )
        self._begun = time.monotonic()
        senders = min(SENDERS, count or SENDERS, math.ceil(per_second * patience))
        self._threads = [
            threading.Thread(target=self._send_all, name="camera", daemon=True)
            for _ in range(senders)
        ]
        for thread in self._threads:
            thread.start()

    @property
    def sent(self) -> tuple[Sent, ...]:
        """What became of the pictures that are through, in that order."""
        with self._news:
            return tuple(self._sent)

    @property
    def ids(self) -> dict[int, str]:
        """The ids under which pictures were accepted, by number."""
        return {one.number: one.id for one in self.sent if one.id is not None}

    @property
    def done(self) -> bool:
        """Whether all are through, or it was stopped."""
        return not any(thread.is_alive() for thread in self._threads)

    @property
    def seconds(self) -> float:
        """How long it has been at work."""
        return time.monotonic() - self._begun

    def wait(self, timeout: float = 120.0, count: int | None = None) -> tuple[Sent, ...]:
        """Wait until `count` pictures are through, or all; return them.

        Raises
        ------
        PipelineError
            They were not within `timeout` seconds.
        """

        def through() -> bool:
            wanted = self.count if count is None else count
            return wanted is not None and len(self._sent) >= wanted

        with self._news:
            if not self._news.wait_for(through, timeout):
                raise PipelineError(
                    f"{len(self._sent):,}{_of(count or self.count)} pictures are through after {timeout:.0f} s:"
                    " is the API server running?"
                )
            return tuple(self._sent)

    def finish(self) -> None:
        """Begin no more pictures; those that were begun are still brought through."""
        with self._news:
            self.count = self._next
            self._news.notify_all()

    def stop(self) -> None:
        """Send no more; to stop twice does nothing."""
        self._stop.set()
        for thread in self._threads:
            thread.join()
        self._client.close()

    def __enter__(self) -> Camera:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def __repr__(self) -> str:
        return f"<camera: {len(self._sent):,}{_of(self.count)} sent, {len(self.ids):,} accepted>"

    def _send_all(self) -> None:
        while (number := self._take()) is not None:
            due = number / self._per_second
            if self._stop.wait(max(0.0, self._begun + due - time.monotonic())):
                return
            sent = self._send(number, due)
            with self._news:
                self._sent.append(sent)
                self._news.notify_all()

    def _take(self) -> int | None:
        with self._news:
            number = self._next
            if number >= (MOST if self.count is None else self.count) or self._stop.is_set():
                return None
            self._next += 1
            return number

    def _send(self, number: int, due: float) -> Sent:
        tries = 0
        while True:
            answer = self._try(number)
            tries += 1
            if _final(answer) or not self._again or self._stop.wait(_pause(answer)):
                status = answer.status_code if answer is not None else None
                id = answer.json()["id"] if answer is not None and status in _TAKEN else None
                return Sent(number, due, self.seconds, status, id, tries)

    def _try(self, number: int) -> httpx.Response | None:
        headers = {"Content-Type": "image/jpeg", "Idempotency-Key": f"{self._key}-{number}"}
        try:
            return self._client.post(
                f"{self._url()}/images", content=self._picture(number), headers=headers
            )
        except httpx.TransportError:
            return None


def _final(answer: httpx.Response | None) -> bool:
    return answer is not None and answer.status_code < 500 and answer.status_code != 429


def _of(count: int | None) -> str:
    return "" if count is None else f" of {count:,}"


def _pause(answer: httpx.Response | None) -> float:
    """Return how long to wait before the next try: what the server asks for, or a moment."""
    asked = answer.headers.get("Retry-After", "") if answer is not None else ""
    return float(asked) if asked.isdigit() else AGAIN_AFTER


def percentile(values: list[float], percent: float) -> float:
    """Return the value that so many of a hundred do not exceed; NaN of nothing."""
    if not values:
        return math.nan
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, math.ceil(percent / 100 * len(ordered)) - 1)]
