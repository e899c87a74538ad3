"""The learner's progress page: the lessons in a folder, and what has passed on this machine.

A lesson's title, question and minutes are read from its own text, so there is no list to keep up.
"""

from __future__ import annotations

import html
import json
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from brokerlab.errors import BrokerLabError
from brokerlab.exercises import engine, passes
from brokerlab.exercises.cards import inline

_TITLE = re.compile(r"# (\d\d) · (.+)")
_QUESTION = re.compile(r"^\*\*([^*]+\?)\*\*$", re.M)
_MINUTES = re.compile(r"What you.ll need\W+(\d+) minutes")
_DONE, _NEXT, _OPEN = "✓", "→", "·"


@dataclass(frozen=True)
class Lesson:
    """What a lesson says of itself.

    Attributes
    ----------
    name : str
        The notebook's name without its ending, for example ``"04_topics"``.
    number : int
        From 1.
    title, question : str
        In Markdown.
    minutes : int
        How long it takes.
    """

    name: str
    number: int
    title: str
    question: str
    minutes: int


def describe(name: str, texts: Iterable[str]) -> Lesson:
    """Read what a lesson says of itself.

    Parameters
    ----------
    name : str
        The notebook's name without its ending.
    texts : iterable of str
        The sources of its Markdown cells.

    Raises
    ------
    BrokerLabError
        Something is not said; the sentence tells how to say it.
    """
    text = "\n\n".join(texts)
    title, question, minutes = _TITLE.match(text), _QUESTION.search(text), _MINUTES.search(text)
    if title is None or title[1] != name[:2]:
        raise BrokerLabError(f"{name} has no title: begin it with '# {name[:2]} · Title'.")
    if question is None:
        raise BrokerLabError(f"{name} asks nothing: give it a line '**A question?**' in bold.")
    if minutes is None:
        raise BrokerLabError(f"{name} has no minutes: begin What you'll need with 'NN minutes'.")
    asked = " ".join(question[1].split())
    return Lesson(name, int(title[1]), title[2], asked, int(minutes[1]))


