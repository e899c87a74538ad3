"""What an HTTP request must be for its picture to be taken, as far as that can be told without decoding it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from fastapi import Request
from fastapi.responses import JSONResponse
from starlette.requests import ClientDisconnect

from brokerlab.pipeline.messages import MOST_BYTES
from brokerlab.pipeline.pictures import NotAPicture, media_type

TYPES = ("image/jpeg", "image/png", "image/gif", "image/webp")
LONGEST_KEY = 255
DISCARDED = 50_000_000
"""A body of so many bytes at most may run out unread after its refusal: a sender whose line is cut may miss the answer."""
RETRY_AFTER = 1
"""Seconds after which one who was sent away may come again."""


class Refused(Exception):
    """A request that is not granted: status, a short word for programs, and a sentence for people.

    With `hang_up` the line is closed after the answer, whatever is still being sent.
    """

    def __init__(self, status: int, code: str, detail: str, hang_up: bool = False) -> None:
        super().__init__(detail)
        self.hang_up = hang_up
        self.status = status
        self.code = code
        self.detail = detail

    def answer(self) -> JSONResponse:
        """Return it as problem details (RFC 9457)."""
        headers = {"Retry-After": str(RETRY_AFTER)} if self.status in (429, 503) else {}
        if self.hang_up:
            headers["Connection"] = "close"
        return JSONResponse(
            {"status": self.status, "code": self.code, "detail": self.detail},
            self.status,
            headers,
            "application/problem+json",
        )


@dataclass(frozen=True)
class Delivery:
    """A picture that came by HTTP, with its media type and idempotency key."""

    picture: bytes
    media_type: str
    key: str | None


async def receive(request: Request) -> Delivery:
    """Read a picture from a request, no further than it must be to refuse it.

    Raises
    ------
    Refused
    """
    declared = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if declared not in TYPES:
        raise Refused(
            415,
            "content-type",
            f"Content-Type is {declared or 'missing'}: send one of {', '.join(TYPES)}.",
        )
    key = _key(request)
    picture = await _body(request)
    try:
        found = media_type(picture)
    except NotAPicture as trouble:
        raise Refused(422, trouble.code, trouble.reason) from None
    if found != declared:
        raise Refused(
            415,
            "content-type",
            f"Content-Type is {declared} and the picture is {found}: send what it is.",
        )
    return Delivery(picture, found, key)


def _key(request: Request) -> str | None:
    key = request.headers.get("idempotency-key")
    if key is not None and not (
        0 < len(key) <= LONGEST_KEY and key.isascii() and key.isprintable()
    ):
        raise Refused(
            400,
            "idempotency-key",
            f"Idempotency-Key must have 1 to {LONGEST_KEY} printable ASCII characters, such as a UUID.",
        )
    return key


async def _body(request: Request) -> bytes:
    declared = int(request.headers.get("content-length", 0))
    if declared > MOST_BYTES:
        raise _too_large(declared > DISCARDED)
    body = bytearray()
    try:
        async for part in request.stream():
            body += part
            if len(body) > MOST_BYTES:
                raise _too_large(True)
    except ClientDisconnect:
        raise Refused(
            400, "gone", "The sender went away before the whole picture had come."
        ) from None
    return bytes(body)


def _too_large(hang_up: bool) -> Refused:
    detail = f"A picture may have {MOST_BYTES:,} bytes at most: send a smaller one."
    return Refused(413, "too-large", detail, hang_up)


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Return how refusals are described in OpenAPI."""
    return {
        status: {
            "description": _MEANINGS[status],
            "content": {
                "application/problem+json": {
                    "schema": {
                        "type": "object",
                        "properties": {
                            "status": {"type": "integer"},
                            "code": {"type": "string"},
                            "detail": {"type": "string"},
                        },
                    }
                }
            },
        }
        for status in statuses
    }


_MEANINGS = {
    400: "The idempotency key is malformed.",
    404: "There is no picture of this id.",
    413: f"More than {MOST_BYTES:,} bytes; they are not all read.",
    415: "The content type is none that is taken, or not what the picture is.",
    422: "The header is no picture's or tells of too many pixels, or the idempotency key came with another picture.",
    429: "Too many pictures wait; Retry-After says when to come again.",
    503: "The database is full or held by another program; Retry-After says when to come again.",
}
