"""A cluster as trivup starts it, in the folder TRIVUP_ROOT, which holds the Kafka folder to use."""

from __future__ import annotations

import sys
from typing import Any

from conversation import serve
from trivup.clusters.KafkaCluster import KafkaCluster

LIMIT = 90


def main(version: str) -> None:
    clusters: list[KafkaCluster] = []

    def start() -> dict[str, Any]:
        cluster = KafkaCluster(version=version, broker_cnt=3)
        clusters.append(cluster)
        cluster.wait_operational(LIMIT)
        return {"bootstrap_servers": cluster.bootstrap_servers, "steps": []}

    serve({"start": start})


if __name__ == "__main__":
    main(sys.argv[1])
