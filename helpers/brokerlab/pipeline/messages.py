"""What goes over Kafka: the topics' names, the headers, and a result as JSON.

A record's key is always the picture's id, so that whatever concerns one picture stays in one partition, in order.
A request's value is the picture itself: at some 14 kB it fits, and workers need no database. A dead letter's value is the
request's, so that it can be looked at and sent again; a result's value is JSON.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from brokerlab.pipeline.errors import PipelineError

MOST_BYTES = 5_000_000
"""The largest picture, in bytes, that is taken."""

Headers = list[tuple[str, str | bytes | None]]

Found = dict[str, Any]
"""A `Detection` as plain data: only workers load the detector."""


@dataclass(frozen=True)
class Names:
    """The names of topics and groups, all made from one prefix: two queues on one cluster do not meet."""

    prefix: str = "photo"

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[A-Za-z0-9._-]{1,200}", self.prefix):
            raise PipelineError(
                f"{self.prefix!r} cannot begin the name of a topic: use letters, digits, dots, dashes and underscores."
            )

    @property
    def requests(self) -> str:
        """Pictures to be looked at."""
        return f"{self.prefix}-requests"

    @property
    def retries(self) -> str:
        """Pictures to be looked at once more, not before a given time."""
        return f"{self.prefix}-retries"

    @property
    def results(self) -> str:
        """What was found."""
        return f"{self.prefix}-results"

    @property
    def dead_letters(self) -> str:
        """Pictures given up, each with the reason."""
        return f"{self.prefix}-dead-letters"

    @property
    def workers(self) -> str:
        """The consumer group of the workers."""
        return f"{self.prefix}-workers"

    @property
    def collectors(self) -> str:
        """The consumer group of the collectors."""
        return f"{self.prefix}-collectors"

    @property
    def topics(self) -> tuple[str, str, str, str]:
        """All four topics, in the order in which a picture meets them."""
        return self.requests, self.retries, self.results, self.dead_letters


@dataclass(frozen=True)
class Attempt:
    """How a request travels: which round it is in, and how often it was tried in it.

    Attributes
    ----------
    round
        0 at first, and one more each time that a dead letter is sent again.
    number
        1 at first, and one more for each failure.
    not_before
        When it may be tried, in seconds since 1970.
    """

    round: int = 0
    number: int = 1
    not_before: float = 0.0

    def headers(self) -> Headers:
        """Return it as headers of a record."""
        return _encoded(
            {"round": self.round, "attempt": self.number, "not-before": f"{self.not_before:.3f}"}
        )

    @classmethod
    def of(cls, headers: Iterable[tuple[str, bytes | None]] | None) -> Attempt:
        """Return what a record's headers say; the first attempt, where they say nothing that can be read."""
        found = texts(headers)
        try:
            return cls(
                int(found.get("round", 0)),
                int(found.get("attempt", 1)),
                float(found.get("not-before", 0)),
            )
        except ValueError:
            return cls()


@dataclass(frozen=True)
class Result:
    """What a worker found in a picture.

    Attributes
    ----------
    milliseconds
        How long the detector took.
    """

    id: str
    detections: tuple[Found, ...]
    round: int
    attempts: int
    worker: str
    milliseconds: float

    def encoded(self) -> bytes:
        """Return it as a record's value."""
        return json.dumps(asdict(self), separators=(",", ":")).encode()

    @classmethod
    def decoded(cls, value: bytes | None) -> Result:
        """Return what a record's value says.

        Raises
        ------
        ValueError
            It is no result.
        """
        try:
            found = json.loads(value or b"")
            return cls(
                id=_text(found["id"]),
                detections=tuple(dict(one) for one in found["detections"]),
                round=int(found["round"]),
                attempts=int(found["attempts"]),
                worker=_text(found["worker"]),
                milliseconds=float(found["milliseconds"]),
            )
        except (KeyError, TypeError, ValueError) as trouble:
            raise ValueError(f"no result: {trouble}") from trouble


@dataclass(frozen=True)
class DeadLetter:
    """A picture that was given up, and why.

    Attributes
    ----------
    code
        The reason as a short word for programs.
    reason
        The reason as a sentence for people.
    error
        The class of the exception, or another name for what went wrong.
    came_from
        Topic, partition and offset of the request, as ``photo-requests[3]@17``.
    """

    id: str
    code: str
    reason: str
    error: str
    round: int
    attempts: int
    came_from: str

    def headers(self) -> Headers:
        """Return it as headers of a record; the key is the id, the value the request's."""
        return _encoded(
            {
                "code": self.code,
                "reason": self.reason,
                "error": self.error,
                "round": self.round,
                "attempts": self.attempts,
                "came-from": self.came_from,
            }
        )

    @classmethod
    def of(
        cls, key: bytes | None, headers: Iterable[tuple[str, bytes | None]] | None
    ) -> DeadLetter:
        """Return what a record says.

        Raises
        ------
        ValueError
            It is no dead letter.
        """
        found = texts(headers)
        try:
            return cls(
                id=id_of(key),
                code=found["code"],
                reason=found["reason"],
                error=found["error"],
                round=int(found["round"]),
                attempts=int(found["attempts"]),
                came_from=found["came-from"],
            )
        except KeyError as trouble:
            raise ValueError(f"no dead letter: the header {trouble} is missing") from trouble


def id_of(key: bytes | None) -> str:
    """Return the id that a record's key is.

    Raises
    ------
    ValueError
        The record has no key, or one that is no text.
    """
    if not key:
        raise ValueError("the record has no key")
    return key.decode()


def texts(headers: Iterable[tuple[str, bytes | None]] | None) -> dict[str, str]:
    """Return a record's headers as text."""
    return {name: (value or b"").decode("utf-8", "replace") for name, value in headers or ()}


def _encoded(headers: Mapping[str, Any]) -> Headers:
    return [(name, str(value).encode()) for name, value in headers.items()]


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{value!r} is no text")
    return value
