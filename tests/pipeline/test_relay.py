"""The relay: in order, marked when confirmed, twice rather than never, and one at a time."""

from __future__ import annotations

import signal
import sys
import threading
from typing import Any

import fakes
import pytest
from brokerlab.background import Background
from brokerlab.pipeline import relay as relay_module
from brokerlab.pipeline.clients import PARTITIONS, Cluster
from brokerlab.pipeline.errors import PipelineError, TopicError
from brokerlab.pipeline.messages import Names
from brokerlab.pipeline.relay import Flight, Relay
from brokerlab.pipeline.store import Store
from confluent_kafka import KafkaError, TopicPartition
from queues import Queue, until

NAMES = Names("t")


class Told(list[dict[str, Any]]):
    """Events as they were said."""

    def __call__(self, event: str, **details: Any) -> None:
        self.append({"event": event, **details})


def accept(store: Store, number: int, size: int = 10) -> list[str]:
    return [store.accept(bytes(size) + bytes([n]), "image/jpeg").id for n in range(number)]


def flight(store: Store) -> tuple[Flight, fakes.Producer]:
    producer = fakes.Producer()
    return Flight(store, producer, NAMES, Told()), producer


def test_rows_are_sent_in_order_with_id_and_round(store: Store) -> None:
    ids = accept(store, 3)
    going, producer = flight(store)
    assert going.fill() is False
    assert [sent.key.decode() for sent in producer.sent] == ids
    assert {sent.topic for sent in producer.sent} == {NAMES.requests}
    assert producer.sent[0].headers["round"] == "0" and producer.sent[0].value == bytes(11)
    assert going.confirmed == []
    going.wait(0)
    assert [row.id for row in going.confirmed] == ids


