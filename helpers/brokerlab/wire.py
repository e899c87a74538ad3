"""Kafka's own protocol, as far as the controllers are asked in it: one request, one answer, over TCP or TLS.

Clients of librdkafka do not talk to controllers, and Kafka's tools for it are Java processes that take a second; a request
is a few bytes.
"""

from __future__ import annotations

import io
import socket
import ssl
import struct
from pathlib import Path
from typing import Any

LONGEST_ANSWER = 1_000_000


def exchange(
    address: str, api: int, version: int, body: bytes, timeout: float, key: Path | None = None
) -> Reader | None:
    """Ask one node; return what it answers from behind the header on, or None when nobody does.

    Parameters
    ----------
    address : str
        As ``host:port``.
    api, version : int
        Which request, in a version that is "flexible" in Kafka's words.
    body : bytes
    timeout : float
        Seconds.
    key : path, optional
        A file with the key and certificate by which each shows the other that it is of the lab; without one the
        connection is open to all.
    """
    host, _, port = address.rpartition(":")
    try:
        with (
            socket.create_connection((host, int(port)), timeout=timeout) as plain,
            _secured(plain, host, key) as connection,
        ):
            connection.sendall(framed(api, version, body))
            with connection.makefile("rb") as answer:
                (length,) = struct.unpack(">i", answer.read(4))
                read = Reader(answer.read(min(length, LONGEST_ANSWER)))
                read.number("i")
                read.tags()
                return read
    except (OSError, struct.error, IndexError):
        return None


def framed(api: int, version: int, body: bytes) -> bytes:
    """Return a request as it is sent: its length, the header, the body."""
    request = struct.pack(">hhih", api, version, 1, -1) + b"\0" + body
    return struct.pack(">i", len(request)) + request


def _secured(plain: socket.socket, host: str, key: Path | None) -> socket.socket:
    if plain.getsockname() == plain.getpeername():
        raise ConnectionRefusedError("the port was given to this very connection")
    if key is None:
        return plain
    context = ssl.create_default_context(cafile=key)
    context.load_cert_chain(key)
    return context.wrap_socket(plain, server_hostname=host)


def compact(data: bytes) -> bytes:
    """Return a compact string, or bytes, of up to 126 bytes: its length and one, and itself."""
    return bytes([len(data) + 1]) + data


class Reader:
    """Reads an answer from its beginning on."""

    def __init__(self, data: bytes) -> None:
        self._data = io.BytesIO(data)

    def number(self, kind: str) -> Any:
        layout = struct.Struct(f">{kind}")
        return layout.unpack(self._data.read(layout.size))[0]

    def varint(self) -> int:
        value = shift = 0
        while True:
            byte = self._data.read(1)[0]
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value
            shift += 7

    def text(self) -> str:
        """Return a compact string; an absent one is empty."""
        return self._data.read(max(self.varint() - 1, 0)).decode("utf-8", "replace")

    def tags(self) -> None:
        for _ in range(self.varint()):
            self.varint()
            self.skip(self.varint())

    def skip(self, count: int) -> None:
        self._data.read(count)
