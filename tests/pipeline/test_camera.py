"""A camera: on time whatever the server does, patient where that helps, and honest about how long its callers waited."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from brokerlab.pipeline.camera import SENDERS, Camera, percentile
from brokerlab.pipeline.errors import PipelineError
from brokerlab.pipeline.server import serve
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse


class Door:
    """Answers as it is told: a status for each try, the last for ever; and keeps what came."""

    def __init__(self, *statuses: int, seconds: float = 0.0, retry_after: str = "") -> None:
        self.came: list[tuple[str, bytes]] = []
        self._statuses, self._seconds, self._retry_after = list(statuses), seconds, retry_after
        self.app = FastAPI()
        self.app.post("/images")(self._take)

    async def _take(self, request: Request) -> JSONResponse:
        key = request.headers["Idempotency-Key"]
        self.came.append((key, await request.body()))
        status = self._statuses.pop(0) if len(self._statuses) > 1 else self._statuses[0]
        await asyncio.sleep(self._seconds)
        headers = {"Retry-After": self._retry_after} if self._retry_after else {}
        return JSONResponse({"id": f"id of {key}"}, status, headers)


@contextmanager
def camera(door: Door, count: int | None, per_second: float, **options: Any) -> Iterator[Camera]:
    with (
        serve(door.app) as server,
        Camera(lambda: server.url, lambda n: b"%d" % n, count, per_second, **options) as made,
    ):
        yield made


def test_every_picture_is_sent_once_and_on_time() -> None:
    door = Door(202)
    with camera(door, 40, 200) as made:
        sent = made.wait(20)
    assert {one.number for one in sent} == set(range(40)) == set(made.ids)
    assert sorted(door.came) == sorted((f"picture-{n}", b"%d" % n) for n in range(40))
    assert all(one.status == 202 and one.tries == 1 for one in sent)
    assert [one.due for one in sorted(sent, key=lambda s: s.number)] == [n / 200 for n in range(40)]
    assert made.done and max(one.answered for one in sent) >= 39 / 200


def test_callers_do_not_wait_for_each_other() -> None:
    with camera(Door(202, seconds=0.5), 20, 100) as made:
        sent = made.wait(20)
    # One after the other they would have needed ten seconds.
    assert max(one.answered for one in sent) < 5


def test_a_server_that_makes_callers_queue_up_cannot_hide_it() -> None:
    with camera(Door(202, seconds=0.5), 3 * SENDERS, 500) as made:
        sent = made.wait(30)
    assert max(one.seconds for one in sent) > 1, "the third in the line waits for two others"


@pytest.mark.parametrize("status", [429, 503, 500])
def test_a_server_that_is_full_or_unwell_is_asked_again(status: int) -> None:
    door = Door(status, status, 202)
    with camera(door, 1, 10) as made:
        (sent,) = made.wait(20)
    assert (sent.status, sent.tries) == (202, 3)
    assert {key for key, _ in door.came} == {"picture-0"}, "again is with the same key"


def test_it_waits_as_long_as_the_server_asks() -> None:
    with camera(Door(429, 202, retry_after="1"), 1, 10) as made:
        (sent,) = made.wait(20)
    assert sent.seconds >= 1


@pytest.mark.parametrize("status", [415, 422])
def test_what_will_never_be_taken_is_sent_once(status: int) -> None:
    with camera(Door(status), 1, 10) as made:
        (sent,) = made.wait(20)
    assert (sent.status, sent.tries, sent.id) == (status, 1, None)


def test_an_impatient_camera_sends_once() -> None:
    with camera(Door(503), 3, 100, again=False) as made:
        sent = made.wait(20)
    assert {(one.status, one.tries) for one in sent} == {(503, 1)} and made.ids == {}


def test_a_server_that_is_away_and_comes_back_gets_everything() -> None:
    door = Door(202)
    address = ["http://127.0.0.1:9"]
    with Camera(lambda: address[0], lambda n: b"x", 5, 100) as made:
        with pytest.raises(PipelineError, match="0 of 5 pictures are through"):
            made.wait(0.3)
        with serve(door.app) as server:
            address[0] = server.url
            sent = made.wait(20)
    assert len(made.ids) == 5 and all(one.tries > 1 for one in sent)


def test_it_stops_in_the_middle() -> None:
    with Camera(lambda: "http://127.0.0.1:9", lambda n: b"x", 1000, 10) as made:
        made.stop()
        made.stop()
    assert made.done and made.ids == {}


@pytest.mark.parametrize(("count", "per_second"), [(0, 1), (-1, 1), (10**6, 1), (1, 0), (1, 1e9)])
def test_what_no_camera_does_is_refused(count: int, per_second: float) -> None:
    with pytest.raises(PipelineError, match="A camera sends"):
        Camera(lambda: "", lambda n: b"", count, per_second)


def test_percentiles() -> None:
    assert percentile([3.0, 1.0, 2.0], 50) == 2.0
    assert percentile([float(n) for n in range(1, 101)], 95) == 95.0
    assert percentile([1.0], 99) == 1.0
    assert math.isnan(percentile([], 50))


def test_a_camera_without_an_end_goes_on_until_it_is_told() -> None:
    door = Door(202)
    with camera(door, None, 100) as made:
        made.wait(20, 30)
        assert made.count is None and not made.done
        with pytest.raises(PipelineError, match=r"^\d+ pictures are through after 0 s"):
            made.wait(0.01)
        made.finish()
        sent = made.wait(20)
    assert made.count is not None and {one.number for one in sent} == set(range(made.count))
    assert len(door.came) == made.count
