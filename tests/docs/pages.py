"""What people read here: the Markdown files and the notebooks, with their headings and links."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

import nbformat
from source import ELSEWHERE, RELATIVE_LINK

ROOT = Path(__file__).resolve().parents[2]
NOT_OURS = {"artifacts", "build", "dist", "node_modules", "site"}

FENCED = re.compile(r"^ *(`{3,}|~{3,}).*?^ *\1", re.M | re.S)
INLINE_CODE = re.compile(r"(`+)(?!`).*?(?<!`)\1(?!`)", re.S)
HEADING = re.compile(r"^#{1,6} +(.+?) *#* *$", re.M)


def pages(root: Path = ROOT) -> list[Path]:
    """Return every Markdown file and notebook that is part of the project."""
    found: list[Path] = []
    for folder, inner, files in os.walk(root):
        inner[:] = [n for n in inner if n not in NOT_OURS and (n[0] != "." or n == ".github")]
        found += [Path(folder, name) for name in files if name.endswith((".md", ".ipynb"))]
    return sorted(found)


def prose(page: Path) -> str:
    """Return the Markdown of a page; of a notebook, that of all its text cells."""
    if page.suffix == ".md":
        return page.read_text(encoding="utf-8")
    cells = nbformat.read(page, as_version=4).cells
    return "\n\n".join(cell.source for cell in cells if cell.cell_type == "markdown")


def without_code(markdown: str) -> str:
    return INLINE_CODE.sub("`code`", FENCED.sub("", markdown))


def relative_links(page: Path) -> Iterator[str]:
    """Yield the targets of the links that stay in the project, those to the page's own headings included."""
    for _, target in RELATIVE_LINK.findall(without_code(prose(page))):
        if target.startswith("#") or not ELSEWHERE.match(target):
            yield target


def anchors(page: Path) -> set[str]:
    """Return what a link may say behind ``#``: GitHub's form in Markdown, JupyterLab's in a notebook."""
    headings = HEADING.findall(FENCED.sub("", prose(page)))
    if page.suffix == ".ipynb":
        return {heading.replace(" ", "-") for heading in headings}
    found: set[str] = set()
    for heading in headings:
        words = re.sub(r"!?\[([^]]*)\]\([^)]*\)", r"\1", heading).lower()
        slug = re.sub(r"[^\w\- ]", "", words).replace(" ", "-")
        number = 0
        while (name := f"{slug}-{number}" if number else slug) in found:
            number += 1
        found.add(name)
    return found
