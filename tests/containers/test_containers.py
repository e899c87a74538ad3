"""Labs in containers: what Docker itself says of them, and that none is ever left or foreign."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import brokerlab
import docker
import pytest
from brokerlab import cli, topology
from brokerlab.errors import DockerError
from brokerlab.lab import Lab
from brokerlab.labfolder import LabFolder
from brokerlab.progress import Progress
from brokerlab.runtimes import daemon
from brokerlab.runtimes.containers import LABEL, ContainerRuntime
from brokerlab.settings import IMAGE
from leftovers import containers_of, processes_of
from runtimes import on_containers
from witnesses import assert_nothing_half_done, listeners_on, until

pytestmark = [pytest.mark.cluster, pytest.mark.containers]

CYCLES = 4
SWEEP_SECONDS = 30


@pytest.fixture
def engine() -> Iterator[Any]:
    """Docker, asked without BrokerLab."""
    with closing(docker.from_env()) as client:
        yield client


def containers(engine: Any, lab: Lab) -> list[Any]:
    label = f"brokerlab.home={lab.folder.home}"
    return list(engine.containers.list(all=True, filters={"label": label}))


def volumes(engine: Any, lab: Lab) -> set[str]:
    """Return the volumes of a lab, which bear no mark of it: the image gives each container some without a name."""
    mounts = (mount for one in containers(engine, lab) for mount in one.attrs["Mounts"])
    found = {mount["Name"] for mount in mounts if mount["Type"] == "volume"}
    assert found, "this needs an image that declares volumes"
    return found


def are_gone(engine: Any, volumes: set[str]) -> bool:
    return not volumes & {volume.name for volume in engine.volumes.list()}


def kill_supervisor(lab: Lab) -> None:
    os.kill(lab.status()["supervisor"]["pid"], signal.SIGKILL)
    until(lambda: lab.state == "stopped", 5, "the supervisor to be gone")


@on_containers
def test_what_docker_and_the_status_say_of_a_lab(
    home: Path, engine: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    lab = brokerlab.start(brokers=2, progress=Progress())
    status, running, held = lab.status(), containers(engine, lab), volumes(engine, lab)
    image = engine.images.get(os.environ["BROKERLAB_IMAGE"])
    assert status["runtime"] == lab.runtime == "containers"
    assert status["image"]["id"] == image.id
    assert {container.image.id for container in running} == {image.id}
    assert {node["container"] for node in status["nodes"]} == {c.short_id for c in running}
    assert cli.main(["status"]) == 0
    said = capsys.readouterr().out
    assert f"(containers of {os.environ['BROKERLAB_IMAGE']}, {status['image']['digest']})" in said
    assert f"container {running[0].short_id}" in said
    assert cli.main(["logs", "broker-1"]) == 0
    assert "started (kafka.server.KafkaServer)" in capsys.readouterr().out

    (network,) = {name for c in running for name in c.attrs["NetworkSettings"]["Networks"]}
    assert network.startswith("brokerlab-main-")
    published = [b for c in running for bound in c.ports.values() for b in bound or ()]
    ports = {node["port"] for node in status["nodes"]}
    assert {binding["HostIp"] for binding in published} == {"127.0.0.1"}
    assert {int(binding["HostPort"]) for binding in published} == ports
    assert len(published) == len(ports)
    assert {address for port in ports for address in listeners_on(port)} == {"127.0.0.1"}

    lab.stop()
    assert containers_of(home) == [] and are_gone(engine, held)
    assert not lab.folder.containers_mark.exists()


@on_containers
def test_a_port_that_is_published_to_everybody_is_refused(home: Path, engine: Any) -> None:
    folder = LabFolder(home)
    folder.create()
    image = daemon.find_image(os.environ["BROKERLAB_IMAGE"])
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    open_to_all = engine.containers.run(
        image.id, ["sleep", "60"], detach=True, ports={f"{port}/tcp": port}
    )
    open_to_all.reload()
    with pytest.raises(
        DockerError, match=r"published .*0\.0\.0\.0.* and the container was removed"
    ):
        ContainerRuntime(folder, image)._check_published(open_to_all, port)
    with pytest.raises(docker.errors.NotFound):
        open_to_all.reload()


@on_containers
@pytest.mark.parametrize("by", ["the next start", "brokerlab stop --all"])
def test_what_a_killed_supervisor_left_is_swept_and_nothing_else(
    home: Path, engine: Any, by: str
) -> None:
    image = os.environ["BROKERLAB_IMAGE"]
    decoys = [
        engine.containers.run(image, ["sleep", "600"], detach=True, labels=labels, name=name)
        for name, labels in (
            (f"brokerlab-main-decoy-{os.getpid()}", {}),
            (None, {LABEL: "somebody else's", "brokerlab.lab": "main"}),
        )
    ]
    try:
        lab = brokerlab.start(brokers=1, progress=Progress())
        left = {container.id for container in containers(engine, lab)}
        held = volumes(engine, lab)
        kill_supervisor(lab)
        assert {c.id for c in containers(engine, lab) if c.status == "running"} == left
        begun = time.monotonic()
        if by == "the next start":
            again = brokerlab.start(brokers=1, progress=Progress())
            assert again.state == "usable" and again.cluster_id != lab.cluster_id
            assert not left & {container.id for container in containers(engine, again)}
            held |= volumes(engine, again)
            again.stop()
        else:
            assert cli.main(["stop", "--all"]) == 0
        assert time.monotonic() - begun < SWEEP_SECONDS
        assert containers_of(home) == [] and are_gone(engine, held)
        for decoy in decoys:
            decoy.reload()
            assert decoy.status == "running", "a container that was never ours was touched"
    finally:
        for decoy in decoys:
            decoy.remove(force=True, v=True)


@on_containers
@pytest.mark.timeout(400)
def test_starts_that_end_in_a_kill_leave_nothing(home: Path, engine: Any) -> None:
    held: set[str] = set()
    for number in range(CYCLES):
        lab = brokerlab.start(brokers=1, progress=Progress())
        held |= volumes(engine, lab)
        assert len(containers_of(home)) == 3, (number, "ZooKeeper, a broker, and their network")
        if number % 2:
            kill_supervisor(lab)
        else:
            lab.stop()
    assert cli.main(["stop", "--all"]) == 0
    assert containers_of(home) == [] and are_gone(engine, held)
    assert [line for line in processes_of(home) if "supervisor" in line] == []
    brokerlab.control.release_lease(lab.folder)
    assert_nothing_half_done(home)
    for node in (
        lab.zookeeper_port,
        *(int(s.rpartition(":")[2]) for s in lab.bootstrap_servers.split(",")),
    ):
        assert topology.port_is_free(node)


@on_containers
def test_auto_takes_containers_where_the_image_is_and_says_so(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BROKERLAB_RUNTIME", "auto")
    progress = Progress()
    lab = brokerlab.start(brokers=1, progress=progress)
    why = f"The nodes are containers, since Docker answers and has {os.environ['BROKERLAB_IMAGE']}"
    assert lab.runtime == "containers"
    assert progress.steps[0].text == lab.status()["why"] == why
    with pytest.raises(brokerlab.BrokerLabError, match="already runs with runtime 'containers'"):
        brokerlab.start(runtime="local", progress=Progress())
    assert brokerlab.start(brokers=1, progress=Progress()).cluster_id == lab.cluster_id
    lab.stop()


def test_the_image_is_that_of_the_locked_jars() -> None:
    from brokerlab.distribution import KAFKA_VERSION

    assert f"apache/kafka:{KAFKA_VERSION}" == IMAGE


@on_containers
@pytest.mark.timeout(240)
def test_a_daemon_that_dies_under_a_lab(home: Path, tmp_path: Path) -> None:
    """On a daemon of its own, since others may use the one that runs, and with all that it leaves contained."""
    script = Path(__file__).with_name("daemon_dies.py")
    isolated = ["unshare", "--net", "--mount", "--pid", "--mount-proc", "--fork", "--kill-child"]
    # The shell stays, and as the first process it buries what a killed daemon leaves.
    isolated += ["sh", "-c", 'ip link set lo up; "$@"; exit $?', "sh"]
    done = subprocess.run(
        [*isolated, sys.executable, str(script), str(tmp_path), os.environ["BROKERLAB_IMAGE"]],
        capture_output=True,
        text=True,
        timeout=220,
    )
    shutil.rmtree(tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    measured = json.loads(done.stdout.splitlines()[-1])
    print(measured)
    assert max(measured.values()) <= 10, measured
