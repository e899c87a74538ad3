"""README's table and the lessons agree: numbers, titles, minutes; and whatever names a lesson names one of them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import nbformat
import pytest
from pages import ROOT, pages, prose, without_code

ROW = re.compile(r"^\| (\d\d)( ★)? \| ([^|]+) \| (\d+) \| ([^|]+) \|$", re.M)
NAMED = re.compile(r"\blessons? (\d+(?:(?:, | and |–| to )\d+)*)\b", re.I)
NEEDED = re.compile(r"What you['’]ll need\W+(?:About )?(\d+) minutes", re.I)
TITLE = re.compile(r"^# (\d\d) · (.+)$", re.M)
HOURS = re.compile(r"about ([\d½]+) hours of the ([\d½]+)")


@dataclass(frozen=True)
class Row:
    """A lesson, as README's table has it; `notebook` is empty while it is to come."""

    number: str
    core: bool
    title: str
    notebook: str
    minutes: int


def table(root: Path) -> dict[str, Row]:
    text = (root / "README.md").read_text(encoding="utf-8")
    rows = {}
    for number, star, cell, minutes, _ in ROW.findall(text):
        link = re.fullmatch(r"\[(.+)\]\((.+)\)", cell)
        title, notebook = link.groups() if link else (cell, "")
        rows[number] = Row(number, bool(star), title, notebook, int(minutes))
    return rows


def disagreements(root: Path) -> Iterator[str]:
    """Yield what README's table and the notebooks say differently."""
    rows = table(root)
    yield from _sums(root, rows)
    there = {path.name[:2]: path for path in (root / "notebooks").glob("[0-9][0-9]_*.ipynb")}
    for number, row in rows.items():
        notebook = there.pop(number, None)
        expected = f"notebooks/{notebook.name}" if notebook else ""
        if row.notebook != expected:
            yield f"README links lesson {number} to {row.notebook!r}, which is {expected!r}"
        elif notebook:
            yield from _differences(row, prose(notebook))
    for number in there:
        yield f"README has no row for lesson {number}"


def _differences(row: Row, text: str) -> Iterator[str]:
    title = TITLE.search(text)
    if title is None or title.groups() != (row.number, row.title):
        yield f"lesson {row.number} is not called {row.title!r} as in README"
    needed = NEEDED.search(text)
    if needed is None or int(needed[1]) != row.minutes:
        said = needed[1] if needed else "no"
        yield f"lesson {row.number} says {said} minutes and README {row.minutes}"


def _sums(root: Path, rows: dict[str, Row]) -> Iterator[str]:
    said = HOURS.search((root / "README.md").read_text(encoding="utf-8"))
    core = sum(row.minutes for row in rows.values() if row.core)
    every = sum(row.minutes for row in rows.values())
    if said is None or [_minutes(hours) for hours in said.groups()] != [
        _rounded(core),
        _rounded(every),
    ]:
        yield f"README's hours are not those of its rows: {core} minutes of {every}"


def _minutes(hours: str) -> int:
    return 60 * int(hours.rstrip("½") or 0) + (30 if hours.endswith("½") else 0)


def _rounded(minutes: int) -> int:
    return 30 * round(minutes / 30)


def unknown_names(root: Path) -> Iterator[str]:
    """Yield each lesson that a page or a link's text names and README's table has not."""
    rows = table(root)
    for page in pages(root):
        text = prose(page)
        for match in NAMED.finditer(without_code(text)):
            for number in re.findall(r"\d+", match[1]):
                if number not in rows:
                    yield f"{page.relative_to(root)}: {match[0]!r}: there is no lesson {number}"
        for number, target in re.findall(r"\[(\d\d)\]\((?:[^)]*/)?([^)/]+\.ipynb)", text):
            if not target.startswith(f"{number}_"):
                yield f"{page.relative_to(root)}: [{number}] leads to {target}"


def test_readme_and_lessons_agree():
    assert len(table(ROOT)) == 16
    assert list(disagreements(ROOT)) == []


def test_every_lesson_that_is_named_is_planned():
    assert list(unknown_names(ROOT)) == []


README = """\
★ is the core path, about ½ hours of the 1.

| 01 ★ | [Start](notebooks/01_start.ipynb) | 20 | start |
| 02 | Later | 40 | *to come* |
"""
LESSON = "# 01 · Start\n\n### What you'll need\n20 minutes, lesson 02, [02](02_later.ipynb)"


@pytest.fixture
def project(tmp_path):
    (tmp_path / "notebooks").mkdir()

    def write(old: str = "", new: str = "") -> Path:
        assert old in README + LESSON
        readme, lesson = (text.replace(old, new) if old else text for text in (README, LESSON))
        (tmp_path / "README.md").write_text(readme, encoding="utf-8")
        cells = [nbformat.v4.new_markdown_cell(lesson)]
        notebook = nbformat.v4.new_notebook(cells=cells)
        nbformat.write(notebook, tmp_path / "notebooks/01_start.ipynb")
        return tmp_path

    return write


def test_a_project_that_agrees_has_nothing_to_say(project):
    assert [*disagreements(project()), *unknown_names(project())] == []


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("| 20 |", "| 25 |", "lesson 01 says 20 minutes and README 25"),
        ("need\n20 minutes", "need\nTime", "lesson 01 says no minutes and README 20"),
        ("[Start]", "[Begin]", "lesson 01 is not called 'Begin' as in README"),
        ("01 · Start", "03 · Start", "lesson 01 is not called 'Start' as in README"),
        ("01_start.ipynb)", "01_begin.ipynb)", "README links lesson 01 to"),
        ("| Later |", "| [Later](notebooks/02_later.ipynb) |", "README links lesson 02 to"),
        ("| 01 ★ |", "| 03 ★ |", "README has no row for lesson 01"),
        ("| 40 |", "| 90 |", "README's hours are not those of its rows: 20 minutes of 110"),
        ("lesson 02", "lessons 02 and 07", "there is no lesson 07"),
        ("lesson 02", "lesson 2", "there is no lesson 2"),
        ("[02](02", "[01](02", "[01] leads to 02_later.ipynb"),
    ],
)
def test_a_planted_disagreement_is_named(project, old, new, said):
    root = project(old, new)
    assert said in "\n".join([*disagreements(root), *unknown_names(root)])
