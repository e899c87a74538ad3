"""A picture as plain data: drawn once, in Python, shown by the browser and written as a still SVG.

An element is a list ``[tag, attributes, child, ...]``; a child is an element or a string. It goes to the
browser as it is (`base.js` keeps elements with the same ``key`` alive, so that they can move), and `to_svg`
writes the same list as text.
"""

from __future__ import annotations

import json
import re
from base64 import b64encode
from collections.abc import Iterator, Mapping
from typing import Any
from xml.sax.saxutils import escape, quoteattr

from brokerlab.widgets.style import FONT, PREFIX, still_attributes

Element = list[Any]
"""``[tag, attributes, child, ...]``; JSON-able."""

_ILLEGAL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")
_WIDE, _NARROW = set("mwMWQO@%&"), set("iljtfrI.,:;|!'()[] ")


def element(tag: str, classes: str = "", *children: Element | str, **attributes: Any) -> Element:
    """Make one SVG element.

    Parameters
    ----------
    tag : str
        An SVG tag.
    classes : str
        Names of `brokerlab.widgets.style.STYLES`, separated by blanks.
    *children : Element or str
        What it holds.
    **attributes : Any
        SVG attributes, ``_`` for ``-``; None leaves one out. ``key`` names the element among its siblings.
    """
    named = {
        name.replace("_", "-"): _plain(value)
        for name, value in attributes.items()
        if value is not None
    }
    if classes:
        named["class"] = " ".join(PREFIX + name for name in classes.split())
    return [tag, named, *children]


def group(key: str, *children: Element, x: float = 0, y: float = 0, **attributes: Any) -> Element:
    """Move `children` together to (`x`, `y`)."""
    moved = _moved(x, y) if x or y else None
    return element(
        "g", attributes.pop("classes", ""), *children, key=key, transform=moved, **attributes
    )


def placed(drawn: Element, x: float, y: float) -> Element:
    """Return a group that was drawn at the origin, moved to (`x`, `y`); both share what it holds."""
    tag, attributes, *children = drawn
    return [tag, {**attributes, "transform": _moved(x, y)}, *children]


def _moved(x: float, y: float) -> str:
    return f"translate({_plain(x)},{_plain(y)})"


def text(x: float, y: float, words: str, classes: str = "text", **attributes: Any) -> Element:
    """Write `words` with the base line at `y`."""
    return element("text", classes, words, x=x, y=y, **attributes)


def box(
    x: float,
    y: float,
    width: float,
    height: float,
    classes: str,
    radius: float = 8,
    **attributes: Any,
) -> Element:
    """Draw a rectangle with round corners."""
    return element("rect", classes, x=x, y=y, width=width, height=height, rx=radius, **attributes)


def hatch(width: float, height: float, classes: str = "hatch", step: float = 7) -> Element:
    """Fill a rectangle at the origin with slanted lines; drawn as a path, since a pattern would need an id."""
    strokes = []
    reach = step
    while reach < width + height:
        x1, y1 = (reach, 0.0) if reach <= width else (width, reach - width)
        x2, y2 = (0.0, reach) if reach <= height else (reach - height, height)
        strokes.append(f"M{_plain(x1)} {_plain(y1)}L{_plain(x2)} {_plain(y2)}")
        reach += step
    return element("path", classes, d="".join(strokes), aria_hidden="true")


ICONS = {
    "dot": "M8 2.5a5.5 5.5 0 1 1 0 11a5.5 5.5 0 1 1 0 -11z",
    "ring": "M8 1.5a6.5 6.5 0 1 1 0 13a6.5 6.5 0 1 1 0 -13zM8 4.5a3.5 3.5 0 1 0 0 7a3.5 3.5 0 1 0 0 -7z",
    "bars": "M3 2.5h3.6v11H3zM9.4 2.5H13v11H9.4z",
    "square": "M3 3h10v10H3z",
    "cross": "M4 1.8L8 5.8L12 1.8L14.2 4L10.2 8L14.2 12L12 14.2L8 10.2L4 14.2L1.8 12L5.8 8L1.8 4z",
    "tick": "M1.6 8.6L4 6.2L6.6 8.8L12.4 3L14.6 5.4L6.6 13.4z",
    "crown": "M1.5 4L5 7L8 2L11 7L14.5 4L13 13H3z",
    "warning": "M8 1L15.5 14.5H0.5zM7 5.5L7.3 10H8.7L9 5.5zM7.1 11.2V12.9H8.9V11.2z",
    "moved": "M1.5 6.2H8.2V2.2L15 8L8.2 13.8V9.8H1.5z",
}
"""Marks in a square of 16, drawn here so that no font has to have them."""


def icon(name: str, x: float, y: float, classes: str, scale: float = 1) -> Element:
    """Draw one of `ICONS` with its upper left corner at (`x`, `y`)."""
    size = "" if scale == 1 else f" scale({scale})"
    return element(
        "path",
        classes,
        d=ICONS[name],
        transform=f"translate({_plain(x)},{_plain(y)}){size}",
        fill_rule="evenodd",
        aria_hidden="true",
    )


