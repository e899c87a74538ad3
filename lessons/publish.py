"""Builds the lessons as pages to read, with their outputs and still pictures; they need no network and no program.

python lessons/publish.py             build site/
python lessons/publish.py --to DIR    build it elsewhere
"""

from __future__ import annotations

import argparse
import html
import os
import re
import shutil
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import unquote

import diagrams
import nbformat
from brokerlab import BrokerLabError
from brokerlab.exercises.course import Lesson, describe
from jupyterlab_pygments import JupyterStyle
from nbconvert import HTMLExporter
from nbformat import NotebookNode
from pygments.formatters import HtmlFormatter
from source import ELSEWHERE, RELATIVE_LINK, Course, LessonError

ROOT = Path(__file__).resolve().parent.parent
TEMPLATE = Path(__file__).resolve().parent / "page"
LESSON = re.compile(r"\d\d_\w+")
BESIDE = ("docs/glossary.md", "docs/misconceptions.md")
"""Documents that are pages of the site, if they exist; others are when a page links to them."""

SVG = "image/svg+xml"
HEADING_ID = re.compile(r'(?<=<h\d id=")[^"]*|(?<=class="anchor-link" href="#)[^"]*')
ALT = re.compile(r'<svg\b[^>]*\saria-label="([^"]*)"')


def main(argv: list[str] | None = None, root: Path = ROOT) -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--to", type=Path, default=root / "site", help="default: site/")
    target = parser.parse_args(argv).to.absolute()
    try:
        count = build(root, target)
    except (LessonError, BrokerLabError, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    print(f"{count} pages: open {os.path.relpath(target / 'index.html')} in a browser.")
    return 0


def build(root: Path, target: Path) -> int:
    """Build the whole site beside its place, then move it there; return how many pages it has.

    Raises
    ------
    LessonError
        There is no notebook, a link leads nowhere, or `target` is a folder of something else.
    """
    if target.is_file() or (_holds_something(target) and not (target / "page.css").exists()):
        raise LessonError(f"{target} holds something else than a site: choose another folder.")
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".site-", dir=target.parent) as draft:
        site = Site(root, Path(draft) / "site")
        site.build()
        shutil.rmtree(target, ignore_errors=True)
        site.folder.rename(target)
    return len(site.built)


def _as_github(found: re.Match[str]) -> str:
    """Return a heading's anchor as GitHub has it, where documents are read; JupyterLab's are others."""
    return re.sub(r"[^\w-]", "", unquote(html.unescape(found[0])).lower())


def _holds_something(folder: Path) -> bool:
    return folder.is_dir() and any(folder.iterdir())


