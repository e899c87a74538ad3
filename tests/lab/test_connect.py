"""Kafka Connect beside a lab: its process, its connectors, what a crash costs, and what it says when something is wrong."""

from __future__ import annotations

import os
import signal
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import brokerlab
import psutil
import pytest
from brokerlab.connect import Connect
from brokerlab.connectors import Connector, Task, first_line
from brokerlab.errors import NodeFailedError, SettingError
from brokerlab.lab import Lab
from brokerlab.records import texts
from witnesses import comes_true

TOPIC = {"topic.creation.default.replication.factor": 3, "topic.creation.default.partitions": 1}
BYTES = "org.apache.kafka.connect.converters.ByteArrayConverter"
TRACE = """\
org.apache.kafka.connect.errors.ConnectException: Exiting WorkerSinkTask due to unrecoverable exception.
\tat org.apache.kafka.connect.runtime.WorkerSinkTask.deliverMessages(WorkerSinkTask.java:1)
Caused by: java.lang.IllegalStateException: in between
\tat a.B.c(B.java:2)
Caused by: org.sqlite.SQLiteException: [SQLITE_ERROR] no such table: archive
"""


def file_source(file: Path, topic: str) -> dict[str, object]:
    return {"connector.class": "FileStreamSource", "file": file, "topic": topic} | TOPIC


def file_sink(file: Path, topic: str) -> dict[str, object]:
    return {"connector.class": "FileStreamSink", "file": file, "topics": topic}


@pytest.fixture
def connect(lab: Lab) -> Iterator[Connect]:
    lab.connect.start()
    yield lab.connect
    lab.connect.clear()
    lab.delete_topics("lines", "orders")


def test_a_trace_becomes_one_line() -> None:
    assert first_line(TRACE) == (
        "Exiting WorkerSinkTask due to unrecoverable exception.; [SQLITE_ERROR] no such table: archive"
    )
    assert first_line("") == ""
    assert first_line("something: else") == "something: else"


def test_a_connector_runs_when_all_its_tasks_do() -> None:
    tasks = (Task(0, "RUNNING"), Task(1, "FAILED", "because"))
    assert Connector("a", "sink", "RUNNING", "t", tasks[:1]).running
    assert not Connector("a", "sink", "RUNNING").running
    failed = Connector("a", "sink", "RUNNING", "t", tasks)
    assert (failed.running, failed.problem) == (False, "because")
    assert str(failed) == "sink a RUNNING, task 0 RUNNING, task 1 FAILED: because"


@pytest.mark.cluster
def test_it_listens_on_loopback_alone_and_is_one_small_process(lab: Lab, connect: Connect) -> None:
    process = psutil.Process(connect.pid or 0)
    listening = [one.laddr for one in process.net_connections() if one.status == "LISTEN"]
    assert {address.ip for address in listening} == {"127.0.0.1"}
    assert process.memory_info().rss < 300e6
    assert oct(connect.folder.stat().st_mode & 0o777) == "0o700"
    assert lab.connect is connect
    assert connect.start() == 0.0


@pytest.mark.cluster
def test_lines_go_through_and_a_stop_loses_and_repeats_nothing(lab: Lab, connect: Connect) -> None:
    source, sink = connect.files / "in.txt", connect.files / "out.txt"
    source.write_text("one\ntwo\n")
    assert connect.put("lines-in", file_source(source, "lines")).running
    assert connect.put("lines-out", file_sink(sink, "lines")).running
    assert comes_true(lambda: sink.exists() and sink.read_text() == "one\ntwo\n")
    assert comes_true(lambda: connect.offsets("lines-in"))
    connect.stop()
    assert connect.state == "stopped"
    with source.open("a") as more:
        more.write("three\n")
    connect.start()
    assert sorted(connect.connectors()) == ["lines-in", "lines-out"]
    assert comes_true(lambda: sink.read_text() == "one\ntwo\nthree\n"), sink.read_text()
    assert texts(lab, "lines") == ["one", "two", "three"]


@pytest.mark.cluster
def test_a_crash_repeats_lines_and_loses_none(lab: Lab, connect: Connect) -> None:
    source = connect.files / "in.txt"
    source.write_text("".join(f"line {n}\n" for n in range(200)))
    connect.put("lines-in", file_source(source, "lines"))
    assert comes_true(lambda: len(texts(lab, "lines")) >= 200)
    with source.open("a") as more:
        more.write("".join(f"line {n}\n" for n in range(200, 400)))
    assert comes_true(lambda: len(texts(lab, "lines")) > 200)
    connect.kill()
    assert connect.state == "killed"
    connect.start()
    expected = {f"line {n}" for n in range(400)}
    assert comes_true(lambda: set(texts(lab, "lines")) == expected)


