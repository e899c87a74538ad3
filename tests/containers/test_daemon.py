"""What is said of a Docker daemon in trouble: one sentence that says what to do, within seconds, and nothing is left."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from brokerlab import doctor, settings
from brokerlab.errors import DockerError
from brokerlab.labfolder import LabFolder
from brokerlab.progress import Progress
from brokerlab.runtimes import choice, daemon
from fake_daemon import SILENCE, fake_daemon
from witnesses import assert_nothing_half_done

WITHIN_SECONDS = 10.0
IMAGE = "nowhere.example/kafka:1"


@pytest.fixture
def trouble(
    request: pytest.FixtureRequest, home: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[None]:
    """A machine with this trouble, for this process and its children."""
    path = home / "docker.sock"
    monkeypatch.setenv("BROKERLAB_RUNTIME", "containers")
    monkeypatch.setenv("BROKERLAB_IMAGE", IMAGE)
    monkeypatch.setenv("DOCKER_HOST", f"unix://{path}")
    with ExitStack() as stack:
        match request.param:
            case "absent":
                monkeypatch.setenv("PATH", "/nowhere")
            case "stopped":
                stack.enter_context(socket.socket(socket.AF_UNIX)).bind(str(path))
            case "remote":
                monkeypatch.setenv("DOCKER_HOST", "tcp://192.0.2.1:2375")
            case "hung":
                stack.enter_context(fake_daemon(path, {"/version": SILENCE}))
            case "registry refuses":
                error = {"error": "dial tcp: lookup nowhere.example: no such host"}
                stack.enter_context(fake_daemon(path, {"/images/create": error}))
            case "registry silent":
                stack.enter_context(fake_daemon(path, {"/images/create": SILENCE}))
        yield


SENTENCES = {
    "absent": r"No Docker is on this machine: install it, or set BROKERLAB_RUNTIME=local\.",
    "stopped": r"The Docker daemon does not run \(nobody listens on \S+\): start it, or set BROKERLAB_RUNTIME=local\.",
    "remote": r"Docker is asked for at 'tcp://192\.0\.2\.1:2375', perhaps another machine, .*: point DOCKER_HOST .*, or set BROKERLAB_RUNTIME=local\.",
    "hung": r"The Docker daemon does not answer within 3 s: restart it, or set BROKERLAB_RUNTIME=local\.",
    "registry refuses": r"The image nowhere\.example/kafka:1 cannot be fetched \(.*no such host\): check the network, .*",
    "registry silent": r"The image nowhere\.example/kafka:1 cannot be fetched \(its registry is silent for 8 s\): check the network, .*",
}


@pytest.mark.cluster
@pytest.mark.parametrize("trouble", SENTENCES, indirect=True, ids=str)
def test_a_start_says_it_in_one_sentence_and_leaves_nothing(
    trouble: None, home: Path, request: pytest.FixtureRequest
) -> None:
    begun = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-m", "brokerlab.cli", "start"], capture_output=True, text=True, timeout=60
    )
    assert time.monotonic() - begun <= WITHIN_SECONDS
    assert done.returncode == 1
    *_, sentence = done.stderr.splitlines()
    assert re.fullmatch(SENTENCES[request.node.callspec.params["trouble"]], sentence), done.stderr
    assert "Traceback" not in done.stderr
    assert_nothing_half_done(home)


@pytest.mark.parametrize("trouble", ["absent", "stopped", "remote", "hung"], indirect=True)
def test_the_doctor_says_it_too(trouble: None) -> None:
    (found,) = [f for f in doctor.examine(settings.read()) if f.what == "containers"]
    assert found.bad and found.advice.endswith("or set BROKERLAB_RUNTIME=local.")


@pytest.mark.parametrize("trouble", ["stopped", "remote", "hung"], indirect=True)
def test_auto_takes_processes_and_says_why(trouble: None, home: Path) -> None:
    begun = time.monotonic()
    runtime, why = choice.choose("auto", settings.read(), LabFolder(home))
    assert time.monotonic() - begun <= WITHIN_SECONDS / 2
    assert runtime.name == "local"
    assert why.startswith("The nodes are processes of this machine, not containers: ")


def test_auto_never_fetches_an_image(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("BROKERLAB_IMAGE", raising=False)
    with fake_daemon(home / "docker.sock", {}) as address:
        monkeypatch.setenv("DOCKER_HOST", address)
        runtime, why = choice.choose("auto", settings.read(), LabFolder(home))
    assert runtime.name == "local"
    assert why.endswith(f"not containers: Docker has no image {settings.IMAGE} yet")


def test_a_socket_that_this_user_may_not_use(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can become somebody else")
    with fake_daemon(home / "docker.sock", {}) as address:
        monkeypatch.setenv("DOCKER_HOST", address)
        daemon.check()
        os.seteuid(65_534)
        try:
            with pytest.raises(
                DockerError, match=r"may not use Docker's socket .*: ask for the group docker"
            ):
                daemon.check()
        finally:
            os.seteuid(0)


def test_a_pull_shows_how_far_it_is(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Shown(Progress):
        def show(self) -> None:
            fractions.append(self.steps[-1].fraction)

    fractions: list[float | None] = []
    layer = {"id": "a", "status": "Downloading", "progressDetail": {"current": 30, "total": 120}}
    with fake_daemon(home / "docker.sock", {"/images/create": layer}) as address:
        monkeypatch.setenv("DOCKER_HOST", address)
        daemon.pull("some/kafka", Shown())
    assert fractions == [None, 0.25, None]


LOCAL_START = """
import sys
from pathlib import Path
import brokerlab.supervisor.__main__
from brokerlab import lab, settings
from brokerlab.labfolder import LabFolder
from brokerlab.runtimes import choice

asked = settings.read()
choice.sweep(LabFolder(asked.home))
assert choice.choose(sys.argv[1], asked, LabFolder(asked.home))[0].name == "local"
print(sorted({"docker", "testcontainers", "requests"} & set(sys.modules)))
"""


@pytest.mark.parametrize("wanted", ["local", "auto"])
def test_where_there_is_no_docker_nothing_of_it_is_loaded(
    home: Path, wanted: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("DOCKER_HOST", raising=False)
    monkeypatch.setenv("BROKERLAB_CACHE", str(settings.read().cache))
    monkeypatch.setenv("HOME", str(home))
    without = (
        f"from brokerlab.runtimes import daemon\ndaemon.SOCKET = 'unix:///nowhere'\n{LOCAL_START}"
    )
    done = subprocess.run(
        [sys.executable, "-c", without, wanted], capture_output=True, text=True, timeout=60
    )
    assert (done.stdout, done.returncode) == ("[]\n", 0), done.stderr
