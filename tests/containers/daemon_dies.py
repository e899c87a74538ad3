"""Kill a Docker daemon under a lab, start it again, repair the lab: as a program, in namespaces of its own.

It prints what it measured, in seconds, as a line of JSON.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

TESTS = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(TESTS))

import brokerlab  # noqa: E402
from brokerlab.errors import DockerError  # noqa: E402
from brokerlab.progress import Progress  # noqa: E402
from leftovers import containers_of  # noqa: E402
from witnesses import create_topic, produce, read_all, until  # noqa: E402


class Daemon:
    """A dockerd with folders of its own."""

    def __init__(self, folder: Path) -> None:
        self.address = f"unix://{folder}/docker.sock"
        self._folder = folder
        self.start()

    def start(self) -> None:
        (self._folder / "docker.pid").unlink(missing_ok=True)
        flags = {
            "host": self.address,
            "data-root": self._folder / "data",
            "exec-root": self._folder / "run",
            "pidfile": self._folder / "docker.pid",
            "containerd-namespace": "brokerlab-test",
        }
        with (self._folder / "dockerd.log").open("ab") as log:
            self._process = subprocess.Popen(
                ["dockerd", *(f"--{name}={value}" for name, value in flags.items())],
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        until(self._answers, 60, "dockerd to answer")

    def _answers(self) -> bool:
        asked = subprocess.run(["docker", "--host", self.address, "version"], capture_output=True)
        assert self._process.poll() is None, (self._folder / "dockerd.log").read_text()[-3000:]
        return asked.returncode == 0

    def end(self, number: int) -> None:
        self._process.send_signal(number)
        self._process.wait(60)


def refused(call: Callable[[], Any]) -> tuple[float, str]:
    begun = time.monotonic()
    try:
        call()
    except DockerError as error:
        return time.monotonic() - begun, str(error)
    raise AssertionError("this should have been refused")


def main(folder: Path, image: str) -> None:
    with subprocess.Popen(["docker", "save", image], stdout=subprocess.PIPE) as saved:
        daemon = Daemon(folder)
        load = ["docker", "--host", daemon.address, "load"]
        subprocess.run(load, stdin=saved.stdout, check=True, capture_output=True)
    os.environ["DOCKER_HOST"] = daemon.address
    measured = {}
    try:
        lab = brokerlab.start(brokers=2, progress=Progress())
        client, keeper = lab.client, lab.zookeeper_client
        create_topic(client, "kept", [[1, 2]])
        for how in (signal.SIGTERM, signal.SIGKILL):
            produce(client, "kept", [how.name], acks="all")
            # One that is asked to end stops its containers first, and takes its time for that.
            daemon.end(how)
            begun = time.monotonic()
            until(lambda: lab.brokers[1].state == "died", 10, "the supervisor to notice")
            measured[f"{how.name}: noticed"] = time.monotonic() - begun
            seconds, sentence = refused(lab.repair)
            measured[f"{how.name}: said"] = seconds
            assert "The Docker daemon does not run" in sentence, sentence
            assert sentence.endswith("start it, then call lab.repair()."), sentence
            daemon.start()
            begun = time.monotonic()
            lab.repair()
            until(lambda: lab.state == "usable", 20, "the lab to be usable again")
            print(f"{how.name}: repaired in {time.monotonic() - begun:.1f} s")
        assert (lab.client, lab.zookeeper_client) == (client, keeper)
        values = [value for _, value in read_all(client, "kept")]
        assert values == [b"SIGTERM", b"SIGKILL"], values
        lab.stop()
        assert containers_of(lab.folder.home) == []
    finally:
        daemon.end(signal.SIGTERM)
    print(json.dumps(measured))


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