@pytest.mark.cluster
def test_a_paused_connector_rests_and_catches_up(lab: Lab, connect: Connect) -> None:
    source = connect.files / "in.txt"
    source.write_text("one\n")
    connect.put("lines-in", file_source(source, "lines"))
    assert comes_true(lambda: texts(lab, "lines") == ["one"])
    assert connect.pause("lines-in").state == "PAUSED"
    with source.open("a") as more:
        more.write("two\n")
    assert not comes_true(lambda: len(texts(lab, "lines")) > 1, 1.5)
    assert connect.resume("lines-in").running
    assert comes_true(lambda: texts(lab, "lines") == ["one", "two"])
    connect.remove("lines-in")
    assert connect.connectors() == {}


def rows(file: Path, query: str) -> list[tuple[Any, ...]]:
    with sqlite3.connect(file, timeout=10) as database:
        return database.execute(query).fetchall()


@pytest.mark.cluster
def test_a_table_goes_into_a_topic_and_a_topic_into_a_table(lab: Lab, connect: Connect) -> None:
    file = connect.files / "shop.sqlite"
    with sqlite3.connect(file) as database:
        database.executescript(
            "PRAGMA journal_mode = WAL; CREATE TABLE orders (id INTEGER PRIMARY KEY, item, sent DEFAULT 0);"
            "CREATE TABLE archive (id, item); INSERT INTO orders (item) VALUES ('cup'), ('ball');"
        )
    beans = {
        "camel.beans.shop": "#class:org.sqlite.SQLiteDataSource",
        "camel.beans.shop.url": f"jdbc:sqlite:{file}?busy_timeout=5000",
        "value.converter": BYTES,
        "topics": "orders",
    }
    source = {
        "connector.class": "org.apache.camel.kafkaconnector.CamelSourceConnector",
        "camel.source.url": "sql:SELECT id, item FROM orders WHERE sent = 0?dataSource=#shop"
        "&onConsume=UPDATE orders SET sent = 1 WHERE id = :#id",
        "camel.source.marshal": "json-jackson",
    }
    sink = {
        "connector.class": "org.apache.camel.kafkaconnector.CamelSinkConnector",
        "camel.sink.url": "sql:INSERT INTO archive VALUES (:#id, :#item)?dataSource=#shop",
        "camel.sink.unmarshal": "json-jackson",
    }
    assert connect.put("orders-in", beans | source | TOPIC).running
    assert connect.put("orders-out", beans | sink).running
    assert comes_true(lambda: rows(file, "SELECT * FROM archive") == [(1, "cup"), (2, "ball")])
    assert texts(lab, "orders") == ['{"id":1,"item":"cup"}', '{"id":2,"item":"ball"}']


@pytest.mark.cluster
def test_a_sink_that_cannot_write_says_why(connect: Connect, lab: Lab) -> None:
    source = connect.files / "in.txt"
    source.write_text("one\n")
    connect.put("lines-in", file_source(source, "lines"))
    connect.put("lines-out", file_sink(connect.files / "nowhere" / "out.txt", "lines"))
    assert comes_true(lambda: connect.connector("lines-out").problem)
    assert "nowhere" in connect.connector("lines-out").problem


@pytest.mark.cluster
def test_mistakes_are_one_sentence(connect: Connect) -> None:
    for config, words in (
        ({"connector.class": "Nope"}, "Failed to find any class"),
        ({"connector.class": "FileStreamSource"}, 'Missing required configuration "topic"'),
        ({"name": "other"}, "name is set by the lab itself"),
    ):
        with pytest.raises(SettingError, match=words):
            connect.put("bad", config)
    with pytest.raises(SettingError, match="There is no connector 'zz': there is none"):
        connect.connector("zz")
    with pytest.raises(SettingError, match="cannot be the name"):
        connect.put("a/b", {})
    assert connect.connectors() == {}


@pytest.mark.cluster
def test_one_that_does_not_run_says_so(lab: Lab, connect: Connect) -> None:
    connect.stop()
    with pytest.raises(
        NodeFailedError, match=r"does not run \(it is stopped\): lab\.connect\.start"
    ):
        connect.connectors()
    connect.start()
    os.kill(connect.pid or 0, signal.SIGSEGV)
    assert comes_true(lambda: connect.state == "died")
    with pytest.raises(
        NodeFailedError, match=r"Kafka Connect has died: .*start\(\) starts it again"
    ):
        connect.connectors()


@pytest.mark.cluster
def test_it_ends_with_its_lab_and_nothing_of_it_is_left(home: Path) -> None:
    lab = brokerlab.start(brokers=1)
    lab.connect.start()
    process = psutil.Process(lab.connect.pid or 0)
    lab.stop()
    assert not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
    assert not lab.folder.connect.exists()
