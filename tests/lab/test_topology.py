"""Ports, and the properties files that are rendered."""

from __future__ import annotations

import math
import socket
from collections.abc import Iterator

import pytest
from brokerlab import topology
from brokerlab.errors import PortTakenError, SettingError


@pytest.fixture
def held() -> Iterator[socket.socket]:
    with socket.socket() as listener:
        listener.bind((topology.HOST, 0))
        listener.listen()
        yield listener


def port_of(listener: socket.socket) -> int:
    port: int = listener.getsockname()[1]
    return port


def read_as_java(text: str) -> dict[str, str]:
    """Read a properties file by Java's own rules, as far as they matter for one line a property."""
    found = {}
    for line in text.split("\n"):
        if not line or line[0] in "#!":
            continue
        key, _, value = line.partition("=")
        value, units, at = value.lstrip(" \t\f"), [], 0
        while at < len(value):
            if value[at] != "\\":
                units.append(ord(value[at]))
                at += 1
            elif value[at + 1] == "u":
                units.append(int(value[at + 2 : at + 6], 16))
                at += 6
            else:
                units.append(ord({"n": "\n", "t": "\t"}.get(value[at + 1], value[at + 1])))
                at += 2
        raw = b"".join(unit.to_bytes(2, "big") for unit in units)
        found[key] = raw.decode("utf-16-be")
    return found


@pytest.mark.parametrize(
    "value", ["plain", "C:\\new\\table", "Zürich 東京 📷", " before and after ", "a=b:c#d!e", ""]
)
def test_what_is_rendered_is_what_java_reads(value: str) -> None:
    text = topology.render({"some.property": value, "next": "1"})
    text.encode("ascii")
    assert read_as_java(text) == {"some.property": value, "next": "1"}


def test_a_held_port_is_not_free(held: socket.socket) -> None:
    assert not topology.port_is_free(port_of(held))


def test_a_port_that_is_held_on_every_address_is_not_free() -> None:
    with socket.socket() as listener:
        listener.bind(("0.0.0.0", 0))
        listener.listen()
        assert not topology.port_is_free(port_of(listener))


def test_a_port_that_was_left_is_free_again() -> None:
    with socket.create_server((topology.HOST, 0)) as listener:
        port = port_of(listener)
        client = socket.create_connection((topology.HOST, port))
        served, _ = listener.accept()
        # The side that closes first keeps the connection in TIME_WAIT.
        served.close()
        client.close()
    assert topology.port_is_free(port)


def test_looking_at_a_port_does_not_keep_it() -> None:
    with socket.create_server((topology.HOST, 0)) as listener:
        port = port_of(listener)
    assert [topology.port_is_free(port) for _ in range(3)] == [True] * 3


def test_who_holds_a_port_is_named(held: socket.socket) -> None:
    import os

    with pytest.raises(PortTakenError, match=f"Port {port_of(held)} of broker-2") as caught:
        topology.check_port_free("broker-2", port_of(held))
    assert f"process {os.getpid()}" in str(caught.value)


def free_except(monkeypatch: pytest.MonkeyPatch, *taken: int) -> None:
    monkeypatch.setattr(topology, "_all_free", lambda ports: not set(ports) & set(taken))


def test_the_articles_ports_come_first(monkeypatch: pytest.MonkeyPatch) -> None:
    free_except(monkeypatch)
    ports = topology.choose_ports(3)
    assert ports.zookeeper == 2181
    assert [ports.of_broker(n) for n in (1, 2, 3)] == [9092, 9093, 9094]


@pytest.mark.parametrize("taken", [2181, 9092, 9094])
def test_one_taken_port_moves_the_whole_lab(monkeypatch: pytest.MonkeyPatch, taken: int) -> None:
    free_except(monkeypatch, taken)
    ports = topology.choose_ports(3)
    everything = [ports.zookeeper, *ports.brokers]
    assert everything == list(range(ports.zookeeper, ports.zookeeper + 1 + topology.MOST_BROKERS))
    assert everything[0] >= 19_000 and everything[-1] < 30_000