def button(
    words: str,
    command: Mapping[str, Any],
    code: str,
    *,
    x: float,
    y: float,
    width: float,
    height: float = 30,
    group_name: str = "",
    label: str | None = None,
    enabled: bool = True,
) -> Element:
    """Draw a control that sends `command`; it can be reached by keyboard and is left out of the still.

    Parameters
    ----------
    words : str
        What it says.
    command : mapping
        JSON-able; ``kind`` names it.
    code : str
        The line of Python that does the same.
    x, y, width, height : float
        Where and how large.
    group_name : str
        Controls of one group take over each other's keyboard focus when one goes away.
    label : str, optional
        What a screen reader says, if not `words`.
    enabled : bool
        Whether it can be pressed now.
    """
    return control(
        f"{group_name}/{command['kind']}",
        command,
        code,
        box(0, 0, width, height, "face", 6),
        text(
            width / 2,
            height / 2 + 5,
            words,
            "control-text middle" if width > 56 else "control-text small middle",
        ),
        x=x,
        y=y,
        group_name=group_name,
        label=label or words,
        enabled=enabled,
    )


def control(
    key: str,
    command: Mapping[str, Any],
    code: str,
    *drawn: Element,
    x: float,
    y: float,
    group_name: str,
    label: str,
    enabled: bool = True,
) -> Element:
    """Make what was `drawn` at the origin a control at (`x`, `y`); the rest is as for `button`."""
    return element(
        "g",
        "control",
        *drawn,
        key=key,
        transform=_moved(x, y),
        role="button",
        tabindex=0,
        aria_label=label,
        aria_disabled=None if enabled else "true",
        data_command=json.dumps(command, sort_keys=True),
        data_code=code,
        data_group=group_name,
    )


def image(
    x: float, y: float, width: float, height: float, data: bytes, media_type: str, label: str
) -> Element:
    """Show a small JPEG, PNG or WebP in a box, whole and in its proportions; its bytes travel in the scene."""
    return element(
        "image",
        "",
        element("title", "", label),
        x=x,
        y=y,
        width=width,
        height=height,
        href=f"data:{media_type};base64,{b64encode(data).decode()}",
        role="img",
        aria_label=label,
    )


def picture(width: float, height: float, label: str, *children: Element) -> Element:
    """Make the whole picture of `width` x `height`, described by `label`."""
    return element(
        "svg",
        "picture",
        *children,
        viewBox=f"0 0 {_plain(width)} {_plain(height)}",
        role="group",
        aria_label=label,
    )


def width_of(words: str, size: float = 16) -> float:
    """Return about how wide `words` are in a sans-serif font of `size` px; there is no browser to ask."""
    ems = sum(0.95 if c in _WIDE else 0.36 if c in _NARROW else 0.62 for c in words)
    return ems * size


def shortened(words: str, room: float, size: float = 16) -> str:
    """Return `words`, cut with an ellipsis to about `room` px."""
    if width_of(words, size) <= room:
        return words
    while words and width_of(words + "…", size) > room:
        words = words[:-1]
    return words.rstrip() + "…"


CAPTION = "A still picture, from when this was run. Run the cell to have it live."
CAPTION_HEIGHT = 28
WIDEST = 840.0
"""Pixels that an output has in JupyterLab beside its file browser, in a window of 1280: it cuts off a wider still."""


def to_svg(scene: Element, caption: str = CAPTION) -> str:
    """Write a `picture` as a still SVG of its own: light ground, no style sheet, no controls."""
    _, attributes, *children = scene
    _, _, width, drawn = attributes["viewBox"].split()
    height = float(drawn)
    if caption:
        height += CAPTION_HEIGHT
        children.append(text(4, height - 8, caption, "text soft small"))
    smaller = min(1.0, WIDEST / float(width))
    head = {
        "xmlns": "http://www.w3.org/2000/svg",
        "viewBox": f"0 0 {width} {_plain(height)}",
        "width": _plain(smaller * float(width)),
        "height": _plain(round(smaller * height, 1)),
        "role": "img",
        "aria-label": attributes["aria-label"],
        "font-family": FONT,
    }
    ground = box(0, 0, float(width), height, "backdrop", 0)
    return f"<svg{_attributes(head)}>{''.join(_lines([ground, *children]))}</svg>"


class Still:
    """A `picture` to be shown once, such as a chart of what a cell measured."""

    def __init__(self, scene: Element) -> None:
        self.scene = scene

    def _repr_svg_(self) -> str:
        return to_svg(self.scene, caption="")

    def __repr__(self) -> str:
        return f"<picture: {self.scene[1]['aria-label']}>"


def _lines(children: list[Element | str]) -> Iterator[str]:
    for child in children:
        if isinstance(child, str):
            yield escape(_legal(child))
            continue
        tag, attributes, *inner = child
        if "data-command" in attributes:
            continue
        shown = {
            name: value
            for name, value in attributes.items()
            if name not in ("key", "class", "tabindex") and not name.startswith("data-")
        }
        shown |= still_attributes(attributes.get("class", ""))
        content = "".join(_lines(inner))
        yield (
            f"<{tag}{_attributes(shown)}>{content}</{tag}>"
            if content
            else f"<{tag}{_attributes(shown)}/>"
        )


def _attributes(named: Mapping[str, Any]) -> str:
    return "".join(f" {name}={quoteattr(_legal(str(value)))}" for name, value in named.items())


def _legal(words: str) -> str:
    """Replace what XML has no place for: a record's value may hold anything."""
    return _ILLEGAL.sub("\ufffd", words)


def _plain(value: Any) -> Any:
    """Keep numbers short: two decimals, no trailing zeros."""
    if isinstance(value, float):
        value = round(value, 2)
        return int(value) if value == int(value) else value
    return value
