"""A lab without ZooKeeper: its files, its verbs, and what it says that it has not."""

from __future__ import annotations

import json
import re
import socket
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import brokerlab
import psutil
import pytest
from brokerlab import kraft, observe, quorum, topology
from brokerlab.errors import BrokerLabError, NodeFailedError, SettingError
from brokerlab.progress import Progress
from brokerlab.tools import kafka_folder
from brokerlab.widgets import ClusterMap, TopicBoard, WatchLine, ZnodeTree
from homes import fresh_home

PORTS = topology.Ports(2181, (9092, 9093, 9094), (9193, 9194, 9195))


def plan(overrides: dict[str, str] | None = None, controllers: int = 1) -> kraft.Plan:
    return kraft.Plan(PORTS, controllers, 3, "an-id", overrides or {})


def lines(properties: str) -> dict[str, str]:
    return dict(line.split("=", 1) for line in properties.splitlines())


def test_a_controller_votes_and_knows_no_zookeeper() -> None:
    spec = plan(controllers=3).controller(2)
    found = lines(spec.properties)
    assert (spec.name, spec.id, spec.port) == ("controller-2", 3002, 9194)
    assert found["process.roles"] == "controller"
    assert found["controller.quorum.voters"].count("@127.0.0.1:") == 3
    assert not [key for key in found if key.startswith("zookeeper.")]
    assert "node.id=3002" in spec.formatted and "cluster.id=an-id" in spec.formatted


def test_a_broker_of_kraft_has_nothing_of_zookeeper() -> None:
    found = lines(plan({"num.partitions": "4"}).broker(1).properties)
    assert found["process.roles"] == "broker" and found["num.partitions"] == "4"
    assert "broker.id" not in found
    assert not [key for key in found if key.startswith("zookeeper.")]


def test_a_migrating_broker_keeps_its_file_and_gets_five_lines_once() -> None:
    old = topology.broker(1, 9092, 2181, 3, {})
    new = plan().migrating_broker(old)
    changes = kraft.difference(old.properties, new.properties)
    assert len(changes) == 5 and all(line.startswith("+ ") for line in changes)
    assert plan().migrating_broker(new) == new


def test_every_setting_says_why() -> None:
    for setting in (*kraft.controller_settings(3), *kraft.kraft_broker_settings(3)):
        assert setting.reason.endswith(".") and setting.production


def test_cluster_ids_are_what_kafka_makes() -> None:
    ids = {kraft.new_cluster_id() for _ in range(200)}
    assert len(ids) == 200
    assert all(len(one) == 22 and not one.startswith("-") for one in ids)


@pytest.mark.parametrize(
    ("wanted", "said"),
    [
        ({"mode": "raft"}, "choose 'zookeeper' or 'kraft'"),
        ({"mode": "kraft", "controllers": 2}, "give 1, or 3"),
        ({"mode": "kraft", "controllers": True}, "give 1, or 3"),
        ({"controllers": 3}, "needs mode='kraft'"),
        ({"mode": "kraft", "zookeeper_properties": {"tickTime": 1}}, "has no ZooKeeper"),
    ],
)
def test_what_cannot_be_is_refused(home: Path, wanted: dict[str, Any], said: str) -> None:
    with pytest.raises(SettingError, match=said):
        brokerlab.start(**wanted)


def test_nobody_answers_where_nobody_is() -> None:
    assert quorum.ask("127.0.0.1:1", 0.2) is None
    assert quorum.leader_of([]) is None


@pytest.mark.parametrize(
    "answer", [b"", b"HTTP/1.1 400 Bad Request\r\n", b"\0\0\0\x20" + b"\xff" * 32]
)
def test_who_answers_something_else_is_no_controller(answer: bytes) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def reply() -> None:
            connection, _ = server.accept()
            with connection:
                connection.recv(1000)
                connection.sendall(answer)

        threading.Thread(target=reply, daemon=True).start()
        seen = quorum.ask(f"127.0.0.1:{server.getsockname()[1]}", 2)
    assert seen is None or seen.leader is None


@pytest.fixture(scope="module")
def kraft_lab() -> Iterator[Any]:
    with fresh_home():
        lab = brokerlab.start(brokers=2, controllers=3, mode="kraft", progress=Progress())
        yield lab
        lab.stop()


@pytest.fixture
def whole(kraft_lab: Any) -> Iterator[Any]:
    yield kraft_lab
    kraft_lab.repair()


