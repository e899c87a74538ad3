"""The notebook test itself: what it must catch, on toy notebooks without Kafka."""

from __future__ import annotations

import subprocess
import sys

import nbformat
import pytest
from leftovers import processes_of


@pytest.fixture
def toy(tmp_path):
    def write(*cells):
        notebook = nbformat.v4.new_notebook()
        for count, (source, printed) in enumerate(cells, 1):
            cell = nbformat.v4.new_code_cell(source, execution_count=count)
            if printed:
                cell.outputs = [nbformat.v4.new_output("stream", name="stdout", text=printed)]
            notebook.cells.append(cell)
        path = tmp_path / "toy.ipynb"
        nbformat.write(notebook, path)
        return path

    return write


def test_the_same_output_passes_with_times_and_ports_that_differ(toy, run_notebook):
    source = "print('ready in 1.25 s at localhost:19092')"
    run = run_notebook(toy((source, "ready in 0.9 s at localhost:9092\n")))
    assert run.code == 0, run.output


def test_another_output_fails_and_shows_both(toy, run_notebook):
    run = run_notebook(toy(("print('3 brokers')", "4 brokers\n")))
    assert run.code == 1 and "3 brokers" in run.output and "4 brokers" in run.output


def test_the_cells_after_a_failure_are_skipped(toy, run_notebook):
    run = run_notebook(toy(("1 / 0", ""), ("print(1)", "1\n"), ("print(2)", "2\n")))
    assert run.code == 1 and "1 failed, 2 skipped" in run.output


def test_the_kernel_has_the_home_the_linger_and_the_tools(toy, run_notebook, home):
    source = (
        "import os, shutil, sys\n"
        f"assert os.environ['BROKERLAB_HOME'] == {str(home)!r}\n"
        "assert os.environ['BROKERLAB_LINGER'] == '3'\n"
        "assert shutil.which('kafka-topics.sh').startswith(os.path.dirname(sys.executable))"
    )
    run = run_notebook(toy((source, "")))
    assert run.code == 0, run.output


def test_a_process_that_stays_is_seen(home):
    code = "import sys; print('up', flush=True); sys.stdin.read()"
    stays = subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert stays.stdout.readline() == b"up\n"
    assert [line.split()[0] for line in processes_of(home)] == [str(stays.pid)]
    stays.communicate()
    assert processes_of(home) == []
