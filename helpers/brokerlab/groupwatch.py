"""Looks at one consumer group again and again, and prints each look as a line of JSON.

It runs as a process of its own (`python -m brokerlab.groupwatch`), for the reason that `brokerlab.lookout` gives.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Mapping
from typing import Any

from confluent_kafka import ConsumerGroupTopicPartitions, KafkaException

from brokerlab.access import read_client
from brokerlab.offsets import Offsets, Place, look_on, named

PATIENCE = 1.0
"""Seconds for one question."""


class GroupWatch:
    """Asks the cluster about one group and the topics it reads."""

    def __init__(self, client: Mapping[str, Any], group: str, topics: Iterable[str]) -> None:
        self._group = group
        self._topics = tuple(topics)
        self._offsets = Offsets(client, self._topics, PATIENCE)
        self._admin = self._offsets.client

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
            seen["problem"] = f"the group's coordinator does not answer ({named(error)})"
        return seen

    def _spans(self) -> list[list[Any]]:
        places = self._offsets.places() if self._topics else []
        if not places:
            return []
        lows, highs = self._offsets.beginnings(), self._offsets.ends()
        committed = self._committed()
        return [[*p, lows.get(p), highs.get(p), committed.get(p)] for p in places]

    def _committed(self) -> dict[Place, int]:
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
    client_file, period, group, *topics = sys.argv[1:]
    look_on(GroupWatch(read_client(client_file), group, topics).look, float(period))


if __name__ == "__main__":
    main()
