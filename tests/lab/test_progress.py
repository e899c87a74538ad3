"""How long work shows where it is."""

from __future__ import annotations

import io
import re
from typing import Any

import IPython.display
import pytest
from brokerlab.progress import NotebookProgress, Progress, TerminalProgress, in_notebook_or_terminal


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def work(progress: Progress) -> None:
    with progress.step("fetching") as advance:
        advance(0.5)
    progress.done("ready", 2)


def test_a_file_gets_one_line_a_step_and_no_escapes() -> None:
    stream = io.StringIO()
    work(TerminalProgress(stream))
    assert re.fullmatch(r"  ✓ fetching \(0\.0 s\)\n  ✓ ready \(2\.0 s\)\n", stream.getvalue())


def test_a_terminal_sees_the_step_under_way_redrawn_in_place() -> None:
    stream = Terminal()
    work(TerminalProgress(stream))
    drawn = stream.getvalue().split("\r\x1b[2K")
    assert drawn[1:4] == [
        "  … fetching",
        f"  … fetching {'█' * 12}{'░' * 12} 50%",
        "  ✓ fetching (0.0 s)\n",
    ]


def test_a_failed_step_is_marked_and_the_error_goes_on() -> None:
    stream = io.StringIO()
    with pytest.raises(OSError, match="full"), TerminalProgress(stream).step("writing"):
        raise OSError("full")
    assert stream.getvalue() == "  ✗ writing (0.0 s)\n"


def test_more_than_all_is_all() -> None:
    progress = Progress()
    progress.begin("fetching")
    progress.advance(1.7)
    assert str(progress.steps[0]) == f"… fetching {'█' * 24} 100%"


class Display:
    """Stands for the notebook: keeps the last thing that was shown in each display."""

    def __init__(self) -> None:
        self.shown: list[dict[str, str]] = []
        self.displays = 0

    def __call__(self, bundle: dict[str, str], raw: bool, display_id: bool) -> Display:
        self.displays += 1
        self.shown.append(bundle)
        return self

    def update(self, bundle: dict[str, str], raw: bool) -> None:
        self.shown.append(bundle)


def test_a_notebook_gets_one_display_that_ends_with_the_last_step(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    display = Display()
    monkeypatch.setattr(IPython.display, "display", display)
    progress = NotebookProgress()
    work(progress)
    progress.done("<b>& more</b>", 1)
    assert display.displays == 1
    last = display.shown[-1]
    assert last["text/plain"].splitlines()[1:] == ["✓ ready (2.0 s)", "✓ <b>& more</b> (1.0 s)"]
    assert "&lt;b&gt;&amp; more&lt;/b&gt;" in last["text/html"]


def test_a_notebook_is_not_flooded(monkeypatch: pytest.MonkeyPatch) -> None:
    display = Display()
    monkeypatch.setattr(IPython.display, "display", display)
    progress = NotebookProgress()
    with progress.step("fetching") as advance:
        for part in range(10_000):
            advance(part / 10_000)
    assert len(display.shown) < 1_000
    assert display.shown[-1]["text/plain"].startswith("✓ fetching")


def test_the_place_decides(monkeypatch: pytest.MonkeyPatch) -> None:
    class Shell:
        kernel: Any = None

    monkeypatch.setattr("IPython.get_ipython", lambda: None)
    assert isinstance(in_notebook_or_terminal(), TerminalProgress)
    monkeypatch.setattr("IPython.get_ipython", Shell)
    assert isinstance(in_notebook_or_terminal(), NotebookProgress)
