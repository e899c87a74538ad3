"""Samples, figures with their bounds, and the table that shows them."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Samples:
    """What was measured on one side, in one unit.

    Attributes
    ----------
    values : tuple of float
    counted : bool
        Whether these are numbers of things, of which there may be none.

    Raises
    ------
    ValueError
        There is nothing, or something that no measurement gives.
    """

    values: tuple[float, ...]
    counted: bool = False

    def __post_init__(self) -> None:
        if not self.values:
            raise ValueError("nothing was measured")
        least = 0.0 if self.counted else math.ulp(0.0)
        wrong = [value for value in self.values if not (math.isfinite(value) and value >= least)]
        if wrong:
            raise ValueError(f"{wrong[0]} cannot have been measured")

    @property
    def median(self) -> float:
        return statistics.median(self.values)

    def text(self, unit: str) -> str:
        """Return the median and, of several, the smallest and the largest value."""
        digits = 0 if unit == "MB" or self.counted else 2
        spread = f" ({min(self.values):.{digits}f}–{max(self.values):.{digits}f})"
        return f"{self.median:.{digits}f}{spread if len(self.values) > 1 else ''}"


def samples(values: Iterable[float]) -> Samples:
    """Collect samples."""
    return Samples(tuple(values))


def counts(values: Iterable[int]) -> Samples:
    """Collect numbers of things."""
    return Samples(tuple(values), counted=True)


@dataclass(frozen=True)
class Figure:
    """One row: what was measured, beside what, and the bound.

    Attributes
    ----------
    name : str
    unit : str
        Such as ``s`` or ``MB``; empty for a number of things.
    ours : Samples
    peer : str
        What it is measured beside; empty for a figure that stands alone.
    theirs : Samples or None
        None for a figure that stands alone.
    bound : float or None
        The largest ratio of the medians, or for a figure that stands alone the largest median; None
        for a figure that is listed and not judged.
    at_least : bool
        Whether the bound is the smallest instead: more is better.
    """

    name: str
    unit: str
    ours: Samples
    peer: str = ""
    theirs: Samples | None = None
    bound: float | None = None
    at_least: bool = False

    @property
    def ratio(self) -> float | None:
        """Our median over theirs; None where there is nothing beside it, or none of it."""
        if self.theirs is None or self.theirs.median == 0:
            return None
        return self.ours.median / self.theirs.median

    @property
    def holds(self) -> bool | None:
        """Whether the bound holds; None without one."""
        if self.bound is None:
            return None
        ratio = self.ratio
        judged = self.ours.median if ratio is None else ratio
        return judged >= self.bound if self.at_least else judged <= self.bound

    def cells(self) -> tuple[str, ...]:
        verdict = {None: "", True: "holds", False: "MISSED"}[self.holds]
        ratio, bound = self.ratio, ""
        if self.bound is not None:
            amount = f"{self.bound:g} {self.unit}" if ratio is None else f"{self.bound:.2f}"
            bound = f"{'≥' if self.at_least else '≤'} {amount}".rstrip()
        return (
            self.name,
            self.ours.text(self.unit),
            self.theirs.text(self.unit) if self.theirs else "",
            self.unit,
            self.peer,
            "" if ratio is None else f"{ratio:.2f}",
            bound,
            verdict,
        )

    def to_dict(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "unit": self.unit,
            "ours": list(self.ours.values),
            "peer": self.peer or None,
            "theirs": list(self.theirs.values) if self.theirs else None,
            "ratio": self.ratio,
            "bound": self.bound,
            "at_least": self.at_least,
            "holds": self.holds,
        }


HEADS = ("figure", "BrokerLab", "beside it", "", "what stands beside it", "ratio", "bound", "")


def table(figures: Sequence[Figure]) -> str:
    """Return the figures as a table of plain text."""
    rows = [HEADS, *(figure.cells() for figure in figures)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]
    return "\n".join([lines[0], "─" * max(map(len, lines)), *lines[1:]])
