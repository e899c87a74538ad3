"""From ZooKeeper to controllers in a lab that asks for a password: a witness without one tries at every step."""

from __future__ import annotations

import socket
import stat
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import brokerlab
import pytest
from brokerlab import access, keypair, quorum
from brokerlab.access import CONTROLLER_CLIENT, CONTROLLER_KEY
from brokerlab.kraft import MIGRATION_STEPS
from brokerlab.progress import Progress
from brokerlab.records import texts
from brokerlab.traffic import Traffic
from confluent_kafka import Consumer, KafkaException
from homes import fresh_home
from kazoo.client import KazooClient
from kazoo.exceptions import KazooException
from kazoo.handlers.threading import KazooTimeoutError
from stranger import answers_somebody_else, broker_answers
from witnesses import (
    create_topic,
    files_with,
    listening,
    produce,
    secrets_of,
    until,
    what_processes_show,
)

pytestmark = pytest.mark.cluster

MEETS = {
    "": {"broker", "broker, wrong password", "zookeeper"},
    "start_controller": {"broker", "broker, wrong password", "zookeeper"},
    "join_brokers": {"broker", "broker, wrong password", "zookeeper", "controller"},
    "move_brokers": {"broker", "broker, wrong password", "zookeeper", "controller"},
    "finalise": {"broker", "broker, wrong password", "zookeeper", "controller"},
    "stop_zookeeper": {"broker", "broker, wrong password", "controller"},
}
"""Whom the witness must have met during each step, and been refused by; he may meet more."""


class Witness:
    """Tries all ways in without the secret, over and over, and notes by whom he was refused during which step."""

    def __init__(self, lab: Any, other_key: Path) -> None:
        status = lab.status()
        self._brokers = [node["port"] for node in status["nodes"] if node["role"] == "broker"]
        self._zookeeper = lab.zookeeper_port
        self._controller = 0
        self._key = other_key
        self.during = ""
        self.refused: Counter[tuple[str, str]] = Counter()
        self.got_in: list[tuple[str, str]] = []
        self._wrong = {**lab.client, access.PASSWORD: "0" * 64, "log_level": 0, "group.id": "w"}
        self._closing = threading.Event()
        rounds = (
            self._at_brokers,
            self._with_wrong_password,
            self._at_zookeeper,
            self._at_controller,
        )
        self._threads = [threading.Thread(target=self._run, args=(one,)) for one in rounds]
        for thread in self._threads:
            thread.start()

    def meets_controller(self, port: int) -> None:
        self._controller = port

    def close(self) -> None:
        self._closing.set()
        for thread in self._threads:
            thread.join(30)

    def _run(self, round: Callable[[], None]) -> None:
        while not self._closing.wait(0.05):
            round()

    def _note(self, who: str, port: int, attempt: Callable[[], bool]) -> None:
        # Where nobody listens before and after, nobody has refused anything.
        if not port or not _listens(port):
            return
        during = self.during
        if attempt():
            self.got_in.append((during, who))
        elif _listens(port):
            self.refused[during, who] += 1

    def _at_brokers(self) -> None:
        for port in self._brokers:
            self._note("broker", port, lambda port=port: broker_answers(f"127.0.0.1:{port}"))

    def _with_wrong_password(self) -> None:
        for port in self._brokers:

            def ask(port: int = port) -> bool:
                only = {**self._wrong, "bootstrap.servers": f"127.0.0.1:{port}"}
                with Consumer(only) as consumer:
                    try:
                        consumer.list_topics(timeout=1)
                    except KafkaException:
                        return False
                return True

            self._note("broker, wrong password", port, ask)

    def _at_zookeeper(self) -> None:
        def ask() -> bool:
            keeper = KazooClient(f"127.0.0.1:{self._zookeeper}", timeout=2)
            try:
                keeper.start(2)
                keeper.get_children("/brokers/ids")
            except (KazooException, KazooTimeoutError):
                return False
            finally:
                keeper.stop()
                keeper.close()
            return True

        self._note("zookeeper", self._zookeeper, ask)

    def _at_controller(self) -> None:
        where = f"127.0.0.1:{self._controller}"
        ways: list[Callable[[], bool]] = [
            lambda: quorum.ask(where, 2) is not None,
            lambda: answers_somebody_else(where),
            lambda: answers_somebody_else(where, self._key),
        ]
        for way in ways:
            self._note("controller", self._controller, way)


