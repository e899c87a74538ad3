"""Draws the Mermaid diagrams of the lessons as pictures, so that a page needs no program to show them."""

from __future__ import annotations

import functools
import hashlib
import html
import re
from dataclasses import dataclass
from xml.etree import ElementTree

import mermaidx
from source import LessonError

FENCE = re.compile(r"^```mermaid\n(.*?)^```[ ]*$", re.M | re.S)
THEMES = {"light": "default", "dark": "dark"}


@dataclass(frozen=True)
class Diagram:
    """A diagram, drawn for a light and for a dark ground.

    Attributes
    ----------
    name : str
        The same for the same source.
    svgs : dict of str to str
        The text of the picture, by ``"light"`` and ``"dark"``.
    """

    name: str
    svgs: dict[str, str]

    @property
    def files(self) -> dict[str, str]:
        """The pictures, by the names of their files."""
        return {f"{self.name}-{theme}.svg": svg for theme, svg in self.svgs.items()}

    def to_html(self, folder: str) -> str:
        """Return what shows the picture of the reader's choice; `folder` is where the files are."""
        root = ElementTree.fromstring(self.svgs["light"])
        width, height = (float(number) for number in root.attrib["viewBox"].split()[2:])
        alt = html.escape(f"Diagram: {', '.join(_words(root))}")
        light, dark = (f"{folder}{self.name}-{theme}.svg" for theme in ("light", "dark"))
        return (
            f'<figure class="diagram"><picture><source media="(prefers-color-scheme: dark)" srcset="{dark}">'
            f'<img src="{light}" width="{width:.0f}" height="{height:.0f}" alt="{alt}"></picture></figure>'
        )


@functools.cache
def draw(text: str) -> Diagram:
    """Draw a diagram.

    Raises
    ------
    LessonError
        Mermaid does not understand it.
    """
    try:
        svgs = {name: mermaidx.render(text, theme=theme).svg() for name, theme in THEMES.items()}
    except Exception as error:
        raise LessonError(f"Mermaid cannot draw this diagram ({error}):\n{text}") from None
    return Diagram(hashlib.sha256(text.encode()).hexdigest()[:12], svgs)


def _words(root: ElementTree.Element) -> list[str]:
    """Return the labels of a picture, each once."""
    found: dict[str, None] = {}
    for element in root.iter():
        if element.tag.rpartition("}")[2] in ("p", "text"):
            found[" ".join(" ".join(element.itertext()).split())] = None
    return [label for label in found if label]
