"""Exercises of lesson 13 on a real queue: untouched, the typical mistakes, the solution."""

from __future__ import annotations

import contextlib
import json
from importlib import resources
from typing import Any

import httpx
import pytest
from brokerlab import programs
from brokerlab.exercises import lesson_13_the_ml_queue as lesson
from brokerlab.exercises import load

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(400)]

LESSON = "13_the_ml_queue"

DOOR = """
import sys, threading, uuid
from brokerlab.pipeline.detector import Detector
from brokerlab.pipeline.server import serve
from brokerlab.pipeline.store import Store
from fastapi import FastAPI, Request

app, store, detector = FastAPI(), Store(sys.argv[2]), Detector()
@app.post("/images", status_code=202)
async def take(request: Request):
    picture = await request.body()
    {body}
server = serve(app, int(sys.argv[1])), threading.Event().wait()
"""
COURIER = """
import sys, time, uuid, httpx
from pathlib import Path

run = uuid.uuid4()
client = httpx.Client(base_url=sys.argv[1], headers={"Content-Type": "image/jpeg"}, timeout=10)
def taken(file):
    headers = HEADERS
    try:
        return client.post("/images", content=file.read_bytes(), headers=headers).status_code == 202
    except ERRORS:
        return False
for file in sorted(Path(sys.argv[2]).iterdir()):
    while not taken(file): time.sleep(0.05)
"""


@pytest.fixture
def q(lab: Any, home: Any) -> Any:
    yield load(LESSON, lab)
    left = {name for name in lab.topics() if name.startswith(("door-", "courier-"))}
    assert left == set()


def door(body: str) -> None:
    programs.write("door.py", DOOR.replace("{body}", body))


def courier(headers: str, errors: str = "httpx.TransportError") -> None:
    programs.write("courier.py", COURIER.replace("HEADERS", headers).replace("ERRORS", errors))


def failed(report: Any) -> dict[str, str]:
    return {fact.text: fact.advice for fact in report.facts if not fact.ok}


def solution(number: int) -> None:
    text = resources.files("brokerlab.exercises").joinpath("solutions.json").read_text("utf-8")
    first, _, rest = json.loads(text)[LESSON][str(number)].partition("\n")
    programs.write(first.removeprefix("%%program "), rest)


def test_before_anything_is_written_nothing_is_attempted(q: Any) -> None:
    assert [q[n].check().status for n in (1, 2)] == ["not attempted"] * 2


def test_an_untouched_door_is_not_attempted(q: Any) -> None:
    door("...")
    assert q[1].check().status == "not attempted"


def test_a_door_that_looks_before_it_answers_makes_senders_wait(
    q: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lesson, "BURST", 120)
    door('detector.detect(picture); return {"id": store.accept(picture, "image/jpeg").id}')
    (fact,) = failed(q[1].check()).items()
    assert fact[0].startswith("p95 of their waits is below 100 ms")
    assert "if it is detect(), leave it to the workers" in fact[1]


def test_a_door_that_keeps_nothing_is_found_out(q: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lesson, "BURST", 40)
    door('return {"id": str(uuid.uuid4())}')
    (fact,) = failed(q[1].check()).items()
    assert fact[0] == "every id that it gave out is a job in the database"
    assert fact[1].startswith("41 of 41 are not: whoever asks for them gets a 404")


def test_a_door_without_an_outbox_row_is_found_out(q: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lesson, "BURST", 20)
    monkeypatch.setattr(lesson, "STALLED", 3.0)
    door(
        'job = store.accept(picture, "image/jpeg")\n'
        '    with store.database.writing() as c: c.execute("DELETE FROM outbox WHERE job_id = ?", [job.id])\n'
        '    return {"id": job.id}'
    )
    (fact,) = failed(q[1].check()).items()
    assert fact[0] == "workers started now, and every picture has its result"
    assert "A job without its row in the outbox is never published" in fact[1]


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("raise ValueError", "It answered with status 500 and no id in JSON."),
        ('return {"job": "1"}', "It answered with status 202 and no id in JSON."),
        ("sys.stdout.flush(); import os; os._exit(3)", "It ended by itself, its last line:"),
    ],
)
def test_a_door_without_an_id_says_what_came_instead(q: Any, body: str, said: str) -> None:
    door(body)
    (advice,) = failed(q[1].check()).values()
    assert advice.startswith(said)


def test_the_first_solution_passes(q: Any) -> None:
    solution(1)
    report = q[1].check()
    assert report.passed, report


def test_an_untouched_courier_is_not_attempted(q: Any) -> None:
    programs.write("courier.py", "import sys\nurl, folder = sys.argv[1:]\n...")
    assert q[2].check().status == "not attempted"


def test_a_courier_that_gives_up_is_told_to_send_again(q: Any) -> None:
    courier('{"Idempotency-Key": file.name}', errors="ZeroDivisionError")
    advice = failed(q[2].check())
    assert (
        "Server disconnected without sending a response"
        in advice["courier.py goes on when the line breaks"]
    )
    assert "killed and started again, it comes to its end" in advice


@pytest.mark.parametrize(
    "headers",
    [
        "{}",
        '{"Idempotency-Key": str(uuid.uuid4())}',
        '{"Idempotency-Key": f"{run}-{file.name}"}',
    ],
    ids=["no key", "a key for each try", "a key for each run"],
)
def test_a_key_that_does_not_belong_to_the_picture_makes_two_jobs(q: Any, headers: str) -> None:
    courier(headers)
    (fact,) = failed(q[2].check()).items()
    assert fact[0] == "none is there as two jobs"
    assert "take a key that belongs to the picture" in fact[1]


def test_one_key_for_all_is_refused_and_the_servers_words_are_told(
    q: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lesson, "BEGIN", 5.0)
    monkeypatch.setattr(lesson, "RUN", 5.0)
    courier('{"Idempotency-Key": "holiday"}')
    advice = failed(q[2].check())
    assert (
        "came before with another picture"
        in advice["killed and started again, it comes to its end"]
    )
    assert advice[f"each of the {lesson.PICTURES} pictures is in the database"].startswith(
        "39 are not"
    )


def test_the_second_solution_passes(q: Any) -> None:
    solution(2)
    report = q[2].check()
    assert report.passed, report


def test_the_bad_line_cuts_one_request_and_one_answer_of_four() -> None:
    class Server:
        heard = 0

        def request(self, *_: Any, **__: Any) -> httpx.Response:
            self.heard += 1
            return httpx.Response(202, json={"id": "1"})

        def close(self) -> None: ...

    server = Server()
    with lesson._BadLine("http://nowhere") as line:
        line._client = server  # type: ignore[assignment]
        answered = 0
        with httpx.Client(base_url=line.url, trust_env=False) as client:
            for _ in range(20):
                with contextlib.suppress(httpx.TransportError):
                    answered += client.post("/images", content=b"x").status_code == 202
    assert (line.requests, server.heard, answered) == (20, 15, 10)
