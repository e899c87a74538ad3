"""Where the logs of partitions begin and end, asked of their leaders; for processes of their own alone.

The admin client's requests to one chosen broker can abort the whole process while brokers come and go: a
notebook's kernel must not be that process.
"""

from __future__ import annotations

import json
import logging
import os
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from confluent_kafka import KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec

STUBBORN = 6.0
"""Seconds after which a client that gets no answer is given up: one that has lost every broker may never find them
again, and a new one (in a new process) does."""

METADATA_EVERY = 1.0
"""Seconds between two looks at which partitions the topics have."""

Place = tuple[str, int]
"""Topic and partition."""

_SILENT = logging.getLogger("brokerlab.clients")


class Offsets:
    """Asks for the partitions of topics and for the ends of their logs.

    Parameters
    ----------
    client : mapping
        What a client needs to know of the cluster.
    topics : iterable of str
        Their names; all but Kafka's own, if there is none.
    patience : float
        Seconds for one question.
    """

    def __init__(self, client: Mapping[str, Any], topics: Iterable[str], patience: float) -> None:
        _SILENT.addHandler(logging.NullHandler())
        _SILENT.propagate = False
        self._topics = tuple(topics)
        self._patience = patience
        self._partitions: list[TopicPartition] = []
        self._known_until = 0.0
        self.client = AdminClient(
            {
                **client,
                "socket.timeout.ms": 2000,
                "reconnect.backoff.ms": 20,
                "reconnect.backoff.max.ms": 200,
                "log_level": 0,
            },
            logger=_SILENT,
        )

    def places(self) -> list[Place]:
        """Return the partitions that there are, in order; looked up once a second.

        Raises
        ------
        confluent_kafka.KafkaException
            No broker answers, and none ever has.
        """
        now = time.monotonic()
        if now >= self._known_until:
            try:
                self._partitions = self._look_up()
            except KafkaException:
                # One frozen broker is enough for that; the leaders of what is known may well answer.
                if not self._partitions:
                    raise
            self._known_until = now + METADATA_EVERY
        return [(p.topic, p.partition) for p in self._partitions]

    def _look_up(self) -> list[TopicPartition]:
        # Without a topic's name: to ask for one by name might create it.
        known: Any = self.client.list_topics(timeout=self._patience)
        wanted = self._topics or [name for name in known.topics if not name.startswith("__")]
        return [
            TopicPartition(name, number)
            for name in sorted(wanted)
            if name in known.topics
            for number in sorted(known.topics[name].partitions)
        ]

    def beginnings(self) -> dict[Place, int]:
        """Return the first offset that each log still holds; without those whose leader does not answer."""
        return self._ask(OffsetSpec.earliest())

    def ends(self) -> dict[Place, int]:
        """Return where each log's next record will be; without those whose leader does not answer."""
        return self._ask(OffsetSpec.latest())

    def _ask(self, spec: OffsetSpec) -> dict[Place, int]:
        if not self._partitions:
            return {}
        wanted = dict.fromkeys(self._partitions, spec)
        asked = self.client.list_offsets(wanted, request_timeout=self._patience)
        found = {}
        for place, future in asked.items():
            try:
                found[place.topic, place.partition] = future.result(self._patience + 1).offset
            except (KafkaException, TimeoutError):
                # This partition has no leader now; the others are shown.
                continue
        return found


def named(error: Exception) -> str:
    """Return the name of a client's error, or that it timed out."""
    known = error.args and hasattr(error.args[0], "name")
    return error.args[0].name() if known else "timed out"


def look_on(look: Callable[[], dict[str, Any]], period: float) -> None:
    """Print a look as a line of JSON every `period` seconds; end after `STUBBORN` seconds of nothing but ``problem``."""
    well = time.monotonic()
    while (begun := time.monotonic()) - well < STUBBORN:
        seen = look()
        print(json.dumps(seen), flush=True)
        if seen["problem"] is None:
            well = time.monotonic()
        time.sleep(max(0.02, period - (time.monotonic() - begun)))
    # Not by way of the client's destructor, which may wait for what never comes.
    os._exit(0)
