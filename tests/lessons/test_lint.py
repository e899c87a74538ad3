"""The rules of a lesson: a lesson that keeps them, then one broken rule at a time."""

from pathlib import Path

import build
import lint
import pytest
from source import Course, LessonError

ROOT = Path(__file__).resolve().parents[2]

GOOD = """\
# %% [markdown]
# # 01 · Good
#
# **Is it good?**
#
# **What you’ll do**
#
# **What you’ll learn** · [the readme](../README.md)
#
# **What you'll need** 10 minutes.

# %% tags=["nbval-ignore-output"]
print("alive")

# %%
print("stable")

# %%
3

# %%
4

# %% tags=["starter"]
answer = ...

# %% tags=["solution", "exercise-1"]
answer = 1

# %%
q[1].check(answer)

# %% tags=["solution"]
q[1].assert_passed(answer)

# %% tags=["solution", "exercise-2"]
two = 2

# %% tags=["solution"]
q[2].assert_passed(two)

# %%
q[2].check()

# %%
8

# %% [markdown]
# ## In production
#
# ## What you learned
#
# ## Clean up
"""


@pytest.fixture
def findings(tmp_path):
    (tmp_path / "notebooks").mkdir()
    (tmp_path / "lessons").mkdir()
    (tmp_path / "README.md").touch()

    def of(text):
        (tmp_path / "lessons/01_good.py").write_text(text, encoding="utf-8")
        course = Course(tmp_path)
        (lesson,) = course.find()
        return [str(finding) for finding in lint.lint(course, lesson)]

    return of


def test_a_good_lesson_has_no_finding(findings):
    assert findings(GOOD) == []


@pytest.mark.parametrize(
    ("old", "new", "line", "said"),
    [
        ("# %%\n3\n", "", 1, "7 code cells for the learner, 8 to 15 are allowed"),
        ("# %%\n3\n", "# %%\n3\n" * 9, 1, "16 code cells"),
        ("10 minutes", "10 minutes " * 1200, 1, "words of text"),
        ("3\n", "3\n" * 13, 19, "13 lines in a cell, and 12 are allowed"),
        ("3\n", "out = Output()\n", 19, "use a BrokerLab widget"),
        ("3\n", "c = Consumer({})\nc.subscribe(['a'])\n", 19, "'c' stays in its group"),
        ("3\n", "4\nclear_output(wait=True)\n", 20, "nbval keeps every frame"),
        ("3\n", "handle.update_display(3)\n", 19, "nbval keeps the first frame"),
        ("3\n", "name = input()\n", 19, "nobody answers"),
        ("3\n", "import os\nos;\n", 20, "a ';' at the end"),
        ('print("stable")', "stable = 3", 13, "leaves this cell untested"),
        ('%%\nprint("stable")', '%% tags=["nbval-ignore-output"]\nprint(1)', 13, "leaves this"),
        ("%%\n3\n", '%% tags=["raises-exception"]\n3\n', 19, "brokerlab.refused"),
        ("%%\n3\n", '%% tags=["soltuion"]\n3\n', 19, "the tag 'soltuion' is unknown"),
        ("%%\n3\n", '%% tags=["exercise-1"]\n3\n', 19, "beside the tag solution"),
        ("(../README.md)", "(../GONE.md)", 8, "the link '../GONE.md' leads nowhere"),
        ("(../README.md)", "(02_next.ipynb)", 8, "the link '02_next.ipynb' leads nowhere"),
        ("## In production", "## In the end", 1, "the section 'In production' is missing"),
        ("**What you’ll do**", "What you'll do", 1, 'the section "What you\'ll do" is missing'),
        ("# # 01 · Good", "# Good", 1, "has no title: begin it with '# 01 · Title'"),
        ("01 · Good", "02 · Good", 1, "has no title"),
        ("**Is it good?**", "It is good.", 1, "asks nothing"),
        ("10 minutes", "ten minutes", 1, "has no minutes"),
        ('"exercise-2"', '"exercise-3"', 1, "exercises with a solution: [1, 3]"),
        ("q[1].check(answer)", "0", 1, "calls q[1].check(): add one"),
        ("q[2].assert_passed(two)", "0", 1, "calls q[2].assert_passed(): add one"),
        ("# %% [markdown]\n# # 01", "text = 1\n\n# %% [markdown]\n# # 01", 1, "lines of '# %%'"),
    ],
)
def test_a_broken_rule_is_named_with_its_line(findings, old, new, line, said):
    assert old in GOOD
    try:
        found = findings(GOOD.replace(old, new, 1))
    except LessonError as error:
        found = [str(error)]
    assert any(one.startswith(f"lessons/01_good.py:{line}: ") and said in one for one in found), (
        found
    )


def test_an_ignored_cell_with_an_assertion_of_its_own_is_tested(findings):
    text = GOOD.replace('print("alive")', "assert 1").replace('print("stable")', "1")
    assert findings(text) == []


def test_the_progress_page_is_no_lesson_and_keeps_the_rules_of_cells(tmp_path):
    (tmp_path / "lessons").mkdir()
    (tmp_path / "notebooks").mkdir()
    page = tmp_path / "lessons" / "index.py"
    page.write_text("# %% [markdown]\n# # Here\n\n# %%\nprint(1)\n\n# %%\nname = input()\n")
    course = Course(tmp_path)
    found = [str(finding) for lesson in course.find() for finding in lint.lint(course, lesson)]
    assert len(found) == 1 and found[0].startswith("lessons/index.py:8: ")


def test_sql_and_shell_cells_may_end_in_a_semicolon(findings):
    assert findings(GOOD.replace("3\n", "# %%sql\n# select 1;\n", 1)) == []


LESSONS = Course(ROOT).find()


@pytest.mark.parametrize("lesson", LESSONS, ids=[lesson.name for lesson in LESSONS])
def test_every_lesson_keeps_the_rules(lesson):
    assert [str(finding) for finding in lint.lint(Course(ROOT), lesson)] == []


def test_the_committed_notebooks_are_what_the_lessons_build_to():
    assert LESSONS, "there is no lesson in lessons/"
    assert list(build.check(Course(ROOT), LESSONS)) == []
