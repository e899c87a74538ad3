"""Lessons on containers: the committed notebooks, strictly, with nothing left behind."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from leftovers import containers_of
from runtimes import on_containers

SOLUTIONS = Path(__file__).resolve().parents[2] / "notebooks" / "solutions"


@pytest.mark.cluster
@on_containers
@pytest.mark.timeout(480)
@pytest.mark.parametrize("lesson", ["03", "04", "05", "06", "07"])
def test_a_lesson_on_containers(lesson, home, run_notebook, nothing_left, capsys):
    (notebook,) = SOLUTIONS.glob(f"{lesson}_*.ipynb")
    with created_containers(home) as created:
        run = run_notebook(notebook)
    with capsys.disabled():
        print(f" {run.seconds:.1f} s", end=" ")
    assert run.code == 0, run.output
    nothing_left()
    assert containers_of(home) == []
    # Lesson 03 starts servers by hand, and its lab beside them says that it is of processes.
    assert len(created) >= 4 if lesson != "03" else not created


@contextmanager
def created_containers(home: Path) -> Iterator[list[str]]:
    """Listen to Docker meanwhile, which forgets events soon; the list holds the labs' containers at the end."""
    what = ["--filter=event=create", "--filter=type=container"]
    what += [f"--filter=label=brokerlab.home={home}", "--format={{.ID}}"]
    created: list[str] = []
    with subprocess.Popen(["docker", "events", *what], stdout=subprocess.PIPE, text=True) as heard:
        yield created
        heard.terminate()
        created += heard.communicate()[0].split()
