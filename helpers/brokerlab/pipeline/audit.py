"""The audit: for every accepted picture, where it is now; what is nowhere is missing.

It believes the database and the topics themselves, and none of the counters of those who did the work. A picture is in flight
only where that can be shown: its outbox row waits, or its request lies at an offset that the workers have not committed, or its
outcome at one that the collectors have not. The places are read in the order in which a picture goes through them, the
database's outcomes last: a picture that moves on meanwhile is met further down.
"""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from confluent_kafka import KafkaError, KafkaException, TopicPartition

from brokerlab.pipeline.clients import Cluster, plain
from brokerlab.pipeline.errors import TopicError, UnreachableError
from brokerlab.pipeline.messages import Attempt, Names
from brokerlab.pipeline.store import Store

SECONDS = 60.0
LOOKS = 3
"""A picture that was sent again may have gone upstream past the audit: missing is what was missing in every look."""
HEARD_OF = 2.0
"""Seconds within which every broker has heard of a topic that was just made."""
_AT_ONCE = 1000


@dataclass(frozen=True)
class Audit:
    """Where all accepted pictures are. ``accepted`` is the sum of the next five.

    Attributes
    ----------
    waiting
        In the outbox, not yet published.
    queued
        In the requests or retries topic, not yet committed by the workers.
    on_the_way
        The outcome is in its topic, not yet committed by the collectors.
    done
        With a result in the database.
    dead_lettered
        Given up, with a reason in the database.
    missing
        The ids of those that are nowhere.
    duplicates
        Outcomes in the topics beyond the first of each picture (and round).
    duplicate_effects
        Outcomes that changed the database although it had one.
    unbacked
        Pictures with an outcome in the database and none in the topics, though these still hold every record.
    strays
        Records in the topics that belong to no accepted picture.
    """

    accepted: int
    waiting: int
    queued: int
    on_the_way: int
    done: int
    dead_lettered: int
    missing: tuple[str, ...]
    duplicates: int
    duplicate_effects: int
    unbacked: int
    strays: int

    @property
    def in_flight(self) -> int:
        """Accepted, and neither done nor given up nor missing."""
        return self.waiting + self.queued + self.on_the_way

    @property
    def settled(self) -> bool:
        """Whether every picture has its outcome."""
        return self.in_flight == 0 and not self.missing

    @property
    def sound(self) -> bool:
        """Whether nothing is missing, nothing took effect twice, and nothing came from nowhere."""
        return not self.missing and self.duplicate_effects == 0 and self.unbacked == 0

    def __str__(self) -> str:
        return (
            f"accepted {self.accepted:,} = done {self.done:,} + dead-lettered {self.dead_lettered:,}"
            f" + in flight {self.in_flight:,} + missing {len(self.missing):,};"
            f" duplicate effects {self.duplicate_effects:,} ({self.duplicates:,} duplicate records)"
        )


def audit(
    store: Store, cluster: Cluster, names: Names | None = None, seconds: float = SECONDS
) -> Audit:
    """Look for every accepted picture.

    Parameters
    ----------
    seconds
        How long the brokers may take.

    Raises
    ------
    UnreachableError
        The topics could not be read in that time.
    StoreError
        The database could not be read.
    """
    topics = _Topics(cluster, time.monotonic() + seconds)
    found = _look(store, topics, names or Names())
    for _ in range(LOOKS - 1):
        if not found.missing:
            break
        found = _look(store, topics, names or Names())
    return found


