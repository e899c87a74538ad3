"""The supervisor's end of its socket: a request, the steps of what it takes, the answer.

A request is one line of JSON, ``{"op": ..., ...}``; the answer is a line for each step, ``{"begin": text}`` and
``{"end": text, "seconds": s, "mark": "✓"}``, and a last line, ``{"ok": value}`` or
``{"error": kind, "message": sentence}``. `brokerlab.control` is the other end.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

from brokerlab.errors import BrokerLabError

log = logging.getLogger(__name__)


class Steps:
    """Tells the asking client what is being done, with times."""

    def __init__(self, send: Callable[[dict[str, Any]], None]) -> None:
        self._send = send

    @contextlib.contextmanager
    def step(self, text: str) -> Iterator[None]:
        begun = time.monotonic()
        self._send({"begin": text})
        mark = "✗"
        try:
            yield
            mark = "✓"
        finally:
            self._send({"end": text, "seconds": time.monotonic() - begun, "mark": mark})


async def serve(
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    answer: Callable[[Steps, dict[str, Any]], Awaitable[Any]],
    log_file: Path,
) -> None:
    """Read one client's request, and send it what `answer` says of it.

    Parameters
    ----------
    log_file : Path
        Where a client is sent that met a bug of ours.
    """

    def send(message: dict[str, Any]) -> None:
        # The client may have been interrupted; what it asked for is finished all the same.
        with contextlib.suppress(ConnectionError, RuntimeError):
            writer.write(json.dumps(message).encode() + b"\n")

    try:
        # Who only wants to know whether anybody listens connects and asks nothing.
        if line := await reader.readline():
            send({"ok": await answer(Steps(send), json.loads(line))})
    except BrokerLabError as error:
        send({"error": type(error).__name__, "message": str(error)})
    except Exception as error:
        log.exception("a request failed")
        send(
            {
                "error": "BrokerLabError",
                "message": f"The supervisor failed ({error!r}): see {log_file}, then run `brokerlab stop`.",
            }
        )
    with contextlib.suppress(ConnectionError):
        await writer.drain()
        writer.close()
