"""The same service without a queue, for comparison: the picture is looked at while its sender waits.

It keeps results in memory and loses them, and all that is at work, when it ends.
"""

from __future__ import annotations

import threading
import uuid
from collections import OrderedDict
from dataclasses import asdict
from typing import Any, Protocol

from fastapi import FastAPI, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import JSONResponse

from brokerlab.pipeline.intake import Refused, receive
from brokerlab.pipeline.pictures import NotAPicture

KEPT = 10_000


class Eyes(Protocol):
    """What looks at pictures: `Detector`, or a stand-in for it."""

    def detect(self, picture: bytes) -> tuple[Any, ...]: ...


def create_synchronous_app(eyes: Eyes) -> FastAPI:
    """Return an application with the URLs of `api.create_app` that answers ``POST /images`` with the result."""
    app = FastAPI(title="The ML queue, without the queue", docs_url=None, redoc_url=None)
    results: OrderedDict[str, dict[str, Any]] = OrderedDict()
    guard = threading.Lock()

    @app.exception_handler(Refused)
    async def refused(_: Request, refusal: Refused) -> JSONResponse:
        return refusal.answer()

    @app.post("/images")
    async def send(request: Request) -> dict[str, Any]:
        delivery = await receive(request)
        try:
            found = await run_in_threadpool(eyes.detect, delivery.picture)
        except NotAPicture as trouble:
            raise Refused(422, trouble.code, trouble.reason) from None
        id = str(uuid.uuid4())
        result = {"id": id, "state": "done", "detections": [asdict(one) for one in found]}
        with guard:
            results[id] = result
            while len(results) > KEPT:
                results.popitem(last=False)
        return result

    @app.get("/images/{id}")
    async def image(id: str) -> dict[str, Any]:
        if id not in results:
            raise Refused(404, "unknown-id", "There is no picture of this id, or no longer.")
        return results[id]

    @app.get("/health")
    async def health() -> dict[str, str]:
        return {"status": "pass"}

    return app
