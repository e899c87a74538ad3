"""Looks at the ends of topics' logs again and again, and prints each look as a line of JSON.

It runs as a process of its own (`python -m brokerlab.flowwatch`), for the reason that `brokerlab.lookout` gives.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Mapping
from typing import Any

from confluent_kafka import KafkaException

from brokerlab.access import read_client
from brokerlab.offsets import Offsets, look_on, named

PATIENCE = 1.0
"""Seconds for one question; as long does a leader that does not answer hold up what is known of the others."""


class FlowWatch:
    """Asks the cluster how far the logs reach."""

    def __init__(self, client: Mapping[str, Any], topics: Iterable[str]) -> None:
        self._offsets = Offsets(client, topics, PATIENCE)

    def look(self) -> dict[str, Any]:
        """Return the ends as they are now, ready for JSON; what cannot be asked is None, or in ``problem``."""
        seen: dict[str, Any] = {
            "taken": time.time(),
            "clock": time.monotonic(),
            "ends": [],
            "problem": None,
        }
        try:
            places = self._offsets.places()
            ends = self._offsets.ends()
            seen["ends"] = [[*place, ends.get(place)] for place in places]
            if places and not ends:
                seen["problem"] = "no leader tells how far its logs reach"
        except (KafkaException, TimeoutError) as error:
            seen["problem"] = f"no broker tells which topics there are ({named(error)})"
        return seen


def main() -> None:
    """Watch the topics named on the command line: BOOTSTRAP PERIOD [TOPIC ...]."""
    client_file, period, *topics = sys.argv[1:]
    look_on(FlowWatch(read_client(client_file), topics).look, float(period))


if __name__ == "__main__":
    main()
