"""What the controllers say of themselves, in Kafka's own protocol: who leads, who votes, who follows."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from brokerlab.wire import Reader, compact, exchange

DESCRIBE_QUORUM, VERSION = 55, 1
# Compact arrays of one topic and one partition begin with their length and one; no tags anywhere.
QUESTION = b"\2" + compact(b"__cluster_metadata") + b"\2" + struct.pack(">i", 0) + b"\0\0\0"


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


def ask(address: str, timeout: float = 1.0, key: Path | None = None) -> Quorum | None:
    """Ask one controller, or a broker in KRaft mode (which asks the leader); None when nobody answers.

    Parameters
    ----------
    address : str
        As ``host:port``.
    timeout : float
        Seconds.
    key : path, optional
        The lab's key for its controllers, where it has one (`brokerlab.wire.exchange`).
    """
    answer = exchange(address, DESCRIBE_QUORUM, VERSION, QUESTION, timeout, key)
    try:
        return _read(answer) if answer else None
    except (struct.error, IndexError):
        return None


def leader_of(
    addresses: Sequence[str], timeout: float = 1.0, key: Path | None = None
) -> Quorum | None:
    """Ask one controller after the other until one says that it leads; None when none does."""
    asked = (ask(address, timeout, key) for address in addresses)
    return next((answer for answer in asked if answer and answer.leader is not None), None)


def _read(answer: Reader) -> Quorum:
    if answer.number("h") != 0 or answer.varint() < 2:
        return Quorum(None)
    answer.skip(answer.varint() - 1)
    answer.varint()
    answer.number("i")
    if answer.number("h") != 0:
        return Quorum(None)
    leader, epoch, committed = answer.number("i"), answer.number("i"), answer.number("q")
    voters, observers = _replicas(answer), _replicas(answer)
    return Quorum(leader if leader >= 0 else None, epoch, committed, voters, observers)


def _replicas(answer: Reader) -> tuple[Replica, ...]:
    return tuple(_replica(answer) for _ in range(answer.varint() - 1))


def _replica(answer: Reader) -> Replica:
    replica = Replica(answer.number("i"), answer.number("q"), answer.number("q"))
    answer.number("q")
    answer.tags()
    return replica
