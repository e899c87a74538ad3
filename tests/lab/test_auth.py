"""A lab that asks for a password: who has it works as ever, nobody else gets in, and it is found nowhere."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from pathlib import Path

import brokerlab
import psutil
import pytest
from accounts import NOBODY, as_account, stranger
from brokerlab import Lab, access, cli, observe, programs, settings, tools
from brokerlab.distribution import prefetch_all
from brokerlab.errors import SettingError
from brokerlab.flow import FlowObserver
from brokerlab.groups import GroupObserver
from brokerlab.mlqueue import MLQueue
from brokerlab.pipeline.scenes import scene
from brokerlab.progress import Progress
from brokerlab.records import texts
from brokerlab.settings import Settings
from brokerlab.traffic import Traffic
from brokerlab.widgets import ZnodeTree
from confluent_kafka import Consumer, KafkaException
from homes import fresh_home
from witnesses import (
    create_topic,
    files_with,
    listening,
    produce,
    what_processes_show,
    zookeeper_ids,
)

LEARNERS = (20_001, 20_002, 20_003)
NETWORK = ("list topics", "read", "write", "ask a broker", "read znodes", "write a znode")
SCRIPTS = Path(sys.executable).parent
ALLOWED = {access.CLIENT, access.ZOOKEEPER_CLIENT, access.LOGIN}

pytestmark = pytest.mark.cluster


@pytest.fixture(scope="module", params=["on", "off"])
def either(request: pytest.FixtureRequest) -> Iterator[Lab]:
    """A lab that asks for a password, and one that does not."""
    yield from _lab(request.param)


@pytest.fixture(scope="module")
def closed() -> Iterator[Lab]:
    """A lab that asks for a password."""
    yield from _lab("on")


def _lab(auth: str) -> Iterator[Lab]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BROKERLAB_AUTH", auth)
        with fresh_home():
            lab = brokerlab.start(brokers=3, progress=Progress())
            yield lab
            lab.stop()


@pytest.fixture
def secret(closed: Lab) -> str:
    found: str = access.read_client(closed.client_file)["sasl.password"]
    assert len(found) == 64
    return found


# -- nobody else ---------------------------------------------------------------------------------


def test_another_account_is_let_in_only_where_no_password_is_asked_for(either: Lab) -> None:
    create_topic(either.client, "diary", [[1, 2, 3]])
    produce(either.client, "diary", ["dear diary"])
    where = (either.bootstrap_servers, either.zookeeper_connect)
    became = stranger(NOBODY, *where, "diary", either.folder.path)
    if either.status()["auth"]:
        assert {became[what] for what in NETWORK} == {"refused"}, became
        assert texts(either, "diary") == ["dear diary"]
    else:
        assert {became[what] for what in NETWORK} == {"got in"}, became
        assert texts(either, "diary") == ["dear diary", "a stranger was here"]
    assert became["read files"] == "refused" and became["four letters"] == "got in"


def test_three_learners_on_one_machine(their_python: list[str], shared: Path, cache: Path) -> None:
    """As a JupyterHub has them: one read-only cache, a home each, all at once."""
    machine = settings.read()
    prefetch_all(machine, Progress())
    theirs = Settings(
        **{**vars(machine), "cache": shared / "cache", "mirror": "http://127.0.0.1:9"}
    )
    prefetch_all(theirs, Progress(), str(cache))
    before = sorted((shared / "cache").rglob("*"))
    homes = {uid: shared / str(uid) for uid in LEARNERS}
    for uid, home in homes.items():
        home.mkdir(mode=0o700)
        os.chown(home, uid, uid)

    def typed_by(uid: int, *words: object) -> subprocess.CompletedProcess[str]:
        variables = {
            "BROKERLAB_HOME": str(homes[uid]),
            "BROKERLAB_CACHE": str(theirs.cache),
            "BROKERLAB_MIRROR": "http://127.0.0.1:9",
            "BROKERLAB_RUNTIME": "local",
            "BROKERLAB_AUTH": "auto",
            "JUPYTERHUB_USER": f"learner-{uid}",
        }
        return as_account(uid, [*their_python, "-m", "brokerlab.cli", *words], **variables)

    try:
        with ThreadPoolExecutor() as at_once:
            starts = at_once.map(lambda uid: typed_by(uid, "start", "--brokers", 1), LEARNERS)
            for started in starts:
                assert started.returncode == 0, started.stderr
        labs = {uid: json.loads(typed_by(uid, "status", "--json").stdout) for uid in LEARNERS}
        for uid, lab in labs.items():
            assert (lab["state"], lab["auth"]) == ("usable", True), lab
            assert "JupyterHub" in lab["auth_why"]
            assert {Path(f"/proc/{n['pid']}").stat().st_uid for n in lab["nodes"]} == {uid}
        ports = [node["port"] for lab in labs.values() for node in lab["nodes"]]
        assert len(set(ports)) == len(ports) == 6
        for uid, neighbour in zip(LEARNERS, [*LEARNERS[1:], LEARNERS[0]], strict=True):
            lab, folder = labs[neighbour], homes[neighbour] / "labs" / "main"
            where = (lab["bootstrap_servers"], lab["zookeeper_connect"])
            became = stranger(uid, *where, "diary", folder)
            assert {became[what] for what in (*NETWORK, "read files")} == {"refused"}, became
    finally:
        stops = [typed_by(uid, "stop", "--all").returncode for uid in LEARNERS]
    assert stops == [0, 0, 0]
    assert sorted((shared / "cache").rglob("*")) == before, "the cache is only read"


def test_a_wrong_password_is_none(closed: Lab) -> None:
    wrong = {**closed.client, "sasl.password": "0" * 64, "log_level": 0, "group.id": "x"}
    consumer = Consumer(wrong)
    with pytest.raises(KafkaException):
        consumer.list_topics(timeout=3)
    consumer.close()


def test_every_lab_has_a_secret_of_its_own(closed: Lab) -> None:
    other = access.Access.closed()
    assert other.secret and other.secret != closed.client["sasl.password"]
    assert other.secret not in repr(other)


# -- found nowhere -------------------------------------------------------------------------------


def test_the_secret_is_in_three_files_of_its_owner_and_nowhere_else(
    closed: Lab, secret: str, capsys: pytest.CaptureFixture[str]
) -> None:
    programs.write("waits.py", "import sys; sys.stdin.readline()")
    create_topic(closed.client, "watched", [[1, 2, 3]])
    shell = f"zookeeper-shell.sh {closed.zookeeper_connect}"
    command = f"kafka-console-consumer.sh --bootstrap-server {closed.bootstrap_servers}"
    with ExitStack() as running, MLQueue(closed, "secret") as queue:
        queue.begin(workers=1)
        group = running.enter_context(GroupObserver(closed, "g"))
        flow = running.enter_context(closing(FlowObserver(closed)))
        for beside in (
            tools.background(f"{command} --topic watched"),
            keeper := tools.background(shell),
            programs.run("waits.py", closed.client_file),
        ):
            running.callback(beside.kill)
        group.wait_until(lambda seen: seen.state is not None, what="a look")
        flow.wait_until(lambda seen: bool(seen.rates), what="a rate")
        keeper.wait_for("SyncConnected", 20)
        running.callback(closed.connect.clear)
        closed.connect.start()
        source = {"connector.class": "FileStreamSource", "file": __file__, "topic": "watched"}
        assert closed.connect.put("in", source).running
        seen = list(what_processes_show())
        holding = files_with(secret, closed.folder.path)
        told = repr(vars(closed.connect)) + closed.connect.log(100_000)
    commands = [text for what, text in seen if what.endswith("cmdline")]
    assert any("ConsoleConsumer" in text and str(closed.client_file) in text for text in commands)
    assert any("ConnectStandalone" in text for text in commands)
    assert [what for what, text in seen if secret in text] == []

    assert {path.name for path in holding} == ALLOWED
    assert {path.parent for path in holding} == {closed.folder.path}
    assert {stat.S_IMODE(path.stat().st_mode) for path in holding} == {0o600}
    assert stat.S_IMODE(closed.folder.path.stat().st_mode) == 0o700

    shown = [repr(closed), closed._repr_html_(), repr(closed.explain()), closed.summary()]
    shown += [closed.explain()._repr_html_(), json.dumps(closed.status()), repr(queue.cluster)]
    shown += [repr(closed.client), repr(closed.zookeeper_client), repr(vars(closed))]
    shown += [told, *(node.properties + node.log(100_000) for node in closed.nodes.values())]
    cli.main(["status"])
    out, err = capsys.readouterr()
    assert "clients must log in: BROKERLAB_AUTH is on" in out
    assert [text[:80] for text in [*shown, out, err] if secret in text] == []


def test_every_socket_of_its_processes_is_on_loopback(closed: Lab) -> None:
    status = closed.status()
    pids = [node["pid"] for node in status["nodes"]]
    family = [*pids, status["supervisor"]["pid"]]
    family += [child.pid for pid in family for child in psutil.Process(pid).children(True)]
    listeners = {pid: listening(pid) for pid in set(family)}
    assert all(listeners[pid] for pid in pids), "each node listens"
    assert {address for found in listeners.values() for address in found} == {"127.0.0.1"}


# -- all works as ever ---------------------------------------------------------------------------


def typed(command: str, said: str = "") -> str:
    line = [str(SCRIPTS / command.split()[0]), *command.split()[1:]]
    ran = subprocess.run(line, input=said, capture_output=True, text=True, timeout=60)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return ran.stdout


def test_console_tools_get_in_without_a_word_more(closed: Lab) -> None:
    server, keeper = f"--bootstrap-server {closed.bootstrap_servers}", closed.zookeeper_connect
    typed(f"kafka-topics.sh {server} --create --topic typed --partitions 1 --replication-factor 3")
    assert "typed" in typed(f"kafka-topics.sh {server.replace(' ', '=')} --list")
    one = closed.bootstrap_servers.split(",")[0].replace("127.0.0.1", "localhost")
    typed(f"kafka-console-producer.sh --broker-list {one} --topic typed", said="hello\n")
    reading = f"kafka-console-consumer.sh {server} --topic typed --group g --from-beginning"
    assert typed(f"{reading} --max-messages 1 --timeout-ms 20000") == "hello\n"
    assert "typed" in typed(f"kafka-consumer-groups.sh {server} --group g --describe")
    assert "typed" in typed(f"kafka-configs.sh {server} --topic typed --describe")
    assert typed(f"kafka-get-offsets.sh {server} --topic typed --time -1") == "typed:0:1\n"
    election = f"kafka-leader-election.sh {server} --election-type preferred"
    typed(f"{election} --topic typed --partition 0")
    perf = f"kafka-producer-perf-test.sh --producer-props bootstrap.servers={one} --topic typed"
    typed(f"{perf} --num-records 10 --record-size 10 --throughput -1")
    cut = closed.folder.path / "cut.json"
    cut.write_text(
        '{"partitions":[{"topic":"typed","partition":0,"offset":3}],"version":1}', "ascii"
    )
    deleting = "kafka-run-class.sh org.apache.kafka.tools.DeleteRecordsCommand"
    assert "low_watermark: 3" in typed(f"{deleting} {server} --offset-json-file {cut}")
    assert "[1, 2, 3]" in typed(f"zookeeper-shell.sh {keeper} ls /brokers/ids")
    assert "typed" in typed(f"kafka-topics-2.8.2.sh --zookeeper {keeper} --list")


@pytest.mark.parametrize(
    "name, arguments",
    [
        ("kafka-topics.sh", ["--bootstrap-server", "127.0.0.1:1", "--list"]),
        ("kafka-topics.sh", ["--bootstrap-server", "{servers},127.0.0.1:1", "--list"]),
        ("kafka-topics.sh", ["--bootstrap-server", "kafka.example:{port}", "--list"]),
        ("kafka-topics.sh", ["--version"]),
        ("zookeeper-shell.sh", ["127.0.0.1:1", "ls", "/"]),
    ],
)
def test_tools_for_another_cluster_are_given_nothing(
    closed: Lab, name: str, arguments: list[str]
) -> None:
    port = closed.bootstrap_servers.rpartition(":")[2]
    words = [word.format(servers=closed.bootstrap_servers, port=port) for word in arguments]
    line = tools.command_line(name, words)
    assert not any(str(closed.folder.path) in word for word in line)


def test_who_brings_settings_of_his_own_keeps_them(closed: Lab) -> None:
    words = ["--bootstrap-server", closed.bootstrap_servers, "--command-config", "mine", "--list"]
    assert tools.command_line("kafka-topics.sh", words)[-len(words) :] == words


def test_verbs_groups_flow_and_the_picture_of_zookeeper(closed: Lab) -> None:
    create_topic(closed.client, "life", [[1, 2, 3]])
    with (
        GroupObserver(closed, "readers", ["life"]) as group,
        closing(FlowObserver(closed)) as flow,
    ):
        traffic = Traffic(closed, "life", 100, {"acks": "all", "enable.idempotence": True})
        report = closed.brokers[1].kill()
        assert report.noticed is not None and report.new_leaders is not None
        flow.wait_until(lambda seen: (seen.rates.get(("life", 0)) or 0) > 50, 30, "flow")
        assert closed.brokers[1].start().noticed is not None
        closed.zookeeper.kill()
        closed.zookeeper.start()
        observe.wait_until(closed, lambda now: now.registered == (1, 2, 3), 30, "all brokers")
        fourth = closed.add_broker()
        assert closed.bootstrap_servers.endswith(str(fourth.port)) and closed.state == "usable"
        reading = {"group.id": "readers", "auto.offset.reset": "earliest"}
        with Consumer({**closed.client, **reading}) as reader:
            reader.subscribe(["life"])
            assert reader.poll(20) is not None
            group.wait_until(lambda seen: len(seen.members) == 1, 20, "the member")
        traffic.stop()
    ledger = traffic.ledger
    assert not ledger.failed and set(ledger.acknowledged) <= {
        int(text.split()[1]) for text in texts(closed, "life")
    }
    tree = ZnodeTree(closed)
    tree.wait_until(lambda now: "/brokers/ids/4" in now, 20, "broker 4 in the tree")
    tree.close()
    assert zookeeper_ids(closed.zookeeper_client) == {1, 2, 3, 4}


def test_the_ml_queue(closed: Lab) -> None:
    with MLQueue(closed, "closed") as queue:
        queue.begin(workers=1)
        accepted = queue.store.accept(scene(seed=1, index=1).picture, "image/jpeg").id
        found = queue.settle()
        assert (found.done, found.missing) == (1, ()), str(found)
        job = queue.store.job(accepted)
        assert job is not None and job.state == "done"


def test_a_second_start_must_ask_for_the_same(closed: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BROKERLAB_AUTH", "off")
    with pytest.raises(SettingError, match="already runs with BROKERLAB_AUTH=on and off was asked"):
        brokerlab.start(progress=Progress())
    monkeypatch.setenv("BROKERLAB_AUTH", "auto")
    assert brokerlab.start(progress=Progress()).client == closed.client
    assert brokerlab.attach().zookeeper_client == closed.zookeeper_client
