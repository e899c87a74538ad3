"""A stand-in for a Docker daemon in trouble: a socket that answers what it is told to."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from socketserver import ThreadingMixIn, UnixStreamServer

SILENCE = object()


class _Server(ThreadingMixIn, UnixStreamServer):
    daemon_threads = True

    def __init__(self, path: Path, answers: Mapping[str, object]) -> None:
        super().__init__(str(path), _Handler)
        self.answers = {
            "/_ping": "OK",
            "/version": {"ApiVersion": "1.41", "Version": "20.10"},
        } | dict(answers)
        self.over = threading.Event()


class _Handler(BaseHTTPRequestHandler):
    server: _Server

    def do_GET(self) -> None:
        answer = next((a for part, a in self.server.answers.items() if part in self.path), None)
        if answer is SILENCE:
            self.server.over.wait()
            return
        body = json.dumps(answer or {"message": "no such image: it is not here"}).encode()
        self.send_response(200 if answer else 404)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_POST = do_GET

    def address_string(self) -> str:
        return "a local socket"

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextmanager
def fake_daemon(path: Path, answers: Mapping[str, object]) -> Iterator[str]:
    """Listen at `path`; yield the address for DOCKER_HOST.

    Parameters
    ----------
    answers : mapping of str to object
        By a part of the request's path: what is sent as JSON, or `SILENCE`. What is not in it is not found.
    """
    with _Server(path, answers) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield f"unix://{path}"
        finally:
            server.over.set()
            server.shutdown()
