"""What charts share: a frame with a title and three lines, round numbers beside them, and a mark."""

from __future__ import annotations

from collections.abc import Iterator

from brokerlab.widgets.scene import Element, element, text

NICE = (1, 2, 3, 4, 5, 6, 8, 10, 12, 15, 20, 25, 30, 40, 50, 60, 80)


def nice(value: float) -> float:
    """Return the least round number that is not below `value`."""
    scale = 0.1
    while True:
        for step in NICE:
            if step * scale >= value:
                return round(step * scale, 3)
        scale *= 10


def frame(height: float, top: float, title: str, *, left: float, room: float) -> Iterator[Element]:
    """Draw what stands around a chart: its title, and lines at nothing, half of `top`, and `top`.

    Parameters
    ----------
    height, left, room
        How high it is, where its lines begin, and how long they are, in px.
    top
        The value at the upper edge.
    """
    yield text(2, -9, title, "text small strong")
    for share in (0, 0.5, 1):
        at = height * (1 - share)
        yield element("path", "rule", d=f"M{left} {at:g}h{room}")
        yield text(left - 8, at + 6, f"{top * share:g}", "text soft small end")


def cross(x: float, y: float) -> str:
    """Return the path of a cross of 8 px around a point."""
    return f"M{x - 4:.1f} {y - 4:.1f}l8 8m0-8l-8 8"
