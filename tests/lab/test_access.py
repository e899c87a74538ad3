"""What a client is told: in memory, in files of its owner alone, and never in what is shown."""

from __future__ import annotations

import json
import re
import stat
from pathlib import Path
from pprint import pformat

import pytest
from brokerlab import access
from brokerlab.access import Secret, read_client, read_zookeeper
from brokerlab.errors import NoLabError
from brokerlab.machine import write_private
from IPython.lib.pretty import pretty


def test_a_secret_is_usable_and_not_shown():
    secret = Secret("hunter2")
    assert secret == "hunter2" and secret.encode() == b"hunter2"
    assert "hunter2" not in repr(secret)


@pytest.fixture
def client_file(tmp_path: Path) -> Path:
    file = tmp_path / "client.properties"
    settings = {"bootstrap.servers": "127.0.0.1:9092", "sasl.password": "hunter=2"}
    write_private(file, access.properties(settings))
    return file


def test_copies_of_a_client_do_not_show_its_password_either(client_file: Path):
    client = read_client(client_file)
    assert client == {"bootstrap.servers": "127.0.0.1:9092", "sasl.password": "hunter=2"}
    for copy in (client, dict(client), {**client, "group.id": "x"}, client | {"acks": "all"}):
        assert "hunter" not in repr(copy) + str(copy) + pformat(copy) + pretty(copy)


def test_the_password_of_a_zookeeper_client_is_not_shown(tmp_path: Path):
    file = tmp_path / "zookeeper.json"
    arguments = {"hosts": "127.0.0.1:2181", "sasl_options": {"password": "hunter2"}}
    write_private(file, json.dumps(arguments))
    assert read_zookeeper(file) == arguments
    assert "hunter" not in repr(read_zookeeper(file))


def test_a_client_file_is_its_owners_alone_and_written_whole(client_file: Path):
    client_file.chmod(0o644)
    write_private(client_file, "bootstrap.servers=127.0.0.1:1\n")
    assert stat.S_IMODE(client_file.stat().st_mode) == 0o600
    assert read_client(client_file) == {"bootstrap.servers": "127.0.0.1:1"}
    assert [file.name for file in client_file.parent.iterdir()] == [client_file.name]


@pytest.mark.parametrize("read", [read_client, read_zookeeper])
@pytest.mark.parametrize("text", [None, "", "[]", "nonsense", "\x00\xff"])
def test_what_is_no_client_file_is_a_sentence(read, text: str | None, tmp_path: Path):
    file = tmp_path / "file"
    if text is not None:
        file.write_text(text, "latin-1")
    with pytest.raises(NoLabError, match=re.escape(f"{str(file)!r} is no client file")):
        read(file)
