"""How an exercise shows in a cell: the same words as text and as HTML, light and dark."""

from __future__ import annotations

import html
import re
from collections.abc import Sequence
from dataclasses import dataclass

NOT_CHECKED = "not checked yet"
NOT_ATTEMPTED = "not attempted"
NOT_YET = "not yet"
PASSED = "passed"

Content = tuple[str, str, Sequence[tuple[str, str, str]]]

_BARS = {
    NOT_YET: "var(--jp-error-color1, #d32f2f)",
    PASSED: "var(--jp-success-color1, #388e3c)",
}
_PLAIN_BAR = "var(--jp-border-color1, #9e9e9e)"


class Card:
    """A title with a state, and lines below it."""

    def card(self) -> Content:
        """Return the title, the state, and ``(mark, line, detail)`` for each line."""
        raise NotImplementedError

    def __repr__(self) -> str:
        title, state, lines = self.card()
        text = [f"{title}: {state}" if state else title]
        for mark, line, detail in lines:
            text.append(f"  {mark} {line}" if mark else f"  {line}")
            text += [f"      {detail}"] if detail else []
        return "\n".join(text)

    def _repr_html_(self) -> str:
        title, state, lines = self.card()
        rows = "".join(_row(*line) for line in lines)
        return (
            f'<div style="border-left:4px solid {_BARS.get(state, _PLAIN_BAR)};'
            "padding:.5em .9em;margin:.3em 0;max-width:60em;line-height:1.45;"
            "color:var(--jp-ui-font-color1, inherit);"
            'background:var(--jp-layout-color2, transparent)">'
            f"<strong>{inline(title)}</strong>{f': {state}' if state else ''}{rows}</div>"
        )


@dataclass(frozen=True, repr=False)
class Note(Card):
    """A title and one paragraph."""

    title: str
    text: str

    def card(self) -> Content:
        return self.title, "", [("", self.text, "")]


@dataclass(frozen=True, repr=False)
class Code:
    """Code to read; its text is the code itself, ready to copy."""

    code: str

    def __repr__(self) -> str:
        return self.code

    def _repr_html_(self) -> str:
        return (
            '<pre style="padding:.6em .9em;border:1px solid var(--jp-border-color2, #bdbdbd);'
            'color:var(--jp-content-font-color1, inherit);background:transparent">'
            f"{html.escape(self.code)}</pre>"
        )


def _row(mark: str, line: str, detail: str) -> str:
    sign = f'<span style="flex:none">{mark}</span>' if mark else ""
    below = f'<div style="opacity:.85">{inline(detail)}</div>' if detail else ""
    return (
        '<div style="display:flex;gap:.6em;margin-top:.35em">'
        f"{sign}<div>{inline(line)}{below}</div></div>"
    )


def inline(text: str) -> str:
    return re.sub(r"`([^`]+)`", r"<code>\1</code>", html.escape(text))
