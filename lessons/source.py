"""Reads a lesson's source and derives its two notebooks from it, not yet executed."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import jupytext
import nbformat
from nbformat import NotebookNode

CELL_MARKER = re.compile(r"^# %%(\s|$)")
NUMBERED = "[0-9][0-9]_*.py"
PROGRESS_PAGE = "index"
EXERCISE_TAG = re.compile(r"^exercise-(\d+)$")
RELATIVE_LINK = re.compile(r"(\]\(\s*|<img\b[^>]*?\bsrc=[\"']|<a\b[^>]*?\bhref=[\"'])([^)\s\"'>]+)")
ELSEWHERE = re.compile(r"^([a-z][a-z0-9+.-]*:|#|/)")
METADATA = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}


class LessonError(Exception):
    """Something in a lesson that its author must mend; the sentence says where and how."""


@dataclass(frozen=True)
class Course:
    """Where the lessons are and where their notebooks go."""

    root: Path

    @property
    def lessons(self) -> Path:
        return self.root / "lessons"

    @property
    def notebooks(self) -> Path:
        return self.root / "notebooks"

    @property
    def solutions(self) -> Path:
        """The text of `solution()`, in the package."""
        return self.root / "helpers" / "brokerlab" / "exercises" / "solutions.json"

    def find(self, wanted: tuple[str, ...] = ()) -> list[Lesson]:
        """Return the lessons in order, then the progress page; with `wanted`, those whose names begin so."""
        paths = [*sorted(self.lessons.glob(NUMBERED)), *self.lessons.glob(f"{PROGRESS_PAGE}.py")]
        found = [Lesson(path) for path in paths]
        for start in wanted:
            if not any(lesson.name.startswith(start) for lesson in found):
                names = ", ".join(lesson.name for lesson in found) or "none yet"
                raise LessonError(f"No lesson begins with {start!r}: there are {names}.")
        return [one for one in found if not wanted or one.name.startswith(wanted)]

    def path(self, lesson: Lesson, solved: bool) -> Path:
        folder = self.notebooks / "solutions" if solved else self.notebooks
        return folder / f"{lesson.name}.ipynb"


@dataclass(frozen=True)
class Lesson:
    """One ``NN_name.py``."""

    path: Path

    @property
    def name(self) -> str:
        return self.path.stem

    @property
    def is_progress_page(self) -> bool:
        return self.name == PROGRESS_PAGE

    @property
    def short_name(self) -> str:
        """What the builder is told to build it."""
        return self.name.partition("_")[0]

    @property
    def forms(self) -> tuple[bool, ...]:
        """Whether each of its notebooks has the solutions."""
        return (False,) if self.is_progress_page else (False, True)

    @cached_property
    def cells(self) -> list[NotebookNode]:
        """Every cell, starters and solutions both; ``cell.metadata.line`` is its first line."""
        text = self.path.read_text(encoding="utf-8")
        cells = jupytext.reads(text, fmt="py:percent").cells
        lines = text.splitlines()
        markers = [n for n, line in enumerate(lines, 1) if CELL_MARKER.match(line)]
        if len(markers) != len(cells):
            raise LessonError(
                f"lessons/{self.path.name}:1: {len(cells)} cells under {len(markers)} lines of "
                "'# %%': begin the file, and every cell, with such a line."
            )
        for cell, line in zip(cells, markers, strict=True):
            cell.metadata["line"] = line + 1
            cell.source = _uncommented(cell.source)
        return cells

    def notebook(self, solved: bool) -> NotebookNode:
        """Derive the learner's notebook, or with `solved` the one with the solutions."""
        left_out = "starter" if solved else "solution"
        notebook = nbformat.v4.new_notebook(metadata=METADATA, nbformat_minor=5)
        slug = re.sub(r"[^a-zA-Z0-9-]", "-", self.name)[:56]
        for cell in self.cells:
            tags = cell.metadata.get("tags", [])
            if left_out in tags:
                continue
            source = cell.source
            if solved and cell.cell_type == "markdown":
                source = RELATIVE_LINK.sub(_one_folder_deeper, source)
            new = getattr(nbformat.v4, f"new_{cell.cell_type}_cell")(source)
            new.id = f"{slug}-{len(notebook.cells) + 1:02}"
            new.metadata = NotebookNode({"tags": tags} if tags else {})
            notebook.cells.append(new)
        return notebook

    def solutions(self) -> dict[str, str]:
        """Return the code of each exercise's solution, by the exercise's number."""
        found: dict[str, list[str]] = {}
        for cell in self.cells:
            if cell.cell_type == "code" and "solution" in cell.metadata.get("tags", []):
                for number in exercises(cell):
                    found.setdefault(number, []).append(cell.source)
        return {number: "\n\n".join(parts) for number, parts in sorted(found.items())}


def _uncommented(source: str) -> str:
    """Return a ``%%program`` cell as it is run: jupytext brings back the code of magics that it knows only."""
    first, *rest = source.split("\n")
    if not first.startswith("%%program ") or not all(line.startswith("#") for line in rest):
        return source
    return "\n".join([first, *(re.sub("^# ?", "", line) for line in rest)])


def exercises(cell: NotebookNode) -> list[str]:
    """Return the numbers of the exercises that a cell is tagged with."""
    matches = (EXERCISE_TAG.match(tag) for tag in cell.metadata.get("tags", []))
    return [match[1] for match in matches if match]


def _one_folder_deeper(match: re.Match[str]) -> str:
    before, target = match.groups()
    is_lesson = re.match(r"\d\d_\w+\.ipynb", target)
    return match[0] if ELSEWHERE.match(target) or is_lesson else f"{before}../{target}"
