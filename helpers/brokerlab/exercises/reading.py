"""What checks read from a topic: its records, whole and in order, without joining any group."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

SECONDS = 5.0


@dataclass(frozen=True)
class Record:
    """One record of a topic's log."""

    partition: int | None
    offset: int | None
    key: bytes | None
    value: bytes | None


def records(lab: Any, topic: str, seconds: float = SECONDS) -> list[Record]:
    """Return all records that a topic holds now, partition by partition; none if there is no such topic.

    Parameters
    ----------
    seconds : float
        How long to try.

    Raises
    ------
    confluent_kafka.KafkaException
        The cluster did not answer in time.
    """
    reader = Consumer(
        {
            "bootstrap.servers": lab.bootstrap_servers,
            "group.id": "brokerlab-check",
            "enable.auto.commit": False,
            "enable.partition.eof": True,
            "log_level": 0,
        }
    )
    deadline = time.monotonic() + seconds
    try:
        found = reader.list_topics(topic, timeout=seconds).topics[topic]
        partitions = [TopicPartition(topic, number, 0) for number in sorted(found.partitions)]
        reader.assign(partitions)
        open_partitions = {p.partition for p in partitions}
        seen: list[Record] = []
        while open_partitions:
            if time.monotonic() > deadline:
                raise KafkaException(KafkaError(KafkaError._TIMED_OUT))
            message = reader.poll(0.1)
            if message is None:
                continue
            error = message.error()
            if error is None:
                seen.append(
                    Record(message.partition(), message.offset(), message.key(), message.value())
                )
            elif error.code() == KafkaError._PARTITION_EOF:
                open_partitions.discard(message.partition())
            elif error.fatal():
                raise KafkaException(error)
    finally:
        reader.close()
    return sorted(seen, key=lambda record: (record.partition or 0, record.offset or 0))


def texts(lab: Any, topic: str) -> list[str]:
    """Return the values of all records as text, partition by partition."""
    return [(record.value or b"").decode("utf-8", "replace") for record in records(lab, topic)]
