"""The API server: takes pictures, says at once that it has them, and tells later what became of them.

A picture is answered with 202 when it is in the database together with the promise to publish it. Only what is cheap is
checked before: size, type, and what the header says. What only decoding shows, such as a file that breaks off, is found by a
worker and becomes a dead letter with the reason.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from typing import Annotated, Any, TypeVar

from fastapi import FastAPI, Header, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, JSONResponse

from brokerlab.pipeline.docspage import page
from brokerlab.pipeline.errors import (
    BacklogError,
    KeyReusedError,
    StoreBusyError,
    StoreError,
    StoreFullError,
)
from brokerlab.pipeline.intake import MOST_BYTES, TYPES, Delivery, Refused, problems, receive
from brokerlab.pipeline.metrics import Metrics
from brokerlab.pipeline.server import Server, serve
from brokerlab.pipeline.store import Accepted, Job, State, Store

__all__ = ["BACKLOG_LIMIT", "Server", "create_app", "serve"]

BACKLOG_LIMIT = 5000
"""Pictures that may wait; at 100 a second the last of them waits for less than a minute."""
LATE = 10.0
"""Seconds that the outbox's oldest row may wait before the relay counts as behind."""
_MOST_JOBS = 1000
_AT_THE_DOOR = 200
"""Pictures in memory that wait for the database, above which the next is sent away."""

T = TypeVar("T")


def create_app(store: Store, *, backlog_limit: int = BACKLOG_LIMIT) -> FastAPI:
    """Return the application over a store, which stays the caller's to close.

    Parameters
    ----------
    backlog_limit
        Pictures that may wait; the next ones are answered with 429.
    """
    desk = _Desk(store, backlog_limit)

    app = FastAPI(
        title="The ML queue",
        summary="Send a picture; ask later what is in it.",
        docs_url=None,
        redoc_url=None,
    )

    @app.exception_handler(Refused)
    async def refused(request: Request, refusal: Refused) -> JSONResponse:
        if request.url.path == "/images" and request.method == "POST":
            desk.metrics.refused.labels(reason=refusal.code).inc()
        return refusal.answer()

    @app.exception_handler(RequestValidationError)
    async def misunderstood(_: Request, trouble: RequestValidationError) -> JSONResponse:
        first = trouble.errors()[0]
        name = first["loc"][-1]
        return Refused(
            422, "parameter", f"The parameter {name} is not right: {first['msg']}."
        ).answer()

    @app.exception_handler(StoreError)
    async def unwell(request: Request, trouble: StoreError) -> JSONResponse:
        return await refused(request, _unavailable(trouble))

    @app.post(
        "/images",
        status_code=202,
        summary="Send a picture",
        responses=problems(400, 413, 415, 422, 429, 503),
        openapi_extra={
            "requestBody": {
                "required": True,
                "description": f"The picture's bytes, {MOST_BYTES:,} at most.",
                "content": {
                    kind: {"schema": {"type": "string", "format": "binary"}} for kind in TYPES
                },
            }
        },
    )
    async def send(
        request: Request,
        idempotency_key: Annotated[
            str | None,
            Header(
                alias="Idempotency-Key",
                description="The same key with the same picture is the same job, however often it comes.",
            ),
        ] = None,
    ) -> JSONResponse:
        begun = time.monotonic()
        try:
            accepted = await desk.accept(await receive(request))
        finally:
            desk.metrics.seconds.observe(time.monotonic() - begun)
        return JSONResponse(
            {"id": accepted.id, "state": accepted.state},
            202,
            {"Location": f"/images/{accepted.id}"},
        )

    @app.get("/images", summary="List pictures, the newest first", responses=problems(503))
    async def images(
        state: State | None = None, limit: Annotated[int, Query(ge=1, le=_MOST_JOBS)] = 100
    ) -> list[dict[str, Any]]:
        return [told(job) for job in await desk.read(store.jobs, state, limit)]

    @app.get("/images/{id}", summary="What became of a picture", responses=problems(404, 503))
    async def image(id: str) -> dict[str, Any]:
        return told(_there(await desk.read(store.job, id)))

    @app.get(
        "/images/{id}/picture",
        summary="The picture itself",
        response_class=Response,
        responses={200: {"content": {kind: {} for kind in TYPES}}, **problems(404, 503)},
    )
    async def picture(id: str) -> Response:
        kind, data = _there(await desk.read(store.picture, id))
        # The bytes are a stranger's: a browser is to take them for what they were checked to be, and nothing else.
        return Response(data, media_type=kind, headers={"X-Content-Type-Options": "nosniff"})

    @app.get("/metrics", summary="Figures for Prometheus", response_class=Response)
    async def metrics() -> Response:
        text, kind = await desk.read(desk.metrics.text)
        return Response(text, media_type=kind)

    @app.get("/health", summary="Whether pictures can be taken", responses=problems(503))
    async def health() -> dict[str, Any]:
        await desk.write(store.probe)
        counts = await desk.read(store.counts)
        return {
            "status": "warn" if counts.oldest_wait > LATE else "pass",
            "database": "writable",
            "outbox": {
                "waiting": counts.unpublished,
                "oldest_seconds": round(counts.oldest_wait, 3),
                "last_published_seconds_ago": None
                if counts.published_ago is None
                else round(counts.published_ago, 3),
            },
        }

    @app.get("/docs", include_in_schema=False)
    async def docs() -> HTMLResponse:
        return HTMLResponse(page(app.openapi()))

    return app


def told(job: Job) -> dict[str, Any]:
    """Return a job as the API tells it: without what is not known yet."""
    return {name: value for name, value in asdict(job).items() if value is not None}


class _Desk:
    """Lets the event loop use the store: one thread writes, so that writers queue in order, and two read."""

    def __init__(self, store: Store, limit: int) -> None:
        self._store = store
        self._limit = limit
        self._writer = ThreadPoolExecutor(1, "writer")
        self._readers = ThreadPoolExecutor(2, "reader")
        self._waiting = 0
        self.metrics = Metrics(store, limit)

    async def accept(self, delivery: Delivery) -> Accepted:
        try:
            accepted = await self.write(
                self._store.accept, delivery.picture, delivery.media_type, delivery.key, self._limit
            )
        except KeyReusedError as trouble:
            # 422, as the IETF's draft on the header says; 409 is for the same request still at work.
            raise Refused(422, "idempotency-key-reused", str(trouble)) from None
        except BacklogError as trouble:
            raise Refused(429, "backlog", str(trouble)) from None
        if accepted.new:
            self.metrics.accepted.inc()
        return accepted

    async def write(self, work: Callable[..., T], *arguments: Any) -> T:
        if self._waiting >= _AT_THE_DOOR:
            raise Refused(503, "busy", "The database does not keep up: send again later.")
        self._waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._writer, work, *arguments)
        finally:
            self._waiting -= 1

    async def read(self, work: Callable[..., T], *arguments: Any) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._readers, work, *arguments)


def _there(found: T | None) -> T:
    if found is None:
        raise Refused(
            404,
            "unknown-id",
            "There is no picture of this id: send one, and use the id of the answer.",
        )
    return found


def _unavailable(trouble: StoreError) -> Refused:
    code = {StoreFullError: "full", StoreBusyError: "busy"}.get(type(trouble), "database")
    return Refused(503, code, str(trouble))