@pytest.mark.cluster
def test_it_is_usable_and_has_no_zookeeper(whole: Any) -> None:
    assert (whole.mode, whole.state, whole.zookeeper_connect) == ("kraft", "usable", "")
    assert list(whole.nodes) == [
        "controller-1", "controller-2", "controller-3", "broker-1", "broker-2",
    ]  # fmt: skip
    seen = whole.quorum()
    assert {one.id for one in seen.voters} == {3001, 3002, 3003}
    assert "3 brokers" not in whole.summary() and "controllers on" in whole.summary()
    assert [file for file, _ in whole.explain()._files()] == [
        "controller.properties",
        "server.properties",
    ]
    with pytest.raises(NodeFailedError, match="has no ZooKeeper"):
        _ = whole.zookeeper


@pytest.mark.cluster
def test_a_controller_costs_less_than_it_is_counted(whole: Any) -> None:
    memory = [psutil.Process(one.pid).memory_info().rss for one in whole.controllers.values()]
    assert max(memory) < 200_000_000


@pytest.mark.cluster
@pytest.mark.parametrize("verb", ["kill", "pause", "stop"])
def test_another_controller_takes_over(whole: Any, verb: str) -> None:
    leader = whole.quorum().leader
    node = whole.controllers[leader - kraft.FIRST_ID]
    report = getattr(node, verb)()
    assert "leads after" in str(report)
    assert whole.quorum().leader != leader
    assert whole.state == "degraded"
    whole.repair()
    assert whole.state == "usable"


@pytest.mark.cluster
def test_without_a_majority_nobody_leads_and_no_broker_starts(whole: Any) -> None:
    whole.brokers[2].stop()
    leader = whole.quorum().leader - kraft.FIRST_ID
    other = next(number for number in whole.controllers if number != leader)
    whole.controllers[other].kill()
    assert "no majority" in str(whole.controllers[leader].kill())
    assert whole.quorum() is None
    assert (
        observe.snapshot(whole).problem == "no controller leads: lab.repair() starts what is down."
    )
    with pytest.raises(NodeFailedError, match="while most controllers are down"):
        whole.brokers[2].start()
    whole.repair()
    assert whole.state == "usable"


@pytest.mark.cluster
def test_all_controllers_come_back_one_after_the_other(whole: Any) -> None:
    """The first to come back has nobody to agree with."""
    for node in whole.controllers.values():
        node.kill()
    assert whole.quorum() is None
    assert len(whole.repair()) == 3
    assert len(whole.quorum().voters) == 3
    assert whole.state == "usable"


@pytest.mark.cluster
@pytest.mark.parametrize(
    ("verb", "back"), [("kill", "start"), ("stop", "start"), ("pause", "resume")]
)
def test_a_broker_is_noticed_and_comes_back(whole: Any, verb: str, back: str) -> None:
    gone = getattr(whole.brokers[1], verb)()
    assert "the controller noticed after" in str(gone)
    assert whole.registered() == {2}
    again = getattr(whole.brokers[1], back)()
    assert "the controller listed it again" in str(again)
    assert whole.registered() == {1, 2}


@pytest.mark.cluster
def test_the_map_shows_who_leads_and_each_node_has_its_buttons(whole: Any) -> None:
    view = ClusterMap(whole)
    try:
        view.wait_until(lambda seen: seen.controller == whole.quorum().leader, what="the leader")
        drawn = view.draw(view.look())
    finally:
        view.close()
    told = json.dumps(drawn)
    assert set(re.findall(r'"data-node": "([^"]+)"', told)) == set(whole.nodes)
    assert "heartbeats" in told and "lab.controllers[1].kill()" in told
    assert told.count('"data-badge": "controller"') == 1


@pytest.mark.cluster
@pytest.mark.parametrize("view", [ZnodeTree, TopicBoard, lambda lab: WatchLine(lab)])
def test_views_of_zookeeper_say_that_there_is_none(whole: Any, view: Any) -> None:
    with pytest.raises(BrokerLabError, match="has no ZooKeeper"):
        view(whole)


@pytest.mark.cluster
def test_the_tool_asks_controllers_and_brokers(whole: Any) -> None:
    for option, where in (
        ("--bootstrap-controller", whole.bootstrap_controllers),
        ("--bootstrap-server", whole.bootstrap_servers),
    ):
        ran = subprocess.run(
            ["./kafka-metadata-quorum.sh", option, where, "describe", "--status"],
            cwd=kafka_folder() / "bin",
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        )
        assert re.search(rf"LeaderId:\s+{whole.quorum().leader}\b", ran.stdout)


@pytest.mark.cluster
def test_another_mode_is_refused_while_it_runs(whole: Any) -> None:
    with pytest.raises(SettingError, match="already runs in mode 'kraft'"):
        brokerlab.start(brokers=2, mode="zookeeper", progress=Progress())
    assert brokerlab.start(brokers=2, progress=Progress()).mode == "kraft"
