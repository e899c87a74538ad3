"""Kafka Connect on a lab that asks for a password: it asks for one of its own, and moves records as ever."""

from __future__ import annotations

import json
import socket
import stat
from collections.abc import Iterator
from pathlib import Path

import brokerlab
import httpx
import psutil
import pytest
from accounts import NOBODY, as_account
from brokerlab import topology
from brokerlab.access import CONNECT_LOGIN
from brokerlab.connect import Connect
from brokerlab.connectfolder import WORKER
from brokerlab.errors import NodeFailedError, NotLetInError
from brokerlab.lab import Lab
from brokerlab.progress import Progress
from brokerlab.records import texts
from homes import fresh_home
from witnesses import comes_true, files_with, what_processes_show

pytestmark = pytest.mark.cluster

CLIENT = httpx.Client(timeout=20, trust_env=False)
EVIL = {"connector.class": "FileStreamSource", "file": "/etc/passwd", "topic": "lines"}
REQUESTS: tuple[tuple[str, str, object], ...] = (
    ("GET", "/", None),
    ("GET", "/health", None),
    ("GET", "/connectors", None),
    ("GET", "/connectors?expand=info&expand=status", None),
    ("POST", "/connectors", {"name": "evil", "config": EVIL}),
    ("PUT", "/connectors/evil/config", EVIL),
    ("PATCH", "/connectors/lines-in/config", EVIL),
    ("GET", "/connectors/lines-in", None),
    ("GET", "/connectors/lines-in/config", None),
    ("GET", "/connectors/lines-in/status", None),
    ("GET", "/connectors/lines-in/offsets", None),
    ("DELETE", "/connectors/lines-in/offsets", None),
    ("GET", "/connectors/lines-in/topics", None),
    ("GET", "/connectors/lines-in/tasks", None),
    ("POST", "/connectors/lines-in/tasks/0/restart", None),
    ("POST", "/connectors/lines-in/restart", None),
    ("PUT", "/connectors/lines-in/pause", None),
    ("PUT", "/connectors/lines-in/stop", None),
    ("DELETE", "/connectors/lines-in", None),
    ("OPTIONS", "/connectors/lines-in/config", None),
    ("GET", "/connector-plugins", None),
    ("PUT", "/connector-plugins/FileStreamSource/config/validate", EVIL),
    ("GET", "/admin/loggers", None),
    ("PUT", "/admin/loggers/root", {"level": "TRACE"}),
)
DRESSED_UP: tuple[tuple[str, str, object], ...] = (
    ("PUT", "/connectors/lines-in%2Ffence", None),
    ("POST", "/connectors%2Flines-in/tasks", []),
    ("POST", "/connectors/lines-in/restart;x=%2Ftasks", None),
)
"""As the paths below look when something else is to be reached by them."""
OF_OTHER_WORKERS: tuple[tuple[str, str, object], ...] = (
    ("POST", "/connectors/lines-in/tasks", [EVIL | {"task.class": "FileStreamSourceTask"}]),
    ("PUT", "/connectors/lines-in/fence", None),
)
"""What Kafka lets through, since workers of one group ask each other so; one that stands alone does nothing for it."""

STRANGER = """
import base64, http.client, json, sys
from pathlib import Path

port, folder, requests = json.loads(sys.argv[1])
said = []
for method, path, body in requests:
    for password in (None, "", "0" * 64):
        server = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
        headers = {"Content-Type": "application/json"}
        if password is not None:
            login = base64.b64encode(f"lab:{password}".encode()).decode()
            headers["Authorization"] = f"Basic {login}"
        server.request(method, path, json.dumps(body) if body is not None else None, headers)
        answer = server.getresponse()
        said.append([method, path, answer.status, answer.read().decode()])
        server.close()
readable = []
reads = {".": lambda: list(Path(folder).iterdir())}
reads |= {name: (Path(folder) / name).read_bytes for name in sys.argv[2:]}
for name, read in reads.items():
    try:
        read()
    except PermissionError:
        continue
    readable.append(name)
print(json.dumps({"said": said, "readable": readable}))
"""


