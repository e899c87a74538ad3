"""The collector: the database first, then the offsets, and nothing twice."""

from __future__ import annotations

import signal
import threading
from typing import Any

import fakes
import pytest
from brokerlab.pipeline import collector as collector_module
from brokerlab.pipeline.collector import Collector, outcome_of
from brokerlab.pipeline.errors import StoreFullError
from brokerlab.pipeline.messages import DeadLetter, Names, Result
from brokerlab.pipeline.store import Store
from queues import Queue, until

NAMES = Names("t")


def result(id: str, round: int = 0) -> Result:
    return Result(id, (), round, 1, "w", 1.0)


def letter(id: str) -> DeadLetter:
    return DeadLetter(id, "truncated", "It breaks off.", "NotAPicture", 0, 1, "t-requests[0]@0")


def test_what_is_no_outcome_is_told_as_that() -> None:
    for record in (
        fakes.Message(NAMES.results, 0, 1, value_=b"{"),
        fakes.Message(NAMES.dead_letters, 0, 1, headers_=[]),
        fakes.Message(NAMES.dead_letters, 0, 1, key_=None, headers_=letter("x").headers()),
    ):
        outcome = outcome_of(record, NAMES)
        assert outcome.said is None and outcome.record.reason
        assert (outcome.record.partition, outcome.record.offset) == (0, 1)


def test_what_is_an_outcome_is_read() -> None:
    record = fakes.Message(NAMES.results, 2, 3, value_=result("a").encoded())
    assert outcome_of(record, NAMES).said == result("a")
    record = fakes.Message(NAMES.dead_letters, 2, 3, key_=b"a", headers_=letter("a").headers())
    assert outcome_of(record, NAMES).said == letter("a")


class Reader(fakes.Consumer):
    """A consumer that notes what the database held when it was told to commit."""

    store: Store
    held: list[int]

    def subscribe(self, topics: list[str], on_assign: Any) -> None:  # type: ignore[override]
        on_assign(self, [])

    def consume(self, most: int, timeout: float) -> list[fakes.Message]:
        found = []
        while len(found) < most and (message := super().poll(0)) is not None:
            found.append(message)
        return found

    def commit(self, offsets: Any, asynchronous: bool) -> None:
        self.held.append(self.store.counts().done)
        super().commit(offsets, asynchronous)


@pytest.fixture
def running(store: Store, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr(collector_module, "ensure_topics", lambda *_: [])
    cluster, stop, events = fakes.Cluster(), threading.Event(), []

    def consumer(group: str, settings: Any = None) -> Reader:
        made = Reader({})
        made.store, made.held = store, []
        cluster.consumers.append(made)
        return made

    monkeypatch.setattr(cluster, "consumer", consumer)
    collector = Collector(
        store,
        cluster,  # type: ignore[arg-type]
        NAMES,
        stop=stop,
        say=lambda event, **details: events.append({"event": event, **details}),
    )
    thread = threading.Thread(target=collector.run)
    thread.start()
    until(lambda: cluster.consumers)
    yield cluster, events
    stop.set()
    thread.join(20)
    assert events[-1]["event"] == "stopped" and cluster.consumers[-1].closed


def test_the_offset_is_committed_after_the_transaction(store: Store, running: Any) -> None:
    cluster, _ = running
    ids = [store.accept(bytes([n]), "image/jpeg").id for n in range(3)]
    records = [
        fakes.Message(NAMES.results, 0, n, value_=result(id).encoded()) for n, id in enumerate(ids)
    ]
    cluster.consumers[0].feed(*records)
    until(lambda: cluster.consumers[0].committed_to(NAMES.results, 0) == 3)
    assert cluster.consumers[0].held[-1] == 3


def test_a_full_disk_commits_nothing_and_begins_again(
    store: Store, running: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster, events = running
    id = store.accept(b"1", "image/jpeg").id
    record, left = store.record, iter([1, 1])

    def full(outcomes: Any) -> Any:
        if next(left, None):
            raise StoreFullError("There is no room left.")
        return record(outcomes)

    monkeypatch.setattr(store, "record", full)
    message = fakes.Message(NAMES.results, 0, 0, value_=result(id).encoded())
    for number in range(3):
        until(lambda number=number: len(cluster.consumers) == number + 1)
        cluster.consumers[number].feed(message)
    until(lambda: store.counts().done == 1)
    until(lambda: cluster.consumers[2].commits)
    assert not cluster.consumers[0].commits and not cluster.consumers[1].commits
    assert sum(event["event"] == "trouble" for event in events) == 2


@pytest.mark.cluster
def test_killed_and_fed_twice_it_stores_everything_once(queue: Queue, store: Store) -> None:
    ids = [store.accept(bytes([n]), "image/jpeg").id for n in range(100)]
    producer = queue.cluster.producer()
    first = queue.start("collector")
    for _ in range(2):
        for id in ids:
            producer.produce(queue.names.results, result(id).encoded(), id.encode())
    producer.produce(queue.names.results, result("unknown").encoded(), b"unknown")
    producer.produce(queue.names.results, b"not json", b"x")
    producer.flush(20)
    until(lambda: store.counts().done)
    assert first.kill() == -signal.SIGKILL
    queue.start("collector")
    until(lambda: store.counts().done == 100)
    until(lambda: store.counts().strays >= 2)
    until(lambda: store.counts().duplicates >= 100)
    assert store.counts().duplicate_effects == 0
    with store.database.reading() as connection:
        rows = connection.execute("SELECT key FROM strays ORDER BY key").fetchall()
    assert [row["key"] for row in rows] == [b"unknown", b"x"]
