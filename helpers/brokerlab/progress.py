"""How long work shows where it is: a list of steps with their times.

Work takes a `Progress` and never prints. `in_notebook_or_terminal` picks the one that fits the place.
"""

from __future__ import annotations

import html
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

BAR_WIDTH = 24


@dataclass
class Step:
    """One step: its mark (``…`` under way, ``✓`` done, ``✗`` failed), its text, its seconds, the fraction done."""

    text: str
    mark: str = "…"
    seconds: float | None = None
    fraction: float | None = None

    def __str__(self) -> str:
        rest = "" if self.fraction is None else f" {_bar(self.fraction)}"
        if self.seconds is not None:
            rest = f" ({self.seconds:.1f} s)"
        return f"{self.mark} {self.text}{rest}"


def _bar(fraction: float) -> str:
    full = round(fraction * BAR_WIDTH)
    return f"{'█' * full}{'░' * (BAR_WIDTH - full)} {fraction:.0%}"


class Progress:
    """Steps that are announced, timed and ticked off; this one shows nothing.

    A subclass overrides `show`, which is called at every change.
    """

    def __init__(self) -> None:
        self.steps: list[Step] = []

    def show(self) -> None:
        """Show the steps so far; the last one may be under way."""

    def begin(self, text: str) -> None:
        """Announce a step."""
        self.steps.append(Step(text))
        self.show()

    def advance(self, fraction: float) -> None:
        """Say how much of the step under way is done, from 0 to 1."""
        self.steps[-1].fraction = min(1.0, fraction)
        self.show()

    def end(self, seconds: float | None = None, text: str | None = None, mark: str = "✓") -> None:
        """Tick off the step under way, perhaps under a better text."""
        step = self.steps[-1]
        step.mark, step.seconds, step.fraction = mark, seconds, None
        step.text = text or step.text
        self.show()

    def done(self, text: str, seconds: float | None = None) -> None:
        """Add a step that is done already."""
        self.steps.append(Step(text))
        self.end(seconds)

    @contextmanager
    def step(self, text: str) -> Iterator[Callable[[float], None]]:
        """Announce `text` and tick it off with its time; yields `advance`."""
        begun = time.monotonic()
        self.begin(text)
        try:
            yield self.advance
        except BaseException:
            self.end(time.monotonic() - begun, mark="✗")
            raise
        self.end(time.monotonic() - begun)


class TerminalProgress(Progress):
    """One line a step; a step under way is redrawn in place where the stream is a terminal."""

    def __init__(self, stream: Any = None) -> None:
        super().__init__()
        self.stream = stream or sys.stderr
        self._redraw = self.stream.isatty()
        self._drawn = ""

    def show(self) -> None:
        step = self.steps[-1]
        under_way = step.mark == "…"
        if under_way and not self._redraw:
            return
        line = f"  {step}"
        if line == self._drawn:
            return
        self._drawn = line
        self.stream.write(
            ("\r\x1b[2K" if self._redraw else "") + line + ("" if under_way else "\n")
        )
        self.stream.flush()


class NotebookProgress(Progress):
    """The steps as one display that is updated in place, at most ten times a second."""

    def __init__(self) -> None:
        super().__init__()
        self._handle: Any = None
        self._shown = 0.0

    def show(self) -> None:
        from IPython.display import display

        now = time.monotonic()
        if self.steps[-1].fraction is not None and now - self._shown < 0.1:
            return
        self._shown = now
        bundle = {"text/plain": self._text(), "text/html": self._html()}
        if self._handle is None:
            self._handle = display(bundle, raw=True, display_id=True)
        else:
            self._handle.update(bundle, raw=True)

    def _text(self) -> str:
        return "\n".join(map(str, self.steps))

    def _html(self) -> str:
        rows = "".join(f"<div>{html.escape(str(step))}</div>" for step in self.steps)
        return f'<div style="line-height:1.5;font-variant-numeric:tabular-nums">{rows}</div>'


def in_notebook_or_terminal() -> Progress:
    """Return the progress that fits: a display in a notebook's kernel, lines in a terminal."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython else None
    if shell is not None and hasattr(shell, "kernel"):
        return NotebookProgress()
    return TerminalProgress()
