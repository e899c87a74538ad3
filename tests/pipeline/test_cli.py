"""``python -m brokerlab.pipeline``: its programs, exit codes, and one sentence for whatever is wrong."""

from __future__ import annotations

import json
import socket
import sqlite3
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
from brokerlab.pipeline.__main__ import DONE, FAILED, UNREACHABLE, UNSOUND, main
from brokerlab.pipeline.store import Store
from queues import Queue, until

NOBODY = ["--bootstrap-servers", "127.0.0.1:1"]


def run(*line: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "brokerlab.pipeline", *map(str, line)],
        capture_output=True,
        text=True,
        timeout=60,
    )


def one_sentence(text: str) -> bool:
    return text.count("\n") == 1 and text.endswith(".\n") and "Traceback" not in text


@pytest.mark.parametrize(
    ("line", "code", "said"),
    [
        (["worker", *NOBODY], UNREACHABLE, "No broker of 127.0.0.1:1 answers"),
        (["audit", *NOBODY, "--database", "FILE"], FAILED, "There is no database"),
        (["redrive", "--database", "FILE"], FAILED, "There is no database"),
        (["worker", *NOBODY, "--model", "none.onnx"], FAILED, "none.onnx is missing"),
        (["worker", "--bootstrap-servers", "nowhere"], FAILED, "give host:port"),
        (["worker", *NOBODY, "--client-properties", "none"], FAILED, "none cannot be read"),
        (["worker", *NOBODY, "--prefix", "a b"], FAILED, "cannot begin the name of a topic"),
        (["relay", *NOBODY, "--database", "/no/such/folder/x"], FAILED, "folder that exists"),
        (["api", "--database", "/no/such/folder/x"], FAILED, "folder that exists"),
        (["api", "--port", "70000", "--database", "FILE"], FAILED, "70000 is no port"),
        (["api"], FAILED, "needs --database FILE"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_is_wrong_is_one_sentence_and_an_exit_code(
    line: list[str], code: int, said: str, tmp_path: Path
) -> None:
    ended = run(*(str(tmp_path / "queue.sqlite") if word == "FILE" else word for word in line))
    assert (ended.returncode, ended.stdout) == (code, "")
    assert said in ended.stderr and one_sentence(ended.stderr), ended.stderr


@pytest.mark.parametrize(
    "line",
    [[], ["fly"], ["worker"], ["api", "--port", "x"], ["worker", *NOBODY, "--attempts", "0"]],
)
def test_a_command_that_is_not_understood_is_2(line: list[str]) -> None:
    ended = run(*line)
    assert ended.returncode == 2 and "usage:" in ended.stderr


def test_help_tells_the_exit_codes(capsys: pytest.CaptureFixture[str]) -> None:
    for line in (["--help"], ["worker", "--help"]):
        with pytest.raises(SystemExit) as ended:
            main(line)
        assert ended.value.code == 0 and "exit codes:" in capsys.readouterr().out


def test_a_database_of_another_version_is_refused_by_every_part(tmp_path: Path) -> None:
    file = tmp_path / "queue.sqlite"
    with sqlite3.connect(file) as connection:
        connection.execute("PRAGMA user_version = 9")
    connection.close()
    for line in (["api", "--port", "0"], ["relay", *NOBODY], ["collector", *NOBODY]):
        ended = run(*line, "--database", file)
        assert ended.returncode == FAILED and "of version 9" in ended.stderr
        assert one_sentence(ended.stderr)


def test_a_port_that_is_taken_is_one_sentence(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        ended = run("api", "--port", port, "--database", tmp_path / "queue.sqlite")
    assert ended.returncode == FAILED and f":{port} (" in ended.stderr
    assert one_sentence(ended.stderr)


@pytest.mark.cluster
def test_the_whole_queue_as_programs(queue: Queue, jpeg: bytes) -> None:
    api = queue.start("api", "--port", 0)
    url = json.loads(api.wait_for('"ready"'))["url"]
    parts = [api, *(queue.start(name) for name in ("relay", "collector", "worker"))]
    with httpx.Client(base_url=url) as client:
        ids = [
            client.post("/images", content=body, headers={"content-type": "image/jpeg"}).json()[
                "id"
            ]
            for body in (jpeg, jpeg[:2000])
        ]
        finished = until(
            lambda: (
                [
                    told
                    for told in (client.get(f"/images/{id}").json() for id in ids)
                    if told["state"] in ("done", "dead-lettered")
                ][1:]
                and [client.get(f"/images/{id}").json() for id in ids]
            )
        )
    assert [told["state"] for told in finished] == ["done", "dead-lettered"]
    assert finished[0]["detections"] and finished[1]["code"] == "truncated"
    told = run("audit", *queue.where, "--database", queue.file)
    assert (told.returncode, told.stdout.split(";")[0]) == (
        DONE,
        "accepted 2 = done 1 + dead-lettered 1 + in flight 0 + missing 0",
    )
    assert (
        json.loads(run("audit", *queue.where, "--database", queue.file, "--json").stdout)["done"]
        == 1
    )
    assert run("topics", *queue.where).returncode == DONE
    again = run("redrive", "--database", queue.file, "--code", "truncated")
    assert again.stdout == "Pictures that go through the queue again: 1\n"
    for part in reversed(parts):
        assert part.stop(20) == 0
        assert '"stopped"' in part.lines[-1]


@pytest.mark.cluster
def test_a_missing_picture_is_exit_code_4(queue: Queue, store: Store) -> None:
    store.accept(b"lost", "image/jpeg")
    store.mark_published(store.unpublished())
    told = run("audit", *queue.where, "--database", queue.file)
    assert told.returncode == UNSOUND and "missing 1;" in told.stdout
