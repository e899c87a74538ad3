"""What the controllers say of themselves, in Kafka's own protocol: who leads, who votes, who follows.

Clients of librdkafka do not ask this, and Kafka's tool for it (``kafka-metadata-quorum.sh``) is a Java process that takes a
second; a request is a few bytes.
"""

from __future__ import annotations

import io
import socket
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

DESCRIBE_QUORUM, VERSION = 55, 1
TOPIC = b"__cluster_metadata"
LONGEST_ANSWER = 1_000_000


@dataclass(frozen=True)
class Replica:
    """One copy of the metadata log.

    Attributes
    ----------
    id : int
        Of the controller or broker that has it.
    end : int
        The offset at its end.
    fetched : int
        When it last asked for more, in ms since 1970; -1 for who leads, and for who never asked.
    """

    id: int
    end: int
    fetched: int


@dataclass(frozen=True)
class Quorum:
    """The controllers' quorum as its leader describes it.

    Attributes
    ----------
    leader : int or None
        None when it was not the leader who was asked: only that one knows the rest.
    epoch : int
        How many elections there have been.
    committed : int
        Up to this offset of the metadata log a majority of the voters has everything.
    voters, observers : tuple of Replica
        Controllers, and whoever else keeps a copy: the brokers, those too that were here within five minutes.
    """

    leader: int | None
    epoch: int = 0
    committed: int = 0
    voters: tuple[Replica, ...] = ()
    observers: tuple[Replica, ...] = ()


def ask(address: str, timeout: float = 1.0) -> Quorum | None:
    """Ask one controller, or a broker in KRaft mode (which asks the leader); None when nobody answers.

    Parameters
    ----------
    address : str
        As ``host:port``.
    timeout : float
        Seconds.
    """
    host, _, port = address.rpartition(":")
    try:
        with socket.create_connection((host, int(port)), timeout=timeout) as connection:
            if connection.getsockname() == connection.getpeername():
                return None
            request = _request()
            connection.sendall(struct.pack(">i", len(request)) + request)
            with connection.makefile("rb") as answer:
                (length,) = struct.unpack(">i", answer.read(4))
                return _read(answer.read(min(length, LONGEST_ANSWER)))
    except (OSError, struct.error, IndexError):
        return None


def leader_of(addresses: Sequence[str], timeout: float = 1.0) -> Quorum | None:
    """Ask one controller after the other until one says that it leads; None when none does."""
    asked = (ask(address, timeout) for address in addresses)
    return next((answer for answer in asked if answer and answer.leader is not None), None)


def _request() -> bytes:
    header = struct.pack(">hhih", DESCRIBE_QUORUM, VERSION, 1, -1) + b"\0"
    # A compact array or string begins with its length and one.
    topic = bytes([len(TOPIC) + 1]) + TOPIC
    return header + b"\2" + topic + b"\2" + struct.pack(">i", 0) + b"\0\0\0"


class _Reader:
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

    def tags(self) -> None:
        for _ in range(self.varint()):
            self.varint()
            self.skip(self.varint())

    def skip(self, count: int) -> None:
        self._data.read(count)

    def replicas(self) -> tuple[Replica, ...]:
        return tuple(self._replica() for _ in range(self.varint() - 1))

    def _replica(self) -> Replica:
        replica = Replica(self.number("i"), self.number("q"), self.number("q"))
        self.number("q")
        self.tags()
        return replica


def _read(data: bytes) -> Quorum:
    answer = _Reader(data)
    answer.number("i")
    answer.tags()
    if answer.number("h") != 0 or answer.varint() < 2:
        return Quorum(None)
    answer.skip(answer.varint() - 1)
    answer.varint()
    answer.number("i")
    if answer.number("h") != 0:
        return Quorum(None)
    leader, epoch, committed = answer.number("i"), answer.number("i"), answer.number("q")
    voters, observers = answer.replicas(), answer.replicas()
    return Quorum(leader if leader >= 0 else None, epoch, committed, voters, observers)
