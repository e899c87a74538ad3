"""The API server: what it answers, to what is right and to everything else."""

from __future__ import annotations

import socket
import sqlite3
import time
from collections.abc import Iterator
from contextlib import suppress
from io import BytesIO
from typing import Any

import httpx
import pytest
from brokerlab.pipeline import database
from brokerlab.pipeline.api import create_app, serve
from brokerlab.pipeline.errors import PipelineError
from brokerlab.pipeline.messages import MOST_BYTES, DeadLetter, Result
from brokerlab.pipeline.store import Outcome, Store, Stray
from brokerlab.pipeline.synchronous import create_synchronous_app
from PIL import Image

JPEG = {"content-type": "image/jpeg"}


@pytest.fixture
def api(store: Store) -> Iterator[httpx.Client]:
    with (
        serve(create_app(store, backlog_limit=5)) as server,
        httpx.Client(base_url=server.url) as client,
    ):
        yield client


def drawn(kind: str, size: tuple[int, int] = (8, 8), mode: str = "RGB", **options: Any) -> bytes:
    file = BytesIO()
    Image.new(mode, size).save(file, kind, **options)
    return file.getvalue()


def finished(store: Store, said: Result | DeadLetter) -> None:
    store.record([Outcome(said, Stray("t", 0, 0, b"", b"", ""))])


def test_a_picture_is_accepted_and_found_again(
    api: httpx.Client, store: Store, jpeg: bytes
) -> None:
    answer = api.post("/images", content=jpeg, headers=JPEG)
    assert answer.status_code == 202
    id = answer.json()["id"]
    assert answer.json() == {"id": id, "state": "accepted"}
    assert answer.headers["location"] == f"/images/{id}"
    assert api.get(f"/images/{id}").json()["state"] == "accepted"
    picture = api.get(f"/images/{id}/picture")
    assert (picture.content, picture.headers["content-type"]) == (jpeg, "image/jpeg")
    assert picture.headers["x-content-type-options"] == "nosniff"
    assert [row.id for row in store.unpublished()] == [id]


def test_what_became_of_pictures_is_told(api: httpx.Client, store: Store, jpeg: bytes) -> None:
    done, dead = (
        api.post("/images", content=jpeg + bytes(n), headers=JPEG).json()["id"] for n in range(2)
    )
    finished(store, Result(done, ({"label": "cat"},), 0, 2, "w", 8.5))
    finished(store, DeadLetter(dead, "truncated", "It breaks off.", "NotAPicture", 0, 1, "r[0]@0"))
    told = api.get(f"/images/{done}").json()
    assert (told["state"], told["detections"], told["attempts"]) == ("done", [{"label": "cat"}], 2)
    told = api.get(f"/images/{dead}").json()
    assert (told["state"], told["reason"], told["attempts"]) == (
        "dead-lettered",
        "It breaks off.",
        1,
    )
    assert [one["id"] for one in api.get("/images", params={"state": "done"}).json()] == [done]
    assert [one["id"] for one in api.get("/images", params={"limit": 1}).json()] == [dead]


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF", "WEBP"])
def test_four_kinds_of_pictures_are_taken(api: httpx.Client, kind: str) -> None:
    headers = {"content-type": f"image/{kind.lower()}"}
    assert api.post("/images", content=drawn(kind), headers=headers).status_code == 202


@pytest.mark.parametrize(
    ("kind", "picture"),
    [
        ("jpeg", drawn("JPEG", (1, 1))),
        ("png", drawn("PNG", mode="RGBA")),
        ("gif", drawn("GIF", save_all=True, append_images=[Image.new("RGB", (8, 8), "red")])),
        ("jpeg", drawn("JPEG", (64, 64))[:-20]),
    ],
    ids=["1x1", "png with alpha", "animated gif", "truncated: only decoding shows it"],
)
def test_what_is_odd_but_a_picture_is_taken(api: httpx.Client, kind: str, picture: bytes) -> None:
    answer = api.post("/images", content=picture, headers={"content-type": f"image/{kind}"})
    assert answer.status_code == 202


