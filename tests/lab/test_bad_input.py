"""Bad input and bad luck: one sentence each, nothing left half-done, and the next start works."""

from __future__ import annotations

import json
import os
import shlex
import socket
import subprocess
import sys
import sysconfig
import threading
from pathlib import Path
from typing import Any

import brokerlab
import pytest
from badluck import At, stranger, take
from brokerlab import cli, control, topology
from brokerlab.errors import (
    BrokerLabError,
    NodeFailedError,
    NoLabError,
    PortTakenError,
    ResourceError,
    SettingError,
)
from brokerlab.lab import Lab
from brokerlab.labfolder import LabFolder
from brokerlab.progress import Progress
from homes import LINGER
from leftovers import processes_of
from memory_group import memory_group
from witnesses import (
    Starter,
    assert_nothing_half_done,
    broker_configs,
    pids,
    produce,
    read_all,
    until,
    zookeeper_ids,
)

cluster = pytest.mark.cluster
SCRIPTS = Path(sysconfig.get_path("scripts"))


def start(**wanted: Any) -> Lab:
    return brokerlab.start(**({"brokers": 1, "progress": Progress()} | wanted))


def works(lab: Lab) -> None:
    """Send a message through the lab, and stop it."""
    produce(lab.client, "hello", ["world"])
    assert read_all(lab.client, "hello") == [(None, b"world")]
    lab.stop()


def one_sentence(error: pytest.ExceptionInfo[BrokerLabError]) -> str:
    text = str(error.value)
    assert "\n" not in text and text.endswith(".") and "Traceback" not in text
    return text


def run(*argv: str | Path, **environ: str) -> subprocess.CompletedProcess[str]:
    env = os.environ | environ
    return subprocess.run(argv, capture_output=True, text=True, timeout=120, env=env)


# -- what is asked for --------------------------------------------------------------------------------


@pytest.mark.parametrize("brokers", [0, 9, "three", True, 2.5, None])
def test_a_number_of_brokers_that_cannot_be(home: Path, brokers: Any) -> None:
    with pytest.raises(SettingError, match="whole number from 1 to 8") as caught:
        start(brokers=brokers)
    assert repr(brokers) in one_sentence(caught)
    assert list(home.iterdir()) == []


@pytest.mark.parametrize(
    "wanted, sentence",
    [
        ({"broker_properties": "num.io.threads=1"}, "give a dictionary"),
        ({"broker_properties": {"listeners": "PLAINTEXT://0.0.0.0:1"}}, "set by the lab itself"),
        ({"zookeeper_properties": {"clientPort": 7}}, "set by the lab itself"),
        ({"broker_properties": {"a": "1\nb=2"}}, "one line of text"),
        ({"broker_properties": {"a\nb": "1"}}, "not the name of a property"),
        ({"name": "Two Labs"}, "cannot be the name of a lab"),
    ],
)
def test_what_cannot_be_asked_for(home: Path, wanted: dict[str, Any], sentence: str) -> None:
    with pytest.raises(SettingError, match=sentence) as caught:
        start(**wanted)
    one_sentence(caught)
    assert list(home.iterdir()) == []


@pytest.mark.parametrize(
    "variable, value", [("BROKERLAB_LINGER", "abc"), ("BROKERLAB_RUNTIME", "podman")]
)
def test_a_variable_that_cannot_be_used(
    home: Path, monkeypatch: pytest.MonkeyPatch, variable: str, value: str
) -> None:
    with monkeypatch.context() as patch:
        patch.setenv(variable, value)
        with pytest.raises(SettingError, match=f"{variable} is '{value}'") as caught:
            start()
        one_sentence(caught)
        done = run(SCRIPTS / "brokerlab", "status")
        assert (done.returncode, done.stdout) == (1, "")
        assert done.stderr.startswith(f"{variable} is '{value}'") and done.stderr.count("\n") == 1
    assert list(home.iterdir()) == []


# -- nodes that do not start --------------------------------------------------------------------------


