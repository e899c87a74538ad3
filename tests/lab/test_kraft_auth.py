"""A lab without ZooKeeper that asks for a password: at its brokers for that, at its controllers for a key."""

from __future__ import annotations

import json
import re
import socket
import ssl
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import brokerlab
import psutil
import pytest
from accounts import NOBODY, stranger
from brokerlab import Lab, access, keypair, kraft, observe, quorum, tools, topology
from brokerlab.access import CONTROLLER_CLIENT, CONTROLLER_KEY
from brokerlab.progress import Progress
from brokerlab.records import texts
from confluent_kafka import Consumer, KafkaException
from homes import fresh_home
from stranger import answers_somebody_else
from witnesses import (
    create_topic,
    files_with,
    listening,
    produce,
    secrets_of,
    until,
    what_processes_show,
)

PORTS = topology.Ports(2181, (9092, 9093, 9094), (9193, 9194, 9195))
ON_CONTROLLERS = "listener.name.controller."


# -- files ---------------------------------------------------------------------------------------


def plan() -> kraft.Plan:
    return kraft.Plan(PORTS, 3, 3, "an-id", {}, closed=True)


def lines(properties: str) -> dict[str, str]:
    return dict(line.split("=", 1) for line in properties.splitlines())


@pytest.mark.parametrize(
    "spec",
    [
        plan().controller(1),
        plan().controller(1, migrating=True),
        plan().broker(1),
        plan().migrating_broker(topology.broker(1, 9092, 2181, 3, {}, closed=True)),
    ],
    ids=["controller", "migrating controller", "broker", "migrating broker"],
)
def test_controllers_are_talked_to_with_the_key_alone(spec: topology.NodeSpec) -> None:
    found = lines(spec.properties)
    protocols = found["listener.security.protocol.map"].split(",")
    assert protocols == ["SASL_PLAINTEXT:SASL_PLAINTEXT", "CONTROLLER:SSL"]
    assert found[f"{ON_CONTROLLERS}ssl.client.auth"] == "required"
    for store in ("keystore", "truststore"):
        assert found[f"{ON_CONTROLLERS}ssl.{store}.location"] == f"../../{CONTROLLER_KEY}"
    assert found["sasl.enabled.mechanisms"] == access.MECHANISM
    assert not [value for value in found.values() if value.startswith("PLAINTEXT:")]


def test_only_who_writes_to_zookeeper_sets_its_rights() -> None:
    assert "zookeeper.set.acl=true" in plan().controller(1, migrating=True).properties
    assert "zookeeper" not in plan().controller(1).properties + plan().broker(1).properties


# -- the key -------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Two files, each with a key of its own."""
    folder = tmp_path_factory.mktemp("keys")
    files = (folder / "one.pem", folder / "other.pem")
    for file in files:
        file.write_text(keypair.make("127.0.0.1"))
    return files


@pytest.mark.parametrize("pair, fits", [((0, 0), True), ((0, 1), False), ((1, 0), False)])
def test_a_key_opens_to_itself_alone(
    keys: tuple[Path, Path], pair: tuple[int, int], fits: bool
) -> None:
    server, client = (ssl.SSLContext(p) for p in (ssl.PROTOCOL_TLS_SERVER, ssl.PROTOCOL_TLS_CLIENT))
    for context, number in ((server, pair[0]), (client, pair[1])):
        context.load_cert_chain(keys[number])
        context.load_verify_locations(keys[number])
        context.verify_mode = ssl.CERT_REQUIRED
        context.verify_flags |= ssl.VERIFY_X509_STRICT
    assert _shake_hands(server, client) is fits


def _shake_hands(server: ssl.SSLContext, client: ssl.SSLContext) -> bool:
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    ends = [
        client.wrap_bio(to_client, to_server, server_hostname="127.0.0.1"),
        server.wrap_bio(to_server, to_client, server_side=True),
    ]
    while ends:
        for end in list(ends):
            try:
                end.do_handshake()
            except ssl.SSLWantReadError:
                continue
            except ssl.SSLError:
                return False
            ends.remove(end)
    return True


# -- a lab ---------------------------------------------------------------------------------------


@pytest.fixture(scope="module", params=["on", "off"])
def either(request: pytest.FixtureRequest) -> Iterator[Lab]:
    """A lab that asks for a password, and one that does not."""
    yield from _lab(request.param, brokers=1, controllers=1)