@dataclass(frozen=True, repr=False)
class Course:
    """The lessons of a folder with what has passed; shows itself as a page.

    Attributes
    ----------
    folder : pathlib.Path
        Where the notebooks are.
    lessons : tuple of Lesson
        In order.
    exercises : dict of str to tuple of str
        What the exercises of each lesson are called, by the lesson's name.
    passed : dict of (str, int) to datetime.datetime
        When each exercise first passed, by the lesson's name and the exercise's number.
    problem : str
        A sentence when a lesson or the record of what has passed could not be read, else empty.
    """

    folder: Path
    lessons: tuple[Lesson, ...]
    exercises: Mapping[str, Sequence[str]]
    passed: Mapping[tuple[str, int], datetime]
    problem: str = ""

    @property
    def minutes(self) -> int:
        """How long all lessons take."""
        return sum(lesson.minutes for lesson in self.lessons)

    def done(self, lesson: Lesson) -> bool:
        """Whether every exercise of a lesson has passed."""
        return all(when for _, when in self._exercises(lesson))

    @property
    def next(self) -> Lesson | None:
        """The lesson to do next: the open one that was last worked on, or the first open one after it.

        None when every lesson is done.
        """
        latest = max(self._passed_here(), key=self._passed_here().__getitem__, default=("", 0))[0]
        names = [lesson.name for lesson in self.lessons]
        here = names.index(latest) if latest else 0
        in_order = [*self.lessons[here:], *self.lessons[:here]]
        return next((lesson for lesson in in_order if not self.done(lesson)), None)

    def _passed_here(self) -> dict[tuple[str, int], datetime]:
        """Return what has passed of the exercises that these lessons have."""
        return {
            (lesson.name, number): self.passed[lesson.name, number]
            for lesson in self.lessons
            for number, _ in enumerate(self.exercises[lesson.name], 1)
            if (lesson.name, number) in self.passed
        }

    def _exercises(self, lesson: Lesson) -> list[tuple[str, datetime | None]]:
        titles = enumerate(self.exercises[lesson.name], 1)
        return [(title, self.passed.get((lesson.name, number))) for number, title in titles]

    def _heading(self) -> str:
        done = sum(self.done(lesson) for lesson in self.lessons)
        exercises = sum(len(self.exercises[lesson.name]) for lesson in self.lessons)
        return (
            f"{done} of {len(self.lessons)} lessons done, {len(self._passed_here())} of {exercises} exercises "
            "passed on this machine"
        )

    def _mark(self, lesson: Lesson) -> tuple[str, str]:
        """Return the mark of a lesson and what it means."""
        if self.done(lesson):
            return _DONE, "done"
        return (_NEXT, "next") if lesson == self.next else (_OPEN, "")

    def __repr__(self) -> str:
        lines = [self._heading(), *([self.problem] if self.problem else [])]
        for lesson in self.lessons:
            mark, state = self._mark(lesson)
            said = f", {state}" if state else ""
            lines += [
                f"{mark} {lesson.number:02} {lesson.title} ({lesson.minutes} minutes{said})",
                f"     {lesson.question}",
                *(f"     {_passed(title, when)}" for title, when in self._exercises(lesson)),
            ]
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        rows = "".join(self._row(lesson) for lesson in self.lessons)
        problem = f"<div><strong>{html.escape(self.problem)}</strong></div>" if self.problem else ""
        return (
            '<div style="max-width:60em;line-height:1.45;color:var(--jp-ui-font-color1, inherit)">'
            f"<div><strong>{self._heading()}</strong></div>{problem}{rows}</div>"
        )

    def _row(self, lesson: Lesson) -> str:
        mark, state = self._mark(lesson)
        bar = {_DONE: _GOOD, _NEXT: _HERE}.get(mark, _PLAIN)
        address = os.path.relpath(self.folder / f"{lesson.name}.ipynb")
        exercises = "".join(
            f'<div style="opacity:.85">{inline(_passed(title, when))}</div>'
            for title, when in self._exercises(lesson)
        )
        return (
            f'<div style="display:flex;gap:.8em;border-left:4px solid {bar};padding:.4em .9em;margin:.5em 0;'
            'background:var(--jp-layout-color2, transparent)">'
            f'<div style="flex:none;width:1em;font-weight:700">{mark}</div><div>'
            f'<a href="{html.escape(address)}"><strong>{lesson.number:02} · {inline(lesson.title)}</strong></a>'
            f" · {lesson.minutes} minutes{f' · <strong>{state}</strong>' if state else ''}"
            f"<div>{inline(lesson.question)}</div>{exercises}</div></div>"
        )


_GOOD = "var(--jp-success-color1, #388e3c)"
_HERE = "var(--jp-brand-color1, #1976d2)"
_PLAIN = "var(--jp-border-color1, #9e9e9e)"


def course(folder: str | os.PathLike[str] = ".") -> Course:
    """Look at the lessons of a folder, and at what has passed on this machine.

    Parameters
    ----------
    folder : path
        Where the notebooks are; by default the one that the kernel works in.

    Raises
    ------
    BrokerLabError
        There is no lesson in this folder.
    """
    place = Path(folder).absolute()
    lessons, problems = [], []
    for name in engine.lessons():
        notebook = place / f"{name}.ipynb"
        if notebook.exists():
            try:
                lessons.append(describe(name, _texts(notebook)))
            except BrokerLabError as trouble:
                problems.append(str(trouble))
    if not lessons:
        raise BrokerLabError(
            f"There is no lesson in {place}: give the folder of the notebooks, brokerlab.course('path/to/notebooks')."
        )
    exercises = {
        lesson.name: tuple(question.heading for question in engine.load(lesson.name, None))
        for lesson in lessons
    }
    seen = passes.read()
    problems += [seen.problem] if seen.problem else []
    return Course(place, tuple(lessons), exercises, seen.times, " ".join(problems))


def _texts(notebook: Path) -> list[str]:
    """Return the sources of a notebook's Markdown cells."""
    try:
        cells: list[dict[str, Any]] = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
        return ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown"]
    except (OSError, ValueError, KeyError, TypeError):
        raise BrokerLabError(
            f"{notebook.name} cannot be read: bring it back with git checkout -- {notebook.name}."
        ) from None


def _passed(title: str, when: datetime | None) -> str:
    if when is None:
        return f"{_OPEN} {title}"
    local = when.astimezone()
    return f"{_DONE} {title}: passed on {local.day} {local:%B %Y, %H:%M}"