def _look(store: Store, topics: _Topics, names: Names) -> Audit:
    accepted = store.places()
    waiting = {(row.id, row.round) for row in store.unpublished(limit=sys.maxsize)}
    queued = set()
    for topic in (names.requests, names.retries):
        queued |= {
            one.what for one in topics.records(topic, topics.committed(names.workers, topic))
        }
    outcomes: list[_Record] = []
    on_the_way, whole = set(), True
    for topic in (names.results, names.dead_letters):
        committed = topics.committed(names.collectors, topic)
        records = topics.records(topic, {})
        whole = whole and topics.whole(topic)
        outcomes += records
        on_the_way |= {one.what for one in records if one.offset >= committed.get(one.partition, 0)}
    now = store.places()
    places: Counter[str] = Counter()
    missing = []
    for id in accepted:
        state, what = now[id].state, (id, now[id].round)
        if state in ("done", "dead-lettered"):
            places[state] += 1
        elif what in on_the_way:
            places["on the way"] += 1
        elif what in queued:
            places["queued"] += 1
        elif what in waiting:
            places["waiting"] += 1
        else:
            missing.append(id)
    told = Counter(one.what for one in outcomes)
    backed = {id for id, _ in told}
    ended = {id for id in accepted if now[id].state in ("done", "dead-lettered")}
    return Audit(
        accepted=len(accepted),
        waiting=places["waiting"],
        queued=places["queued"],
        on_the_way=places["on the way"],
        done=places["done"],
        dead_lettered=places["dead-lettered"],
        missing=tuple(missing),
        duplicates=sum(times - 1 for times in told.values()),
        duplicate_effects=store.counts().duplicate_effects,
        unbacked=len(ended - backed) if whole else 0,
        strays=sum(times for (id, _), times in told.items() if id not in now),
    )


@dataclass(frozen=True)
class _Record:
    """Where a record is, and which picture it is about, in which round."""

    partition: int
    offset: int
    what: tuple[str, int]


class _Topics:
    """Reads topics from the outside: it joins no group and commits nothing."""

    def __init__(self, cluster: Cluster, deadline: float) -> None:
        self._cluster = cluster
        self._deadline = deadline
        self._whole: dict[str, bool] = {}

    def committed(self, group: str, topic: str) -> dict[int, int]:
        """Return the offset that a group has committed, for each partition where it has."""
        with self._reader(group) as reader:
            asked = [TopicPartition(topic, number) for number in self._partitions(reader, topic)]
            found = reader.committed(asked, timeout=self._left())
        return {one.partition: one.offset for one in found if one.offset >= 0}

    def records(self, topic: str, starts: dict[int, int]) -> list[_Record]:
        """Return all records that a topic holds now, from given offsets or its beginning."""
        found: list[_Record] = []
        with self._reader("nobody") as reader:
            ends = {}
            places = []
            beginnings = []
            for number in self._partitions(reader, topic):
                here = TopicPartition(topic, number)
                low, high = reader.get_watermark_offsets(here, timeout=self._left())
                beginnings.append(low)
                start = max(low, starts.get(number, low))
                if start < high:
                    ends[number] = high
                    places.append(TopicPartition(topic, number, start))
            self._whole[topic] = not any(beginnings)
            reader.assign(places)
            while ends:
                for message in reader.consume(_AT_ONCE, min(0.2, self._left())):
                    error, number = message.error(), message.partition()
                    if error is None:
                        found.append(_record(message))
                        if message.offset() + 1 >= ends.get(number, 0):
                            ends.pop(number, None)
                    elif error.code() == KafkaError._PARTITION_EOF:
                        ends.pop(number, None)
                    else:
                        raise _unreadable(self._cluster, plain(error))
        return found

    def whole(self, topic: str) -> bool:
        """Whether a topic that was read still holds every record it ever had."""
        return self._whole[topic]

    def _partitions(self, reader: Any, topic: str) -> list[int]:
        deadline = time.monotonic() + HEARD_OF
        while True:
            # All topics, since to ask for one by name may make it.
            topics = reader.list_topics(timeout=self._left()).topics
            if topic in topics:
                return sorted(topics[topic].partitions)
            if time.monotonic() > deadline:
                raise TopicError(f"There is no topic {topic}: give the prefix that the queue has.")
            time.sleep(0.05)

    @contextmanager
    def _reader(self, group: str) -> Iterator[Any]:
        reader = self._cluster.consumer(
            group, {"enable.partition.eof": True, "queued.max.messages.kbytes": 65_536}
        )
        try:
            yield reader
        except KafkaException as trouble:
            raise _unreadable(self._cluster, plain(trouble.args[0])) from None
        finally:
            reader.close()

    def _left(self) -> float:
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise _unreadable(self._cluster, "no time is left")
        return left


def _record(message: Any) -> _Record:
    key = (message.key() or b"").decode("utf-8", "replace")
    return _Record(
        message.partition(), message.offset(), (key, Attempt.of(message.headers()).round)
    )


def _unreadable(cluster: Cluster, why: str) -> UnreachableError:
    return UnreachableError(
        f"The topics on {cluster.bootstrap_servers} could not be read ({why}): is every broker running?"
    )