@pytest.fixture(scope="module")
def three() -> Iterator[Lab]:
    """A lab that asks for a password, of three controllers."""
    yield from _lab("on", brokers=2, controllers=3)


@pytest.fixture
def closed(three: Lab) -> Iterator[Lab]:
    yield three
    three.repair()
    assert three.state == "usable"


def _lab(auth: str, **wanted: int) -> Iterator[Lab]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BROKERLAB_AUTH", auth)
        with fresh_home():
            lab = brokerlab.start(mode="kraft", progress=Progress(), **wanted)
            yield lab
            lab.stop()
            until(lambda: not lab.folder.controller_key.exists(), 10, "the key to be gone")


@pytest.mark.cluster
def test_another_account_is_let_in_only_where_no_password_is_asked_for(either: Lab) -> None:
    create_topic(either.client, "diary", [[1]])
    produce(either.client, "diary", ["dear diary"])
    where = (either.bootstrap_servers, "", "diary", either.folder.path)
    became = stranger(NOBODY, *where, either.bootstrap_controllers)
    assert became.pop("read files") == "refused" and became.pop("ask it by TLS") == "refused"
    assert len(became) == 5
    if either.status()["auth"]:
        assert set(became.values()) == {"refused"}, became
        assert texts(either, "diary") == ["dear diary"]
    else:
        assert set(became.values()) == {"got in"}, became
        assert not either.folder.controller_key.exists()


@pytest.mark.cluster
def test_a_wrong_password_is_none_and_another_key_neither(
    closed: Lab, keys: tuple[Path, Path]
) -> None:
    wrong = {**closed.client, "sasl.password": "0" * 64, "log_level": 0, "group.id": "x"}
    with Consumer(wrong) as consumer, pytest.raises(KafkaException):
        consumer.list_topics(timeout=3)
    addresses = closed.bootstrap_controllers.split(",")
    assert len(addresses) == 3
    for address in addresses:
        assert quorum.ask(address, 3, closed.folder.controller_key) is not None
        assert quorum.ask(address, 3) is None
        assert not answers_somebody_else(address)
        assert not answers_somebody_else(address, keys[0])
        assert answers_somebody_else(address, closed.folder.controller_key), "the check can succeed"


@pytest.mark.cluster
@pytest.mark.parametrize("speaks_tls", [False, True])
def test_who_takes_the_port_of_a_dead_controller_learns_nothing(
    closed: Lab, keys: tuple[Path, Path], speaks_tls: bool
) -> None:
    # The one who leads: all others have something to tell it, and its successor that it has been deposed.
    dead = closed.controllers[closed.quorum().leader - kraft.FIRST_ID]
    dead.kill()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(keys[0])
    came = bytearray()
    with socket.create_server(("127.0.0.1", dead.port)) as server:
        server.settimeout(20)
        for _ in range(3):
            connection, _ = server.accept()
            connection.settimeout(2)
            with connection:
                if speaks_tls:
                    with pytest.raises(OSError), context.wrap_socket(connection, True) as believed:
                        came += believed.recv(1000) or pytest.fail("it went on talking")
                else:
                    heard = connection.recv(10_000)
                    assert heard[:2] == b"\x16\x03", "the first words of TLS, which hold no secret"
                    came += heard
    for secret in secrets_of(closed).values():
        assert secret.encode() not in came


