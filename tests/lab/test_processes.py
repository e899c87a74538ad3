"""Processes by identity, and processes that cannot outlive their owner."""

from __future__ import annotations

import dataclasses
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator

import pytest
from brokerlab.processes import Identity, listener_on, listens
from witnesses import until


@pytest.fixture
def sleeper() -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen(["sleep", "600"]) as process:
        yield process
        process.kill()


def identity_of(pid: int) -> Identity:
    identity = Identity.of(pid)
    assert identity is not None
    return identity


def test_a_live_process_has_one_identity(sleeper: subprocess.Popen[bytes]) -> None:
    identity = identity_of(sleeper.pid)
    assert identity.alive()
    assert identity == Identity.of(sleeper.pid)
    assert Identity(**identity.to_dict()) == identity


def test_two_processes_differ(sleeper: subprocess.Popen[bytes]) -> None:
    assert identity_of(sleeper.pid).born != identity_of(os.getpid()).born


def test_a_zombie_is_not_alive(sleeper: subprocess.Popen[bytes]) -> None:
    identity = identity_of(sleeper.pid)
    os.kill(sleeper.pid, signal.SIGKILL)
    os.waitid(os.P_PID, sleeper.pid, os.WEXITED | os.WNOWAIT)
    assert not identity.alive()
    assert Identity.of(sleeper.pid) is None
    assert not identity.send(signal.SIGTERM)


def test_nobody_has_the_identity_of_a_pid_that_is_free(sleeper: subprocess.Popen[bytes]) -> None:
    identity = identity_of(sleeper.pid)
    sleeper.kill()
    sleeper.wait()
    assert Identity.of(sleeper.pid) is None
    assert not identity.alive()


def test_a_process_that_got_the_same_pid_is_never_signalled(
    sleeper: subprocess.Popen[bytes],
) -> None:
    former = dataclasses.replace(identity_of(sleeper.pid), born="another boot-1")
    assert not former.alive()
    assert not former.send(signal.SIGKILL)
    assert sleeper.poll() is None


def test_its_own_process_is_signalled(sleeper: subprocess.Popen[bytes]) -> None:
    assert identity_of(sleeper.pid).send(signal.SIGTERM)
    assert sleeper.wait(5) == -signal.SIGTERM


def test_a_name_with_brackets_and_blanks_does_not_confuse(tmp_path: object) -> None:
    code = "import ctypes, sys; ctypes.CDLL(None).prctl(15, b') R 1 (x', 0, 0, 0); print(1, flush=True); sys.stdin.read()"
    if sys.platform != "linux":
        pytest.skip("processes are read from /proc on Linux only")
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout and process.stdout.readline()
        born = identity_of(process.pid).born
        assert born.rpartition("-")[2].isdecimal() and int(born.rpartition("-")[2]) > 0
        process.communicate()


OWNER = """
import sys, threading
from brokerlab.processes import spawn_tied

# From a thread that ends: the child must be tied to the process, not to the thread.
made = []
thread = threading.Thread(target=lambda: made.append(spawn_tied(["sleep", "600"])))
thread.start()
thread.join()
print(made[0].pid, flush=True)
sys.stdin.read()
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux kills a child with its owner")
def test_a_tied_process_dies_with_its_owner_and_not_before() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", OWNER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as owner:
        assert owner.stdout
        child = identity_of(int(owner.stdout.readline()))
        assert child.alive()
        assert os.getsid(child.pid) == child.pid != os.getsid(owner.pid)
        owner.kill()
        owner.communicate()
    until(lambda: not child.alive(), 2, "the tied process to end with its owner")


def test_who_listens_is_named_by_pid_and_name() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        assert listener_on(port).startswith(f"process {os.getpid()} (")
        assert listens(os.getpid(), port) and not listens(os.getppid(), port)
    assert listener_on(port) == "another program"
    assert not listens(os.getpid(), port)
