"""A side of the benchmarks: it does as it is told, says why it cannot, and leaves nothing behind."""

import sys
from pathlib import Path

import psutil
import pytest
from side import Side, SideError

SIDES = Path(__file__).resolve().parents[2] / "benchmarks" / "sides"

# A cluster's worth of trouble: a process in a session of its own, which does not end with its parent.
ANSWERING = """
import subprocess, sys
from conversation import serve

def start():
    print("no answer, only noise")
    command = [sys.executable, "-c", "import time; time.sleep(60)"]
    return {"pid": subprocess.Popen(command, start_new_session=True).pid}

def fail():
    raise RuntimeError("the disk is full")

serve({"start": start, "fail": fail})
"""


def side_of(code: str) -> Side:
    return Side("the fake", [sys.executable, "-c", code], {"PYTHONPATH": str(SIDES)})


def test_a_side_answers_and_leaves_no_process_and_no_folder():
    with side_of(ANSWERING) as side:
        side.wait_until_ready()
        pid = side.ask("start")["pid"]
        assert pid in {process.pid for process in side.processes()}
    assert not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    assert side.processes() == []
    assert not side.folder.exists()


def test_a_side_that_fails_is_an_error_that_says_why_and_not_a_time():
    with side_of(ANSWERING) as side:
        side.wait_until_ready()
        with pytest.raises(SideError, match=r"the fake did not fail.*the disk is full"):
            side.ask("fail")


def test_a_side_that_cannot_be_started_is_an_error():
    with (
        side_of("import no_such_module") as side,
        pytest.raises(SideError, match=r"did not get ready.*no_such_module"),
    ):
        side.wait_until_ready()