@pytest.fixture(scope="module")
def old_lab() -> Iterator[Any]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BROKERLAB_AUTH", "on")
        with fresh_home():
            lab = brokerlab.start(brokers=3, name="old", runtime="local", progress=Progress())
            yield lab
            lab.stop()


def test_nobody_gets_in_and_nothing_is_lost(old_lab: Any, tmp_path: Path) -> None:
    other_key = tmp_path / "other.pem"
    other_key.write_text(keypair.make("127.0.0.1"))
    create_topic(old_lab.client, "diary", [[1, 2, 3]])
    produce(old_lab.client, "diary", ["before"], acks="all")
    create_topic(old_lab.client, "photos", [[1, 2, 3], [2, 3, 1], [3, 1, 2]])
    traffic = Traffic(old_lab, "photos", 100, {"acks": "all", "enable.idempotence": True})
    witness = Witness(old_lab, other_key)
    try:
        until(lambda: _met(witness, ""), 20, "the witness to begin")
        for step in MIGRATION_STEPS:
            witness.during = step
            getattr(old_lab.migration, step)()
            if step == "start_controller":
                witness.meets_controller(old_lab.controllers[1].port)
            until(lambda step=step: _met(witness, step), 20, f"the witness at {step}")
    finally:
        witness.close()
        traffic.stop()
    assert not witness.got_in
    assert (old_lab.mode, old_lab.state) == ("kraft", "usable")
    outcome = traffic.outcome()
    assert outcome.acknowledged > 500 and not outcome.lost


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _met(witness: Witness, step: str) -> bool:
    return {who for during, who in list(witness.refused) if during == step} >= MEETS[step]


def test_who_knows_the_password_gets_in_without_zookeeper(old_lab: Any) -> None:
    assert texts(old_lab, "diary") == ["before"]
    produce(old_lab.client, "diary", ["after"], acks="all")
    for broker in old_lab.brokers.values():
        broker.kill()
    old_lab.controllers[1].kill()
    old_lab.repair()
    assert texts(old_lab, "diary") == ["before", "after"]
    joined = old_lab.add_broker()
    only = {**old_lab.client, "bootstrap.servers": joined.address, "group.id": "x"}
    with Consumer(only) as consumer:
        assert "diary" in consumer.list_topics(timeout=10).topics
    with (
        Consumer({**only, access.PASSWORD: "0" * 64, "log_level": 0}) as consumer,
        pytest.raises(KafkaException),
    ):
        consumer.list_topics(timeout=3)


def test_what_opens_it_is_in_files_of_its_owner_and_nowhere_else(old_lab: Any) -> None:
    folder = old_lab.folder.path
    password, key = secrets_of(old_lab).values()
    assert files_with(password, folder) == {folder / access.CLIENT, folder / access.LOGIN}
    assert files_with(key, folder) == {folder / CONTROLLER_KEY}
    for name in (access.CLIENT, access.LOGIN, CONTROLLER_KEY, CONTROLLER_CLIENT):
        assert stat.S_IMODE((folder / name).stat().st_mode) == 0o600
    shown = [text for _, text in what_processes_show()]
    shown += [node.properties + node.log(1_000_000) for node in old_lab.nodes.values()]
    assert [text[:80] for text in shown if password in text or key in text] == []
    pids = [node["pid"] for node in old_lab.status()["nodes"]]
    assert {address for pid in pids for address in listening(pid)} == {"127.0.0.1"}
