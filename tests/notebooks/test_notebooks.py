"""Every committed notebook runs top to bottom, shows what is committed, and leaves no process."""

from __future__ import annotations

from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
LESSONS = sorted(path.stem for path in (ROOT / "lessons").glob("[0-9][0-9]_*.py"))
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
SOLUTIONS = sorted((ROOT / "notebooks" / "solutions").glob("*.ipynb"))
LONG = ("07_", "08_", "10_", "14_")
"""CI runs these with their solutions only, which have every cell of the learner's but the empty ones: it has 90 minutes."""


def _parameter(notebook: Path) -> object:
    long = notebook in NOTEBOOKS and notebook.name.startswith(LONG)
    name = str(notebook.relative_to(ROOT / "notebooks").with_suffix(""))
    return pytest.param(notebook, id=name, marks=pytest.mark.slow if long else ())


def test_every_lesson_has_both_notebooks_and_no_notebook_is_an_orphan():
    assert LESSONS, "there is no lesson in lessons/"
    assert sum(lesson.startswith(LONG) for lesson in LESSONS) == len(LONG)
    assert [path.stem for path in NOTEBOOKS] == [*LESSONS, "index"]
    assert [path.stem for path in SOLUTIONS] == LESSONS


@pytest.mark.cluster
@pytest.mark.timeout(480)
@pytest.mark.parametrize("notebook", [_parameter(path) for path in (*NOTEBOOKS, *SOLUTIONS)])
def test_notebook(notebook, run_notebook, nothing_left, capsys):
    run = run_notebook(notebook)
    with capsys.disabled():
        print(f" {run.seconds:.1f} s", end=" ")
    assert run.code == 0, run.output
    nothing_left()


@pytest.mark.cluster
@pytest.mark.timeout(480)
@pytest.mark.parametrize("name", ["12_connectors"])
def test_notebook_on_a_lab_that_asks_for_a_password(name, run_notebook, nothing_left):
    """What has a password of its own shows the same with it."""
    solution = ROOT / "notebooks" / "solutions" / f"{name}.ipynb"
    run = run_notebook(solution, {"BROKERLAB_AUTH": "on"})
    assert run.code == 0, run.output
    nothing_left()
