"""Lessons on containers: the committed notebooks, strictly, with nothing left behind."""

from __future__ import annotations

from pathlib import Path

import pytest
from runtimes import on_containers

SOLUTIONS = Path(__file__).resolve().parents[2] / "notebooks" / "solutions"


@pytest.mark.cluster
@on_containers
@pytest.mark.timeout(480)
@pytest.mark.parametrize("lesson", ["03", "04", "05", "07"])
def test_a_lesson_on_containers(lesson, run_notebook, nothing_left, capsys):
    (notebook,) = SOLUTIONS.glob(f"{lesson}_*.ipynb")
    run = run_notebook(notebook)
    with capsys.disabled():
        print(f" {run.seconds:.1f} s", end=" ")
    assert run.code == 0, run.output
    nothing_left()