def test_a_taken_port_beyond_those_that_are_needed_does_not_matter(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    free_except(monkeypatch, 9095)
    assert topology.choose_ports(3).zookeeper == 2181
    assert topology.choose_ports(4).zookeeper != 2181


def test_the_ports_of_another_lab_are_left_to_it_while_it_is_down(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    free_except(monkeypatch)
    first = topology.choose_ports(3, reserved=[2181])
    others = {port for base in topology.BLOCKS for port in range(base, base + 9)}
    only = range(first.zookeeper, first.zookeeper + 9)
    monkeypatch.setattr(topology, "BLOCKS", range(first.zookeeper, first.zookeeper + 32, 16))
    second = topology.choose_ports(3, reserved=[2181, *only])
    assert not set(only) & {second.zookeeper, *second.brokers}
    assert set(only) <= others


def test_no_free_port_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(topology, "_all_free", lambda ports: False)
    with pytest.raises(PortTakenError, match="end some of the programs"):
        topology.choose_ports(3)


@pytest.mark.parametrize("brokers", [0, 9, -1, "three", "3", True, 2.5, None, math.nan])
def test_a_number_of_brokers_that_cannot_be(brokers: object) -> None:
    with pytest.raises(SettingError, match="whole number from 1 to 8, such as brokers=3"):
        topology.check_broker_count(brokers)


@pytest.mark.parametrize(
    "overrides, sentence",
    [
        ([("a", "b")], "give a dictionary"),
        ("a=b", "give a dictionary"),
        ({"": "1"}, "not the name of a property"),
        ({"two words": "1"}, "not the name of a property"),
        ({"#comment": "1"}, "not the name of a property"),
        ({"line\nbreak": "1"}, "not the name of a property"),
        ({"back\\slash": "1"}, "not the name of a property"),
        ({"größe": "1"}, "not the name of a property"),
        ({7: "1"}, "not the name of a property"),
        ({"retention.ms": "1\nlisteners=PLAINTEXT://0.0.0.0:1"}, "one line of text"),
        ({"retention.ms": None}, "one line of text"),
        ({"retention.ms": ["1"]}, "one line of text"),
        ({"listeners": "PLAINTEXT://0.0.0.0:9092"}, "set by the lab itself"),
        ({"broker.id": 7}, "set by the lab itself"),
        ({"log.dirs": "/var/lib"}, "set by the lab itself"),
    ],
)
def test_overrides_that_cannot_be(overrides: object, sentence: str) -> None:
    with pytest.raises(SettingError, match=sentence):
        topology.check_overrides(overrides, "broker")


def test_overrides_become_text_and_win() -> None:
    overrides = topology.check_overrides(
        {"num.io.threads": 5, "delete.topic.enable": False}, "broker"
    )
    assert overrides == {"num.io.threads": "5", "delete.topic.enable": "false"}
    lines = topology.broker(1, 9092, 2181, 3, overrides).properties.splitlines()
    assert [line for line in lines if line.startswith("num.io.threads=")] == ["num.io.threads=5"]
    assert "delete.topic.enable=false" in lines


@pytest.mark.parametrize("brokers, copies, quorum", [(1, 1, 1), (2, 2, 2), (3, 3, 2), (8, 3, 2)])
def test_internal_topics_have_no_more_copies_than_there_are_brokers(
    brokers: int, copies: int, quorum: int
) -> None:
    values = {setting.key: setting.lab for setting in topology.broker_settings(brokers)}
    assert values["offsets.topic.replication.factor"] == str(copies)
    assert values["transaction.state.log.replication.factor"] == str(copies)
    assert values["transaction.state.log.min.isr"] == str(quorum)


def test_every_setting_has_a_reason_and_a_value_in_its_file() -> None:
    zookeeper = topology.zookeeper(2181, {})
    broker = topology.broker(1, 9092, 2181, 3, {})
    for spec, settings in (
        (zookeeper, topology.ZOOKEEPER_SETTINGS),
        (broker, topology.broker_settings(3)),
    ):
        rendered = read_as_java(spec.properties)
        for setting in settings:
            assert rendered[setting.key] == setting.lab
            assert setting.reason.endswith(".") and setting.production
