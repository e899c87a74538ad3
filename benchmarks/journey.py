"""What a client does on every side alike: from a bootstrap address to the first message consumed."""

from __future__ import annotations

import logging
import time
from typing import Any

from confluent_kafka import Consumer, KafkaError, KafkaException, Producer
from confluent_kafka.admin import AdminClient, NewTopic

TOPIC = "photos"
BROKERS = 3
LIMIT = 90.0

_SILENT = logging.getLogger("benchmark.clients")
_SILENT.addHandler(logging.NullHandler())
_SILENT.propagate = False


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
    client: dict[str, Any] = {
        "bootstrap.servers": bootstrap_servers,
        # A name such as localhost may have an address of version 6 too, where nobody listens.
        "broker.address.family": "v4",
    }
    deadline = time.monotonic() + LIMIT
    _create_topic(AdminClient(client, logger=_SILENT), deadline)
    _produce(client, deadline)
    return _consume(client, deadline)


def _create_topic(admin: AdminClient, deadline: float) -> None:
    topic = NewTopic(TOPIC, num_partitions=3, replication_factor=BROKERS)
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


def _produce(client: dict[str, Any], deadline: float) -> None:
    refused: list[KafkaError] = []

    def delivered(error: KafkaError | None, _message: Any) -> None:
        if error:
            refused.append(error)

    producer = Producer(client, logger=_SILENT)
    producer.produce(TOPIC, b"a first photo", on_delivery=delivered)
    if producer.flush(_left(deadline, "the delivery")) or refused:
        raise TimeoutError(f"the message was not delivered: {refused}")


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
