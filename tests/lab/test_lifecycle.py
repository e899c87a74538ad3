"""How a lab lives and ends: with kernels that are interrupted, restarted and killed, and without a supervisor."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import brokerlab
import pytest
from brokerlab import control
from brokerlab.labfolder import LabFolder
from brokerlab.processes import Identity
from brokerlab.progress import Progress
from homes import LINGER
from jupyter_client.manager import KernelManager
from leftovers import processes_of
from runtimes import on_every_runtime
from witnesses import Starter, alive, assert_nothing_half_done, metadata, pids, until, zookeeper_ids

pytestmark = pytest.mark.cluster

ATTACH_SECONDS = 1.0
STOP_SECONDS = 5.0
GONE_SECONDS = LINGER + 15.0
SUPERVISOR_GONE_SECONDS = 2.0
ROUNDS = {"local": 20, "containers": 3}

START = """
import json, time
begun = time.monotonic()
import brokerlab
lab = brokerlab.start(brokers={brokers})
seconds = time.monotonic() - begun
print(json.dumps({{"seconds": seconds, **lab.status()}}))
"""


class Kernel:
    """A notebook's kernel, and what Jupyter does to one."""

    def __enter__(self) -> Kernel:
        self.manager = KernelManager()
        self.manager.start_kernel()
        self._connect()
        return self

    def __exit__(self, *_: object) -> None:
        self.client.stop_channels()
        self.manager.shutdown_kernel(now=True)

    def _connect(self) -> None:
        self.client = self.manager.blocking_client()
        self.client.start_channels()
        self.client.wait_for_ready(timeout=60)

    def run(self, code: str) -> str:
        """Run a cell and return what it printed."""
        printed = []

        def keep(message: dict[str, Any]) -> None:
            if message["msg_type"] == "stream" and message["content"]["name"] == "stdout":
                printed.append(message["content"]["text"])

        reply = self.client.execute_interactive(code, output_hook=keep, timeout=120)
        assert reply["content"]["status"] == "ok", reply["content"]
        return "".join(printed)

    def start_lab(self, brokers: int) -> dict[str, Any]:
        status: dict[str, Any] = json.loads(self.run(START.format(brokers=brokers)))
        return status

    def interrupt(self) -> None:
        """Interrupt a running cell."""
        sent = self.client.execute("print('running')\nwhile True: pass")
        while self.client.get_iopub_msg(timeout=30)["msg_type"] != "stream":
            pass
        self.manager.interrupt_kernel()
        reply = self.client.get_shell_msg(timeout=30)
        assert reply["parent_header"]["msg_id"] == sent
        assert reply["content"]["ename"] == "KeyboardInterrupt"

    def restart(self) -> None:
        self.client.stop_channels()
        self.manager.restart_kernel(now=False)
        self._connect()

    def kill(self) -> None:
        """End the kernel with SIGKILL, and get a new one as Jupyter would give."""
        pid = self.manager.provisioner.pid  # type: ignore[union-attr]
        os.kill(pid, signal.SIGKILL)
        until(lambda: not Identity.of(pid), 5, "the kernel to be gone")
        self.client.stop_channels()
        self.manager.restart_kernel(now=True)
        self._connect()


