"""What the environment says of a cluster that exists, and what is wrong with it; no cluster is needed."""

from __future__ import annotations

import itertools
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path

import brokerlab
import pytest
from brokerlab import cli, existing, settings
from brokerlab.errors import NotLetInError, SettingError
from brokerlab.progress import Progress
from classcluster import set_all

LIMIT = 10


@pytest.fixture(autouse=True)
def of_others(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    variables = {"BROKERLAB_RUNTIME": "external", "BROKERLAB_HOME": str(tmp_path)}
    others = ("BROKERLAB_BOOTSTRAP_SERVERS", "BROKERLAB_CLIENT_PROPERTIES", "BROKERLAB_PREFIX")
    set_all(monkeypatch, variables, leave=(*others, "JUPYTERHUB_USER"))


def said_by(kind: type[brokerlab.BrokerLabError]) -> str:
    """Return the sentence with which attaching is refused, within 10 s."""
    begun = time.monotonic()
    with pytest.raises(kind) as error:
        brokerlab.start(progress=Progress())
    assert time.monotonic() - begun < LIMIT
    assert "\n" not in str(error.value)
    return str(error.value)


def test_no_address():
    assert "set BROKERLAB_BOOTSTRAP_SERVERS" in said_by(SettingError)


@pytest.mark.parametrize("value", ["localhost", "a b:9092", "http://x:9092", "x:9092,y"])
def test_what_is_no_address(monkeypatch, value):
    monkeypatch.setenv("BROKERLAB_BOOTSTRAP_SERVERS", value)
    assert "is no address: set it to host:port" in said_by(SettingError)


def test_nobody_listens(monkeypatch):
    with closing(socket.socket()) as one:
        one.bind(("127.0.0.1", 0))
        port = one.getsockname()[1]
    monkeypatch.setenv("BROKERLAB_BOOTSTRAP_SERVERS", f"127.0.0.1:{port},nobody.invalid:9092")
    said = said_by(NotLetInError)
    assert f"127.0.0.1:{port}: nobody listens there" in said
    assert "nobody.invalid:9092: no such host" in said


@pytest.mark.parametrize("value", ["anna", "-", "__anna-", "a b-", "änna-", "a" * 120 + "-"])
def test_a_bad_prefix(monkeypatch, value):
    monkeypatch.setenv("BROKERLAB_PREFIX", value)
    assert "BROKERLAB_PREFIX is" in said_by(SettingError)


@pytest.mark.parametrize("value", ["anna-", "team1.anna.", "ANNA_"])
def test_a_good_prefix(value):
    assert settings.read({"BROKERLAB_PREFIX": value}).prefix == value


def test_no_prefix_of_one_user_is_the_beginning_of_anothers():
    users = [
        "anna",
        "annab",
        "anna-b",
        "anna.b",
        "anna_b",
        "Anna",
        "anna@b.org",
        "änna",
        "nna",
        "-",
    ]
    prefixes = [existing.default_prefix(user) for user in users]
    assert prefixes[:2] == ["anna-", "annab-"]
    for one, other in itertools.permutations(prefixes, 2):
        assert not other.startswith(one)
    for prefix in prefixes:
        assert settings.read({"BROKERLAB_PREFIX": prefix}).prefix == prefix


def test_the_prefix_is_made_of_who_logs_in_else_of_the_hubs_user(monkeypatch, tmp_path):
    monkeypatch.setenv("BROKERLAB_BOOTSTRAP_SERVERS", "127.0.0.1:1")
    monkeypatch.setenv("JUPYTERHUB_USER", "bob")
    assert existing.described(settings.read()).prefix == "bob-"
    file = tmp_path / "client.properties"
    login = 'org.apache.kafka.common.security.plain.PlainLoginModule required username="anna" password="x";'
    file.write_text(f"sasl.mechanism=PLAIN\nsasl.jaas.config={login}\n")
    monkeypatch.setenv("BROKERLAB_CLIENT_PROPERTIES", str(file))
    assert existing.described(settings.read()).prefix == "anna-"


@pytest.mark.parametrize(
    ("wish", "named"),
    [
        ({"name": "strict"}, "name"),
        ({"broker_properties": {"a": "b"}}, "broker_properties"),
        ({"mode": "kraft"}, "mode"),
    ],
)
def test_what_only_a_lab_of_ones_own_can_have(wish, named):
    with pytest.raises(SettingError, match=f"nothing is started and {named} cannot be chosen"):
        brokerlab.start(progress=Progress(), **wish)


def test_the_commands_say_so_too(monkeypatch, capsys):
    monkeypatch.setenv("BROKERLAB_BOOTSTRAP_SERVERS", "127.0.0.1:1")
    for command in (["start"], ["status"], ["topics"]):
        assert cli.main(command) == 1
        assert "nobody listens there" in capsys.readouterr().err
    assert cli.main(["stop"]) == 0
    assert "so nothing is stopped" in capsys.readouterr().out
    assert cli.main(["logs", "broker-1"]) == 1
    assert "ask who runs it" in capsys.readouterr().err


@pytest.fixture
def tls_port(tmp_path: Path) -> Iterator[int]:
    """A port where a server speaks TLS and nothing else."""
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    make = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=localhost"]
    subprocess.run(
        [*make, "-keyout", str(key), "-out", str(certificate)], check=True, capture_output=True
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    with closing(socket.create_server(("127.0.0.1", 0))) as server:
        threading.Thread(target=_serve, args=(server, context), daemon=True).start()
        yield server.getsockname()[1]


def _serve(server: socket.socket, context: ssl.SSLContext) -> None:
    while True:
        try:
            connection, _ = server.accept()
        except OSError:
            return
        with suppress(OSError), context.wrap_socket(connection, server_side=True) as spoken:
            spoken.recv(1000)


def test_no_tls_where_there_is_only_tls(monkeypatch, tls_port):
    monkeypatch.setenv("BROKERLAB_BOOTSTRAP_SERVERS", f"127.0.0.1:{tls_port}")
    assert "hangs up on a client of security.protocol=PLAINTEXT" in said_by(NotLetInError)


def test_a_certificate_of_nobody_we_know(monkeypatch, tls_port, tmp_path):
    file = tmp_path / "client.properties"
    file.write_text("security.protocol=SSL\n")
    monkeypatch.setenv("BROKERLAB_BOOTSTRAP_SERVERS", f"127.0.0.1:{tls_port}")
    monkeypatch.setenv("BROKERLAB_CLIENT_PROPERTIES", str(file))
    assert "is not one that this client trusts" in said_by(NotLetInError)
