"""The relay: what the outbox holds goes to the requests topic, in order, and is marked when the brokers have confirmed it.

It may be killed anywhere. What was published and not yet marked is published again by the next relay: twice, never not at
all. One relay works for a database at a time, held by a file lock that the system drops however the process ends.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

from confluent_kafka import KafkaError, KafkaException
from filelock import FileLock, Timeout

from brokerlab.pipeline.clients import HOPELESS, Cluster, ensure_topics, plain
from brokerlab.pipeline.errors import PipelineError, StoreError, TopicError, UnreachableError
from brokerlab.pipeline.messages import Attempt, DeadLetter, Names
from brokerlab.pipeline.program import Patience, Say, say
from brokerlab.pipeline.store import Outgoing, Store

WINDOW_RECORDS = 500
WINDOW_BYTES = 16_000_000
"""So much may be on its way to the brokers without their confirmation."""
LOOK_EVERY = 0.002
"""Seconds between two looks for new rows."""
MARK_EVERY = 0.05
"""Seconds between two writes of what was confirmed: the API writes to the same file."""
ASK_AGAIN = 5.0
"""Seconds without an answer from any broker after which the relay says so, and goes on asking."""
LAST_CONFIRMATIONS = 5.0
"""Seconds that a relay which is to end waits for confirmations."""
_AT_ONCE = 100


class _Lost(PipelineError):
    """The producer cannot go on; a new one can."""


class Relay:
    """Publishes the outbox of one store.

    Parameters
    ----------
    stop
        Ends `run` when it is set.
    say
        Is told what happens: ``ready``, ``published``, ``dead``, ``warning``, ``trouble``, ``stopped``.
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

    def run(self) -> None:
        """Publish until told to stop; wait for brokers, and for the disk, as long as it takes.

        Raises
        ------
        PipelineError
            Another relay works for this database.
        """
        lock = FileLock(f"{self._store.file}.relay.lock")
        try:
            lock.acquire(blocking=False)
        except Timeout:
            raise PipelineError(
                f"Another relay works for {self._store.file}: one is enough, and two would publish all twice."
            ) from None
        with lock:
            while not self._stop.is_set():
                try:
                    for oddity in ensure_topics(self._cluster, self._names, ASK_AGAIN):
                        self._say("warning", text=oddity)
                    self._say("ready", part="relay")
                    self._publish()
                except (UnreachableError, TopicError, StoreError, _Lost) as trouble:
                    self._say("trouble", text=str(trouble))
                    self._patience.wait()
        self._say("stopped", part="relay")

    def _publish(self) -> None:
        """Publish with one producer, from the first row that is not marked."""
        flight = Flight(self._store, self._cluster.producer(), self._names, self._say)
        seen, more, marked = -1, True, 0.0
        try:
            while not self._stop.is_set():
                changes = self._store.database.changes()
                if more or changes != seen:
                    seen = changes
                    more = flight.fill()
                flight.wait(LOOK_EVERY)
                if flight.confirmed and time.monotonic() - marked >= MARK_EVERY:
                    self._mark(flight)
                    marked = time.monotonic()
        finally:
            flight.land(LAST_CONFIRMATIONS)
            self._mark(flight)

    def _mark(self, flight: Flight) -> None:
        if flight.confirmed:
            self._store.mark_published(flight.confirmed)
            self._say("published", records=len(flight.confirmed))
            flight.confirmed.clear()
            self._patience.restore()


class Flight:
    """Rows of the outbox between the database and the brokers.

    Attributes
    ----------
    confirmed
        Rows that are in a topic for good and not yet marked.
    """

    def __init__(self, store: Store, producer: Any, names: Names, say: Say) -> None:
        self._store = store
        self._producer = producer
        self._names = names
        self._say = say
        self._last = 0
        self._records = 0
        self._bytes = 0
        self._lost: str | None = None
        self.confirmed: list[Outgoing] = []

    def fill(self) -> bool:
        """Send what waits, as far as there is room; return whether some was left."""
        while self._has_room():
            rows = self._store.unpublished(self._last, _AT_ONCE)
            if not rows:
                return False
            # Read before any is sent: what the producer is given at one moment goes to the brokers together.
            together = self._read(rows)
            for row, picture in together:
                self._send(row, picture)
                self._last = row.seq
            if len(together) < len(rows):
                return True
        return True

    def wait(self, seconds: float) -> None:
        """Hear confirmations, for so many seconds at most.

        Raises
        ------
        _Lost
            A record could not be sent, and it was not the record's fault.
        """
        self._producer.poll(seconds)
        if self._lost is not None:
            raise _Lost(f"A picture could not be published ({self._lost}): it is sent again.")

    def land(self, seconds: float) -> None:
        """Wait for the last confirmations, and give up the rest."""
        self._producer.flush(seconds)
        self._producer.purge()
        self._producer.flush(1)

    def _has_room(self) -> bool:
        return self._records < WINDOW_RECORDS and self._bytes < WINDOW_BYTES

    def _read(self, rows: list[Outgoing]) -> list[tuple[Outgoing, bytes]]:
        """Return the first of these rows with their pictures, as many as there is room for."""
        read: list[tuple[Outgoing, bytes]] = []
        size = self._bytes
        for row in rows:
            if size >= WINDOW_BYTES or self._records + len(read) >= WINDOW_RECORDS:
                break
            found = self._store.picture(row.id)
            assert found is not None, "the database keeps a picture for each row of the outbox"
            read.append((row, found[1]))
            size += len(found[1])
        return read

    def _send(self, row: Outgoing, picture: bytes) -> None:
        self._records += 1
        self._bytes += len(picture)
        headers = Attempt(round=row.round).headers()
        heard = self._heard(row, len(picture))
        try:
            self._producer.produce(
                self._names.requests, picture, row.id.encode(), headers=headers, on_delivery=heard
            )
        except KafkaException as trouble:
            heard(trouble.args[0], None)

    def _heard(self, row: Outgoing, size: int) -> Callable[[KafkaError | None, Any], None]:
        def heard(error: KafkaError | None, _: Any) -> None:
            if error is not None and error.code() in HOPELESS:
                self._give_up(row, size, error)
                return
            self._records -= 1
            self._bytes -= size
            if error is None:
                self.confirmed.append(row)
            else:
                self._lost = plain(error)

        return heard

    def _give_up(self, row: Outgoing, size: int, error: KafkaError) -> None:
        letter = DeadLetter(
            id=row.id,
            code="not-taken",
            reason=f"The brokers do not take a picture of {size:,} bytes ({plain(error)}): raise max.message.bytes.",
            error=error.name(),
            round=row.round,
            attempts=0,
            came_from="outbox",
        )
        self._say("dead", id=row.id, reason=letter.reason)
        # Without the picture, or this would not be taken either.
        self._producer.produce(
            self._names.dead_letters,
            b"",
            row.id.encode(),
            headers=letter.headers(),
            on_delivery=self._heard(row, size),
        )
