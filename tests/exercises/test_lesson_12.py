"""Exercises of lesson 12 on a real cluster and a real Connect: untouched, the typical mistakes, the solution."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from brokerlab.connect import Connect
from brokerlab.exercises import load
from brokerlab.exercises.engine import Report
from brokerlab.lab import Lab
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewTopic
from witnesses import comes_true

pytestmark = pytest.mark.cluster

TOPICS = ("parcels", "ledger")


def send(lab: Lab, topic: str, ids: list[int]) -> None:
    producer = Producer(lab.client)
    for number in ids:
        producer.produce(topic, json.dumps({"id": number, "item": f"entry {number}"}))
    assert producer.flush(10) == 0


def count(file: Path, table: str) -> int:
    with sqlite3.connect(file, timeout=10) as database:
        found: int = database.execute(f"SELECT count(*) FROM {table}").fetchone()[0]
        return found


def sink(file: Path, topic: str, verb: str = "INSERT") -> dict[str, object]:
    return {
        "connector.class": "org.apache.camel.kafkaconnector.CamelSinkConnector",
        "topics": topic,
        "value.converter": "org.apache.kafka.connect.converters.ByteArrayConverter",
        "camel.beans.shop": "#class:org.sqlite.SQLiteDataSource",
        "camel.beans.shop.url": f"jdbc:sqlite:{file}?busy_timeout=5000",
        "camel.sink.url": f"sql:{verb} INTO {topic} VALUES (:#id, :#item)?dataSource=#shop",
        "camel.sink.unmarshal": "json-jackson",
    }


@pytest.fixture
def connect(lab: Lab) -> Iterator[Connect]:
    lab.connect.start()
    yield lab.connect
    lab.connect.clear()
    lab.delete_topics(*TOPICS)


@pytest.fixture
def shop(lab: Lab, connect: Connect) -> Path:
    """The database and the topics as the lesson makes them."""
    file = connect.files / "shop.sqlite"
    with sqlite3.connect(file) as database:
        database.executescript(
            "PRAGMA journal_mode = WAL; CREATE TABLE parcels (id INTEGER PRIMARY KEY, item); CREATE TABLE ledger (id, item);"
        )
    admin = AdminClient(lab.client)
    for future in admin.create_topics([NewTopic(name, 1, 3) for name in TOPICS]).values():
        future.result(10)
    send(lab, "parcels", [*range(10), *range(10)])
    send(lab, "ledger", [*range(10)])
    return file


@pytest.fixture
def away(lab: Lab, connect: Connect, shop: Path) -> Path:
    """The sink has copied 10 entries and was removed; 20 more have come."""
    connect.put("ledger-out", sink(shop, "ledger"))
    assert comes_true(lambda: count(shop, "ledger") == 10, 20)
    connect.remove("ledger-out")
    send(lab, "ledger", [*range(10, 30)])
    return shop


@pytest.fixture
def q(lab: Lab, home: Any) -> Any:
    return load("12_connectors", lab)


def failed(report: Report) -> dict[str, str]:
    return {fact.text: fact.advice for fact in report.facts if not fact.ok}


def test_untouched_is_not_attempted(q: Any, away: Path) -> None:
    assert q[1].check().status == "not attempted"
    assert q[2].check().status == "not attempted"


def test_each_row_once(q: Any, connect: Connect, shop: Path) -> None:
    connect.put("parcels-out", sink(shop, "parcels", "INSERT OR IGNORE"))
    q[1].assert_passed()
    assert count(shop, "parcels") == 10


def test_a_plain_insert_fails_at_the_first_that_comes_again(
    q: Any, connect: Connect, shop: Path
) -> None:
    connect.put("parcels-out", sink(shop, "parcels"))
    assert comes_true(lambda: connect.connector("parcels-out").problem, 20)
    wrong = failed(q[1].check())
    assert "may run twice" in wrong["its task runs"]
    connect.put("parcels-out", sink(shop, "parcels", "INSERT OR REPLACE"))
    q[1].assert_passed()


def test_a_sink_that_comes_back_goes_on(q: Any, connect: Connect, away: Path) -> None:
    connect.put("ledger-out", sink(away, "ledger"))
    q[2].assert_passed()
    assert count(away, "ledger") == 30


def test_another_name_begins_anew(q: Any, connect: Connect, away: Path) -> None:
    connect.put("ledger-2", sink(away, "ledger"))
    assert comes_true(lambda: count(away, "ledger") == 40, 20)
    wrong = failed(q[2].check())
    assert "Seen: ledger-2" in wrong["one sink reads ledger, and it is ledger-out"]
    assert wrong["none is there twice"].startswith("10 of 30 are")


def test_a_worker_that_is_down_is_said(q: Any, connect: Connect, away: Path) -> None:
    connect.kill()
    assert "lab.connect.start() starts it" in q[2].check().note
