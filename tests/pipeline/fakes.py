"""Kafka clients at the boundary, for logic without a cluster: what they were told, and answers when the test says so."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from confluent_kafka import KafkaError, KafkaException, TopicPartition


@dataclass
class Message:
    """A record as a consumer hands it out."""

    topic_: str
    partition_: int
    offset_: int
    key_: bytes | None = b"id"
    value_: bytes | None = b"picture"
    headers_: list[Any] = field(default_factory=list)
    error_: KafkaError | None = None

    def topic(self) -> str:
        return self.topic_

    def partition(self) -> int:
        return self.partition_

    def offset(self) -> int:
        return self.offset_

    def key(self) -> bytes | None:
        return self.key_

    def value(self) -> bytes | None:
        return self.value_

    def headers(self) -> list[Any]:
        return self.headers_

    def error(self) -> KafkaError | None:
        return self.error_


@dataclass
class Sent:
    """A record that a producer was given."""

    topic: str
    value: bytes
    key: bytes
    headers: dict[str, str]
    on_delivery: Callable[[KafkaError | None, Any], None]
    size: int


class Producer:
    """Keeps what it is given; confirms in `poll` when `confirming`, with the error that `verdict` returns."""

    def __init__(self) -> None:
        self.sent: list[Sent] = []
        self.confirming = True
        self.verdict: Callable[[Sent], KafkaError | None] = lambda sent: None
        self._open: deque[Sent] = deque()

    def produce(
        self, topic: str, value: bytes, key: bytes, headers: Any = None, on_delivery: Any = None
    ) -> None:
        said = {name: text.decode() for name, text in headers or []}
        sent = Sent(topic, value, key, said, on_delivery, len(value))
        self.sent.append(sent)
        self._open.append(sent)

    def poll(self, _: float) -> None:
        while self.confirming and self._open:
            sent = self._open.popleft()
            sent.on_delivery(self.verdict(sent), None)

    def flush(self, timeout: float) -> None:
        self.poll(timeout)

    def purge(self) -> None:
        self._open.clear()

    def topics(self) -> list[str]:
        return [sent.topic for sent in self.sent]


class Consumer:
    """Hands out what it is fed, but nothing of partitions that are paused; remembers what it was told."""

    def __init__(self, settings: dict[str, Any]) -> None:
        self.on_commit = settings.get("on_commit")
        self.commits: list[tuple[str, int, int, str | None]] = []
        self.paused: set[tuple[str, int]] = set()
        self.pauses = 0
        self.polls = 0
        self.closed = False
        self.marks: dict[tuple[str, int], tuple[int, str]] = {}
        self.refuse_commits = False
        self._waiting: deque[Message] = deque()
        self._calls: deque[Callable[[], None]] = deque()
        self._assigned: set[tuple[str, int]] = set()
        self._fed = threading.Condition()

    def feed(self, *messages: Message) -> None:
        with self._fed:
            self._waiting.extend(messages)
            self._fed.notify_all()

    def subscribe(self, topics: list[str], on_assign: Any, on_revoke: Any, on_lost: Any) -> None:
        self._on = {"assign": on_assign, "revoke": on_revoke, "lost": on_lost}

    def rebalance(self, what: str, *places: tuple[str, int]) -> None:
        """Have a callback called from within the next poll, as the real one does; return when it was."""
        done = threading.Event()

        def call() -> None:
            partitions = [TopicPartition(*place) for place in places]
            if what == "assign":
                self._on[what](self, partitions)
            else:
                self._on[what](self, partitions)
                self._assigned -= set(places)
            done.set()

        self._calls.append(call)
        assert done.wait(20)

    def poll(self, timeout: float) -> Message | None:
        self.polls += 1
        while self._calls:
            self._calls.popleft()()
        with self._fed:
            self._fed.wait_for(lambda: self._next() is not None, timeout)
            found = self._next()
            if found is not None:
                self._waiting.remove(found)
            return found

    def _next(self) -> Message | None:
        return next(
            (one for one in self._waiting if (one.topic(), one.partition()) not in self.paused),
            None,
        )

    def assign(self, partitions: list[TopicPartition]) -> None:
        self._assigned |= {(one.topic, one.partition) for one in partitions}

    def assignment(self) -> list[TopicPartition]:
        return [TopicPartition(*place) for place in sorted(self._assigned)]

    def committed(self, partitions: list[TopicPartition], timeout: float) -> list[TopicPartition]:
        answers = []
        for one in partitions:
            offset, word = self.marks.get((one.topic, one.partition), (-1001, ""))
            answers.append(TopicPartition(one.topic, one.partition, offset, word))
        return answers

    def pause(self, partitions: list[TopicPartition]) -> None:
        self.pauses += 1
        self.paused |= {(one.topic, one.partition) for one in partitions}

    def resume(self, partitions: list[TopicPartition]) -> None:
        self.paused -= {(one.topic, one.partition) for one in partitions}

    def commit(self, offsets: list[TopicPartition], asynchronous: bool) -> None:
        if self.refuse_commits:
            error = KafkaError(KafkaError.NOT_COORDINATOR)
            if not asynchronous:
                raise KafkaException(error)
            self._calls.append(lambda: self.on_commit(error, offsets))
            return
        self.commits += [(one.topic, one.partition, one.offset, one.metadata) for one in offsets]

    def close(self) -> None:
        self.closed = True

    def committed_to(self, topic: str, partition: int) -> int | None:
        """Return the last offset that was committed for a partition."""
        found = [commit[2] for commit in self.commits if commit[:2] == (topic, partition)]
        return found[-1] if found else None


class Cluster:
    """Makes the clients, and keeps them."""

    def __init__(self) -> None:
        self.consumers: list[Consumer] = []
        self.producers: list[Producer] = []

    def consumer(self, group: str, settings: dict[str, Any] | None = None) -> Consumer:
        self.consumers.append(Consumer(settings or {}))
        return self.consumers[-1]

    def producer(self, settings: dict[str, Any] | None = None) -> Producer:
        self.producers.append(Producer())
        return self.producers[-1]
