"""Boxes around objects, and how much of them two share."""

from __future__ import annotations

from typing import Protocol


class Box(Protocol):
    """A named box in px of a picture."""

    @property
    def label(self) -> str: ...
    @property
    def left(self) -> float: ...
    @property
    def top(self) -> float: ...
    @property
    def width(self) -> float: ...
    @property
    def height(self) -> float: ...


def area(box: Box) -> float:
    """Return a box's area in square px."""
    return box.width * box.height


def intersection(one: Box, other: Box) -> float:
    """Return the area that two boxes share, in square px."""
    wide = min(one.left + one.width, other.left + other.width) - max(one.left, other.left)
    high = min(one.top + one.height, other.top + other.height) - max(one.top, other.top)
    return max(0.0, wide) * max(0.0, high)


def iou(one: Box, other: Box) -> float:
    """Return intersection over union of two boxes, 0 to 1."""
    shared = intersection(one, other)
    return shared / (area(one) + area(other) - shared) if shared else 0.0
