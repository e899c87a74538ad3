"""A row of buttons below a picture: each with its words, its command, and its line of Python."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

from brokerlab.widgets.scene import Element, button, group

LEFT = 2.0
GAP = 10
HEIGHT = 34


@dataclass(frozen=True)
class Verb:
    """A button: what it says, its command, its line of Python."""

    words: str
    kind: str
    code: str
    width: float
    enabled: bool = True


def at_rest(verbs: Sequence[Verb], busy: Collection[str]) -> tuple[Verb, ...]:
    """Return the verbs; those that are being done now cannot be pressed again."""
    return tuple(replace(one, enabled=one.enabled and one.kind not in busy) for one in verbs)


def row(verbs: Sequence[Verb], name: str, top: float) -> Element:
    """Draw the buttons side by side; `name` is that of their group, within which arrow keys move."""
    left, shown = LEFT, []
    for verb in verbs:
        shown.append(
            button(
                verb.words,
                {"kind": verb.kind},
                verb.code,
                x=left,
                y=0,
                width=verb.width,
                height=HEIGHT,
                group_name=name,
                enabled=verb.enabled,
            )
        )
        left += verb.width + GAP
    return group("buttons", *shown, y=top)
