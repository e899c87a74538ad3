"""The newest records of each partition of a topic, read as they come, without joining any group."""

from __future__ import annotations

import contextlib
import logging
import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from confluent_kafka import Consumer, KafkaException, Message, TopicPartition

from brokerlab.records import Record, record_of

KEPT = 400
"""Records of a partition that are kept: the newest."""

AT_ONCE = 500
POLL = 0.15
"""Seconds of records that are taken together, by the client and by us."""

ENOUGH = 100_000
"""Bytes for which a broker answers sooner."""

ASK_SECONDS = 1.0

_SILENT = logging.getLogger("brokerlab.clients")


@dataclass(frozen=True)
class Tail:
    """The end of one partition's log: its newest records by offset, and how many there are in all."""

    records: tuple[Record, ...] = ()
    count: int = 0


@dataclass
class _Place:
    low: int
    next: int
    kept: deque[Record] = field(default_factory=lambda: deque(maxlen=KEPT))


class PartitionLog:
    """Follows the partitions it is told to, on a thread of its own.

    Parameters
    ----------
    client : mapping
        What a client needs to know of the cluster.
    topic : str
        The topic.
    changed : callable
        Called without arguments, on the log's thread, when there is something new.
    group : str
        What the reader says its group is; it joins none.
    """

    def __init__(
        self, client: Mapping[str, Any], topic: str, changed: Callable[[], None], group: str
    ) -> None:
        self._client = {**client, "group.id": group}
        self._topic = topic
        self._changed = changed
        self._wanted: tuple[int, ...] = ()
        self._places: dict[int, _Place] = {}
        self._lock = threading.Lock()
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"log of {topic}", daemon=True)
        self._thread.start()

    def follow(self, partitions: Sequence[int]) -> None:
        """Read these partitions from now on, and forget all others."""
        self._wanted = tuple(partitions)

    def tail(self, partition: int) -> Tail:
        """Return the end of one partition's log as far as it has been read."""
        with self._lock:
            place = self._places.get(partition)
            return Tail(tuple(place.kept), place.next - place.low) if place else Tail()

    def close(self) -> None:
        """End the thread and its client."""
        self._closing.set()
        if threading.current_thread() is not self._thread:
            self._thread.join(5)

    def _run(self) -> None:
        reader = Consumer(
            {
                **self._client,
                "enable.auto.commit": False,
                # A log that ends before our place is a new log of the same name: begin it anew.
                "auto.offset.reset": "error",
                # Else a broker answers for each record anew, and a client's thread wakes for each.
                "fetch.min.bytes": ENOUGH,
                "fetch.wait.max.ms": round(POLL * 1000),
                "log_level": 0,
            },
            logger=_SILENT,
        )
        try:
            while not self._closing.is_set():
                self._assign(reader)
                if messages := reader.consume(AT_ONCE, POLL):
                    self._take(messages)
        finally:
            reader.close()

    def _assign(self, reader: Consumer) -> None:
        """Give the reader what is wanted; a partition without a leader is tried again next time."""
        wanted = self._wanted
        if set(wanted) == self._places.keys():
            return
        found = self._begin(reader, [n for n in wanted if n not in self._places])
        with self._lock:
            kept = {n: place for n, place in self._places.items() if n in wanted}
            if not found and kept.keys() == self._places.keys():
                return
            self._places = kept | found
        reader.assign(
            [TopicPartition(self._topic, n, place.next) for n, place in self._places.items()]
        )
        self._changed()

    def _begin(self, reader: Consumer, partitions: Sequence[int]) -> dict[int, _Place]:
        """Find out where these partitions begin and end; those that do not answer are left out."""
        places: dict[int, _Place] = {}
        if not partitions:
            return places
        with contextlib.suppress(KafkaException):
            # The reader goes by what it heard last, and may not have heard of new partitions.
            reader.list_topics(timeout=ASK_SECONDS)
        for number in partitions:
            with contextlib.suppress(KafkaException):
                low, high = reader.get_watermark_offsets(
                    TopicPartition(self._topic, number), timeout=ASK_SECONDS
                )
                places[number] = _Place(low, max(low, high - KEPT))
        return places

    def _take(self, messages: Sequence[Message]) -> None:
        with self._lock:
            for message in messages:
                number = message.partition()
                place = self._places.get(number) if number is not None else None
                if place is None or number is None:
                    continue
                if message.error() is not None:
                    # Not there any more, or not from here: look again where it begins and ends.
                    del self._places[number]
                    continue
                record = record_of(message)
                place.kept.append(record)
                place.next = (record.offset or 0) + 1
        self._changed()
