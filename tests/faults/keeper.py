"""A worker with an effect: it keeps each number in a database, once, and then commits its offsets.

    python keeper.py BOOTSTRAP TOPIC GROUP DATABASE SESSION_MS

After a batch is in the database, and again after its offsets are committed, it says so and waits to be told to
go on, so that a test can kill it exactly there.
"""

from __future__ import annotations

import sqlite3
import sys

from brokerlab.access import read_client
from confluent_kafka import Consumer, Message

BATCH = 100
SCHEMA = """
create table if not exists effects (number integer primary key);
create table if not exists deliveries (number integer);
"""


def main() -> None:
    client_file, topic, group, file, session = sys.argv[1:]
    database = sqlite3.connect(file, isolation_level=None)
    database.execute("pragma journal_mode = wal")
    database.executescript(SCHEMA)
    settings = {
        **read_client(client_file),
        "group.id": group,
        "auto.offset.reset": "earliest",
        "enable.auto.commit": False,
        "session.timeout.ms": int(session),
        "heartbeat.interval.ms": 500,
        "log_level": 0,
    }
    with Consumer(settings) as consumer:
        consumer.subscribe([topic])
        while True:
            batch = [m for m in consumer.consume(BATCH, 0.5) if m.error() is None]
            if not batch:
                say("idle")
                continue
            say("handed over")
            keep(database, batch)
            say("kept")
            consumer.commit(asynchronous=False)
            say("committed")


def keep(database: sqlite3.Connection, batch: list[Message]) -> None:
    numbers = [(int(message.value() or b""),) for message in batch]
    database.execute("begin immediate")
    database.executemany("insert into deliveries values (?)", numbers)
    database.executemany("insert or ignore into effects values (?)", numbers)
    database.execute("commit")


def say(where: str) -> None:
    print(where, flush=True)
    sys.stdin.readline()


if __name__ == "__main__":
    main()
