"""The lab's folder: leases, locks, state, and where the socket goes."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from brokerlab import control
from brokerlab.errors import LabBusyError, NoLabError, SettingError
from brokerlab.labfolder import LabFolder, Lease, ports_of_running_labs, running_labs
from brokerlab.processes import Identity
from brokerlab.progress import Progress
from brokerlab.settings import read
from witnesses import until


@pytest.fixture
def folder(tmp_path: Path) -> LabFolder:
    folder = LabFolder(tmp_path / "home")
    folder.create()
    return folder


HOLDER = """
import sys
from pathlib import Path
from brokerlab.labfolder import LabFolder, Lease
lease = Lease(LabFolder(Path(sys.argv[1])), {"pid": 1, "what": "holder"})
print("held", flush=True)
sys.stdin.read()
"""


def test_a_lease_is_seen_until_it_is_released(folder: LabFolder) -> None:
    lease = Lease(folder, {"pid": 7, "what": "lesson.ipynb"})
    assert folder.lease_holders() == [{"pid": 7, "what": "lesson.ipynb"}]
    assert lease.counts()
    lease.release()
    assert folder.lease_holders() == []
    assert not lease.counts()
    lease.release()


def test_sigkill_frees_a_lease(folder: LabFolder) -> None:
    argv = [sys.executable, "-c", HOLDER, str(folder.home)]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout and holder.stdout.readline() == b"held\n"
        assert len(folder.lease_holders()) == 1
        holder.send_signal(signal.SIGKILL)
        holder.wait(5)
        assert folder.lease_holders() == []
    assert not list(folder.leases.iterdir()), "what the dead left is swept"


def test_a_forked_child_does_not_keep_the_lease(folder: LabFolder) -> None:
    lease = Lease(folder, {"pid": os.getpid(), "what": "parent"})
    wake, sleep = os.pipe()
    child = os.fork()
    if not child:
        os.close(sleep)
        os.read(wake, 1)
        os._exit(0)
    try:
        os.close(wake)
        assert len(folder.lease_holders()) == 1
        lease.release()
        probe = Lease(folder, {"pid": 0, "what": "probe"})
        assert [holder["what"] for holder in folder.lease_holders()] == ["probe"]
        probe.release()
    finally:
        os.close(sleep)
        os.waitpid(child, 0)


def test_a_forked_child_leaves_its_parents_lease_alone(folder: LabFolder) -> None:
    control.take_lease(folder)
    child = os.fork()
    if not child:
        # The child takes one of its own, and ends without its parent's being released.
        control.release_lease(folder)
        control.take_lease(folder)
        os._exit(0 if len(folder.lease_holders()) == 2 else 1)
    assert os.waitpid(child, 0)[1] == 0
    assert len(folder.lease_holders()) == 1
    control.release_lease(folder)


def test_a_lease_whose_folder_was_deleted_is_taken_again(folder: LabFolder) -> None:
    control.take_lease(folder)
    control.take_lease(folder)
    assert len(folder.lease_holders()) == 1
    shutil.rmtree(folder.home)
    control.take_lease(folder)
    assert len(folder.lease_holders()) == 1
    control.release_lease(folder)


def test_a_damaged_lease_is_passed_over(folder: LabFolder) -> None:
    (folder.leases / "1-damaged.json").write_text("{")
    lease = Lease(folder, {"pid": 7, "what": "whole"})
    assert [holder["what"] for holder in folder.lease_holders()] == ["whole"]
    lease.release()


def test_a_lock_is_one_holders(folder: LabFolder) -> None:
    with folder.lock("spawn", 1, "starting this lab") as descriptor:
        assert folder.try_lock("spawn") is None
        assert folder.has_lock(descriptor, "spawn")
        with (
            pytest.raises(LabBusyError, match="Somebody else has been starting this lab"),
            folder.lock("spawn", 0.05, "starting this lab"),
        ):
            pass
    with folder.lock("spawn", 0, "starting this lab"):
        pass


def test_the_lock_of_a_deleted_folder_is_no_lock(folder: LabFolder) -> None:
    with folder.lock("supervisor", 1, "x") as descriptor:
        shutil.rmtree(folder.home)
        assert not folder.has_lock(descriptor, "supervisor")
        folder.create()
        with folder.lock("supervisor", 1, "x") as another:
            assert folder.has_lock(another, "supervisor")
            assert not folder.has_lock(descriptor, "supervisor")


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '"x"', "\x00\x01", "é"])
def test_a_damaged_state_is_no_state(folder: LabFolder, text: str) -> None:
    folder.state_file.write_bytes(text.encode("latin-1"))
    assert folder.read_state() is None
    with pytest.raises(NoLabError, match="brokerlab start"):
        control.status(folder)
    assert running_labs(folder.home) == []


def test_the_state_is_replaced_whole(folder: LabFolder) -> None:
    folder.write_state({"lab": "main", "nodes": []})
    assert folder.read_state() == {"lab": "main", "nodes": []}
    folder.write_state({"lab": "other"})
    assert json.loads(folder.state_file.read_text()) == {"lab": "other"}
    assert not list(folder.path.glob("*.tmp"))


def test_only_labs_whose_supervisor_lives_count_and_reserve_ports(folder: LabFolder) -> None:
    own = Identity.of(os.getpid())
    assert own
    state = {"nodes": [{"port": 2181}, {"port": 9092}], "supervisor": own.to_dict()}
    folder.write_state(state)
    assert [lab.name for lab in running_labs(folder.home)] == ["main"]
    assert ports_of_running_labs(folder.home) == {2181, 9092}
    folder.write_state(state | {"supervisor": {"pid": os.getpid(), "born": "another"}})
    assert ports_of_running_labs(folder.home) == set()


def test_a_socket_path_that_is_too_long_goes_elsewhere_and_is_cleared(tmp_path: Path) -> None:
    short = LabFolder(Path("/x"))
    assert short.socket_address() == Path("/x/labs/main/control.sock")
    deep = LabFolder(tmp_path / ("d" * 100))
    deep.create()
    address = deep.socket_address()
    assert len(os.fsencode(address)) <= 100
    assert address.parent.stat().st_mode & 0o777 == 0o700
    deep.write_state({"control": str(address)})
    address.touch()
    deep.clear()
    assert not address.parent.exists()


def test_a_path_counts_in_bytes(tmp_path: Path) -> None:
    assert LabFolder(Path("/" + "é" * 45)).socket_address().parent.parent != Path("/" + "é" * 45)


def test_clearing_keeps_the_logs_until_the_next_start(folder: LabFolder) -> None:
    node = folder.node("broker-1")
    for part in ("data", "tmp"):
        (node / part).mkdir(parents=True)
        (node / part / "file").touch()
    (node / "node.log").write_text("what happened")
    folder.clear()
    assert [path.name for path in node.iterdir()] == ["node.log"]
    folder.clear_nodes()
    assert not node.exists()


@pytest.mark.parametrize("name", ["", "Main", "two words", "../up", "-x", "a" * 33, "é", None, 7])
def test_names_that_no_lab_can_have(tmp_path: Path, name: str) -> None:
    with pytest.raises(SettingError, match="cannot be the name of a lab"):
        LabFolder(tmp_path, name)


def test_a_dead_socket_is_no_lab(folder: LabFolder) -> None:
    folder.write_state({"control": str(folder.path / "control.sock"), "nodes": []})
    with pytest.raises(NoLabError):
        control.ask(folder, Progress(), "status")
    with pytest.raises(NoLabError):
        control.stop(folder)


def test_folders_are_for_their_owner_alone(tmp_path: Path) -> None:
    former = os.umask(0)
    try:
        folder = LabFolder(tmp_path / "home")
        folder.create()
        lease = Lease(folder, {})
    finally:
        os.umask(former)
    for path in (folder.home, folder.path, folder.nodes, folder.leases):
        assert path.stat().st_mode & 0o777 == 0o700
    assert [path.stat().st_mode & 0o777 for path in folder.leases.iterdir()] == [0o600]
    lease.release()


def test_waiting_for_a_supervisor_that_never_was_ends_at_once(tmp_path: Path) -> None:
    folder = LabFolder(tmp_path)
    assert until(lambda: control._wait_until_stopped(folder) is None, 1, "nothing") < 1
    assert read().home != tmp_path
