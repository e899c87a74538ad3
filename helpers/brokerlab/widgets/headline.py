"""The sentence of a picture that says what to notice: framed and marked by how much it matters."""

from __future__ import annotations

from brokerlab.widgets.scene import Element, box, element, group, icon, shortened, text

HEIGHT = 36

KINDS = {
    "lost": ("alarm", "on-alarm", "cross", "on-alarm"),
    "leaderless": ("alarm", "on-alarm", "warning", "on-alarm"),
    "warned": ("warned", "text strong", "warning", "alarm-ink"),
    "fine": ("calm", "text", "tick", "zookeeper-ink"),
    "empty": ("calm", "text soft", "dot", "soft"),
}
"""Kind -> its frame, the ink of its words, its mark, the mark's ink."""


def headline(
    kind: str,
    words: str,
    *,
    y: float,
    width: float,
    room: float,
    size: float = 16,
    ink: str | None = None,
    beside: str | None = None,
) -> Element:
    """Draw the headline, `HEIGHT` px high.

    Parameters
    ----------
    kind : str
        One of `KINDS`; it is told to tests and to the page as ``data-headline``.
    words : str
        The sentence; what does not fit is cut, and read out in any case.
    y, width : float
        Where and how wide it is, in px.
    room : float
        Px for the words, at `size` px a letter.
    ink : str, optional
        Classes of the words, if not those of the kind.
    beside : str, optional
        What stands at the right end.
    """
    frame, usual_ink, mark, mark_ink = KINDS[kind]
    ink = ink or usual_ink
    parts = [
        element("title", "", words),
        box(0, 0, width, HEIGHT, frame),
        icon(mark, 14, 10, mark_ink),
        text(40, 24, shortened(words, room, size), ink),
    ]
    if beside is not None:
        parts.append(text(width - 14, 24, beside, f"{ink} end"))
    return group("headline", *parts, x=2, y=y, data_headline=kind)
