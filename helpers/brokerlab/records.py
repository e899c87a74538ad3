"""What a topic holds: its records, whole and in order, read without joining any group."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

SECONDS = 5.0
AT_ONCE = 2000


@dataclass(frozen=True)
class Record:
    """One record of a topic's log; `timestamp` in ms since 1970."""

    partition: int | None
    offset: int | None
    key: bytes | None
    value: bytes | None
    timestamp: int | None = None

    @property
    def text(self) -> str:
        """The value as text."""
        return (self.value or b"").decode("utf-8", "replace")


def records(
    lab: Any, topic: str, seconds: float = SECONDS, partitions: Sequence[int] | None = None
) -> list[Record]:
    """Return all records that a topic holds now, partition by partition; none if there is no such topic.

    Parameters
    ----------
    lab : Lab
        Anything with `Lab.client` and `Lab.group`.
    seconds : float
        How long to try.
    partitions : sequence of int, optional
        Only these.

    Raises
    ------
    confluent_kafka.KafkaException
        The cluster did not answer in time.
    """
    reader = Consumer(
        {
            **lab.client,
            "group.id": lab.group("brokerlab-check"),
            "enable.auto.commit": False,
            "enable.partition.eof": True,
            "log_level": 0,
        }
    )
    deadline = time.monotonic() + seconds
    try:
        found = reader.list_topics(topic, timeout=seconds).topics[topic]
        wanted = set(found.partitions if partitions is None else partitions) & set(found.partitions)
        reader.assign([TopicPartition(topic, number, 0) for number in sorted(wanted)])
        open_partitions = set(wanted)
        ends: dict[int, int] = {}
        seen: list[Record] = []
        while open_partitions:
            if time.monotonic() > deadline:
                raise KafkaException(KafkaError(KafkaError._TIMED_OUT))
            for message in reader.consume(AT_ONCE, 0.05):
                error = message.error()
                if error is None:
                    seen.append(record_of(message))
                    # While somebody writes, the end of the partition never comes: read to where it was at first.
                    place, offset = message.partition() or 0, message.offset() or 0
                    if place not in ends:
                        here = TopicPartition(topic, place)
                        ends[place] = reader.get_watermark_offsets(here, cached=True)[1]
                    if offset + 1 >= ends[place] >= 0:
                        open_partitions.discard(place)
                elif error.code() == KafkaError._PARTITION_EOF:
                    open_partitions.discard(message.partition())
                elif error.fatal():
                    raise KafkaException(error)
    finally:
        reader.close()
    return sorted(seen, key=lambda record: (record.partition or 0, record.offset or 0))


def record_of(message: Any) -> Record:
    """Return what a message says as a `Record`."""
    return Record(
        message.partition(),
        message.offset(),
        message.key(),
        message.value(),
        message.timestamp()[1],
    )


def texts(lab: Any, topic: str) -> list[str]:
    """Return the values of all records as text, partition by partition."""
    return [record.text for record in records(lab, topic)]
