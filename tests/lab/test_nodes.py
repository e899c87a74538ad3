"""The verbs of nodes, each report beside independent witnesses: kazoo, a fresh client, the system."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path

import psutil
import pytest
from brokerlab import control, probes, topology
from brokerlab.errors import BrokerLabError, NodeFailedError
from brokerlab.lab import Lab
from brokerlab.nodes import LabNode, what_runs
from brokerlab.observe import snapshot
from brokerlab.processes import Identity
from brokerlab.progress import Progress
from confluent_kafka import Producer
from runtimes import on_every_runtime
from witnesses import (
    broker_configs,
    create_topic,
    is_frozen,
    led_by,
    listeners_on,
    listening,
    metadata,
    produce,
    read_all,
    until,
    zookeeper_ids,
)

pytestmark = [pytest.mark.cluster, on_every_runtime]

SESSION = topology.ZOOKEEPER_SESSION_SECONDS
HEARD = 2.0
"""Seconds within which the controller has told every broker what the one that a verb asked knows already."""


def at_once(node: LabNode, verb: str) -> list[str]:
    """Do it without watching what follows; return its steps."""
    progress = Progress()
    control.ask(node._lab.folder, progress, "node", name=node.name, verb=verb)
    return [step.text for step in progress.steps]


def test_stop_and_start_of_a_broker(nodes: Lab) -> None:
    client, broker = nodes.client, nodes.brokers[2]
    create_topic(client, "stop", [[2, 1, 3], [1, 2, 3], [2, 3, 1]])
    led, pid, port = len(led_by(client, 2)), broker.pid, broker.port
    assert led >= 2 and pid
    begun = time.monotonic()
    report = broker.stop()
    lasted = time.monotonic() - begun
    assert Identity.of(pid) is None
    assert (report.node, report.verb, report.led) == ("broker-2", "stopped", led)
    assert report.noticed is not None and report.new_leaders is not None
    assert 0 < report.seconds <= lasted
    assert report.noticed <= lasted and report.new_leaders <= lasted
    assert report.without_leader == () and report.notes == ()
    assert zookeeper_ids(nodes.zookeeper_client) == {1, 3}
    assert set(metadata(client).brokers) == {1, 3}
    until(lambda: led_by(client, 2) == [], HEARD, "every broker to hear of it")
    assert (broker.state, broker.pid, nodes.state) == ("stopped", None, "degraded")
    assert "broker-2 stopped in" in str(report) and "partitions have new leaders" in str(report)

    report = broker.start()
    assert report.verb == "started" and report.noticed is not None
    assert zookeeper_ids(nodes.zookeeper_client) == {1, 2, 3}
    assert broker.pid and broker.pid != pid
    assert broker.port == port
    assert listeners_on(port) == {"127.0.0.1"}
    assert nodes.state == "usable"
    assert led_by(client, 2) == [], "leaders move when the learner moves them"


def test_kill_of_a_leader_loses_no_acknowledged_message(nodes: Lab) -> None:
    client, broker = nodes.client, nodes.brokers[1]
    create_topic(client, "kill", [[1, 2, 3], [2, 3, 1], [1, 3, 2]])
    create_topic(client, "alone", [[1]])
    led = len(led_by(client, 1))
    acknowledged: list[tuple[bytes, bytes]] = []
    ended = threading.Event()

    def write() -> None:
        producer = Producer(
            {
                **client,
                "acks": "all",
                "enable.idempotence": True,
                "linger.ms": 1,
            }
        )

        def delivered(error: object, message: object) -> None:
            if error is None:
                acknowledged.append((message.key(), message.value()))  # type: ignore[attr-defined]

        number = 0
        while not ended.wait(0.001):
            producer.produce("kill", str(number), str(number % 20), on_delivery=delivered)
            producer.poll(0)
            number += 1
        assert producer.flush(60) == 0

    writer = threading.Thread(target=write)
    writer.start()
    try:
        until(lambda: len(acknowledged) > 500, 20, "the first acknowledgements")
        before = len(acknowledged)
        report = broker.kill()
        after = len(acknowledged)
        until(lambda: len(acknowledged) > after + 500, 30, "acknowledgements after the kill")
    finally:
        ended.set()
        writer.join(70)
    assert report.led == led
    assert report.noticed is not None
    # Nobody was told: it took the session's expiry, less what had passed since the last heartbeat.
    assert SESSION / 3 < report.noticed < SESSION + 5
    assert report.without_leader == ("alone 0",)
    assert report.new_leaders is None, "one partition has found no new leader"
    assert "without a leader: alone 0" in str(report)
    assert zookeeper_ids(nodes.zookeeper_client) == {2, 3}
    until(lambda: led_by(client, 1) == [], HEARD, "every broker to hear of it")
    assert broker.state == "killed"
    written = read_all(client, "kill")
    missing = set(acknowledged) - {(key, value) for key, value in written}
    assert before > 500 and not missing
    for partition_key in {key for key, _ in acknowledged}:
        numbers = [int(value) for key, value in written if key == partition_key]
        assert sorted(set(numbers)) == list(dict.fromkeys(numbers)), "the order of one key"

    broker.start()
    until(lambda: ("alone", 0) in led_by(client, 1), 15, "the lone partition to be led again")


def test_a_killed_broker_starts_at_once_three_times_of_three(nodes: Lab) -> None:
    broker = nodes.brokers[3]
    for _ in range(3):
        at_once(broker, "kill")
        assert 3 in zookeeper_ids(nodes.zookeeper_client), "its znode should outlive it"
        steps = at_once(broker, "start")
        # On a slow machine the session would expire while Java starts: see that it was waited for.
        assert steps[0].startswith("ZooKeeper forgets the old session of broker-3")
        assert broker.state == "running"
        assert zookeeper_ids(nodes.zookeeper_client) == {1, 2, 3}


def test_pause_and_resume_of_a_broker(nodes: Lab) -> None:
    broker = nodes.brokers[2]
    create_topic(nodes.client, "pause", [[2, 1, 3]])
    pid = broker.pid
    assert pid
    report = broker.pause()
    assert is_frozen(pid)
    assert report.verb == "paused" and report.noticed is not None
    assert SESSION / 3 < report.noticed < SESSION + 5
    assert report.new_leaders is not None and report.led >= 1
    assert zookeeper_ids(nodes.zookeeper_client) == {1, 3}
    until(lambda: led_by(nodes.client, 2) == [], HEARD, "every broker to hear of it")
    assert (broker.state, broker.pid) == ("paused", pid)
    report = broker.resume()
    assert report.verb == "resumed" and report.noticed is not None
    assert not is_frozen(pid)
    until(lambda: zookeeper_ids(nodes.zookeeper_client) == {1, 2, 3}, 10, "broker 2 to be back")
    assert broker.pid == pid


def test_a_frozen_broker_can_be_killed_and_started(nodes: Lab) -> None:
    broker = nodes.brokers[2]
    at_once(broker, "pause")
    at_once(broker, "kill")
    assert broker.state == "killed"
    broker.start()
    assert nodes.state == "usable"


def test_a_broker_that_dies_by_itself_is_noticed(nodes: Lab) -> None:
    broker = nodes.brokers[3]
    assert broker.pid
    os.kill(broker.pid, 9)
    until(lambda: broker.state == "died", 5, "the supervisor to notice")
    assert broker.cause.startswith("it was killed from outside")
    assert f"broker-3 has died: {broker.cause}" in nodes.summary()
    assert [report.node for report in nodes.repair()] == ["broker-3"]
    assert nodes.state == "usable" and broker.cause == ""


@pytest.mark.parametrize(
    "verb, state", [("stop", "stopped"), ("kill", "killed"), ("pause", "paused")]
)
def test_zookeeper_goes_and_comes_back(nodes: Lab, verb: str, state: str) -> None:
    keeper, pid = nodes.zookeeper, nodes.zookeeper.pid
    topic = f"without-zookeeper-{verb}"
    create_topic(nodes.client, topic, [[1, 2, 3]])
    # A leader asks ZooKeeper for a topic's settings when it makes its log: let it have one.
    produce(nodes.client, topic, ["before"], acks="all")
    report = getattr(keeper, verb)()
    assert (report.node, report.verb, report.noticed) == ("zookeeper", state, None)
    assert keeper.state == state and nodes.state == "degraded"
    assert probes.four_letter(nodes.zookeeper_port, "srvr", timeout=0.5) is None
    produce(nodes.client, topic, ["the brokers serve on"], acks="all")
    returned = keeper.resume() if verb == "pause" else keeper.start()
    assert keeper.state == "running"
    assert (keeper.pid == pid) == (verb == "pause")
    assert returned.seconds > 0
    until(lambda: zookeeper_ids(nodes.zookeeper_client) == {1, 2, 3}, 15, "all brokers to be back")
    values = [value for _, value in read_all(nodes.client, topic)]
    assert values == [b"before", b"the brokers serve on"]


def test_a_broker_cannot_start_without_zookeeper(nodes: Lab) -> None:
    nodes.brokers[2].stop()
    nodes.zookeeper.kill()
    with pytest.raises(
        NodeFailedError, match=r"broker-2 cannot start while ZooKeeper is killed"
    ) as e:
        nodes.brokers[2].start()
    assert "lab.repair()" in str(e.value)
    assert nodes.brokers[2].state == "stopped"
    with pytest.raises(NodeFailedError, match="broker-4 cannot start"):
        nodes.add_broker()
    assert set(nodes.brokers) == {1, 2, 3}
    assert [report.node for report in nodes.repair()] == ["zookeeper", "broker-2"]
    assert nodes.state == "usable"


def test_a_verb_that_does_not_fit_is_one_sentence(nodes: Lab) -> None:
    broker = nodes.brokers[1]

    def refused(verb: str) -> str:
        with pytest.raises(NodeFailedError) as caught:
            at_once(broker, verb)
        return str(caught.value)

    assert refused("start") == (
        "broker-1 is running, so it cannot start: it can stop or kill or pause."
    )
    assert refused("resume").startswith("broker-1 is running, so it cannot resume")
    at_once(broker, "pause")
    assert (
        refused("pause") == "broker-1 is paused, so it cannot pause: it can stop or kill or resume."
    )
    assert refused("start").startswith("broker-1 is paused, so it cannot start")
    at_once(broker, "kill")
    for verb in ("kill", "stop", "pause", "resume"):
        assert refused(verb) == f"broker-1 is killed, so it cannot {verb}: it can start."
    with pytest.raises(BrokerLabError, match=r"no node 'broker-9': it has zookeeper, broker-1"):
        control.ask(nodes.folder, Progress(), "node", name="broker-9", verb="kill")


def test_the_file_that_is_shown_is_the_one_that_is_read(nodes: Lab, runtime: str) -> None:
    for node in (nodes.zookeeper, *nodes.brokers.values()):
        assert node.pid
        process = psutil.Process(node.pid)
        read = Path(process.cwd(), process.cmdline()[-1])
        if runtime == "containers":
            # A container has a root folder of its own, and a copy of the file.
            copy = Path(f"/proc/{node.pid}/root") / read.relative_to("/")
            assert copy.read_text("ascii") == node.properties
        else:
            assert read == node.properties_file
    zookeeper = probes.four_letter(nodes.zookeeper_port, "conf") or ""
    assert f"clientPort={nodes.zookeeper_port}" in zookeeper.splitlines()
    assert "tickTime=500" in zookeeper.splitlines()
    assert "maxClientCnxns=0" in zookeeper.splitlines()


@pytest.mark.parametrize("number", [1, 3])
def test_a_broker_says_it_has_what_its_file_says(nodes: Lab, number: int) -> None:
    file = dict(line.split("=", 1) for line in nodes.brokers[number].properties.splitlines())
    said = broker_configs(nodes.client, number)
    assert {key: said.get(key) for key in file} == file
    assert said["message.max.bytes"] == "2000000", "the override"


def test_every_explained_setting_is_in_a_rendered_file(nodes: Lab) -> None:
    explained = nodes.explain()
    for node, settings in (
        (nodes.zookeeper, explained.zookeeper),
        (nodes.brokers[1], explained.broker),
    ):
        assert settings
        for setting in settings:
            assert f"{setting.key}={setting.lab}" in node.properties.splitlines()
            assert f"{setting.key}: {setting.lab} | {setting.production}" in repr(explained)
            assert setting.key in explained._repr_html_()


def test_the_lab_listens_on_loopback_only_and_its_files_are_private(
    nodes: Lab, runtime: str
) -> None:
    status = nodes.status()
    for node in status["nodes"]:
        assert listeners_on(node["port"]) == {"127.0.0.1"}
        if runtime == "local":
            assert set(listening(node["pid"])) == {"127.0.0.1"}
    assert listening(status["supervisor"]["pid"]) == []
    for path in [nodes.folder.home, *nodes.folder.path.rglob("*")]:
        try:
            mode = path.stat().st_mode & 0o777
        except FileNotFoundError:
            continue
        assert mode & 0o077 == 0, f"{path} has mode {mode:o}"


def test_whichever_broker_is_frozen_the_others_tell_of_the_cluster(nodes: Lab) -> None:
    """A client keeps asking the broker that answered last, and one of these is it."""
    create_topic(nodes.client, "frozen", [[1, 2, 3]])
    for broker in nodes.brokers.values():
        alone = {**nodes.client, "bootstrap.servers": broker.address}
        until(lambda one=alone: "frozen" in metadata(one).topics, 15, f"{broker.name} to know it")
    for broker in nodes.brokers.values():
        assert snapshot(nodes).reachable
        broker.pause(watch=False)
        try:
            seen = snapshot(nodes)
            assert seen.problem is None and seen.topic("frozen") is not None
        finally:
            broker.resume()


@pytest.mark.parametrize("early", [0.6, 0.3, 0.0])
def test_a_broker_that_is_back_stays_back(nodes: Lab, early: float) -> None:
    """Frozen for almost a session, it is still listed when it goes on, and may be dropped after that."""
    broker = nodes.brokers[2]
    broker.pause(watch=False)
    frozen = time.monotonic()
    until(lambda: time.monotonic() - frozen > SESSION - early, SESSION + 1, "almost a session")
    broker.resume()
    back = time.monotonic()
    while time.monotonic() - back < SESSION / 2:
        assert 2 in (probes.registered_brokers(nodes.zookeeper_port) or ())


def test_the_data_of_a_broker_can_be_read_here(nodes: Lab) -> None:
    create_topic(nodes.client, "as-files", [[1, 2]])
    produce(nodes.client, "as-files", ["hello"], acks="all")
    held = []
    for broker in nodes.brokers.values():
        held += [log.read_bytes() for log in (broker.data / "as-files-0").glob("*.log")]
    assert len(held) == 2 and held[0] == held[1] and b"hello" in held[0]
    with pytest.raises(BrokerLabError, match="no node 'broker-9'"):
        control.ask(nodes.folder, Progress(), "data", name="broker-9")


def test_what_the_lab_shows_of_itself(nodes: Lab) -> None:
    text, page = repr(nodes), nodes._repr_html_()
    assert text == "<Lab 'main': ZooKeeper and 3 brokers, usable>"
    for node in (nodes.zookeeper, *nodes.brokers.values()):
        assert node.address in page and what_runs(node._now()) in page
        assert repr(node) == f"<{node.name} on port {node.port}: running>"
        assert node.log(3).count("\n") == 2


def test_a_fourth_broker_joins_and_keeps_its_port(nodes: Lab) -> None:
    # The last test of this module: from here on the lab has four brokers.
    ports = [broker.port for broker in nodes.brokers.values()]
    fourth = nodes.add_broker()
    assert (fourth.id, fourth.port) == (4, ports[-1] + 1)
    assert [broker.port for broker in nodes.brokers.values()] == [*ports, fourth.port]
    assert zookeeper_ids(nodes.zookeeper_client) == {1, 2, 3, 4}
    assert nodes.bootstrap_servers.endswith(f":{fourth.port}")
    create_topic(nodes.client, "on-four", [[4, 1]])
    produce(nodes.client, "on-four", ["hello"], acks="all")
    assert fourth.kill().led == 1
    fourth.start()
    assert fourth.port == ports[-1] + 1
    assert [value for _, value in read_all(nodes.client, "on-four")] == [b"hello"]


def test_a_topic_can_be_deleted_as_soon_as_it_is_made_and_made_again(nodes: Lab) -> None:
    """A broker that has not heard of the new topic yet must not make `delete_topics` pass it over."""
    from confluent_kafka.admin import AdminClient, NewTopic

    admin = AdminClient(nodes.client)
    for _ in range(20):
        admin.create_topics([NewTopic("fleeting", 3, 3)])["fleeting"].result(15)
        nodes.delete_topics("fleeting", "never-made")
    assert "fleeting" not in nodes.topics()
