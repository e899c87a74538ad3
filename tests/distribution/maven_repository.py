"""A Maven repository on loopback that can be told to fail, and the jars that only it has."""

from __future__ import annotations

import random
import sys
import time
from collections import defaultdict
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Answer = Callable[["Handler", bytes], None]


def whole(handler: Handler, content: bytes) -> None:
    handler.send(200, content)


def cut(handler: Handler, content: bytes) -> None:
    """Promise everything and close the connection after half of it."""
    handler.send(200, content, sent=len(content) // 2)
    handler.close_connection = True


def flipped(handler: Handler, content: bytes) -> None:
    middle = len(content) // 2
    handler.send(200, content[:middle] + bytes([content[middle] ^ 255]) + content[middle + 1 :])


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

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Stay quiet about a client that went away, which tests make happen."""
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    @property
    def request_count(self) -> int:
        return sum(map(len, self.requests.values()))


def content_of(coordinate: str) -> bytes:
    return random.Random(coordinate).randbytes(150_000)