@on_every_runtime
def test_what_jupyter_does_to_a_kernel_leaves_the_brokers_alone(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BROKERLAB_LINGER", "60")
    with Kernel() as kernel:
        first = kernel.start_lab(brokers=3)
        assert first["state"] == "usable"
        assert len(pids(first)) == 4
        for done in (kernel.interrupt, kernel.restart, kernel.kill):
            done()
            assert len(alive(pids(first).values())) == 4, done
            again = kernel.start_lab(brokers=3)
            assert pids(again) == pids(first), done
            assert again["cluster_id"] == first["cluster_id"]
            assert again["state"] == "usable"
            assert again["seconds"] <= ATTACH_SECONDS, done
            assert len(again["leases"]) == 1
        begun = time.monotonic()
        kernel.run("lab.stop()")
        assert time.monotonic() - begun <= STOP_SECONDS
        assert alive(pids(first).values()) == []


@on_every_runtime
def test_when_the_last_kernel_is_gone_nothing_is_left(home: Path) -> None:
    with Kernel() as first, Kernel() as last:
        nodes = pids(first.start_lab(brokers=1))
        assert pids(last.start_lab(brokers=1)) == nodes
        os.kill(first.manager.provisioner.pid, signal.SIGKILL)  # type: ignore[union-attr]
        used = time.monotonic() + LINGER + 1
        while time.monotonic() < used:
            assert len(alive(nodes.values())) == 2, "the other kernel still uses the lab"
            time.sleep(0.1)
        os.kill(last.manager.provisioner.pid, signal.SIGKILL)  # type: ignore[union-attr]
        lasted = until(lambda: not alive(nodes.values()), GONE_SECONDS, "the lab to end")
        assert lasted >= LINGER - 1, "it should linger for a notebook that comes back"
    until(lambda: not processes_of(home), 5, "the supervisor and the kernels to end")
    assert not LabFolder(home).state_file.exists()


def test_the_nodes_end_with_their_supervisor_and_the_next_start_works(home: Path) -> None:
    lab = brokerlab.start(brokers=2, progress=Progress())
    status = lab.status()
    os.kill(status["supervisor"]["pid"], signal.SIGKILL)
    nodes = pids(status).values()
    until(lambda: not alive(nodes), SUPERVISOR_GONE_SECONDS, "the nodes to end")
    assert lab.state == "stopped"
    again = brokerlab.start(brokers=2, progress=Progress())
    assert again.state == "usable"
    assert again.bootstrap_servers == lab.bootstrap_servers
    assert again.cluster_id != lab.cluster_id
    assert not set(pids(again.status()).values()) & set(nodes)


@on_every_runtime
def test_a_supervisor_that_is_asked_to_end_ends_its_nodes_first(home: Path) -> None:
    lab = brokerlab.start(brokers=1, progress=Progress())
    os.kill(lab.status()["supervisor"]["pid"], signal.SIGTERM)
    until(lambda: not processes_of(home), STOP_SECONDS, "the lab to end")
    assert not lab.folder.state_file.exists()
    assert "shut down completed" in lab.brokers[1].log(200)


@on_every_runtime
@pytest.mark.timeout(600)
def test_two_starts_at_once_get_one_cluster(home: Path, runtime: str) -> None:
    with Starter() as one, Starter() as two:
        seen = set()
        for number in range(ROUNDS[runtime]):
            for starter in (one, two):
                starter.ask(brokers=1)
            first, second = one.answer(), two.answer()
            assert first["cluster_id"] == second["cluster_id"], number
            assert pids(first) == pids(second), number
            assert first["supervisor"] == second["supervisor"], number
            assert {first["state"], second["state"]} == {"usable"}
            assert _nodes(home, runtime) == {_what(node) for node in first["nodes"]}, number
            seen.add(first["cluster_id"])
            brokerlab.attach().stop()
            one.release()
            two.release()
        assert len(seen) == ROUNDS[runtime]


def _nodes(home: Path, runtime: str) -> set[str]:
    """Return the running nodes of a home as the system sees them: as pids or as containers."""
    if runtime == "containers":
        listing = ["docker", "ps", "--format={{.ID}}", f"--filter=label=brokerlab.home={home}"]
        asked = subprocess.run(listing, capture_output=True, text=True, check=True, timeout=30)
        return set(asked.stdout.split())
    return {line.split()[0] for line in processes_of(home) if "java" in line.split()[1]}


def _what(node: dict[str, Any]) -> str:
    return str(node["container"] or node["pid"])


def test_a_reused_pid_is_never_touched_and_a_leftover_is_ended(home: Path) -> None:
    folder = LabFolder(home)
    folder.create()
    with subprocess.Popen(["sleep", "600"]) as decoy, subprocess.Popen(["sleep", "600"]) as left:
        # Reaped as it ends, like an orphan.
        threading.Thread(target=left.wait, daemon=True).start()
        ours, strangers = Identity.of(left.pid), Identity.of(decoy.pid)
        assert ours and strangers
        node = {"name": "zookeeper", "role": "zookeeper", "id": None, "port": 2181}
        folder.write_state(
            {
                "nodes": [
                    node | {"pid": decoy.pid, "born": f"{strangers.born}0"},
                    node | {"pid": left.pid, "born": ours.born},
                    node | {"pid": None, "born": None},
                ],
                "supervisor": {"pid": decoy.pid, "born": "long ago"},
                "control": str(folder.path / "control.sock"),
            }
        )
        lab = brokerlab.start(brokers=1, progress=Progress())
        try:
            assert strangers.alive(), "a process that was never ours was ended"
            assert not ours.alive(), "what was left behind still runs"
        finally:
            lab.stop()
            decoy.kill()
            left.kill()


UNTIED_SUPERVISOR = """
import sys
from brokerlab import processes

# As on a system that does not kill a child with its parent.
processes._die_with_parent = lambda: None
from brokerlab.supervisor.__main__ import main

main(sys.argv[1:])
"""


def test_a_lab_that_a_crashed_supervisor_left_running_is_ended_by_the_next_start(
    home: Path,
) -> None:
    folder = LabFolder(home)
    folder.create()
    argv = [sys.executable, "-c", UNTIED_SUPERVISOR, str(home), "main"]
    with folder.log.open("ab") as log:
        supervisor = subprocess.Popen(argv, stdout=log, stderr=log, start_new_session=True)
    try:
        until(folder.state_file.exists, 10, "the supervisor to listen")
        left = brokerlab.start(brokers=1, progress=Progress())
        former = pids(left.status())
    finally:
        supervisor.kill()
        supervisor.wait()
    assert len(alive(former.values())) == 2, "this test needs nodes that outlive their supervisor"
    lab = brokerlab.start(brokers=1, progress=Progress())
    assert alive(former.values()) == []
    assert lab.bootstrap_servers == left.bootstrap_servers
    assert zookeeper_ids(lab.zookeeper_client) == {1}
    assert lab.cluster_id != left.cluster_id, "the old data should be gone"


@on_every_runtime
@pytest.mark.parametrize("trouble", ["frozen and dead brokers", "a frozen ZooKeeper"])
def test_a_lab_in_trouble_stops_in_time_too(home: Path, trouble: str, runtime: str) -> None:
    lab = brokerlab.start(brokers=3, progress=Progress())
    nodes = pids(lab.status())
    if trouble == "a frozen ZooKeeper":
        os.kill(nodes["zookeeper"], signal.SIGSTOP)
    else:
        os.kill(nodes["broker-1"], signal.SIGSTOP)
        os.kill(nodes["broker-2"], signal.SIGKILL)
    begun = time.monotonic()
    lab.stop()
    assert time.monotonic() - begun <= STOP_SECONDS
    assert _nodes(home, runtime) == set()
    until(lambda: not processes_of(home), 2, "the supervisor to end")


INTERRUPTED = """
import brokerlab
from brokerlab.progress import TerminalProgress
import sys

print("importing is done", flush=True)
brokerlab.start(brokers=1, progress=TerminalProgress(sys.stdout))
print("started", flush=True)
"""


@on_every_runtime
@pytest.mark.parametrize("moment", ["at once", "the supervisor listens", "ZooKeeper serves"])
def test_a_start_that_is_interrupted_leaves_nothing_half_done(
    home: Path, moment: str, runtime: str
) -> None:
    folder = LabFolder(home)
    argv = [sys.executable, "-u", "-c", INTERRUPTED]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True, stderr=subprocess.PIPE) as start:
        assert start.stdout
        assert start.stdout.readline() == "importing is done\n"
        if moment == "the supervisor listens":
            until(folder.state_file.exists, 20, moment)
        elif moment == "ZooKeeper serves":
            assert moment in start.stdout.readline()
        start.send_signal(signal.SIGINT)
        printed, complaints = start.communicate(timeout=30)
    assert "started" not in printed
    assert "KeyboardInterrupt" in complaints
    lab = brokerlab.start(brokers=1, progress=Progress())
    assert lab.state == "usable"
    assert set(metadata(lab.client).brokers) == {1}
    assert len(_nodes(home, runtime)) == 2
    assert len(lab.status()["leases"]) == 1


