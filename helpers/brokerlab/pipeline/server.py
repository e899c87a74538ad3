"""An ASGI application served from a thread: a notebook's kernel has an event loop of its own, and a program its signals."""

from __future__ import annotations

import socket
import threading
import time
from typing import Any

import uvicorn

from brokerlab.pipeline.errors import PipelineError

HOST = "127.0.0.1"
START_SECONDS = 20.0
STOP_SECONDS = 10.0


class Server:
    """An application that is served from a thread of this process.

    Attributes
    ----------
    url
        Such as ``http://127.0.0.1:41234``, without a slash at the end.
    """

    def __init__(self, app: Any, host: str, port: int) -> None:
        bound = _bound(host, port)
        self.url = _url(bound)
        self._server = uvicorn.Server(
            uvicorn.Config(
                app,
                # The parser in C: with the one in Python a picture costs the API a third more processor time.
                http="httptools",
                log_level="warning",
                access_log=False,
                timeout_graceful_shutdown=int(STOP_SECONDS),
            )
        )
        self._thread = threading.Thread(
            target=self._server.run, kwargs={"sockets": [bound]}, name="api", daemon=True
        )
        self._thread.start()
        deadline = time.monotonic() + START_SECONDS
        while not self._server.started:
            if not self._thread.is_alive() or time.monotonic() > deadline:
                raise PipelineError(
                    f"The server on {self.url} did not start: look at what it printed."
                )
            time.sleep(0.01)

    def stop(self) -> None:
        """Let running requests finish, and stop; to stop twice does nothing."""
        self._server.should_exit = True
        self._thread.join(STOP_SECONDS + 5)

    def __enter__(self) -> Server:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def __repr__(self) -> str:
        return f"<server {self.url}: {'running' if self._thread.is_alive() else 'stopped'}>"


def serve(app: Any, port: int = 0, host: str = HOST) -> Server:
    """Serve an application from a thread, until `Server.stop`; return when it answers.

    Raises
    ------
    PipelineError
        The port is taken.
    """
    return Server(app, host, port)


def _bound(host: str, port: int) -> socket.socket:
    if not 0 <= port < 65536:
        raise PipelineError(f"{port} is no port: give one from 1 to 65535, or 0 for any.")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # Only where the protocol is named does asyncio send at once; else each answer waits 40 ms for the last one's ACK.
    bound = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        bound.bind((host, port))
    except OSError as trouble:
        bound.close()
        raise PipelineError(
            f"Nobody can listen on {host}:{port} ({trouble.strerror}): give another port, or 0 for any."
        ) from None
    return bound


def _url(bound: socket.socket) -> str:
    host, port = bound.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
