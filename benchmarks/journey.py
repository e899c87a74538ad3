"""What a client does on every side alike: from a bootstrap address to the first message consumed."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from confluent_kafka import Consumer, KafkaError, KafkaException, Producer
from confluent_kafka.admin import AdminClient, NewTopic
from side import Side

TOPIC = "photos"
PARTITIONS = 3
ANY_PARTITION = -1
BROKERS = 3
LIMIT = 90.0

_SILENT = logging.getLogger("benchmark.clients")
_SILENT.addHandler(logging.NullHandler())
_SILENT.propagate = False


@dataclass(frozen=True)
class Journey:
    """How a side came to its first message: its address, and seconds from its start."""

    bootstrap_servers: str
    usable: float
    first_message: float


def travel(side: Side) -> Journey:
    """Start a side, and take it to the first message consumed.

    Raises
    ------
    SideError
        It did not start.
    TimeoutError
        The message has not come within `LIMIT` seconds.
    """
    side.wait_until_ready()
    begun = time.monotonic()
    bootstrap_servers: str = side.ask("start")["bootstrap_servers"]
    usable = time.monotonic()
    consumed = consume_first_message(bootstrap_servers)
    return Journey(bootstrap_servers, usable - begun, consumed - begun)


def consume_first_message(bootstrap_servers: str) -> float:
    """Create a topic with a copy on every broker, produce one message, read it through a group.

    Returns
    -------
    float
        When the message was there, on the monotonic clock, in seconds.

    Raises
    ------
    TimeoutError
        It has not come this far within `LIMIT` seconds.
    """
    client = _client(bootstrap_servers)
    deadline = time.monotonic() + LIMIT
    _create_topic(AdminClient(client, logger=_SILENT), deadline)
    _produce(client, deadline)
    return _consume(client, deadline)


def write_to_every_partition(bootstrap_servers: str) -> None:
    """Produce one message into each partition of the topic; every copy in sync must confirm it.

    Raises
    ------
    TimeoutError
        One was not delivered within `LIMIT` seconds.
    """
    client = _client(bootstrap_servers) | {"acks": "all"}
    _produce(client, time.monotonic() + LIMIT, range(PARTITIONS))


def _client(bootstrap_servers: str) -> dict[str, Any]:
    return {
        "bootstrap.servers": bootstrap_servers,
        # A name such as localhost may have an address of version 6 too, where nobody listens.
        "broker.address.family": "v4",
    }


def _create_topic(admin: AdminClient, deadline: float) -> None:
    topic = NewTopic(TOPIC, num_partitions=PARTITIONS, replication_factor=BROKERS)
    while True:
        try:
            # More copies than known brokers are refused, so wait for all before asking.
            if len(admin.list_topics(timeout=1).brokers) == BROKERS:
                admin.create_topics([topic])[TOPIC].result(_left(deadline, "the topic"))
                return
        except KafkaException as error:
            if error.args[0].code() == KafkaError.TOPIC_ALREADY_EXISTS:
                return
        _left(deadline, "the topic")
        time.sleep(0.02)


def _produce(
    client: dict[str, Any], deadline: float, partitions: Iterable[int] = (ANY_PARTITION,)
) -> None:
    refused: list[KafkaError] = []

    def delivered(error: KafkaError | None, _message: Any) -> None:
        if error:
            refused.append(error)

    producer = Producer(client, logger=_SILENT)
    for partition in partitions:
        producer.produce(TOPIC, b"a photo", partition=partition, on_delivery=delivered)
    if producer.flush(_left(deadline, "the delivery")) or refused:
        raise TimeoutError(f"a message was not delivered: {refused}")


def _consume(client: dict[str, Any], deadline: float) -> float:
    group = {"group.id": "benchmark", "auto.offset.reset": "earliest"}
    consumer = Consumer({**client, **group}, logger=_SILENT)
    try:
        consumer.subscribe([TOPIC])
        while True:
            message = consumer.poll(min(1.0, _left(deadline, "the message")))
            if message is not None and message.error() is None:
                return time.monotonic()
    finally:
        consumer.close()


def _left(deadline: float, what: str) -> float:
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError(f"{what} took longer than {LIMIT:.0f} s")
    return left