def test_no_more_is_on_its_way_than_the_window_holds(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(relay_module, "WINDOW_RECORDS", 3)
    accept(store, 5)
    going, producer = flight(store)
    assert going.fill() is True and len(producer.sent) == 3
    assert going.fill() is True and len(producer.sent) == 3
    going.wait(0)
    assert going.fill() is False and len(producer.sent) == 5


def test_a_few_large_pictures_fill_the_window_too(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(relay_module, "WINDOW_BYTES", 2_500)
    accept(store, 5, size=1000)
    going, producer = flight(store)
    assert going.fill() is True and len(producer.sent) == 3


def test_a_picture_that_the_brokers_never_take_becomes_a_dead_letter(store: Store) -> None:
    (id,) = accept(store, 1)
    going, producer = flight(store)
    too_large = KafkaError(KafkaError.MSG_SIZE_TOO_LARGE)
    producer.verdict = lambda sent: too_large if sent.topic == NAMES.requests else None
    going.fill()
    going.wait(0)
    letter = producer.sent[1]
    assert (letter.topic, letter.key, letter.value) == (NAMES.dead_letters, id.encode(), b"")
    assert letter.headers["code"] == "not-taken"
    assert [row.id for row in going.confirmed] == [id], "the dead letter stands for it"


def test_a_producer_that_fails_ends_the_flight_and_marks_nothing(store: Store) -> None:
    accept(store, 2)
    going, producer = flight(store)
    producer.verdict = lambda sent: KafkaError(KafkaError._FATAL)
    going.fill()
    with pytest.raises(PipelineError, match="sent again"):
        going.wait(0)
    assert going.confirmed == []


def test_after_trouble_a_new_producer_sends_what_was_not_marked(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(relay_module, "ensure_topics", lambda *_: [])
    ids, cluster, stop, told = accept(store, 2), fakes.Cluster(), threading.Event(), Told()
    failing = iter([True, True])

    def producer(_: Any = None) -> fakes.Producer:
        made = fakes.Producer()
        if next(failing, False):
            made.verdict = lambda sent: KafkaError(KafkaError._FATAL)
        cluster.producers.append(made)
        return made

    monkeypatch.setattr(cluster, "producer", producer)
    relay = threading.Thread(target=Relay(store, cluster, NAMES, stop=stop, say=told).run)  # type: ignore[arg-type]
    relay.start()
    try:
        until(lambda: store.unpublished() == [])
    finally:
        stop.set()
        relay.join(20)
    assert [[sent.key.decode() for sent in one.sent] for one in cluster.producers] == [ids] * 3
    assert [event["event"] for event in told if event["event"] == "trouble"] == ["trouble"] * 2


def test_without_topics_it_waits_and_tries_again(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = iter([TopicError("none"), TopicError("none")])

    def ensure(*_: object) -> list[str]:
        if trouble := next(answers, None):
            raise trouble
        return ["it is odd."]

    monkeypatch.setattr(relay_module, "ensure_topics", ensure)
    accept(store, 1)
    stop, told = threading.Event(), Told()
    relay = threading.Thread(target=Relay(store, fakes.Cluster(), NAMES, stop=stop, say=told).run)  # type: ignore[arg-type]
    relay.start()
    try:
        until(lambda: store.unpublished() == [])
    finally:
        stop.set()
        relay.join(20)
    kinds = [event["event"] for event in told]
    assert kinds[:4] == ["trouble", "trouble", "warning", "ready"] and kinds[-1] == "stopped"


def test_two_relays_for_one_database_are_one_too_many(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(relay_module, "ensure_topics", lambda *_: [])
    stop, told = threading.Event(), Told()
    relay = threading.Thread(target=Relay(store, fakes.Cluster(), NAMES, stop=stop, say=told).run)  # type: ignore[arg-type]
    relay.start()
    try:
        until(lambda: told)
        with pytest.raises(PipelineError, match="one is enough"):
            Relay(store, fakes.Cluster(), NAMES).run()  # type: ignore[arg-type]
    finally:
        stop.set()
        relay.join(20)


def test_where_no_broker_is_it_says_so_and_ends_when_told(store: Store) -> None:
    accept(store, 1)
    line = ["relay", "--bootstrap-servers", "127.0.0.1:1", "--database", str(store.file)]
    relay = Background([sys.executable, "-m", "brokerlab.pipeline", *line], name="relay")
    relay.wait_for("No broker of 127.0.0.1:1 answers", timeout=40)
    assert relay.stop(20) == 0
    assert len(store.unpublished()) == 1


def in_topic(cluster: Cluster, topic: str) -> int:
    """Return how many records were ever written to a topic."""
    reader = cluster.consumer("nobody")
    try:
        ends = [
            reader.get_watermark_offsets(TopicPartition(topic, number), timeout=10)
            for number in range(PARTITIONS)
        ]
        return sum(end[1] for end in ends if end)
    finally:
        reader.close()


@pytest.mark.cluster
def test_what_is_accepted_is_published_once_and_marked(queue: Queue, store: Store) -> None:
    relay = queue.start("relay")
    accept(store, 200)
    until(lambda: store.counts().unpublished == 0)
    assert relay.stop(20) == 0
    assert in_topic(queue.cluster, queue.names.requests) == 200
    assert store.counts().queued == 200


@pytest.mark.cluster
def test_killed_between_publish_and_mark_it_publishes_again(queue: Queue, store: Store) -> None:
    relay = queue.start("relay")
    # While this transaction is open, the relay can read and publish but not mark.
    accept(store, 50)
    with store.database.writing():
        until(lambda: in_topic(queue.cluster, queue.names.requests) >= 1)
        assert relay.kill() == -signal.SIGKILL
    # What the dead relay had handed to its sockets may still arrive after this count.
    published = in_topic(queue.cluster, queue.names.requests)
    unmarked = store.counts().unpublished
    assert published + unmarked > 50
    queue.start("relay")
    until(lambda: store.counts().unpublished == 0)
    assert published + unmarked <= in_topic(queue.cluster, queue.names.requests) <= 50 + unmarked


@pytest.mark.cluster
def test_a_picture_of_the_largest_size_passes(queue: Queue, store: Store) -> None:
    queue.start("relay")
    id = store.accept(bytes(5_000_000), "image/jpeg").id
    until(lambda: store.counts().unpublished == 0)
    queue.start("worker")
    queue.start("collector")
    until(lambda: store.counts().dead_lettered == 1)
    job = store.job(id)
    assert job is not None and job.code == "not-a-picture", (
        "it reached the worker and its letter came back"
    )