@on_every_runtime
@pytest.mark.parametrize("node", ["zookeeper", "broker-1"])
def test_a_lab_can_be_stopped_in_the_middle_of_its_start(home: Path, node: str) -> None:
    folder = LabFolder(home)
    argv = [sys.executable, "-c", "import brokerlab; brokerlab.start(brokers=3)"]
    with subprocess.Popen(argv, stderr=subprocess.PIPE, text=True) as start:
        # Not before: a stop that comes before the start is asked for lets the start go ahead after it.
        until((folder.node(node) / "node.log").exists, 20, f"{node} to be started")
        begun = time.monotonic()
        control.stop(folder)
        assert time.monotonic() - begun <= STOP_SECONDS
        _, complaints = start.communicate(timeout=30)
    assert start.returncode == 1
    assert "stopped in the middle of this: start it again" in complaints
    assert_nothing_half_done(home)


def test_ctrl_c_on_the_command_line_takes_back_a_kept_lab(home: Path) -> None:
    argv = [sys.executable, "-m", "brokerlab.cli", "start"]
    with subprocess.Popen(argv, stderr=subprocess.PIPE, text=True) as start:
        log = LabFolder(home).node("zookeeper") / "node.log"
        until(log.exists, 20, "ZooKeeper to start")
        start.send_signal(signal.SIGINT)
        _, complaints = start.communicate(timeout=30)
    assert start.returncode == 130
    assert complaints.endswith("Interrupted, and nothing is left half-done.\n")
    assert_nothing_half_done(home)


@on_every_runtime
def test_deleting_the_home_ends_the_lab_and_spares_the_next(home: Path) -> None:
    import shutil

    lab = brokerlab.start(brokers=1, keep=True, progress=Progress())
    former = pids(lab.status())
    shutil.rmtree(home)
    again = brokerlab.start(brokers=1, progress=Progress())
    until(lambda: not alive(former.values()), STOP_SECONDS, "the lab without a home to end")
    later = time.monotonic() + LINGER + 1
    while time.monotonic() < later:
        assert again.state == "usable", "the first lab's end must not touch the second"
        time.sleep(0.2)
    assert again.folder.state_file.exists()


def test_a_home_that_stays_deleted_leaves_no_process(home: Path) -> None:
    import shutil

    brokerlab.start(brokers=1, keep=True, progress=Progress())
    shutil.rmtree(home)
    until(lambda: not processes_of(home), GONE_SECONDS, "the lab to end")
    assert not home.exists()


def test_the_log_of_the_supervisor_holds_no_traceback(home: Path) -> None:
    lab = brokerlab.start(brokers=1, progress=Progress())
    lab.stop()
    assert not re.search("Traceback|ERROR", lab.folder.log.read_text())
