"""The same queue as it is often written, for comparison: it loses pictures, and lesson 14 shows when.

What is left out is what the others are careful about. The API server commits and then publishes, without an outbox: what
happens between the two is lost. It does not wait for a confirmation, and one broker's word is enough (`acks=1`). Workers let
the client commit by the clock, whatever has become of the work, and do not wait for the confirmation of a result either.
"""

from __future__ import annotations

import sys
import threading
from argparse import ArgumentParser
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from brokerlab.errors import BrokerLabError
from brokerlab.pipeline.clients import Cluster, ensure_topics
from brokerlab.pipeline.messages import Attempt, Names
from brokerlab.pipeline.program import Say, say, stop_on_signals
from brokerlab.pipeline.store import Accepted, Store
from brokerlab.pipeline.worker import SESSION_SECONDS, Eyes, Task, Worker

_HASTY = {
    "acks": "1",
    "enable.idempotence": False,
    "message.timeout.ms": 5000,
    "linger.ms": 50,
    # The old way to keep the order. While a broker does not answer, all the rest stays in this process's memory.
    "max.in.flight.requests.per.connection": 1,
}
AT_ONCE = 50


class CarelessStore(Store):
    """A store that publishes by itself, after the transaction, and calls that published."""

    def __init__(self, file: Path | str, cluster: Cluster, names: Names | None = None) -> None:
        super().__init__(file)
        self._names = names or Names()
        ensure_topics(cluster, self._names)
        self._producer = cluster.producer(_HASTY)

    def accept(
        self, picture: bytes, content_type: str, key: str | None = None, limit: int | None = None
    ) -> Accepted:
        """Keep a picture, then publish it and hope."""
        accepted = super().accept(picture, content_type, key, limit)
        if accepted.new:
            self.mark_published(one for one in self.unpublished() if one.id == accepted.id)
            self._producer.produce(
                self._names.requests, picture, accepted.id.encode(), headers=Attempt().headers()
            )
            self._producer.poll(0)
        return replace(accepted, state="queued") if accepted.new else accepted


class CarelessWorker:
    """A worker whose offsets are committed by the clock, before or after the work as it happens."""

    def __init__(
        self,
        cluster: Cluster,
        eyes: Eyes,
        names: Names | None = None,
        *,
        stop: threading.Event | None = None,
        say: Say = say,
    ) -> None:
        self._worker = Worker(cluster, eyes, names, stop=stop, say=say)

    def run(self) -> None:
        """Work until told to stop."""
        worker = self._worker
        ensure_topics(worker.cluster, worker.names)
        consumer = worker.cluster.consumer(
            worker.names.workers,
            {
                "enable.auto.commit": True,
                "enable.auto.offset.store": True,
                "auto.commit.interval.ms": 200,
                "session.timeout.ms": int(SESSION_SECONDS * 1000),
            },
        )
        producer = worker.cluster.producer(_HASTY)
        consumer.subscribe([worker.names.requests, worker.names.retries])
        worker.say("ready", part="worker", worker=worker.name)
        while not worker.stop.is_set():
            for message in consumer.consume(AT_ONCE, 0.2):
                if message.error() is None:
                    self._work(producer, Task.of(message))
        producer.flush(5)
        consumer.close()
        worker.say("stopped", part="worker", worker=worker.name)

    def _work(self, producer: Any, task: Task) -> None:
        answer = self._worker.look(task)
        producer.produce(answer.topic, answer.value, task.key, headers=answer.headers)
        producer.poll(0)
        self._worker.say(**answer.event)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the careless API server or worker: ``python -m brokerlab.pipeline.careless api|worker``."""
    parser = ArgumentParser(prog="python -m brokerlab.pipeline.careless", description=__doc__)
    parser.add_argument("part", choices=["api", "worker"])
    parser.add_argument("--bootstrap-servers", required=True)
    parser.add_argument("--client-properties", type=Path)
    parser.add_argument("--prefix", default="photo")
    parser.add_argument("--database", type=Path, help="needed by the API server")
    parser.add_argument("--port", type=int, default=8000)
    arguments = parser.parse_args(argv)
    if arguments.part == "api" and arguments.database is None:
        parser.error("the API server needs --database FILE")
    try:
        cluster = Cluster.of(arguments.bootstrap_servers, arguments.client_properties)
        names = Names(arguments.prefix)
        _api(arguments, cluster, names) if arguments.part == "api" else _worker(cluster, names)
    except BrokerLabError as trouble:
        print(trouble, file=sys.stderr)
        return 1
    return 0


def _api(arguments: Any, cluster: Cluster, names: Names) -> None:
    from brokerlab.pipeline.api import create_app, serve

    stop = stop_on_signals()
    store = CarelessStore(arguments.database, cluster, names)
    with serve(create_app(store), arguments.port) as server:
        say("ready", part="api", url=server.url)
        stop.wait()
    say("stopped", part="api")


def _worker(cluster: Cluster, names: Names) -> None:
    from brokerlab.pipeline.detector import Detector

    CarelessWorker(cluster, Detector(), names, stop=stop_on_signals()).run()


if __name__ == "__main__":
    sys.exit(main())