@pytest.mark.parametrize(
    ("body", "headers", "status", "code"),
    [
        (b"", JPEG, 422, "empty"),
        (b"This is no picture.", JPEG, 422, "not-a-picture"),
        (
            drawn("PNG", (12_000, 12_000), "1"),
            {"content-type": "image/png"},
            422,
            "too-many-pixels",
        ),
        (drawn("JPEG"), {"content-type": "text/plain"}, 415, "content-type"),
        (drawn("JPEG"), {}, 415, "content-type"),
        (drawn("PNG"), JPEG, 415, "content-type"),
        (bytes(MOST_BYTES + 1), JPEG, 413, "too-large"),
        (drawn("JPEG"), JPEG | {"idempotency-key": ""}, 400, "idempotency-key"),
        (drawn("JPEG"), JPEG | {"idempotency-key": "k" * 256}, 400, "idempotency-key"),
    ],
    ids=[
        "0 bytes",
        "text",
        "bomb",
        "wrong type",
        "no type",
        "another type",
        "large",
        "no key",
        "long key",
    ],
)
def test_what_is_no_picture_is_refused_with_a_reason(
    api: httpx.Client, store: Store, body: bytes, headers: dict[str, str], status: int, code: str
) -> None:
    answer = api.post("/images", content=body, headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["detail"].endswith((".", ")"))
    assert store.jobs() == []
    assert f'pipeline_refused_total{{reason="{code}"}} 1.0' in api.get("/metrics").text


def test_twenty_megabytes_are_refused_unread(api: httpx.Client) -> None:
    host, port = api.base_url.host, api.base_url.port or 0
    with socket.create_connection((host, port), timeout=10) as line:
        line.sendall(
            b"POST /images HTTP/1.1\r\nHost: x\r\nContent-Type: image/jpeg\r\nContent-Length: 20000000\r\n\r\n"
        )
        assert line.recv(1000).startswith(b"HTTP/1.1 413 ")


def test_the_sender_of_twenty_megabytes_hears_the_answer(api: httpx.Client) -> None:
    for _ in range(5):
        answer = api.post("/images", content=bytes(20_000_000), headers=JPEG)
        assert (answer.status_code, answer.json()["code"]) == (413, "too-large")


def test_a_body_of_unknown_length_is_read_no_further_than_allowed(api: httpx.Client) -> None:
    sent = 0

    def parts() -> Iterator[bytes]:
        nonlocal sent
        for _ in range(200):
            sent += 1_000_000
            yield bytes(1_000_000)

    # The server may have answered and closed while this client was still writing.
    with suppress(httpx.TransportError):
        assert api.post("/images", content=parts(), headers=JPEG).status_code == 413
    assert sent < 50_000_000


def test_a_sender_who_goes_away_leaves_nothing(api: httpx.Client, store: Store, capfd: Any) -> None:
    with socket.create_connection((api.base_url.host, api.base_url.port or 0)) as line:
        line.sendall(
            b"POST /images HTTP/1.1\r\nHost: x\r\nContent-Type: image/jpeg\r\nContent-Length: 1000\r\n\r\nabc"
        )
    assert api.get("/health").status_code == 200
    assert store.jobs() == []
    assert "Traceback" not in capfd.readouterr().err


def test_a_key_is_one_job_and_keeps_its_picture(api: httpx.Client, jpeg: bytes) -> None:
    headers = JPEG | {"idempotency-key": "one"}
    answers = [api.post("/images", content=jpeg, headers=headers) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [202] * 3
    assert len({answer.json()["id"] for answer in answers}) == 1
    other = api.post("/images", content=drawn("JPEG"), headers=headers)
    assert (other.status_code, other.json()["code"]) == (422, "idempotency-key-reused")
    assert "pipeline_accepted_total 1.0" in api.get("/metrics").text


def test_too_many_waiting_are_sent_away_for_a_while(
    api: httpx.Client, store: Store, jpeg: bytes
) -> None:
    ids = [
        api.post("/images", content=jpeg, headers=JPEG | {"idempotency-key": str(n)}).json()["id"]
        for n in range(5)
    ]
    answer = api.post("/images", content=jpeg, headers=JPEG)
    assert (answer.status_code, answer.json()["code"]) == (429, "backlog")
    assert int(answer.headers["retry-after"]) >= 1
    known = api.post("/images", content=jpeg, headers=JPEG | {"idempotency-key": "0"})
    assert known.json()["id"] == ids[0]
    finished(store, Result(ids[0], (), 0, 1, "w", 1.0))
    assert api.post("/images", content=jpeg, headers=JPEG).status_code == 202


def test_a_full_database_is_503_and_everything_else_goes_on(
    api: httpx.Client, store: Store, jpeg: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = api.post("/images", content=jpeg, headers=JPEG).json()["id"]

    def full(connection: sqlite3.Connection) -> None:
        pages = connection.execute("PRAGMA page_count").fetchone()[0]
        connection.execute(f"PRAGMA max_page_count = {pages}")

    with store.database._guard:
        for connection in store.database._all:
            full(connection)
    statuses = {api.post("/images", content=jpeg, headers=JPEG).status_code for _ in range(4)}
    assert 503 in statuses
    answer = api.post("/images", content=jpeg, headers=JPEG)
    assert (answer.status_code, answer.json()["code"]) == (503, "full")
    assert int(answer.headers["retry-after"]) >= 1
    assert api.get("/health").status_code == 503
    assert api.get(f"/images/{first}").json()["state"] == "accepted"
    assert len(store.jobs()) == len(store.unpublished())


def test_a_database_that_is_held_is_503(
    store: Store, jpeg: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "PATIENCE", 0.1)
    with serve(create_app(store)) as server, httpx.Client(base_url=server.url) as api:
        with Store(store.file) as other, other.database.writing():
            answer = api.post("/images", content=jpeg, headers=JPEG)
        assert (answer.status_code, answer.json()["code"]) == (503, "busy")
        assert api.post("/images", content=jpeg, headers=JPEG).status_code == 202


def test_what_is_not_there_is_404(api: httpx.Client) -> None:
    for path in ("/images/unknown", "/images/unknown/picture"):
        answer = api.get(path)
        assert (answer.status_code, answer.json()["code"]) == (404, "unknown-id")


@pytest.mark.parametrize("query", ["state=lost", "limit=0", "limit=100000", "limit=x"])
def test_a_list_that_cannot_be_is_422(api: httpx.Client, query: str) -> None:
    answer = api.get(f"/images?{query}")
    assert (answer.status_code, answer.json()["code"]) == (422, "parameter")


def test_figures_are_for_prometheus(api: httpx.Client, store: Store, jpeg: bytes) -> None:
    id = api.post("/images", content=jpeg, headers=JPEG).json()["id"]
    text = api.get("/metrics").text
    for line in (
        "pipeline_outbox_pending 1.0",
        "pipeline_backlog 1.0",
        "pipeline_backlog_limit 5.0",
        "pipeline_done_total 0.0",
    ):
        assert line in text.splitlines()
    store.mark_published(store.unpublished())
    finished(store, Result(id, (), 0, 1, "w", 1.0))
    text = api.get("/metrics").text
    for line in (
        "pipeline_outbox_pending 0.0",
        "pipeline_backlog 0.0",
        "pipeline_done_total 1.0",
        "pipeline_post_seconds_count 1.0",
    ):
        assert line in text.splitlines()


def test_health_tells_of_a_relay_that_is_behind(
    api: httpx.Client, store: Store, jpeg: bytes
) -> None:
    assert api.get("/health").json() == {
        "status": "pass",
        "database": "writable",
        "outbox": {"waiting": 0, "oldest_seconds": 0.0, "last_published_seconds_ago": None},
    }
    api.post("/images", content=jpeg, headers=JPEG)
    with store.database.writing() as connection:
        connection.execute("UPDATE outbox SET written_at = written_at - 60")
    told = api.get("/health").json()
    assert told["status"] == "warn" and told["outbox"]["oldest_seconds"] >= 60


def test_the_pages_about_the_api_need_no_network(api: httpx.Client) -> None:
    page = api.get("/docs").text
    assert "http://" not in page and "https://" not in page and "<script" not in page
    assert "POST /images" in page and "Idempotency" in page and "429" in page
    document = api.get("/openapi.json").json()
    assert set(document["paths"]["/images"]["post"]["requestBody"]["content"]) == {
        "image/jpeg",
        "image/png",
        "image/gif",
        "image/webp",
    }
    assert {"202", "413", "415", "422", "429", "503"} <= set(
        document["paths"]["/images"]["post"]["responses"]
    )


def test_answers_are_sent_at_once(api: httpx.Client) -> None:
    def seconds() -> float:
        begun = time.monotonic()
        api.get("/images/unknown")
        return time.monotonic() - begun

    # An answer in two pieces costs a delayed ACK of 40 ms, each time, where the socket waits to fill a segment.
    assert min(seconds() for _ in range(50)) < 0.03


def test_an_application_can_be_made_and_served_twice(store: Store, jpeg: bytes) -> None:
    app = create_app(store)
    create_app(store)
    for _ in range(2):
        with serve(app) as server:
            answer = httpx.post(f"{server.url}/images", content=jpeg, headers=JPEG)
            assert answer.status_code == 202
    assert "stopped" in repr(server)


def test_a_port_that_is_taken_is_one_sentence(store: Store) -> None:
    with serve(create_app(store)) as server:
        port = int(server.url.rpartition(":")[2])
        with pytest.raises(PipelineError, match=f"Nobody can listen on 127.0.0.1:{port}"):
            serve(create_app(store), port=port)
    with pytest.raises(PipelineError, match="is no port"):
        serve(create_app(store), port=70_000)


def test_the_synchronous_version_answers_with_the_result(jpeg: bytes) -> None:
    from brokerlab.pipeline.detector import Detector

    with (
        serve(create_synchronous_app(Detector())) as server,
        httpx.Client(base_url=server.url) as api,
    ):
        answer = api.post("/images", content=jpeg, headers=JPEG)
        assert answer.status_code == 200 and answer.json()["state"] == "done"
        assert (
            answer.json()["detections"]
            and api.get(f"/images/{answer.json()['id']}").json() == answer.json()
        )
        broken = api.post("/images", content=jpeg[:2000], headers=JPEG)
        assert (broken.status_code, broken.json()["code"]) == (422, "truncated")
        assert api.post("/images", content=b"", headers=JPEG).status_code == 422
        assert api.get("/images/unknown").status_code == 404
