"""The audit finds every accepted picture where it is, and says which is nowhere."""

from __future__ import annotations

import dataclasses

import pytest
from brokerlab.pipeline.audit import Audit, audit
from brokerlab.pipeline.clients import PARTITIONS, Cluster
from brokerlab.pipeline.errors import TopicError, UnreachableError
from brokerlab.pipeline.messages import Attempt, DeadLetter, Names, Result
from brokerlab.pipeline.scenes import scene
from brokerlab.pipeline.store import Outcome, Outgoing, Store, Stray
from confluent_kafka import TopicPartition
from queues import Queue, until

NOTHING = Audit(0, 0, 0, 0, 0, 0, (), 0, 0, 0, 0)


def accept(store: Store, what: str) -> str:
    return store.accept(what.encode(), "image/jpeg").id


def row(store: Store, id: str) -> Outgoing:
    return next(one for one in store.unpublished() if one.id == id)


def result(id: str, round: int = 0) -> Result:
    return Result(id, (), round, 1, "w", 1.0)


def letter(id: str) -> DeadLetter:
    return DeadLetter(id, "truncated", "It breaks off.", "NotAPicture", 0, 1, "t-requests[0]@0")


class Hand:
    """Does with one picture what the parts of the queue would."""

    def __init__(self, queue: Queue, store: Store) -> None:
        self._queue = queue
        self._store = store
        self._producer = queue.cluster.producer()

    def publish(self, id: str, topic: str | None = None) -> None:
        self._store.mark_published([row(self._store, id)])
        self.send(topic or self._queue.names.requests, id, b"picture")

    def send(self, topic: str, id: str, value: bytes, headers: object = None) -> None:
        self._producer.produce(
            topic,
            value,
            id.encode(),
            headers=headers or Attempt().headers(),  # type: ignore[arg-type]
        )
        self._producer.flush(20)

    def finish(self, said: Result | DeadLetter, stored: bool = True) -> None:
        names = self._queue.names
        if isinstance(said, Result):
            headers = Attempt(round=said.round).headers()
            self.send(names.results, said.id, said.encoded(), headers)
        else:
            self.send(names.dead_letters, said.id, b"picture", said.headers())
        if stored:
            self._store.record([Outcome(said, Stray("t", 0, 0, b"", b"", ""))])

    def commit(self, group: str, topic: str) -> None:
        """Commit everything that a topic holds."""
        member = self._queue.cluster.consumer(group)
        ends = []
        for number in member.list_topics(topic, timeout=10).topics[topic].partitions:
            _, high = member.get_watermark_offsets(TopicPartition(topic, number), timeout=10)
            ends.append(TopicPartition(topic, number, high))
        member.commit(offsets=ends, asynchronous=False)
        member.close()


@pytest.mark.cluster
def test_every_place_is_told_from_every_other(queue: Queue, store: Store) -> None:
    hand, names = Hand(queue, store), queue.names
    lost = accept(store, "lost after its request was committed")
    hand.publish(lost)
    vanished = accept(store, "lost with its result")
    hand.publish(vanished)
    hand.finish(result(vanished), stored=False)
    hand.commit(names.workers, names.requests)
    hand.commit(names.collectors, names.results)
    never = accept(store, "marked, and never published")
    store.mark_published([row(store, never)])
    accept(store, "in the outbox")
    hand.publish(accept(store, "in the requests"))
    hand.publish(accept(store, "to be tried again"), names.retries)
    hand.finish(result(accept(store, "its result is not stored yet")), stored=False)
    done, dead, again = (accept(store, what) for what in ("done", "dead", "dead, sent again, done"))
    hand.finish(result(done))
    hand.finish(result(done))
    hand.finish(letter(dead))
    hand.finish(letter(again))
    store.redrive([again])
    hand.finish(result(again, round=1))
    hand.finish(result("unknown"), stored=False)
    found = audit(store, queue.cluster, names)
    assert set(found.missing) == {lost, vanished, never}
    assert dataclasses.replace(found, missing=()) == Audit(
        accepted=10,
        waiting=1,
        queued=2,
        on_the_way=1,
        done=2,
        dead_lettered=1,
        missing=(),
        duplicates=1,
        duplicate_effects=0,
        unbacked=0,
        strays=1,
    )
    assert not found.sound and not found.settled
    assert str(found) == (
        "accepted 10 = done 2 + dead-lettered 1 + in flight 4 + missing 3;"
        " duplicate effects 0 (1 duplicate records)"
    )


