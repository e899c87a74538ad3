"""Exercises of lesson 03, on a real lab, which gets its fourth broker by hand and loses it again."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from typing import Any

import brokerlab.exercises
import pytest
from brokerlab import observe, tools
from brokerlab.exercises import lesson_03_zookeeper_and_brokers as lesson_03
from kazoo.client import KazooClient

pytestmark = pytest.mark.cluster

Start = Callable[..., tools.BackgroundTool]


@pytest.fixture
def q(lab: Any) -> brokerlab.exercises.engine.Questions:
    return brokerlab.exercises.load("03_zookeeper_and_brokers", lab)


@pytest.fixture
def start(lab: Any) -> Iterator[Start]:
    """Start a broker from broker 3's file, with these changes; stop it at the end."""
    folder = tools.kafka_folder()
    file = folder / "config" / "server-4.properties"
    started: list[tools.BackgroundTool] = []
    port = lab.brokers[3].port

    def one(
        number: int = 4,
        port: int = port + 1,
        log_dirs: str = "../data/broker-4",
        zookeeper: str = "",
    ) -> tools.BackgroundTool:
        text = lab.brokers[3].properties.replace("broker.id=3", f"broker.id={number}")
        text = text.replace(f":{lab.brokers[3].port}", f":{port}")
        text = text.replace("log.dirs=data", f"log.dirs={log_dirs}")
        file.write_text(text.replace(lab.zookeeper_connect, zookeeper or lab.zookeeper_connect))
        started.append(tools.background("sh kafka-server-start.sh ../config/server-4.properties"))
        return started[-1]

    yield one
    for broker in started:
        broker.stop(15)
    file.unlink(missing_ok=True)
    shutil.rmtree(folder / "data", ignore_errors=True)
    observe.wait_until(lab, lambda now: now.registered == (1, 2, 3), 20, "three brokers again")


@pytest.fixture
def client(lab: Any) -> Iterator[KazooClient]:
    client = KazooClient(**lab.zookeeper_client)
    client.start(timeout=10)
    yield client
    client.stop()
    client.close()


def test_untouched_is_not_attempted(q: Any) -> None:
    assert [q[1].check(...).status, q[2].check(...).status] == ["not attempted"] * 2


def test_a_fourth_broker_by_hand_passes(q: Any, start: Start) -> None:
    fourth = start()
    fourth.wait_for("started (kafka.server.KafkaServer)", 60)
    assert q[1].check(fourth).passed


@pytest.mark.parametrize(
    ("mistake", "advice"),
    [
        ({"number": 3}, "give `broker.id` a number of its own"),
        ({"port": "broker 3"}, "a port of their own"),
        ({"log_dirs": "broker 3"}, "the folder of another broker"),
    ],
    ids=["id", "port", "folder"],
)
def test_what_was_not_changed_is_named(
    lab: Any, q: Any, start: Start, mistake: dict[str, Any], advice: str
) -> None:
    of_broker_3 = {
        "port": lab.brokers[3].port,
        "log_dirs": str(lab.brokers[3].properties_file.parent / "data"),
    }
    changes = {key: of_broker_3[key] if v == "broker 3" else v for key, v in mistake.items()}
    fourth = start(**changes)
    assert fourth.wait(60) == 1
    report = q[1].check(fourth)
    assert report.status == "not yet" and advice in repr(report)
    assert "Expected 4, seen 3: 1, 2, 3." in repr(report)


def test_a_broker_that_asks_another_zookeeper_is_not_in_the_list(q: Any, start: Start) -> None:
    report = q[1].check(start(zookeeper="127.0.0.1:9"))
    assert report.status == "not yet" and "names another ZooKeeper" in repr(report)


def test_a_broker_of_the_lab_is_not_one_by_hand(lab: Any, q: Any) -> None:
    report = q[1].check(lab.brokers[3])
    assert report.status == "not yet" and "must be a BackgroundTool" in repr(report)


def test_the_id_in_controller_passes_and_another_does_not(
    lab: Any, q: Any, client: KazooClient
) -> None:
    controller: int = json.loads(client.get("/controller")[0])["brokerid"]
    assert q[2].check(controller).passed
    another = next(number for number in lab.brokers if number != controller)
    for answer, advice in [
        (another, f"names another broker than {another}"),
        (0, "Broker 0 was the one that you started by hand."),
        (str(controller), "must be an int, and it is a str"),
    ]:
        report = q[2].check(answer)
        assert report.status == "not yet" and advice in repr(report)


class SeventhElection:
    """A ZooKeeper after seven elections, the last of which broker 3 has won."""

    def get_children(self, path: str) -> list[str]:
        return ["1", "2", "3"]

    def get(self, path: str) -> tuple[bytes, None]:
        data = {"/controller": b'{"version":2,"brokerid":3}', "/controller_epoch": b"7"}
        return data.get(path, b'{"port":9092}'), None


@pytest.mark.parametrize(
    ("answer", "advice"),
    [(7, "/controller_epoch, which counts elections"), (2, "take `brokerid`, not `version`")],
)
def test_other_numbers_are_named(
    q: Any, monkeypatch: pytest.MonkeyPatch, answer: int, advice: str
) -> None:
    monkeypatch.setattr(lesson_03, "_zookeeper", lambda lab: nullcontext(SeventhElection()))
    report = q[2].check(answer)
    assert report.status == "not yet" and advice in repr(report)
    assert q[2].check(3).passed
