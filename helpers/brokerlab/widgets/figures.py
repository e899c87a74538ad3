"""Numbers to be read from the back of a room: tiles with a word and a figure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from brokerlab.widgets.scene import Element, box, group, icon, shortened, text

HEIGHT = 66
GAP = 10


@dataclass(frozen=True)
class Figure:
    """A number with its name.

    Attributes
    ----------
    name, value : str
        ``acknowledged``, ``5,000``.
    kind : str
        ``plain``; ``good``, ``bad`` and ``waiting`` add a mark and a frame, for what must not be missed.
    """

    name: str
    value: str
    kind: str = "plain"


_KINDS = {
    "plain": ("calm", "text", "", ""),
    "good": ("calm", "text", "tick", "zookeeper-ink"),
    "bad": ("alarm", "on-alarm", "warning", "on-alarm"),
    "waiting": ("frozen", "text", "ring", "soft"),
}


def figures(shown: Sequence[Figure], *, width: float, x: float = 2, y: float = 0) -> Element:
    """Draw figures side by side, `HEIGHT` px high."""
    each = (width - GAP * (len(shown) - 1)) / len(shown)
    return group(
        "figures",
        *(_tile(one, each, number * (each + GAP)) for number, one in enumerate(shown)),
        x=x,
        y=y,
    )


def _tile(one: Figure, width: float, x: float) -> Element:
    frame, ink, mark, mark_ink = _KINDS[one.kind]
    parts = [
        box(0, 0, width, HEIGHT, frame),
        text(14, 23, shortened(one.name, width - 40, 15), f"{ink} small"),
        text(14, 52, one.value, f"{ink} figure"),
    ]
    if mark:
        parts.append(icon(mark, width - 28, 10, mark_ink))
    return group(
        f"figure-{one.name}",
        *parts,
        x=x,
        role="img",
        aria_label=f"{one.name}: {one.value}",
        data_figure=one.name,
        data_value=one.value,
    )