@pytest.mark.cluster
def test_an_empty_queue_is_sound_and_settled(queue: Queue, store: Store) -> None:
    found = audit(store, queue.cluster, queue.names)
    assert found == NOTHING and found.sound and found.settled


@pytest.mark.cluster
def test_an_outcome_that_is_in_no_topic_and_an_effect_done_twice_are_not_sound(
    queue: Queue, store: Store
) -> None:
    made_up, twice = accept(store, "made up"), accept(store, "twice")
    store.record([Outcome(result(made_up), Stray("t", 0, 0, b"", b"", ""))])
    Hand(queue, store).finish(result(twice))
    with store.database.writing() as connection:
        connection.execute("UPDATE results SET worker = 'x' WHERE job_id = ?", (twice,))
    found = audit(store, queue.cluster, queue.names)
    assert (found.unbacked, found.duplicate_effects, found.sound) == (1, 1, False)


@pytest.mark.cluster
def test_a_prefix_without_topics_is_one_sentence(queue: Queue, store: Store) -> None:
    with pytest.raises(TopicError, match="There is no topic nobody-requests"):
        audit(store, queue.cluster, Names("nobody"))


def test_brokers_that_do_not_answer_are_one_sentence(store: Store) -> None:
    with pytest.raises(UnreachableError, match="could not be read"):
        audit(store, Cluster("127.0.0.1:1"), seconds=1)


def committed(queue: Queue) -> int:
    """Return how many requests the workers have committed."""
    reader = queue.cluster.consumer(queue.names.workers)
    try:
        places = [TopicPartition(queue.names.requests, number) for number in range(PARTITIONS)]
        return sum(max(0, one.offset) for one in reader.committed(places, timeout=10))
    finally:
        reader.close()


@pytest.mark.cluster
def test_the_audit_finds_what_the_careless_version_loses(queue: Queue, store: Store) -> None:
    relay = queue.start("relay")
    picture = scene(seed=3, index=1, size=640).picture
    for number in range(100):
        store.accept(picture + bytes(number), "image/jpeg")
    until(lambda: store.counts().unpublished == 0)
    relay.stop(20)
    queue.start("collector")
    worker = queue.start("worker", module="brokerlab.pipeline.careless")
    until(lambda: committed(queue) > sum('"done"' in line for line in worker.lines) + 5)
    worker.kill()
    queue.start("worker")
    until(lambda: audit(store, queue.cluster, queue.names).in_flight == 0)
    found = audit(store, queue.cluster, queue.names)
    assert found.missing and not found.sound
    assert found.done + len(found.missing) == 100


@pytest.mark.cluster
def test_what_was_given_up_can_be_sent_again_and_done(
    queue: Queue, store: Store, jpeg: bytes
) -> None:
    for part in ("relay", "collector", "worker"):
        queue.start(part)
    good, bad = store.accept(jpeg, "image/jpeg").id, store.accept(jpeg[:2000], "image/jpeg").id
    until(lambda: store.counts().backlog == 0)
    first = audit(store, queue.cluster, queue.names)
    assert (first.done, first.dead_lettered) == (1, 1)
    assert store.redrive(code="truncated") == [bad]
    until(lambda: store.counts().backlog == 0)
    job = store.job(bad)
    assert job is not None and (job.state, job.round) == ("dead-lettered", 1)
    assert store.redrive([good]) == []
    found = audit(store, queue.cluster, queue.names)
    assert (found.done, found.dead_lettered, found.duplicates) == (1, 1, 0) and found.sound
