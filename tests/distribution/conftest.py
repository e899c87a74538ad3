"""A small Maven repository on loopback, and a lock of jars that only it has."""

from __future__ import annotations

import hashlib
import random
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from brokerlab.distribution import fetch, installation
from brokerlab.distribution.jars import Jar
from brokerlab.settings import Settings

COORDINATES = {
    "kafka": (
        "org.apache.kafka:kafka_2.13:3.9.2",
        "org.apache.kafka:kafka-clients:3.9.2",
        "org.scala-lang:scala-library:2.13.15",
        "org.slf4j:slf4j-api:1.7.36",
        "org.apache.zookeeper:zookeeper:3.8.4",
        "commons-cli:commons-cli:1.4",
    ),
    "2018": (
        "org.apache.kafka:kafka_2.13:2.8.2",
        "org.apache.kafka:kafka-clients:2.8.2",
    ),
}

Answer = Callable[["Handler", bytes], None]


def whole(handler: Handler, content: bytes) -> None:
    handler.send(200, content)


def cut(handler: Handler, content: bytes) -> None:
    """Promise everything and close the connection after half of it."""
    handler.send(200, content, sent=len(content) // 2)
    handler.close_connection = True


def flipped(handler: Handler, content: bytes) -> None:
    middle = len(content) // 2
    handler.send(
        200, content[:middle] + bytes([content[middle] ^ 255]) + content[middle + 1 :]
    )


def page(handler: Handler, content: bytes) -> None:
    """Answer as the log-in page of a hotel's network does."""
    handler.send(200, b"<html>please log in</html>")


def refused(status: int, **headers: str) -> Answer:
    def answer(handler: Handler, content: bytes) -> None:
        handler.send(status, b"no", headers=headers)

    return answer


class Handler(BaseHTTPRequestHandler):
    server: MavenServer
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        name = self.path.rpartition("/")[2]
        self.server.requests[name].append(time.monotonic())
        answers = self.server.answers[name]
        answer = answers.pop(0) if len(answers) > 1 else answers[0]
        answer(self, self.server.content[self.path])

    def send(
        self,
        status: int,
        content: bytes,
        sent: int | None = None,
        headers: dict[str, str] | None = None,
    ) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        for name, value in (headers or {}).items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(content[:sent])

    def log_message(self, *args: object) -> None:
        pass


class MavenServer(ThreadingHTTPServer):
    """Serves the jars; `answers` holds for each what to do, the last one for ever."""

    daemon_threads = True

    def __init__(self, content: dict[str, bytes]) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.content = content
        self.answers: dict[str, list[Answer]] = defaultdict(lambda: [whole])
        self.requests: dict[str, list[float]] = defaultdict(list)

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    @property
    def request_count(self) -> int:
        return sum(map(len, self.requests.values()))


@pytest.fixture
def jars(monkeypatch: pytest.MonkeyPatch) -> dict[str, tuple[Jar, ...]]:
    """A lock of small jars in place of the real one; pauses between tries are short."""
    locked = {
        group: tuple(
            Jar(group, coordinate, len(content), hashlib.sha256(content).hexdigest(), "MIT")
            for coordinate in coordinates
            for content in [content_of(coordinate)]
        )
        for group, coordinates in COORDINATES.items()
    }
    monkeypatch.setattr(installation, "locked", locked.__getitem__)
    monkeypatch.setattr(fetch, "FIRST_PAUSE", 0.01)
    return locked


def content_of(coordinate: str) -> bytes:
    return random.Random(coordinate).randbytes(150_000)


@pytest.fixture
def archives(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Stand in for the making of the class-data archive; lists what was made."""
    made: list[Path] = []

    def make(archive: Path, jars: object) -> bool:
        archive.parent.mkdir(exist_ok=True)
        archive.write_bytes(b"archive")
        archive.with_suffix(".sha256").write_text(hashlib.sha256(b"archive").hexdigest())
        made.append(archive)
        return True

    monkeypatch.setattr(installation, "make_archive", make)
    return made


@pytest.fixture
def repository(jars: dict[str, tuple[Jar, ...]]) -> Iterator[MavenServer]:
    """A running repository that holds the jars of the lock."""
    everything = [jar for group in jars.values() for jar in group]
    server = MavenServer({f"/{jar.path}": content_of(jar.coordinate) for jar in everything})
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join(5)


@pytest.fixture
def settings(tmp_path: Path, repository: MavenServer, archives: list[Path]) -> Settings:
    """Settings with an empty cache and the repository as mirror."""
    return Settings(tmp_path / "home", tmp_path / "cache", "auto", 1.0, repository.address)
