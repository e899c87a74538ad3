"""The rules that every lesson keeps; lessons/README.md gives their reasons."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from brokerlab import BrokerLabError
from brokerlab.exercises.course import describe
from nbformat import NotebookNode
from source import ELSEWHERE, EXERCISE_TAG, RELATIVE_LINK, Course, Lesson, exercises

CODE_CELLS = range(8, 16)
CELL_LINES = 12
WORDS = 1200
EXERCISES = 2
SECTIONS = (
    "What you'll do",
    "What you'll learn",
    "What you'll need",
    "In production",
    "What you learned",
    "Clean up",
)
IGNORED = "nbval-ignore-output"
TAGS = {"solution", "starter", IGNORED}
FORBIDDEN = {
    r"\bOutput\(": "nbval sees other text than a browser: use a BrokerLab widget, or print",
    r"\bclear_output\b": "nbval keeps every frame: show the result once, at the end",
    r"\bupdate_display\b": "nbval keeps the first frame: show the result once, at the end",
    r"\binput\(": "nobody answers when the notebook is tested: put the value into a variable",
}
FACT = re.compile(r"\bassert\b|\bprint\(|\.check\(|\.assert_passed\(|\brefused\(|^\s*!", re.M)
SUBSCRIBES = re.compile(r"\b(\w+)\.subscribe\(")
HEADING = r"^\W*(?:#+ |\*\*)\W*{}"


@dataclass(frozen=True)
class Finding:
    """A rule that is broken, where, and what to do."""

    lesson: Lesson
    line: int
    text: str

    def __str__(self) -> str:
        return f"lessons/{self.lesson.path.name}:{self.line}: {self.text}"


def lint(course: Course, lesson: Lesson) -> Iterator[Finding]:
    """Yield each rule that the lesson breaks."""
    cells = lesson.cells
    rules = [_long_cells, _forbidden, _members, _tags, _unstable]
    if not lesson.is_progress_page:
        rules += [_sizes, _exercises, _sections]
        yield from (Finding(lesson, 1, text) for text in _says_of_itself(lesson))
    for found in rules:
        for line, text in found(cells):
            yield Finding(lesson, line, text)
    for line, text in _links(cells, course):
        yield Finding(lesson, line, text)


Findings = Iterator[tuple[int, str]]


def _tagged(cell: NotebookNode) -> list[str]:
    return cell.metadata.get("tags", [])


def _code(cells: list[NotebookNode], without: str = "") -> list[NotebookNode]:
    return [cell for cell in cells if cell.cell_type == "code" and without not in _tagged(cell)]


def _prose(cells: list[NotebookNode]) -> list[NotebookNode]:
    return [
        cell for cell in cells if cell.cell_type == "markdown" and "solution" not in _tagged(cell)
    ]


def _sizes(cells: list[NotebookNode]) -> Findings:
    count = len(_code(cells, without="solution"))
    if count not in CODE_CELLS:
        yield (
            1,
            (
                f"{count} code cells for the learner, {CODE_CELLS[0]} to {CODE_CELLS[-1]} are "
                "allowed: split the lesson, or join cells that belong together."
            ),
        )
    words = sum(len(_readable(cell.source).split()) for cell in _prose(cells))
    if words >= WORDS:
        yield 1, f"{words} words of text, and fewer than {WORDS} are allowed: cut, or show it."


def _long_cells(cells: list[NotebookNode]) -> Findings:
    for cell in _code(cells):
        # The line that names a program is none of the program.
        code = cell.source.splitlines()
        lines = sum(1 for line in code if line.strip() and not line.startswith("%%program"))
        if lines > CELL_LINES:
            yield (
                cell.metadata.line,
                f"{lines} lines in a cell, and {CELL_LINES} are allowed: make two steps of it.",
            )


def _readable(markdown: str) -> str:
    """Return what is read: no link targets, no HTML tags."""
    return re.sub(r"<[^>]+>|\]\([^)]*\)", " ", markdown)


def _forbidden(cells: list[NotebookNode]) -> Findings:
    for cell in _code(cells):
        if cell.source.lstrip().startswith("%%"):
            continue
        lines = cell.source.splitlines()
        for offset, line in enumerate(lines):
            for pattern, reason in FORBIDDEN.items():
                if re.search(pattern, line):
                    yield cell.metadata.line + offset, f"{line.strip()!r}: {reason}."
        if lines and lines[-1].rstrip().endswith(";"):
            yield (
                cell.metadata.line + len(lines) - 1,
                "a ';' at the end of a cell hides nothing under nbval: assign the value to a name.",
            )


def _members(cells: list[NotebookNode]) -> Findings:
    for cell in _code(cells):
        if cell.source.lstrip().startswith("%%"):
            continue
        for name in sorted(set(SUBSCRIBES.findall(cell.source))):
            if not re.search(rf"^\s*with\b.*\bas {name}\b", cell.source, re.M):
                yield (
                    cell.metadata.line,
                    (
                        f"{name!r} stays in its group when this cell is interrupted, and whoever joins next waits "
                        f"for its session's end: write 'with Consumer(...) as {name}:'."
                    ),
                )


def _tags(cells: list[NotebookNode]) -> Findings:
    for cell in cells:
        for tag in _tagged(cell):
            if tag == "raises-exception":
                yield (
                    cell.metadata.line,
                    "raises-exception also passes when nothing is raised: demand the error with "
                    "`with brokerlab.refused(...)`.",
                )
            elif tag not in TAGS and not EXERCISE_TAG.match(tag):
                yield (
                    cell.metadata.line,
                    f"the tag {tag!r} is unknown: use {', '.join(sorted(TAGS))} or exercise-N.",
                )
        if exercises(cell) and "solution" not in _tagged(cell):
            yield cell.metadata.line, "exercise-N stands beside the tag solution: add it."


def _unstable(cells: list[NotebookNode]) -> Findings:
    seen = set()
    for left_out in ("solution", "starter"):
        code = _code(cells, without=left_out)
        for cell, following in zip(code, [*code[1:], None], strict=True):
            if IGNORED not in _tagged(cell) or re.search(r"\bassert\b", cell.source):
                continue
            stable = following is not None and IGNORED not in _tagged(following)
            if not (stable and FACT.search(following.source)):
                seen.add(cell.metadata.line)
    for line in sorted(seen):
        yield (
            line,
            (
                f"{IGNORED} leaves this cell untested: assert the stable fact in it, "
                "or print or assert it in the next code cell, without that tag."
            ),
        )


def _exercises(cells: list[NotebookNode]) -> Findings:
    numbers = sorted({int(number) for cell in cells for number in exercises(cell)})
    if len(numbers) < EXERCISES or numbers != list(range(1, len(numbers) + 1)):
        yield (
            1,
            (
                f"exercises with a solution: {numbers or 'none'}; at least {EXERCISES} are needed, "
                "numbered from 1: tag each solution cell with solution and exercise-N."
            ),
        )
    for number in numbers:
        for left_out, verb in (("solution", "check"), ("starter", "assert_passed")):
            call = re.compile(rf"\[{number}\]\.{verb}\(")
            if not any(call.search(cell.source) for cell in _code(cells, without=left_out)):
                whose = "learner's" if verb == "check" else "solutions"
                yield 1, f"no cell of the {whose} notebook calls q[{number}].{verb}(): add one."


def _says_of_itself(lesson: Lesson) -> Iterator[str]:
    """Yield what the progress page would miss."""
    try:
        describe(lesson.name, (cell.source for cell in _prose(lesson.cells)))
    except BrokerLabError as trouble:
        yield str(trouble)


def _sections(cells: list[NotebookNode]) -> Findings:
    prose = "\n".join(cell.source for cell in _prose(cells)).replace("’", "'")
    for section in SECTIONS:
        if not re.search(HEADING.format(section), prose, re.MULTILINE | re.IGNORECASE):
            yield 1, f"the section {section!r} is missing: add a heading or a bold line with it."


def _links(cells: list[NotebookNode], course: Course) -> Findings:
    for cell in cells:
        if cell.cell_type != "markdown":
            continue
        for offset, line in enumerate(cell.source.splitlines()):
            for _, target in RELATIVE_LINK.findall(line):
                path = target.partition("#")[0]
                if ELSEWHERE.match(target) or _resolves(course, path):
                    continue
                yield (
                    cell.metadata.line + offset,
                    f"the link {target!r} leads nowhere: write it as seen from notebooks/.",
                )


def _resolves(course: Course, path: str) -> bool:
    if path.endswith(".ipynb"):
        name = path.removeprefix("solutions/").removesuffix(".ipynb")
        return (course.lessons / f"{name}.py").exists()
    return (course.notebooks / path).exists()