@dataclass
class Site:
    """A site under construction: pages are built until none is linked to that has not been.

    Attributes
    ----------
    root : pathlib.Path
        The repository.
    folder : pathlib.Path
        Where the site goes; must not exist.
    built : dict of pathlib.Path to str
        The pages by what they were made from, with their place in the site.
    """

    root: Path
    folder: Path
    built: dict[Path, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.course = Course(self.root)
        self.lessons = self._lessons()
        self.start = self.course.notebooks / "index.ipynb"
        self.exporter = HTMLExporter(
            template_name=TEMPLATE.name,
            extra_template_basedirs=[str(TEMPLATE.parent)],
            exclude_input_prompt=True,
            exclude_output_prompt=True,
        )

    def build(self) -> None:
        self.folder.mkdir(parents=True)
        css = HtmlFormatter(style=JupyterStyle).get_style_defs(".highlight")
        css = f"{css}\n{(TEMPLATE / 'page.css').read_text(encoding='utf-8')}"
        self._write("page.css", css)
        for notebook in self.lessons:
            self._page(notebook)
            solved = self._solved(notebook)
            if solved.exists():
                self._page(solved)
        self._page(self.start)

    def _lessons(self) -> dict[Path, Lesson]:
        found = {}
        for path in sorted(self.course.notebooks.glob("*.ipynb")):
            if LESSON.fullmatch(path.stem):
                cells = nbformat.read(path, as_version=4).cells
                texts = [cell.source for cell in cells if cell.cell_type == "markdown"]
                found[path] = describe(path.stem, texts)
        if not found:
            raise LessonError(
                f"There is no lesson in {self.course.notebooks}: run make notebooks first."
            )
        return found

    def _solved(self, notebook: Path) -> Path:
        return self.course.notebooks / "solutions" / notebook.name

    def _page(self, source: Path) -> str:
        """Build the page of a notebook or a document unless that is done; return its place in the site."""
        if source in self.built:
            return self.built[source]
        place = self._place(source)
        self.built[source] = place
        notebook = self._read(source)
        for cell in notebook.cells:
            if cell.cell_type == "markdown":
                cell.source = self._markdown(cell.source, source)
            for output in cell.get("outputs", []):
                if alt := ALT.search(output.get("data", {}).get(SVG, "")):
                    output.metadata["alt"] = html.unescape(alt[1])
        notebook.metadata["language_info"] = {"name": "python", "pygments_lexer": "ipython3"}
        page = {"root": "../" * place.count("/"), "title": "BrokerLab", **self._around(source)}
        text, _ = self.exporter.from_notebook_node(notebook, {"page": page})
        self._write(place, HEADING_ID.sub(_as_github, text) if source.suffix == ".md" else text)
        return place

    def _place(self, source: Path) -> str:
        notebooks = self.course.notebooks
        base = notebooks if source.is_relative_to(notebooks) else self.root
        return source.relative_to(base).with_suffix(".html").as_posix()

    def _read(self, source: Path) -> NotebookNode:
        if source == self.start:
            text = self._contents()
        elif source.suffix == ".md":
            text = source.read_text(encoding="utf-8")
        else:
            return nbformat.read(source, as_version=4)
        return nbformat.v4.new_notebook(cells=[nbformat.v4.new_markdown_cell(text)])

    def _contents(self) -> str:
        parts = [
            "# BrokerLab",
            "A course in message queuing that runs: notebooks over a real ZooKeeper and a real Kafka cluster. "
            "These are its lessons to read, with what they printed and showed when they ran. To start, break and "
            "repair the cluster yourself, run the notebooks.",
        ]
        for notebook, lesson in self.lessons.items():
            parts.append(f"## [{lesson.number:02} · {lesson.title}]({notebook.name})")
            parts.append(f"{lesson.question} *{lesson.minutes}\u00a0minutes*")
        beside = [self.root / name for name in BESIDE if (self.root / name).exists()]
        if beside:
            parts.append("## Beside the lessons")
        for document in beside:
            title = document.read_text(encoding="utf-8").partition("\n")[0].lstrip("# ")
            parts.append(f"[{title}]({os.path.relpath(document, self.start.parent)})")
        return "\n\n".join(parts)

    def _around(self, source: Path) -> dict[str, object]:
        """Return the title of a page, and the pages before and after it and its twin."""
        learner = self.course.notebooks / source.name
        if learner not in self.lessons or source.suffix != ".ipynb":
            return {}
        order = list(self.lessons)
        here = order.index(learner)
        solved = source != learner
        sides = {
            "before": order[here - 1] if here else None,
            "after": order[here + 1] if here + 1 < len(order) else None,
        }
        around: dict[str, object] = {"title": f"{self._title(learner)} · BrokerLab"}
        for side, other in sides.items():
            if other:
                page = self._solved(other) if solved else other
                around[side] = {"href": f"{page.stem}.html", "title": self._title(other)}
        twin = learner if solved else self._solved(learner)
        if twin.exists():
            href = os.path.relpath(self._place(twin), Path(self._place(source)).parent)
            words = "without the solutions" if solved else "with the solutions"
            around["twin"] = {"href": href, "title": words}
        return around

    def _title(self, notebook: Path) -> str:
        lesson = self.lessons[notebook]
        return f"{lesson.number:02} · {lesson.title}"

    def _markdown(self, text: str, source: Path) -> str:
        """Return the text with its diagrams drawn and its links to where the pages are."""
        up = "../" * self._place(source).count("/")

        def drawn(fence: re.Match[str]) -> str:
            diagram = diagrams.draw(fence[1])
            for name, svg in diagram.files.items():
                self._write(f"diagrams/{name}", svg)
            return diagram.to_html(f"{up}diagrams/")

        def linked(link: re.Match[str]) -> str:
            before, target = link.groups()
            if ELSEWHERE.match(target):
                return link[0]
            path, mark, anchor = target.partition("#")
            return f"{before}{up}{self._target(source, path)}{mark}{anchor}"

        return diagrams.FENCE.sub(drawn, RELATIVE_LINK.sub(linked, text))

    def _target(self, source: Path, path: str) -> str:
        """Return the place in the site of what `source` links to, and put it there."""
        found = (source.parent / path).resolve()
        if found.is_dir():
            found = found / "README.md"
        if not found.is_file() or not found.is_relative_to(self.root.resolve()):
            where = source.relative_to(self.root)
            raise LessonError(f"{where} links to {path}, which is no file of the repository.")
        found = self.root / found.relative_to(self.root.resolve())
        if found.suffix in (".ipynb", ".md"):
            return self._page(found)
        place = f"assets/{found.relative_to(self.root).as_posix()}"
        (self.folder / place).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(found, self.folder / place)
        return place

    def _write(self, place: str, text: str) -> None:
        path = self.folder / place
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
