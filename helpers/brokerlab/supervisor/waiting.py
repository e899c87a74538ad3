"""Waiting in the supervisor: always for something, never for longer than its limit."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence

from brokerlab.errors import NodeFailedError
from brokerlab.processes import Identity
from brokerlab.runtimes import RunningNode

POLL_SECONDS = 0.02
START_SECONDS = 60.0
"""The limit of whatever belongs to a start: it is reached only where something is wrong."""


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


async def until_gone(those: Sequence[RunningNode | Identity], seconds: float, what: str) -> None:
    """Wait until none of those is alive any more.

    Raises
    ------
    NodeFailedError
        As with `until`.
    """

    async def gone() -> bool:
        return not any(one.alive() for one in those)

    await until(gone, seconds, what)


async def to_its_end(call: Callable[[], None]) -> None:
    """Make a call that may take a moment, and whose outcome must be known even if nobody waits for it any more."""
    work = asyncio.ensure_future(asyncio.to_thread(call))
    try:
        await asyncio.shield(work)
    except asyncio.CancelledError:
        await asyncio.wait([work])
        raise
