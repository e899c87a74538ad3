"""Waiting in the supervisor: always for something, never for longer than its limit."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

from brokerlab.errors import NodeFailedError

POLL_SECONDS = 0.02


async def until(true: Callable[[], Awaitable[bool]], seconds: float, what: str) -> None:
    """Wait until `true` says yes.

    Raises
    ------
    NodeFailedError
        It did not within `seconds`; the sentence says that `what` was waited for.
    """
    deadline = time.monotonic() + seconds
    while not await true():
        if time.monotonic() > deadline:
            raise NodeFailedError(
                f"Waited {seconds:.0f} s for {what}, in vain: look at `brokerlab logs` and `brokerlab doctor`."
            )
        await asyncio.sleep(POLL_SECONDS)
