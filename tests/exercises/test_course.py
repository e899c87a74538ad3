"""The progress page: what lessons say of themselves, what has passed, which is next."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import brokerlab
import brokerlab.exercises
import pytest
from brokerlab import BrokerLabError
from brokerlab.exercises import passes
from brokerlab.exercises.course import Course, Lesson, describe

ROOT = Path(__file__).parents[2]
BEGAN = datetime(2026, 3, 1, 9, tzinfo=UTC)
LESSONS = tuple(Lesson(f"{n:02}_name", n, f"Title {n}", f"Why {n}?", 10 * n) for n in (1, 2, 3))


def course(*passed, problem=""):
    """Return three lessons of two exercises; `passed` are (lesson, exercise), in order of time."""
    times = {
        (LESSONS[lesson - 1].name, exercise): BEGAN + timedelta(minutes=minute)
        for minute, (lesson, exercise) in enumerate(passed)
    }
    exercises = {lesson.name: ("Exercise 1 · Do", "Exercise 2 · `Undo`") for lesson in LESSONS}
    return Course(Path.cwd(), LESSONS, exercises, times, problem)


def test_a_lesson_says_its_title_question_and_minutes():
    text = "# 04 · Topics & more\n\n**Who asks\nwhat?**\n\n**No question.**\n\n### What you’ll need\n35 minutes, and 2 hands."
    assert describe("04_topics", [text]) == Lesson(
        "04_topics", 4, "Topics & more", "Who asks what?", 35
    )


@pytest.mark.parametrize(
    ("passed", "expected"),
    [
        ([], 1),
        ([(1, 1)], 1),
        ([(1, 1), (1, 2)], 2),
        ([(2, 1)], 2),
        ([(2, 2), (2, 1)], 3),
        ([(3, 1), (1, 1)], 1),
        ([(3, 1), (3, 2)], 1),
        ([(1, 1), (1, 2), (3, 1), (3, 2)], 2),
        ([(1, 1), (1, 2), (2, 1), (2, 2), (3, 2), (3, 1)], None),
    ],
)
def test_next_is_the_open_lesson_last_worked_on_or_the_first_open_one_after(passed, expected):
    seen = course(*passed).next
    assert (seen and seen.number) == expected


def test_what_passed_of_other_lessons_changes_nothing():
    page = course()
    other = {("99_gone", 1): BEGAN, ("01_name", 7): BEGAN}
    assert repr(Course(page.folder, page.lessons, page.exercises, other)) == repr(page)


def test_the_page_as_text(monkeypatch):
    monkeypatch.setenv("TZ", "UTC")
    when = BEGAN.astimezone()
    assert repr(course((1, 1), (1, 2))).splitlines()[:7] == [
        "1 of 3 lessons done, 2 of 6 exercises passed on this machine",
        "✓ 01 Title 1 (10 minutes, done)",
        "     Why 1?",
        f"     ✓ Exercise 1 · Do: passed on {when.day} {when:%B %Y, %H:%M}",
        f"     ✓ Exercise 2 · `Undo`: passed on {when.day} {when + timedelta(minutes=1):%B %Y, %H:%M}",
        "→ 02 Title 2 (20 minutes, next)",
        "     Why 2?",
    ]
    assert course().minutes == 60


def test_the_page_as_html_says_the_same_links_and_runs_nothing():
    page = course((1, 1), (1, 2), problem="A <b>record</b> is damaged.")
    shown = page._repr_html_()
    assert shown.count('<a href="0') == 3 and '<a href="02_name.ipynb">' in shown
    assert "<code>Undo</code>" in shown and "<script" not in shown and "A &lt;b&gt;record" in shown
    assert "var(--jp-ui-font-color1, inherit)" in shown
    words = re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", shown))
    assert "· 10 minutes · done" in words and "· 20 minutes · next" in words
    assert "A <b>record</b> is damaged." in repr(page)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder with two lessons, whose exercises are those of lessons 01 and 04, and a home."""
    monkeypatch.setenv("BROKERLAB_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    for name, number in (("04_topics", 4), ("01_start_here", 1)):
        text = (
            f"# {number:02} · Title {number}\n\n**Why?**\n\n### What you'll need\n{number} minutes"
        )
        write(tmp_path, name, text)
    return tmp_path


def write(folder, name, *texts):
    cells = [
        {"cell_type": "markdown", "metadata": {}, "source": t.splitlines(keepends=True)}
        for t in texts
    ]
    (folder / f"{name}.ipynb").write_text(json.dumps({"cells": cells}), encoding="utf-8")


def test_the_lessons_of_the_folder_and_the_passes_of_this_machine(folder):
    passes.record("04_topics", 2)
    seen = brokerlab.course()
    assert [lesson.name for lesson in seen.lessons] == ["01_start_here", "04_topics"]
    assert seen.minutes == 5 and seen.problem == "" and seen.next.name == "04_topics"
    assert repr(seen).startswith("0 of 2 lessons done, 1 of 4 exercises passed")
    assert "Exercise 1 · Create the topic photos" in repr(seen)


def test_a_copy_of_a_lesson_and_other_notebooks_are_none(folder):
    write(folder, "04_topics-Copy1", "# 04 · Topics")
    write(folder, "20_my_notes", "# Notes")
    assert len(brokerlab.course().lessons) == 2


@pytest.mark.parametrize("text", ["", "{", '{"cells": [{}]}', "[]"])
def test_a_lesson_that_cannot_be_read_is_one_sentence_and_the_others_are_shown(folder, text):
    (folder / "04_topics.ipynb").write_text(text)
    seen = brokerlab.course()
    assert len(seen.lessons) == 1
    assert seen.problem == (
        "04_topics.ipynb cannot be read: bring it back with git checkout -- 04_topics.ipynb."
    )


def test_a_damaged_record_and_a_damaged_lesson_are_both_told(folder):
    write(folder, "04_topics", "# My title")
    passes.record("01_start_here", 1)
    (folder / "home" / "progress" / "01_start_here-1").write_text("")
    problem = brokerlab.course().problem
    assert "04_topics has no title" in problem and "is damaged: check it again" in problem


def test_another_folder_is_linked_from_here(folder, monkeypatch):
    (folder / "below").mkdir()
    monkeypatch.chdir(folder / "below")
    assert '<a href="../01_start_here.ipynb">' in brokerlab.course("..")._repr_html_()


def test_a_folder_without_lessons_is_one_sentence(tmp_path):
    with pytest.raises(BrokerLabError, match=r"There is no lesson in .*: give the folder"):
        brokerlab.course(tmp_path)


def test_readme_lists_the_lessons_as_they_describe_themselves():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    row = r"^\| (\d\d)[ ★]* \| \[(.+)\]\(notebooks/(\w+)\.ipynb\) \| (\d+) \|"
    listed = [
        (name, int(n), title, int(m)) for n, title, name, m in re.findall(row, text, flags=re.M)
    ]
    lessons = brokerlab.course(ROOT / "notebooks").lessons
    assert listed == [(one.name, one.number, one.title, one.minutes) for one in lessons]


def test_the_progress_page_names_the_core_path_of_the_readme():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    left_out = re.findall(r"^\| (\d\d) \|", text, flags=re.M)
    page = (ROOT / "lessons" / "index.py").read_text(encoding="utf-8")
    said = re.search(r"core path: it leaves out lessons (.+)\.", page)[1]
    assert re.findall(r"\d\d", said) == left_out