@cluster
def test_a_property_that_a_node_refuses_is_told_in_its_words(home: Path) -> None:
    for wanted, node, reason in (
        (
            {"broker_properties": {"num.io.threads": "many"}},
            "broker-1",
            "Invalid value many for configuration num.io.threads: Not a number of type INT",
        ),
        ({"zookeeper_properties": {"tickTime": "abc"}}, "zookeeper", 'For input string: "abc"'),
    ):
        with pytest.raises(NodeFailedError) as caught:
            start(**wanted)
        text = one_sentence(caught)
        assert text.startswith(f"{node} died at its start: ") and reason in text
        assert_nothing_half_done(home)
        log = run(SCRIPTS / "brokerlab", "logs", node)
        assert log.returncode == 0 and reason in log.stdout, "the log is kept for the curious"
    works(start())


@cluster
def test_a_node_that_is_killed_at_its_start(home: Path) -> None:
    folder = LabFolder(home)

    def kill() -> None:
        def victim() -> int | None:
            return pids(folder.read_state() or {"nodes": []}).get("broker-1")

        until(victim, 10, "broker-1 to have a process")
        os.kill(victim() or 0, 9)

    with pytest.raises(NodeFailedError, match="broker-1 died at its start") as caught:
        start(progress=At("1 broker registered", kill))
    one_sentence(caught)
    assert_nothing_half_done(home)
    works(start())


# -- ports ----------------------------------------------------------------------------------------------


@cluster
def test_a_port_that_is_taken_moves_the_lab(home: Path) -> None:
    progress = Progress()
    with stranger(topology.ARTICLE_BROKER_PORT):
        lab = start(progress=progress)
        assert not lab.on_article_ports
        assert 19_000 <= lab.zookeeper_port < 30_000
        assert lab.brokers[1].port == lab.zookeeper_port + 1
        assert str(lab.brokers[1].port) in progress.steps[-1].text
        works(lab)


@cluster
def test_a_port_that_is_taken_during_the_start_moves_the_lab_too(home: Path) -> None:
    taken: list[int] = []
    with socket.socket() as thief:

        def steal() -> None:
            state = LabFolder(home).read_state() or {}
            port = next(node["port"] for node in state["nodes"] if node["role"] == "broker")
            take(thief, port)
            taken.append(port)

        def soon() -> None:
            until(lambda: (LabFolder(home).read_state() or {}).get("nodes"), 10, "the ports")
            steal()

        progress = At("ZooKeeper serves", soon)
        lab = start(progress=progress)
        assert taken and lab.brokers[1].port not in taken
        assert [step.mark for step in progress.steps].count("✗") == 1
        assert "…" not in [step.mark for step in progress.steps]
        works(lab)


@cluster
def test_a_stranger_on_the_port_of_a_broker_that_is_down(home: Path) -> None:
    lab = start(brokers=2)
    broker = lab.brokers[2]
    broker.stop()
    with stranger(broker.port):
        with pytest.raises(PortTakenError) as caught:
            broker.start()
        text = one_sentence(caught)
        assert f"Port {broker.port} of broker-2 is taken by process {os.getpid()} (" in text
        assert broker.state == "stopped"
        assert zookeeper_ids(lab.zookeeper_client) == {1}
    broker.start()
    assert lab.state == "usable"


@cluster
def test_two_labs_at_once_and_what_asks_for_more_than_runs(home: Path) -> None:
    with Starter() as one, Starter() as two:
        one.ask(brokers=1, name="one")
        two.ask(brokers=1, name="two")
        first, second = one.answer(), two.answer()
        assert {first["state"], second["state"]} == {"usable"}
        assert first["cluster_id"] != second["cluster_id"]
        ports = [node["port"] for status in (first, second) for node in status["nodes"]]
        assert len(set(ports)) == 4
        listed = run(SCRIPTS / "brokerlab", "status", "--name", "two", "--json")
        assert json.loads(listed.stdout)["bootstrap_servers"] == second["bootstrap_servers"]
        assert run(SCRIPTS / "brokerlab", "status").returncode == 3, "there is none called main"

        with pytest.raises(SettingError, match=r"already runs with 1 broker and 3 were asked for"):
            start(brokers=3, name="one")
        with pytest.raises(SettingError, match="already runs with other broker properties"):
            start(name="one", broker_properties={"num.io.threads": 7})
        assert set(brokerlab.attach("one").brokers) == {1}
        control.release_lease(LabFolder(home, "one"))

        stopped = run(SCRIPTS / "brokerlab", "stop", "--all")
        assert stopped.stdout == "Lab one has stopped.\nLab two has stopped.\n"
    until(lambda: not processes_of(home), 5, "both labs to end")


