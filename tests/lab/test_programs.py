"""Programs that a notebook writes and runs beside itself."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap

import psutil
import pytest
from brokerlab import programs
from brokerlab.errors import NodeFailedError, SettingError

ECHO = (
    "import sys\nprint('heard', sys.argv[1:])\nfor line in sys.stdin: print('read', line.strip())\n"
)

pytestmark = pytest.mark.usefixtures("home")


def test_runs_with_its_arguments_and_reads_what_is_typed():
    programs.write("echo.py", ECHO)
    program = programs.run("echo.py", "localhost:9092", 7)
    assert program.wait_for("heard") == "heard ['localhost:9092', '7']"
    program.write("good morning")
    assert program.wait_for("read") == "read good morning"
    assert program.running
    program.stop()
    assert not program.running and "echo.py 7: ended" in repr(program)


def test_several_processes_from_one_program_end_one_by_one():
    programs.write("echo.py", ECHO)
    first, second = (programs.run("echo.py", number) for number in (1, 2))
    for program in (first, second):
        program.wait_for("heard")
    assert first.pid != second.pid
    assert first.kill() == -9
    assert second.running
    second.stop()


def test_a_frozen_program_goes_on():
    programs.write("echo.py", ECHO)
    program = programs.run("echo.py")
    program.wait_for("heard")
    program.pause()
    program.write("later")
    with pytest.raises(NodeFailedError, match=r"has not printed 'read later' within 0 s"):
        program.wait_for("read later", timeout=0.3)
    program.resume()
    program.wait_for("read later")
    program.stop()


def test_a_failing_program_shows_its_traceback_with_the_line():
    programs.write("wrong.py", "x = 1\nraise ValueError('no lens')\n")
    program = programs.run("wrong.py")
    assert program.wait(20) == 1
    assert any("line 2" in line for line in program.lines)
    assert program.lines[-1] == "ValueError: no lens"


def test_a_program_that_was_not_written_is_asked_for():
    with pytest.raises(SettingError, match=r"run the cell that begins with %%program ghost\.py"):
        programs.run("ghost.py")


@pytest.mark.parametrize("name", ["", "worker", "../worker.py", "a/b.py", ".py", ".hidden.py"])
def test_names_that_are_no_plain_python_file_are_refused(name):
    with pytest.raises(SettingError, match=r"is called like a Python file"):
        programs.write(name, "pass")


def test_what_is_no_python_is_refused_and_the_earlier_one_stays():
    file = programs.write("worker.py", "print('first')")
    with pytest.raises(SyntaxError):
        programs.write("worker.py", "print('second'")
    assert file.read_text() == "print('first')"


def test_the_folder_is_private(home):
    file = programs.write("worker.py", "pass")
    assert file.parent.stat().st_mode & 0o777 == 0o700
    assert home in file.parents


def test_what_dead_processes_left_is_swept(home):
    gone = subprocess.run(
        [sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True
    )
    left = home / "programs" / gone.stdout.decode().strip()
    left.mkdir(parents=True)
    (left / "old.py").write_text("pass")
    programs.write("worker.py", "pass")
    assert not left.exists()
    assert (home / "programs" / str(os.getpid()) / "worker.py").exists()


def test_ends_with_the_process_that_ran_it_however_that_ends():
    script = textwrap.dedent(
        """
        import os, signal
        from brokerlab import programs
        programs.write("stay.py", "import time\\nprint('up')\\ntime.sleep(600)")
        program = programs.run("stay.py")
        program.wait_for("up")
        print(program.pid, flush=True)
        os.kill(os.getpid(), signal.SIGKILL)
        """
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, timeout=60)
    pid = json.loads(done.stdout)
    with_end = psutil.Process(pid) if psutil.pid_exists(pid) else None
    if with_end is not None:
        psutil.wait_procs([with_end], timeout=10)
        assert not with_end.is_running() or with_end.status() == psutil.STATUS_ZOMBIE
