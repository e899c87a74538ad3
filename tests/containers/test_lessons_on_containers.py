"""Lessons on containers: the committed notebooks, strictly, with nothing left behind."""

from __future__ import annotations

import subprocess
from datetime import UTC, datetime
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
    begun = datetime.now(UTC)
    run = run_notebook(notebook)
    created = started_containers(home, begun)
    with capsys.disabled():
        print(f" {run.seconds:.1f} s", end=" ")
    assert run.code == 0, run.output
    nothing_left()
    assert containers_of(home) == []
    # Lesson 03 starts servers by hand, and its lab beside them says that it is of processes.
    assert len(created) >= 4 if lesson != "03" else not created


def started_containers(home: Path, since: datetime) -> list[str]:
    """Ask Docker which containers were created for the labs of a home."""
    what = ["--filter=event=create", f"--filter=label=brokerlab.home={home}"]
    span = [f"--since={since.isoformat()}", f"--until={datetime.now(UTC).isoformat()}"]
    asked = subprocess.run(
        ["docker", "events", *what, *span], capture_output=True, text=True, check=True, timeout=30
    )
    return asked.stdout.splitlines()