# -- folders --------------------------------------------------------------------------------------------


@cluster
def test_folders_with_blanks_and_letters_of_the_world(
    home: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    strange = home / "größe 東京 'x' $HOME ; # %41"
    strange.mkdir()
    # Another path to the same jars; the class-data archive is for the old one, and Java does without.
    (strange / "jars = é").mkdir()
    for part in ("maven", "archive"):
        (strange / "jars = é" / part).symlink_to(cache / part)
    monkeypatch.setenv("BROKERLAB_HOME", str(strange))
    monkeypatch.setenv("BROKERLAB_CACHE", str(strange / "jars = é"))
    monkeypatch.setattr("brokerlab.control.distribution.prefetch", lambda *_: None)
    lab = start(broker_properties={"advertised.host.note": " Zürich\\n 東京 "})
    topics = run(SCRIPTS / "kafka-topics.sh", "--bootstrap-server", lab.bootstrap_servers, "--list")
    assert (topics.returncode, topics.stderr) == (0, "")
    assert str(strange) in str(lab.brokers[1].properties_file)
    works(lab)
    until(lambda: not processes_of(strange), 5, "the lab to end")


@cluster
@pytest.mark.parametrize("other", ["none", "old", "new"])
def test_the_java_of_the_machine_is_of_no_matter(
    other: str, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "bin").mkdir()
    java = tmp_path / "bin" / "java"
    if other != "none":
        version = {"old": "1.8.0_482", "new": "26"}[other]
        java.write_text(f"#!/bin/sh\necho 'openjdk version \"{version}\"' >&2\nexit 1\n")
        java.chmod(0o755)
    monkeypatch.setenv("JAVA_HOME", str(tmp_path if other == "old" else tmp_path / "nothing"))
    monkeypatch.setenv("JAVA_TOOL_OPTIONS", "-XX:NoSuchFlag")
    monkeypatch.setenv("PATH", str(java.parent))
    lab = start()
    tool = [sys.executable, SCRIPTS / "kafka-topics.sh", "--list"]
    listed = run(*tool, "--bootstrap-server", lab.bootstrap_servers)
    assert (listed.returncode, listed.stderr) == (0, "")
    works(lab)


@cluster
def test_a_home_too_long_for_a_socket(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    deep = home / ("d" * 100) / ("e" * 60)
    monkeypatch.setenv("BROKERLAB_HOME", str(deep))
    lab = start()
    control_socket = Path((lab.folder.read_state() or {})["control"])
    assert control_socket.parent.stat().st_mode & 0o777 == 0o700
    assert start().cluster_id == lab.cluster_id
    works(lab)
    assert not control_socket.parent.exists()


@cluster
def test_relative_folders_mean_the_working_folder(
    home: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(home)
    monkeypatch.setenv("BROKERLAB_HOME", "relative home")
    monkeypatch.setenv("BROKERLAB_CACHE", os.path.relpath(cache, home))
    lab = start()
    assert lab.folder.home == home / "relative home"
    monkeypatch.setenv("BROKERLAB_HOME", str(home / "relative home"))
    monkeypatch.chdir("/")
    works(start())


def test_a_home_below_a_file(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (home / "file").touch()
    monkeypatch.setenv("BROKERLAB_HOME", str(home / "file" / "home"))
    with pytest.raises(ResourceError, match="set BROKERLAB_HOME to a folder") as caught:
        start()
    one_sentence(caught)
    done = run(SCRIPTS / "brokerlab", "start")
    assert done.returncode == 1 and done.stderr.count("\n") == 1


def can_mount() -> bool:
    argv = ["unshare", "-m", "sh", "-c", "mount -t tmpfs tmpfs /mnt"]
    try:
        return subprocess.run(argv, capture_output=True).returncode == 0
    except OSError:
        return False


mounts = pytest.mark.skipif(not can_mount(), reason="file systems cannot be mounted here")
START = "import brokerlab; lab = brokerlab.start(brokers=1); print(lab.bootstrap_servers)"


def in_namespace(*lines: str) -> subprocess.CompletedProcess[str]:
    """Run shell lines that see mounts of their own."""
    script = "\n".join(["set -e", *lines])
    return run("unshare", "-m", "sh", "-c", script)


@mounts
def test_a_home_that_is_read_only(home: Path) -> None:
    done = in_namespace(
        f"mount -t tmpfs -o ro tmpfs {home}", f"{sys.executable} -c {shlex.quote(START)}"
    )
    assert done.returncode == 1
    sentence = f"ResourceError: The folder {home} cannot be written: set BROKERLAB_HOME to a folder"
    assert sentence in done.stderr
    assert_nothing_half_done(home)


@cluster
@mounts
def test_a_disk_that_is_too_small_is_refused_in_numbers(home: Path, cache: Path) -> None:
    nodes = home / "labs" / "main" / "nodes"
    done = in_namespace(
        f"mount -t tmpfs -o size=50m tmpfs {home}",
        f"{sys.executable} -c {shlex.quote(START)} || true",
        f"find {nodes} -mindepth 1",
    )
    assert "of free disk and the lab needs 300 MB" in done.stderr
    assert "set BROKERLAB_HOME to another disk" in done.stderr
    assert done.stdout == "", "nothing was started"
    until(lambda: not processes_of(home), 5, "the supervisor to end")


@cluster
@mounts
def test_compression_works_where_tmp_runs_no_programs(cache: Path) -> None:
    import tempfile

    with tempfile.TemporaryDirectory(dir="/var/tmp", prefix="bl-") as folder:
        home, stash = Path(folder, "home"), Path(folder, "jars")
        stash.mkdir()
        if Path("/tmp") in [*Path(sys.prefix).parents, *Path(brokerlab.__file__).parents]:
            pytest.skip("this environment itself is in /tmp")
        producer = f"{SCRIPTS}/kafka-console-producer.sh --bootstrap-server $servers --topic t"
        write = "import sys, confluent_kafka; p = confluent_kafka.Producer({'bootstrap.servers': sys.argv[1], 'compression.type': sys.argv[2]}); p.produce('t', 'python-' + sys.argv[2] * 20); assert p.flush(20) == 0"
        done = in_namespace(
            f"mount --bind {cache} {stash}",
            "mount -t tmpfs -o noexec tmpfs /tmp",
            f"mkdir -p {cache}",
            f"mount --bind {stash} {cache} || true",
            f"export BROKERLAB_HOME={home} BROKERLAB_CACHE={cache}",
            f"{SCRIPTS}/brokerlab start --brokers 1 > {folder}/started",
            f"servers=$(sed -n 's/^bootstrap servers: //p' {folder}/started)",
            "for codec in zstd snappy; do",
            f"  echo console-$codec | {producer} --compression-codec $codec",
            f"  {sys.executable} -c {shlex.quote(write)} $servers $codec",
            "done",
            f"{SCRIPTS}/kafka-console-consumer.sh --bootstrap-server $servers --topic t"
            " --from-beginning --max-messages 4 --timeout-ms 20000",
            f"{SCRIPTS}/brokerlab stop",
        )
        until(lambda: not processes_of(home), 5, "the lab to end")
    assert done.returncode == 0, done.stderr
    assert "UnsatisfiedLinkError" not in done.stderr
    for word in ("console-zstd", "console-snappy", "python-zstd", "python-snappy"):
        assert word in done.stdout


@cluster
def test_less_memory_than_the_lab_needs(home: Path, cache: Path) -> None:
    with memory_group(420_000_000) as enter:
        done = run(sys.executable, "-c", enter + START.replace("brokers=1", "brokers=3"))
        assert "ResourceError: 3 brokers and ZooKeeper need 630 MB of memory and" in done.stderr
        assert "brokerlab.start(brokers=1)" in done.stderr
        assert_nothing_half_done(home)


# -- the command ----------------------------------------------------------------------------------------


@cluster
def test_status_and_its_exit_codes(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def status() -> tuple[int, dict[str, Any]]:
        code = cli.main(["status", "--json"])
        answer: dict[str, Any] = json.loads(capsys.readouterr().out)
        assert {
            "lab",
            "runtime",
            "state",
            "bootstrap_servers",
            "zookeeper_connect",
            "nodes",
            "leases",
        } <= answer.keys()
        return code, answer

    code, nothing = status()
    assert (code, nothing["state"], nothing["nodes"], nothing["leases"]) == (3, "none", [], [])
    assert cli.main(["status"]) == 3
    assert "brokerlab start" in capsys.readouterr().err
    assert cli.main(["stop"]) == 3
    assert "No lab is running" in capsys.readouterr().err
    assert cli.main(["stop", "--all"]) == 0
    assert cli.main(["logs", "broker-1"]) == 3
    with pytest.raises(NoLabError, match="brokerlab start"):
        brokerlab.attach()
    capsys.readouterr()

    assert cli.main(["start", "--brokers", "2"]) == 0
    capsys.readouterr()
    code, running = status()
    assert (code, running["lab"], running["runtime"], running["state"]) == (
        0,
        "main",
        "local",
        "usable",
    )
    keys = {"name", "role", "id", "port", "pid", "state"}
    assert all(keys <= node.keys() for node in running["nodes"])
    assert [node["id"] for node in running["nodes"]] == [None, 1, 2]
    assert {lease["what"] for lease in running["leases"]} >= {"kept until `brokerlab stop`"}
    assert "num.io.threads" in broker_configs(brokerlab.attach().client, 1)

    brokerlab.attach().brokers[2].kill()
    code, degraded = status()
    assert (code, degraded["state"]) == (4, "degraded")
    assert degraded["nodes"][2]["state"] == "killed" and degraded["nodes"][2]["pid"] is None
    assert cli.main(["status"]) == 4
    assert "broker-2" in capsys.readouterr().out
    assert cli.main(["logs", "broker-7"]) == 1
    assert "there are broker-1, broker-2, zookeeper" in capsys.readouterr().err
    assert cli.main(["logs", "broker-1", "-n", "2"]) == 0
    assert capsys.readouterr().out.count("\n") == 2
    assert cli.main(["stop"]) == 0
    assert cli.main(["status"]) == 3


@pytest.mark.parametrize(
    "argv, code",
    [
        ([], 2),
        (["nonsense"], 2),
        (["start", "--brokers"], 2),
        (["start", "--brokers", "three"], 1),
        (["start", "--brokers", "2.5"], 1),
        (["start", "--brokers=--1"], 1),
        (["start", "--brokers", "-1"], 1),
        (["start", "--brokers", "²"], 1),
        (["start", "--brokers", "0"], 1),
        (["start", "--name", "Not A Name"], 1),
        (["status", "--name", "../main"], 1),
        (["logs"], 2),
        (["logs", "broker-1", "-n", "many"], 2),
    ],
)
def test_the_command_with_nonsense(home: Path, argv: list[str], code: int) -> None:
    done = run(SCRIPTS / "brokerlab", *argv)
    assert done.returncode == code
    assert "Traceback" not in done.stderr and done.stderr
    if code == 1:
        assert done.stderr.count("\n") == 1
    assert list(home.iterdir()) == []


@cluster
def test_a_command_that_starts_keeps_its_lab(home: Path) -> None:
    done = run(SCRIPTS / "brokerlab", "start", "--brokers", "1")
    assert done.returncode == 0 and "bootstrap servers: 127.0.0.1:" in done.stdout
    lab = brokerlab.attach()
    control.release_lease(lab.folder)
    longer = threading.Event()
    assert not longer.wait(LINGER + 1), "the time that an unused lab would last"
    assert run(SCRIPTS / "brokerlab", "status").returncode == 0
