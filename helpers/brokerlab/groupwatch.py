"""Looks at one consumer group again and again, and prints each look as a line of JSON.

It runs as a process of its own (`python -m brokerlab.groupwatch`), because the admin client's requests to one
chosen broker can abort the whole process while brokers come and go: a notebook's kernel must not be that process.
"""

from __future__ import annotations

import json
import logging
import sys
import time
from collections.abc import Iterable
from typing import Any

from confluent_kafka import (
    ConsumerGroupTopicPartitions,
    KafkaException,
    TopicPartition,
)
from confluent_kafka.admin import AdminClient, OffsetSpec

PATIENCE = 1.0
"""Seconds for one question."""

METADATA_EVERY = 1.0
"""Seconds between two looks at which partitions the topics have."""

_SILENT = logging.getLogger("brokerlab.clients")


class GroupWatch:
    """Asks the cluster about one group and the topics it reads."""

    def __init__(self, bootstrap_servers: str, group: str, topics: Iterable[str]) -> None:
        _SILENT.addHandler(logging.NullHandler())
        _SILENT.propagate = False
        self._group = group
        self._topics = tuple(topics)
        self._partitions: list[TopicPartition] = []
        self._known_until = 0.0
        self._admin = AdminClient(
            {
                "bootstrap.servers": bootstrap_servers,
                "socket.timeout.ms": 2000,
                "reconnect.backoff.ms": 20,
                "reconnect.backoff.max.ms": 200,
                "log_level": 0,
            },
            logger=_SILENT,
        )

    def look(self) -> dict[str, Any]:
        """Return the group as it is now, ready for JSON; what cannot be asked is in ``problem``."""
        seen: dict[str, Any] = {
            "taken": time.time(),
            "state": None,
            "members": [],
            "spans": [],
            "problem": None,
        }
        try:
            asked = self._admin.describe_consumer_groups([self._group], request_timeout=PATIENCE)
            described = asked[self._group].result(PATIENCE + 1)
            seen["state"] = described.state.name
            seen["members"] = [_member(member) for member in described.members]
            seen["spans"] = self._spans()
        except (KafkaException, TimeoutError) as error:
            named = error.args[0].name() if error.args and hasattr(error.args[0], "name") else ""
            seen["problem"] = f"the group's coordinator does not answer ({named or 'timed out'})"
        return seen

    def _spans(self) -> list[list[Any]]:
        partitions = self._all_partitions()
        if not partitions:
            return []
        lows = self._offsets(partitions, OffsetSpec.earliest())
        highs = self._offsets(partitions, OffsetSpec.latest())
        committed = self._committed()
        return [
            [place[0], place[1], lows.get(place), highs.get(place), committed.get(place)]
            for place in sorted((p.topic, p.partition) for p in partitions)
        ]

    def _all_partitions(self) -> list[TopicPartition]:
        now = time.monotonic()
        if now >= self._known_until:
            # Without a topic's name: to ask for one by name might create it.
            known: Any = self._admin.list_topics(timeout=PATIENCE)
            self._partitions = [
                TopicPartition(name, number)
                for name in self._topics
                if name in known.topics
                for number in known.topics[name].partitions
            ]
            self._known_until = now + METADATA_EVERY
        return self._partitions

    def _offsets(
        self, partitions: list[TopicPartition], spec: OffsetSpec
    ) -> dict[tuple[str, int], int]:
        asked = self._admin.list_offsets(dict.fromkeys(partitions, spec), request_timeout=PATIENCE)
        found = {}
        for place, future in asked.items():
            try:
                found[place.topic, place.partition] = future.result(PATIENCE + 1).offset
            except (KafkaException, TimeoutError):
                # This partition has no leader now; the others are shown.
                continue
        return found

    def _committed(self) -> dict[tuple[str, int], int]:
        wanted = [ConsumerGroupTopicPartitions(self._group)]
        asked = self._admin.list_consumer_group_offsets(wanted, request_timeout=PATIENCE)
        answer = asked[self._group].result(PATIENCE + 1)
        return {(p.topic, p.partition): p.offset for p in answer.topic_partitions if p.offset >= 0}


def _member(member: Any) -> dict[str, Any]:
    assigned = member.assignment.topic_partitions if member.assignment else []
    return {
        "id": member.member_id,
        "client": member.client_id,
        "partitions": sorted([p.topic, p.partition] for p in assigned),
    }


def main() -> None:
    """Watch the group named on the command line: BOOTSTRAP PERIOD GROUP [TOPIC ...]."""
    bootstrap_servers, period, group, *topics = sys.argv[1:]
    watch = GroupWatch(bootstrap_servers, group, topics)
    while True:
        begun = time.monotonic()
        print(json.dumps(watch.look()), flush=True)
        time.sleep(max(0.02, float(period) - (time.monotonic() - begun)))


if __name__ == "__main__":
    main()
