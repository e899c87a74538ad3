"""A front desk that is called over HTTP, and those who call it: `http.server` and `http.client` of Python itself.

Whoever calls posts to ``/17`` and means photo 17.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException
from http.server import BaseHTTPRequestHandler, HTTPServer, ThreadingHTTPServer

HOST = "127.0.0.1"
LISTENING = "listening on port"
AT_THE_DOOR = 128
"""Callers that may wait to be let in; those beyond are not even heard."""


def serve(accept: Callable[[str], object], port: int = 0, at_once: bool = False) -> None:
    """Answer calls until the process ends; print first on which port.

    Parameters
    ----------
    accept : callable
        Is given the photo's number as text. When it returns, the caller is answered; when it raises, the line goes dead.
    port : int
        Where to listen; 0 takes any that is free.
    at_once : bool
        Take callers side by side, each in a thread; otherwise the next waits until the last has his answer.
    """

    class Desk(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            accept(self.path[1:])
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Stay quiet: the program says itself what is worth a line."""

    class Server(ThreadingHTTPServer if at_once else HTTPServer):  # type: ignore[misc]
        request_queue_size = AT_THE_DOOR

        def handle_error(self, *_: object) -> None:
            """Go on: a caller who has left is no trouble."""

    with Server((HOST, port), Desk) as server:
        print(LISTENING, server.server_port, flush=True)
        server.serve_forever()


@dataclass(frozen=True)
class Answer:
    """What a caller got.

    Attributes
    ----------
    photo : str
        Which photo he called about.
    asked : float
        When he called, on the monotonic clock, in seconds.
    seconds : float
        How long until he had his answer, or gave up.
    status : str
        ``"answered"``, ``"timed out"``, or ``"failed"``: nobody listens, or the line went dead.
    """

    photo: str
    asked: float
    seconds: float
    status: str


def ask(port: int, photo: str, patience: float) -> Answer:
    """Call about one photo and wait for the answer, at most `patience` seconds."""
    asked = time.monotonic()
    connection = HTTPConnection(HOST, port, timeout=patience)
    try:
        connection.request("POST", f"/{photo}")
        status = "answered" if connection.getresponse().status == 200 else "failed"
    except TimeoutError:
        status = "timed out"
    except (OSError, HTTPException):
        status = "failed"
    finally:
        connection.close()
    return Answer(photo, asked, time.monotonic() - asked, status)


def crowd(port: int, callers: int = 30, patience: float = 10.0) -> list[Answer]:
    """Let so many callers call at the same moment, each about a photo of his own; return what each got."""
    with ThreadPoolExecutor(callers) as threads:
        return list(threads.map(lambda n: ask(port, str(n), patience), range(callers)))
