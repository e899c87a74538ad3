"""Lessons 04 to 06 on a class's cluster: each learner's notebooks run strictly, side by side with the others'."""

from __future__ import annotations

import ast
import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import nbformat
import pytest
from brokerlab.capabilities import WHY_NOT
from classcluster import ClassCluster, Learner, class_cluster
from leftovers import wait_until_gone
from nbval_run import GONE_WITHIN, SANITIZE, Run, run
from nbformat import NotebookNode

SOLUTIONS = Path(__file__).resolve().parents[2] / "notebooks" / "solutions"
LESSONS = ("04", "05", "06")
LEFT_OUT = {"04": ["is_own", "is_own", "can_kill", "is_own", "is_own"], "05": [], "06": ["sees_files"]}
"""What the steps of each lesson need that a class's cluster has not."""

SAYS_LESS = {"05": ("q[2].check(lag)", "q[2].assert_passed(lag)")}
"""Reports with fewer facts there, as a group's past is in a log that only the owner reads; the second asserts that all hold."""

IGNORED = "nbval-ignore-output"
SIDE_BY_SIDE = 2


def steps_left_out(cell: NotebookNode) -> list[str]:
    return re.findall(r"^if lab\.offers\(\"(\w+)\"\)", cell.source, re.M)


def is_one_step(source: str) -> bool:
    """Whether all of a cell is one step that is taken or left out as a whole."""
    try:
        (statement,) = ast.parse(source).body
    except (SyntaxError, ValueError):
        return False
    return isinstance(statement, ast.If)


def as_it_is_on_a_class_cluster(notebook: Path, folder: Path) -> Path:
    """Write the notebook with the output that is expected there: a step that is left out says so."""
    expected = nbformat.read(notebook, 4)
    for cell in expected.cells:
        needs = steps_left_out(cell) if cell.cell_type == "code" else []
        if needs and is_one_step(cell.source):
            said = f"Left out on this cluster: {WHY_NOT[needs[0]]}.\n"
            cell.outputs = [nbformat.v4.new_output("stream", name="stdout", text=said)]
            cell.metadata.tags = [tag for tag in cell.metadata.get("tags", []) if tag != IGNORED]
        elif needs or cell.source.endswith(SAYS_LESS.get(notebook.name[:2], ())):
            cell.metadata.tags = sorted({*cell.metadata.get("tags", []), IGNORED})
    written = folder / notebook.name
    nbformat.write(expected, written)
    return written


def sanitized(learner: Learner, folder: Path) -> Path:
    """Return nbval's rules with one for the learner's prefix, and one for the columns that it widens."""
    rules = folder / "sanitize.cfg"
    # A rule that puts nothing in the place ends with the blank behind its colon.
    own = f"\n[prefix]\nregex: (?<![A-Za-z0-9]){re.escape(learner.prefix)}\nreplace: \n"
    columns = "\n[columns]\nregex: [ \\t]+\nreplace: _\n"
    rules.write_text(SANITIZE.read_text("utf-8") + own + columns, "utf-8")
    return rules


def take_lessons(cluster: ClassCluster, learner: Learner, folder: Path) -> dict[str, Run]:
    """Run lessons 04 to 06 as this learner; return how each went."""
    home = folder / learner.name
    home.mkdir(mode=0o700)
    runs = {}
    for lesson in LESSONS:
        (notebook,) = SOLUTIONS.glob(f"{lesson}_*.ipynb")
        runs[lesson] = run(
            as_it_is_on_a_class_cluster(notebook, home),
            cluster.environment(learner, home),
            sanitized(learner, home),
        )
    assert not wait_until_gone(home, GONE_WITHIN)
    return runs


@pytest.mark.parametrize("lesson", LESSONS)
def test_the_steps_that_are_left_out_are_these(lesson):
    (path,) = SOLUTIONS.glob(f"{lesson}_*.ipynb")
    cells = [cell for cell in nbformat.read(path, 4).cells if cell.cell_type == "code"]
    assert [need for cell in cells for need in steps_left_out(cell)] == LEFT_OUT[lesson]


@pytest.mark.cluster
@pytest.mark.timeout(3000)
@pytest.mark.parametrize("count", [2, pytest.param(10, marks=pytest.mark.slow)])
def test_lessons_pass_for_each_learner(count, tmp_path, capsys):
    names = [f"l{number}" for number in range(count)]
    with class_cluster(tmp_path) as cluster:
        learners = cluster.let_in(*names)
        with ThreadPoolExecutor(SIDE_BY_SIDE) as pool:
            all_runs = list(pool.map(lambda one: take_lessons(cluster, one, tmp_path), learners))
        with capsys.disabled():
            for learner, runs in zip(learners, all_runs, strict=True):
                print(learner.name, {lesson: f"{one.seconds:.0f} s" for lesson, one in runs.items()})
        failed = [one.output for runs in all_runs for one in runs.values() if one.code]
        assert not failed, failed[0]
        assert {name for name in cluster.lab.topics() if not name.startswith("__")} == set()
