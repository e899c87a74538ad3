"""Turns lessons/NN_name.py into executed notebooks: the learner's and the one with the solutions.

python lessons/build.py            build every lesson
python lessons/build.py 04 05      build these
python lessons/build.py --check    are the committed notebooks what the lessons build to?
python lessons/build.py --lint     do the lessons keep the rules of lessons/README.md?
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import nbformat
from brokerlab import settings
from jgo.constants import MAVEN_CENTRAL_URL
from lint import lint
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError
from nbformat import NotebookNode
from source import Course, Lesson, LessonError

ROOT = Path(__file__).resolve().parent.parent
CELL_SECONDS = 90
LINGER = "3"
WIDGET_VIEW = "application/vnd.jupyter.widget-view+json"
HOSTS_OF_OURS = {"localhost", "127.0.0.1", "www.w3.org"}


def main(argv: list[str] | None = None, root: Path = ROOT) -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("lessons", nargs="*", help="the beginnings of names, for example 04")
    how = parser.add_mutually_exclusive_group()
    how.add_argument("--check", action="store_true", help="compare sources, execute nothing")
    how.add_argument("--lint", action="store_true", help="check the rules of lessons/README.md")
    asked = parser.parse_args(argv)
    course = Course(root)
    try:
        lessons = course.find(tuple(asked.lessons))
        if not lessons:
            raise LessonError(f"There is no lesson in {course.lessons}: write lessons/NN_name.py.")
        if asked.lint:
            findings = [str(finding) for lesson in lessons for finding in lint(course, lesson)]
        elif asked.check:
            findings = list(check(course, lessons))
        else:
            for lesson in [*lessons, *_progress_page(course, lessons)]:
                build(course, lesson)
            findings = []
    except LessonError as error:
        findings = [str(error)]
    for finding in findings:
        print(finding, file=sys.stderr)
    if (asked.check or asked.lint) and not findings:
        print(f"{len(lessons)} lessons: nothing to mend.")
    return 1 if findings else 0


def build(course: Course, lesson: Lesson) -> None:
    """Execute the notebooks of a lesson and write them with its solutions, or write nothing."""
    files = {}
    for solved in lesson.forms:
        path = course.path(lesson, solved)
        notebook = execute(lesson, solved, path.parent, course.root)
        files[path] = nbformat.writes(notebook) + "\n"
    if not lesson.is_progress_page:
        solutions = _read_solutions(course) | {lesson.name: lesson.solutions()}
        files[course.solutions] = _solutions_text(solutions)
    _replace_all(files)


def _progress_page(course: Course, built: list[Lesson]) -> list[Lesson]:
    """Return the progress page, which shows what was built, unless it was built as well."""
    pages = [lesson for lesson in course.find() if lesson.is_progress_page]
    return [page for page in pages if page not in built]


def check(course: Course, lessons: list[Lesson]) -> Iterator[str]:
    """Yield what is committed and is not what the lessons build to."""
    for lesson in lessons:
        again = f"run make notebooks ARGS={lesson.short_name}"
        for solved in lesson.forms:
            path = course.path(lesson, solved)
            where = path.relative_to(course.root)
            if not path.exists():
                yield f"{where} is missing: {again}."
                continue
            committed = nbformat.read(path, as_version=4)
            if _sources(committed) != _sources(lesson.notebook(solved)):
                yield f"{where} is not what lessons/{lesson.path.name} builds to: {again}."
            code = [cell for cell in committed.cells if cell.cell_type == "code"]
            if [cell.execution_count for cell in code] != list(range(1, len(code) + 1)):
                yield f"{where} was not executed from top to bottom: {again}."
        if lesson.is_progress_page:
            yield from _missing_on(course, lesson, again)
        elif _read_solutions(course).get(lesson.name) != lesson.solutions():
            yield f"{course.solutions.name} has other solutions than {lesson.path.name}: {again}."
    known = course.find()
    expected = {course.path(lesson, solved) for lesson in known for solved in lesson.forms}
    for path in sorted(course.notebooks.rglob("*.ipynb")):
        if path not in expected and ".ipynb_checkpoints" not in path.parts:
            yield f"{path.relative_to(course.root)} comes from no lesson: delete it."
    for name in sorted(_read_solutions(course).keys() - {lesson.name for lesson in known}):
        yield f"{course.solutions.name} has solutions of {name}, which is no lesson: delete them."


def _missing_on(course: Course, page: Lesson, again: str) -> Iterator[str]:
    """Yield the lessons that the committed progress page does not show."""
    shown = course.path(page, False)
    if not shown.exists():
        return
    text = shown.read_text(encoding="utf-8")
    for lesson in course.find():
        if not lesson.is_progress_page and f"{lesson.name}.ipynb" not in text:
            yield f"{shown.relative_to(course.root)} does not show {lesson.name}: {again}."


def execute(lesson: Lesson, solved: bool, folder: Path, root: Path) -> NotebookNode:
    """Run a notebook in a fresh BROKERLAB_HOME, as if it lay in `folder`; return it normalised.

    Raises
    ------
    LessonError
        A cell failed, took too long, or shows something of this machine.
    """
    notebook = lesson.notebook(solved)
    label = f"{lesson.name} ({'solutions' if solved else 'learner'})"
    home = Path(tempfile.mkdtemp(prefix="bl-"))
    environ = os.environ | {
        "BROKERLAB_HOME": str(home),
        "BROKERLAB_LINGER": LINGER,
        # Outputs must not depend on who else uses this machine.
        "BROKERLAB_AUTH": "off",
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}",
    }
    running, begun = 1, 0.0

    def starts(cell: NotebookNode, cell_index: int) -> None:
        nonlocal running, begun
        running, begun = cell_index + 1, time.monotonic()

    def ends(cell: NotebookNode, cell_index: int, execute_reply: dict) -> None:
        first_line = cell.source.partition("\n")[0][:60]
        print(f"  {label} cell {cell_index + 1}/{len(notebook.cells)} ", end="")
        print(f"{time.monotonic() - begun:5.1f} s  {first_line}", flush=True)

    folder.mkdir(parents=True, exist_ok=True)
    client = NotebookClient(
        notebook,
        timeout=CELL_SECONDS,
        kernel_name="python3",
        extra_arguments=["--Application.log_level=ERROR"],
        resources={"metadata": {"path": str(folder)}},
        store_widget_state=False,
        record_timing=False,
        on_cell_execute=starts,
        on_cell_executed=ends,
    )
    try:
        client.execute(env=environ)
    except (CellExecutionError, CellTimeoutError, DeadKernelError) as error:
        raise LessonError(_failure(label, running, notebook, error)) from None
    finally:
        _stop_labs(environ)
        shutil.rmtree(home, ignore_errors=True)
    normalise(notebook)
    refuse_leaks(label, notebook, root, home)
    return notebook


def normalise(notebook: NotebookNode) -> None:
    """Drop from an executed notebook what differs between two runs that did the same."""
    notebook.metadata.pop("widgets", None)
    notebook.metadata["language_info"] = {"name": "python"}
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    for count, cell in enumerate(code, 1):
        cell.execution_count = count
        cell.metadata.pop("execution", None)
        outputs: list[NotebookNode] = []
        for output in cell.outputs:
            if output.output_type == "execute_result":
                output.execution_count = count
            if "data" in output:
                output.data.pop(WIDGET_VIEW, None)
            last = outputs[-1] if outputs else None
            if output.output_type == "stream" and last and last.get("name") == output.name:
                last.text += output.text
            elif output.get("data", True):
                outputs.append(output)
        cell.outputs = outputs


def refuse_leaks(label: str, notebook: NotebookNode, root: Path, home: Path) -> None:
    """Raise LessonError when an output shows a path of this machine or an address elsewhere."""
    forbidden = {str(place) for place in _places(root, home)} | set(_hosts_of_this_machine())
    for index, cell in enumerate(notebook.cells, 1):
        text = json.dumps(cell.get("outputs", []), ensure_ascii=False)
        shown = [word for word in forbidden if word in text]
        hosts = {urlsplit(url).hostname for url in re.findall(r"https?://[^\s\"'<>\\)]+", text)}
        shown += sorted(str(host) for host in hosts - HOSTS_OF_OURS)
        if shown:
            raise LessonError(
                f"{label}: the output of cell {index} shows {', '.join(sorted(shown))}, which is "
                f"of this machine or elsewhere: let it print something else.\n{cell.source}"
            )


def _places(root: Path, home: Path) -> Iterator[Path]:
    for place in (root, Path(sys.prefix), Path.home(), home, settings.read().cache):
        if place != Path(place.anchor):
            yield from {place, place.resolve()}


def _hosts_of_this_machine() -> Iterator[str]:
    """Yield the registries' hosts: the known one, and those that this machine is told of."""
    for value in (MAVEN_CENTRAL_URL, *os.environ.values()):
        if value.startswith(("http://", "https://")):
            host = urlsplit(value).hostname
            if host and "." in host and host not in HOSTS_OF_OURS:
                yield host


