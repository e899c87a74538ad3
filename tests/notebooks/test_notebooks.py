"""Every committed notebook runs top to bottom, shows what is committed, and leaves no process."""

from __future__ import annotations

from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
LESSONS = sorted(path.stem for path in (ROOT / "lessons").glob("[0-9][0-9]_*.py"))
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
SOLUTIONS = sorted((ROOT / "notebooks" / "solutions").glob("*.ipynb"))


def test_every_lesson_has_both_notebooks_and_no_notebook_is_an_orphan():
    assert LESSONS, "there is no lesson in lessons/"
    assert [path.stem for path in NOTEBOOKS] == [*LESSONS, "index"]
    assert [path.stem for path in SOLUTIONS] == LESSONS


@pytest.mark.cluster
@pytest.mark.timeout(480)
@pytest.mark.parametrize(
    "notebook",
    [*NOTEBOOKS, *SOLUTIONS],
    ids=lambda path: str(path.relative_to(ROOT / "notebooks").with_suffix("")),
)
def test_notebook(notebook, run_notebook, nothing_left, capsys):
    run = run_notebook(notebook)
    with capsys.disabled():
        print(f" {run.seconds:.1f} s", end=" ")
    assert run.code == 0, run.output
    nothing_left()
