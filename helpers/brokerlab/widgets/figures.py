"""Numbers to be read from the back of a room: tiles with a word and a figure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from brokerlab.widgets.scene import Element, box, element, group, icon, shortened, text, width_of

HEIGHT = 66
GAP = 10
INSET = 12
BOLD = 1.12
SIZES = ((26, "figure"), (20, "heading"), (15, "small strong"))


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
    """Draw figures side by side, `HEIGHT` px high; nothing, if there are none."""
    each = (width - GAP * (len(shown) - 1)) / max(len(shown), 1)
    return group(
        "figures",
        *(_tile(one, each, number * (each + GAP)) for number, one in enumerate(shown)),
        x=x,
        y=y,
    )


def _tile(one: Figure, width: float, x: float) -> Element:
    frame, ink, mark, mark_ink = _KINDS[one.kind]
    room = width - 2 * INSET
    # A number that is cut off would be another number, so it gets smaller first.
    size, look = next(
        ((size, look) for size, look in SIZES if width_of(one.value, BOLD * size) <= room),
        SIZES[-1],
    )
    named = room - (20 if mark else 0)
    parts = [
        element("title", "", f"{one.name}: {one.value}"),
        box(0, 0, width, HEIGHT, frame),
        text(INSET, 23, shortened(one.name, named, 15), f"{ink} small"),
        text(INSET, 52, shortened(one.value, room, BOLD * size), f"{ink} {look}"),
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