def _failure(label: str, number: int, notebook: NotebookNode, error: Exception) -> str:
    what = str(error)
    if isinstance(error, CellTimeoutError):
        what = f"It took longer than {CELL_SECONDS} s."
    elif isinstance(error, CellExecutionError):
        what = f"{error.ename}: {error.evalue}"
    source = notebook.cells[number - 1].source
    return f"{label}: cell {number} failed; nothing was written.\n{source}\n{what}"


def _stop_labs(environ: dict[str, str]) -> None:
    command = [sys.executable, "-m", "brokerlab.cli", "stop", "--all"]
    stopped = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=60)
    if stopped.returncode:
        print(
            f"  brokerlab stop --all: {stopped.stderr.strip().splitlines()[-1:]}", file=sys.stderr
        )


def _sources(notebook: NotebookNode) -> list:
    cells = [(c.cell_type, c.id, c.source, c.metadata.get("tags", [])) for c in notebook.cells]
    return [notebook.metadata, *cells]


def _read_solutions(course: Course) -> dict[str, dict[str, str]]:
    path = course.solutions
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}


def _solutions_text(solutions: dict[str, dict[str, str]]) -> str:
    return json.dumps(solutions, indent=1, sort_keys=True, ensure_ascii=False) + "\n"


def _replace_all(files: dict[Path, str]) -> None:
    """Write every file beside its place, then move all of them in."""
    staged = {}
    try:
        for path, text in files.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            staged[path] = path.with_name(f".{path.name}.new")
            staged[path].write_text(text, encoding="utf-8")
        for path, new in staged.items():
            new.replace(path)
    finally:
        for new in staged.values():
            new.unlink(missing_ok=True)


if __name__ == "__main__":
    sys.exit(main())
