"""How long work shows where it is: a list of steps with their times.

Work takes a `Progress` and never prints. `in_notebook_or_terminal` picks the one that fits the place.
"""

from __future__ import annotations

import html
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any


class Progress:
    """Steps that are announced, timed and ticked off; this one shows nothing.

    A subclass overrides `show`, which is called at every change.
    """

    def __init__(self) -> None:
        self.steps: list[tuple[str, float | None]] = []
        self.fraction: float | None = None

    def show(self) -> None:
        """Show the steps so far; the last one may be under way."""

    def done(self, text: str, seconds: float) -> None:
        """Add a step that somebody else did and timed."""
        self.steps.append((text, seconds))
        self.show()

    @contextmanager
    def step(self, text: str) -> Iterator[Callable[[float], None]]:
        """Announce `text`, and tick it off with its time; yields a function that takes the fraction done (0 to 1)."""
        begun = time.monotonic()
        self.steps.append((text, None))
        self.fraction = None
        self.show()

        def advance(fraction: float) -> None:
            self.fraction = min(1.0, fraction)
            self.show()

        yield advance
        self.fraction = None
        self.steps[-1] = (text, time.monotonic() - begun)
        self.show()


class TerminalProgress(Progress):
    """One line a step; a step under way is redrawn in place where the stream is a terminal."""

    def __init__(self, stream: Any = None) -> None:
        super().__init__()
        self.stream = stream or sys.stderr
        self._redraw = self.stream.isatty()
        self._drawn = ""

    def show(self) -> None:
        text, seconds = self.steps[-1]
        if seconds is not None:
            line, end = f"  ✓ {text} ({seconds:.1f} s)", "\n"
        elif self._redraw:
            line, end = f"  … {text}{_percent(self.fraction)}", ""
        else:
            return
        if line == self._drawn:
            return
        self._drawn = line
        self.stream.write(("\r\x1b[2K" if self._redraw else "") + line + end)
        self.stream.flush()


class NotebookProgress(Progress):
    """The steps as one display that is updated in place, at most ten times a second."""

    def __init__(self) -> None:
        super().__init__()
        self._handle: Any = None
        self._shown = 0.0

    def show(self) -> None:
        from IPython.display import display

        under_way = self.steps[-1][1] is None
        now = time.monotonic()
        if under_way and self.fraction is not None and now - self._shown < 0.1:
            return
        self._shown = now
        bundle = {"text/plain": self._text(), "text/html": self._html()}
        if self._handle is None:
            self._handle = display(bundle, raw=True, display_id=True)
        else:
            self._handle.update(bundle, raw=True)

    def _lines(self) -> Iterator[tuple[str, str]]:
        for text, seconds in self.steps:
            if seconds is None:
                yield "…", f"{text}{_percent(self.fraction)}"
            else:
                yield "✓", f"{text} ({seconds:.1f} s)"

    def _text(self) -> str:
        return "\n".join(f"{mark} {line}" for mark, line in self._lines())

    def _html(self) -> str:
        rows = "".join(f"<div>{mark} {html.escape(line)}</div>" for mark, line in self._lines())
        return f'<div style="line-height:1.5;font-variant-numeric:tabular-nums">{rows}</div>'


def _percent(fraction: float | None) -> str:
    return "" if fraction is None else f" {fraction:.0%}"


def in_notebook_or_terminal() -> Progress:
    """Return the progress that fits: a display in a notebook's kernel, lines in a terminal."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython else None
    if shell is not None and hasattr(shell, "kernel"):
        return NotebookProgress()
    return TerminalProgress()
