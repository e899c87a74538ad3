"""Whatever names a lesson names one that README's table has, and README's hours are those of its rows.

That the table says what the lessons say of themselves is tested where they are read (exercises/test_course.py).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import nbformat
import pytest
from pages import ROOT, pages, prose, without_code

ROW = re.compile(r"^\| (\d\d)( ★)? \| [^|]+ \| (\d+) \|", re.M)
HOURS = re.compile(r"about (\d*½?) hours of the (\d*½?)")
NAMED = re.compile(r"\blessons? (\d+(?:(?:, | and |–| to )\d+)*)\b", re.I)
NUMBERED_LINK = re.compile(r"\[(\d\d)\]\((?:[^)]*/)?([^)/]+)\.ipynb")


def readme(root: Path) -> str:
    return (root / "README.md").read_text(encoding="utf-8")


def unknown_names(root: Path) -> Iterator[str]:
    """Yield each lesson that a page names and README's table has not, and each link to another than it says."""
    planned = {number for number, *_ in ROW.findall(readme(root))}
    for page in pages(root):
        where, text = page.relative_to(root), prose(page)
        for match in NAMED.finditer(without_code(text)):
            for number in set(re.findall(r"\d+", match[1])) - planned:
                yield f"{where}: {match[0]!r}: there is no lesson {number}"
        for number, target in NUMBERED_LINK.findall(text):
            if not target.startswith(f"{number}_"):
                yield f"{where}: [{number}] leads to {target}"


def hours(root: Path) -> tuple[list[float], list[float]]:
    """Return what README says of the core path and of all, and what its rows add up to, in half hours."""
    said = HOURS.search(readme(root))
    rows = ROW.findall(readme(root))
    core = sum(int(minutes) for _, star, minutes in rows if star)
    every = sum(int(minutes) for *_, minutes in rows)
    words = [float(text.replace("½", ".5")) for text in said.groups()]
    return words, [round(minutes / 30) / 2 for minutes in (core, every)]


def test_every_lesson_that_is_named_is_planned():
    assert len(ROW.findall(readme(ROOT))) == 16
    assert list(unknown_names(ROOT)) == []


def test_the_hours_are_those_of_the_rows():
    said, added_up = hours(ROOT)
    assert said == added_up


README = """\
★ is the core path, about ½ hours of the 1.

| 01 ★ | [Start](notebooks/01_start.ipynb) | 20 | start |
| 02 | Later | 40 | *to come* |
"""
LESSON = "# 01 · Start\n\n20 minutes, lesson 02, [02](02_later.ipynb)"


@pytest.fixture
def project(tmp_path):
    def write(old: str = "", new: str = "") -> Path:
        assert old in README + LESSON
        said, lesson = (text.replace(old, new) if old else text for text in (README, LESSON))
        (tmp_path / "README.md").write_text(said, encoding="utf-8")
        notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_markdown_cell(lesson)])
        nbformat.write(notebook, tmp_path / "01_start.ipynb")
        return tmp_path

    return write


def test_a_project_that_agrees_has_nothing_to_say(project):
    assert list(unknown_names(project())) == []
    assert hours(project()) == ([0.5, 1], [0.5, 1])


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("lesson 02", "lessons 02 and 07", "there is no lesson 07"),
        ("lesson 02", "lesson 2", "there is no lesson 2"),
        ("[02](02", "[01](02", "[01] leads to 02_later"),
    ],
)
def test_a_planted_name_is_found(project, old, new, said):
    assert said in "\n".join(unknown_names(project(old, new)))


@pytest.mark.parametrize(("old", "new"), [("| 40 |", "| 90 |"), ("01 ★", "01"), ("½", "1½")])
def test_planted_minutes_are_found(project, old, new):
    said, added_up = hours(project(old, new))
    assert said != added_up