@pytest.mark.cluster
def test_password_and_key_are_in_files_of_their_owner_and_nowhere_else(
    closed: Lab,
) -> None:
    create_topic(closed.client, "watched", [[1, 2]])
    command = f"kafka-console-consumer.sh --bootstrap-server {closed.bootstrap_servers}"
    asking = ["kafka-metadata-quorum.sh", "--bootstrap-controller", closed.bootstrap_controllers]
    reading = tools.background(f"{command} --topic watched")
    with subprocess.Popen(
        [*asking, "describe", "--status"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    ) as tool:
        seen: list[tuple[str, str]] = []
        while tool.poll() is None:
            seen += what_processes_show()
        out, _ = tool.communicate(timeout=60)
    reading.kill()
    assert tool.returncode == 0, out
    commands = [text for what, text in seen if what.endswith("cmdline")]
    assert any(CONTROLLER_CLIENT in text for text in commands)

    secrets = secrets_of(closed)
    folder = closed.folder.path
    assert files_with(secrets["password"], folder) == {
        folder / access.CLIENT,
        folder / access.LOGIN,
    }
    assert files_with(secrets["key"], folder) == {folder / CONTROLLER_KEY}
    for name in (access.CLIENT, access.LOGIN, CONTROLLER_KEY, CONTROLLER_CLIENT):
        assert stat.S_IMODE((folder / name).stat().st_mode) == 0o600
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700

    shown = [repr(closed), closed._repr_html_(), repr(closed.explain()), closed.summary()]
    shown += [json.dumps(closed.status()), repr(vars(closed)), repr(observe.snapshot(closed))]
    shown += [node.properties + node.log(100_000) for node in closed.nodes.values()]
    shown += [text for _, text in seen]
    for secret in secrets.values():
        assert [text[:80] for text in shown if secret in text] == []


@pytest.mark.cluster
def test_every_socket_of_its_processes_is_on_loopback(closed: Lab) -> None:
    status = closed.status()
    listeners = {node["pid"]: listening(node["pid"]) for node in status["nodes"]}
    assert len(listeners) == 5 and all(listeners.values())
    supervisor = psutil.Process(status["supervisor"]["pid"])
    family = [supervisor.pid, *(child.pid for child in supervisor.children(True))]
    found = [*listeners.values(), *(listening(pid) for pid in family)]
    assert {address for one in found for address in one} == {"127.0.0.1"}


@pytest.mark.cluster
def test_brokers_and_controllers_die_and_come_back(closed: Lab) -> None:
    create_topic(closed.client, "life", [[1, 2]])
    produce(closed.client, "life", ["before"], acks="all")
    leader = closed.quorum().leader
    assert "leads after" in str(closed.controllers[leader - kraft.FIRST_ID].kill())
    gone = closed.brokers[1].kill()
    assert "the controller noticed after" in str(gone)
    produce(closed.client, "life", ["between"], acks="all")
    assert "the controller listed it again" in str(closed.brokers[1].start())
    closed.repair()
    until(lambda: len(closed.quorum().voters) == 3, 20, "three voters")
    assert texts(closed, "life") == ["before", "between"]


@pytest.mark.cluster
def test_all_that_was_stopped_at_once_finds_its_users_again(either: Lab) -> None:
    """What the controllers know of users is in their log, and not in a request of each start."""
    create_topic(either.client, "stays", [[1]])
    produce(either.client, "stays", ["still here"], acks="all")
    for node in (*either.brokers.values(), *either.controllers.values()):
        node.kill()
    either.repair()
    assert texts(either, "stays") == ["still here"]


def typed(*command: object) -> str:
    ran = subprocess.run(
        [*map(str, command)], capture_output=True, text=True, timeout=60, check=False
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return ran.stdout


@pytest.mark.cluster
def test_tools_get_in_without_a_word_more(closed: Lab) -> None:
    leader = closed.quorum().leader
    for option, where in (
        ("--bootstrap-controller", closed.bootstrap_controllers),
        ("--bootstrap-server", closed.bootstrap_servers),
    ):
        said = typed("kafka-metadata-quorum.sh", option, where, "describe", "--status")
        assert re.search(rf"LeaderId:\s+{leader}\b", said), said
    node = closed.folder.node("controller-1")
    info = ("kafka-storage.sh", "info", "--config", node / "controller.properties")
    assert "Found metadata" in subprocess.run(
        [*map(str, info)], cwd=node, capture_output=True, text=True, timeout=60
    ).stdout.replace("\n", " ")
    log = node / "data" / "__cluster_metadata-0" / "00000000000000000000.log"
    dump = typed("kafka-dump-log.sh", "--cluster-metadata-decoder", "--files", log)
    assert '"type":"USER_SCRAM_CREDENTIAL_RECORD"' in dump


@pytest.mark.cluster
@pytest.mark.parametrize("more", [",127.0.0.1:1", ",{brokers}"])
def test_tools_give_the_key_to_nobody_else(closed: Lab, more: str) -> None:
    where = closed.bootstrap_controllers + more.format(brokers=closed.bootstrap_servers)
    line = tools.command_line(
        "kafka-metadata-quorum.sh", ["--bootstrap-controller", where, "describe"]
    )
    assert not any(CONTROLLER_CLIENT in word for word in line)


@pytest.mark.cluster
def test_nothing_of_it_is_there_where_no_password_is_asked_for(either: Lab) -> None:
    files = [node.properties for node in either.nodes.values()]
    closed: Any = either.status()["auth"]
    assert all(("ssl." in text) is closed for text in files)
    assert either.folder.controller_client_file.exists() is closed