@pytest.fixture(scope="module")
def closed() -> Iterator[Lab]:
    """A lab that asks for a password."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BROKERLAB_AUTH", "on")
        with fresh_home():
            lab = brokerlab.start(brokers=3, progress=Progress())
            yield lab
            lab.stop()


@pytest.fixture
def connect(closed: Lab) -> Iterator[Connect]:
    """A worker with one connector, which has moved a line."""
    connect = closed.connect
    connect.start()
    source = connect.files / "in.txt"
    source.write_text("one\n")
    config = {"connector.class": "FileStreamSource", "file": source, "topic": "lines"}
    config |= {"topic.creation.default.replication.factor": 3}
    config |= {"topic.creation.default.partitions": 1}
    assert connect.put("lines-in", config).running
    assert comes_true(lambda: texts(closed, "lines") == ["one"])
    yield connect
    connect.clear()
    closed.delete_topics("lines")


def password_of(connect: Connect) -> str:
    assert connect.auth is not None
    user, password = connect.auth
    assert (user, len(password)) == ("lab", 64)
    return password


def asked(
    connect: Connect, method: str, path: str, body: object, login: tuple[str, str] | None
) -> httpx.Response:
    return CLIENT.request(method, connect.url + path, json=body, auth=login)


def is_untouched(connect: Connect) -> bool:
    (only,) = connect.connectors().values()
    return only.name == "lines-in" and only.running


def test_nothing_is_told_or_done_without_the_password(closed: Lab, connect: Connect) -> None:
    labs = closed.client["sasl.password"]
    assert password_of(connect) != labs
    wrong = [("lab", ""), ("lab", "0" * 64), ("lab", labs), ("", labs), ("admin", "admin")]
    for login in (None, *wrong):
        told = {
            (method, path): asked(connect, method, path, body, login).status_code
            for method, path, body in REQUESTS
        }
        assert set(told.values()) == {401}, (login, told)
        for method, path, body in DRESSED_UP:
            # What no resource of Connect has is not found, or not allowed, before anybody is asked who he is.
            answer = asked(connect, method, path, body, login)
            assert answer.status_code in (401, 404, 405), (login, method, path)
    assert is_untouched(connect)


def test_who_has_the_password_asks_as_the_lesson_does(connect: Connect) -> None:
    url = f"{connect.url}/connectors/lines-in/status"
    answer = httpx.get(url, auth=connect.auth, trust_env=False)
    assert answer.json()["connector"]["state"] == "RUNNING"


def test_another_account_neither_reads_its_files_nor_is_let_in(
    connect: Connect, their_python: list[str]
) -> None:
    port = int(connect.url.rpartition(":")[2])
    words = json.dumps([port, str(connect.folder), [*REQUESTS, *DRESSED_UP, *OF_OTHER_WORKERS]])
    files = [WORKER, CONNECT_LOGIN, "connect.offsets", "connectors/lines-in.properties"]
    files += ["../login.jaas", "../client.properties"]
    assert comes_true(lambda: all((connect.folder / name).exists() for name in files))
    ran = as_account(NOBODY, [*their_python, "-c", STRANGER, words, *files])
    assert ran.returncode == 0, ran.stderr
    became = json.loads(ran.stdout)
    assert became["readable"] == []
    theirs = {(method, path) for method, path, _ in OF_OTHER_WORKERS}
    for method, path, code, text in became["said"]:
        if (method, path) in theirs:
            assert code == 500 and "standalone mode" in text, (method, path, code, text)
        else:
            allowed = (401,) if "%2F" not in path else (401, 404, 405)
            assert code in allowed, (method, path, code)
        assert "lines" not in text.replace("lines-in", "") and "passwd" not in text, text
    assert is_untouched(connect)


def test_its_password_is_in_one_file_of_its_owner_and_nowhere_else(
    closed: Lab, connect: Connect
) -> None:
    own = password_of(connect)
    assert [what for what, text in what_processes_show() if own in text] == []
    assert files_with(own, closed.folder.path) == {connect.folder / CONNECT_LOGIN}
    private = [CONNECT_LOGIN, WORKER, "connectors/lines-in.properties"]
    assert {stat.S_IMODE((connect.folder / name).stat().st_mode) for name in private} == {0o600}
    shown = [repr(connect), repr(connect.auth), repr(vars(connect)), connect.log(100_000)]
    shown += [json.dumps(closed.status()), repr(closed), closed.summary()]
    shown += [node.log(100_000) for node in closed.nodes.values()]
    assert [text[:80] for text in shown if own in text] == []


def test_lines_go_in_and_out_and_each_start_has_a_new_password(
    closed: Lab, connect: Connect
) -> None:
    source, sink = connect.files / "in.txt", connect.files / "out.txt"
    config = {"connector.class": "FileStreamSink", "file": sink, "topics": "lines"}
    assert connect.put("lines-out", config).running
    assert comes_true(lambda: sink.exists() and sink.read_text() == "one\n")
    assert comes_true(lambda: connect.offsets("lines-in") and connect.offsets("lines-out"))
    before = password_of(connect)
    connect.stop()
    with source.open("a") as more:
        more.write("two\n")
    connect.start()
    assert comes_true(lambda: sink.read_text() == "one\ntwo\n"), sink.read_text()
    assert password_of(connect) != before
    assert asked(connect, "GET", "/", None, ("lab", before)).status_code == 401
    connect.kill()
    connect.start()
    assert all(one.running for one in connect.connectors().values())


def test_who_has_taken_its_port_is_told_no_password(
    connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    connect.stop()
    monkeypatch.setattr(topology, "port_is_free", lambda port: True)
    with socket.create_server((topology.HOST, int(connect.url.rpartition(":")[2]))) as taken:
        with pytest.raises(NodeFailedError, match="Address already in use"):
            connect.start()
        taken.setblocking(False)
        with pytest.raises(BlockingIOError):
            taken.accept()
    connect.start()
    assert is_untouched(connect)


def test_a_login_that_does_not_fit_is_one_sentence(closed: Lab, connect: Connect) -> None:
    connect.stop()
    login = closed.folder.login_file
    text = login.read_text("ascii")
    login.write_text(text.partition("KafkaConnect")[0], "ascii")
    try:
        with pytest.raises(NotLetInError, match=r"does not take this notebook's password") as said:
            connect.start()
    finally:
        login.write_text(text, "ascii")
    assert connect.state != "running" and str(login) in str(said.value)
    connect.start()
    assert is_untouched(connect)


def test_without_a_password_there_is_nothing_of_it(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BROKERLAB_AUTH", "off")
    lab = brokerlab.start(brokers=1)
    lab.connect.start()
    assert lab.connect.auth is None
    assert not (lab.connect.folder / CONNECT_LOGIN).exists()
    assert "rest.extension" not in (lab.connect.folder / WORKER).read_text("ascii")
    assert not any("login" in word for word in psutil.Process(lab.connect.pid or 0).cmdline())
    assert httpx.get(f"{lab.connect.url}/connectors", auth=None, trust_env=False).json() == []
    lab.stop()
