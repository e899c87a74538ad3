"""The collector: results and dead letters go from their topics into the database, however often they come.

Offsets are committed after the database's transaction. A collector that dies between the two reads the same records again,
and the database, which has them, changes nothing.
"""

from __future__ import annotations

import threading
import time
from contextlib import suppress
from typing import Any

from confluent_kafka import KafkaException, TopicPartition

from brokerlab.pipeline.clients import Cluster, ensure_topics, plain
from brokerlab.pipeline.errors import PipelineError, StoreError
from brokerlab.pipeline.messages import DeadLetter, Names, Result
from brokerlab.pipeline.program import Patience, Say, say
from brokerlab.pipeline.store import Outcome, Store, Stray

AT_ONCE = 500
STORE_EVERY = 0.004
"""Seconds between two transactions, when there is that much to store: each is a write to the disk."""
COMMIT_EVERY = 0.5
"""Seconds between two commits: each is a write to the disks of three brokers."""


class Collector:
    """Stores what became of pictures.

    Parameters
    ----------
    stop
        Ends `run` when it is set.
    say
        Is told what happens: ``ready``, ``stored``, ``warning``, ``trouble``, ``stopped``.
    """

    def __init__(
        self,
        store: Store,
        cluster: Cluster,
        names: Names | None = None,
        *,
        stop: threading.Event | None = None,
        say: Say = say,
    ) -> None:
        self._store = store
        self._cluster = cluster
        self._names = names or Names()
        self._stop = stop or threading.Event()
        self._say = say
        self._patience = Patience(self._stop)
        self._ends: dict[tuple[str, int], int] = {}

    def run(self) -> None:
        """Store until told to stop.

        Raises
        ------
        UnreachableError
            No broker answered at the beginning. Later it waits for them.
        TopicError
            A topic is missing and could not be made.
        """
        for oddity in ensure_topics(self._cluster, self._names):
            self._say("warning", text=oddity)
        while not self._stop.is_set():
            consumer = self._cluster.consumer(self._names.collectors, {"session.timeout.ms": 6000})
            try:
                consumer.subscribe(
                    [self._names.results, self._names.dead_letters],
                    on_assign=self._assigned,
                    on_revoke=self._commit_now,
                )
                self._collect(consumer)
            except (StoreError, KafkaException) as trouble:
                # A new member begins at the last commit, so what was not stored comes again.
                self._say("trouble", text=_told(trouble))
                self._patience.wait()
            finally:
                consumer.close()
        self._say("stopped", part="collector")

    def _assigned(self, _: Any, partitions: list[Any]) -> None:
        self._say("ready", part="collector", partitions=len(partitions))

    def _collect(self, consumer: Any) -> None:
        stored = committed = 0.0
        try:
            while not self._stop.is_set():
                message = consumer.poll(0.2)
                if message is not None:
                    # Under load many records share a transaction; a lone one does not wait.
                    self._stop.wait(stored + STORE_EVERY - time.monotonic())
                    self._keep([message, *consumer.consume(AT_ONCE - 1, 0)])
                    stored = time.monotonic()
                if self._ends and time.monotonic() - committed >= COMMIT_EVERY:
                    consumer.commit(offsets=self._stored(), asynchronous=True)
                    committed = time.monotonic()
        finally:
            self._commit_now(consumer)

    def _commit_now(self, consumer: Any, *_: Any) -> None:
        if ends := self._stored():
            # Where it fails, the records come again, and change nothing.
            with suppress(KafkaException):
                consumer.commit(offsets=ends, asynchronous=False)

    def _stored(self) -> list[TopicPartition]:
        """Hand out, once, up to where each partition is in the database."""
        ends, self._ends = self._ends, {}
        return [TopicPartition(*place, end) for place, end in ends.items()]

    def _keep(self, records: list[Any]) -> None:
        for one in records:
            if one.error() is not None:
                raise KafkaException(one.error())
        recorded = self._store.record([outcome_of(one, self._names) for one in records])
        self._ends |= {(one.topic(), one.partition()): one.offset() + 1 for one in records}
        self._patience.restore()
        self._say(
            "stored",
            new=recorded.effective,
            duplicate=recorded.duplicate,
            stray=recorded.stray,
        )


def outcome_of(record: Any, names: Names) -> Outcome:
    """Return what a record of the results or dead letters says, or that it says nothing."""
    said: Result | DeadLetter | None = None
    reason = ""
    try:
        if record.topic() == names.results:
            said = Result.decoded(record.value())
        else:
            said = DeadLetter.of(record.key(), record.headers())
    except ValueError as trouble:
        reason = str(trouble)
    place = record.topic(), record.partition(), record.offset()
    return Outcome(said, Stray(*place, record.key(), record.value(), reason))


def _told(trouble: PipelineError | KafkaException) -> str:
    if isinstance(trouble, KafkaException):
        return f"The cluster does not let the collector read ({plain(trouble.args[0])}): it tries again."
    return str(trouble)
