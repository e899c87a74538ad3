"""Where records would lie if their topic had another number of partitions, or another client had sent them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from confluent_kafka import consistent, murmur2

from brokerlab.records import Record

PARTITIONERS: dict[str, Callable[[bytes, int], int]] = {"crc32": consistent, "murmur2": murmur2}
"""Name -> partition of a key among so many: what librdkafka does unless told otherwise, and what Java does."""


@dataclass(frozen=True)
class Layout:
    """The same records, laid out again.

    Attributes
    ----------
    partitioner : str
        One of `PARTITIONERS`.
    lanes : tuple of tuple of Record
        For each partition its records in the order in which they were sent; they still say where they are now.
    keys : frozenset of bytes
        All keys.
    moved : frozenset of bytes
        Keys that would go to another partition than their newest record did.
    keyless : int
        Records without a key, which are left out: their place is chance.
    """

    partitioner: str
    lanes: tuple[tuple[Record, ...], ...]
    keys: frozenset[bytes]
    moved: frozenset[bytes]
    keyless: int


def lay_out(records: Iterable[Record], partitions: int, partitioner: str) -> Layout:
    """Lay records out over so many partitions.

    Parameters
    ----------
    records : iterable of Record
        Of one topic, as they lie now.
    partitions : int
        1 or more.
    partitioner : str
        One of `PARTITIONERS`.
    """
    place = PARTITIONERS[partitioner]
    lanes: list[list[Record]] = [[] for _ in range(partitions)]
    goes: dict[bytes, int] = {}
    lies: dict[bytes, int | None] = {}
    keyless = 0
    for record in sorted(records, key=_sent):
        if not record.key:
            keyless += 1
            continue
        if record.key not in goes:
            goes[record.key] = place(record.key, partitions)
        lanes[goes[record.key]].append(record)
        lies[record.key] = record.partition
    return Layout(
        partitioner,
        tuple(tuple(lane) for lane in lanes),
        frozenset(goes),
        frozenset(key for key, partition in goes.items() if lies[key] != partition),
        keyless,
    )


def _sent(record: Record) -> tuple[int, int, int]:
    return record.timestamp or 0, record.partition or 0, record.offset or 0
