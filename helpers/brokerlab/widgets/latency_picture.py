"""How long senders waited: one point for each picture, side by side for each way of taking them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Protocol

from brokerlab.pipeline.camera import percentile
from brokerlab.widgets.scene import Element, Still, element, group, picture, text

WIDTH, TALL, TOP = 880, 200, 96
LEFT, GAP = 58, 36
TAKEN = (200, 202)
NICE = (0.05, 0.1, 0.2, 0.5, 1, 2, 3, 4, 5, 6, 8, 10, 15, 20, 30, 60)


class Waited(Protocol):
    """What became of one picture, such as `brokerlab.pipeline.camera.Sent`; times in seconds."""

    @property
    def due(self) -> float: ...
    @property
    def seconds(self) -> float: ...
    @property
    def status(self) -> int | None: ...


def latencies(sides: Mapping[str, Sequence[Waited]]) -> Still:
    """Return a chart of how long each sender waited, on one scale for all sides.

    Parameters
    ----------
    sides
        Title of a side -> what became of its pictures.
    """
    everything = [one for sent in sides.values() for one in sent]
    top = _nice(max((one.seconds for one in everything), default=1.0))
    until = _nice(max((one.due for one in everything), default=1.0))
    wide = (WIDTH - LEFT - 8 - GAP * (len(sides) - 1)) / max(len(sides), 1)
    said = "; ".join(f"{name}: {_said(sent)}" for name, sent in sides.items())
    return Still(
        picture(
            WIDTH,
            TOP + TALL + 52,
            f"How long each sender waited. {said}",
            text(2, 20, "How long each sender waited, in seconds", "text strong"),
            *_scale(top),
            *(
                group(name, *_side(name, sent, wide, top, until), x=LEFT + at * (wide + GAP), y=TOP)
                for at, (name, sent) in enumerate(sides.items())
            ),
        )
    )


def _scale(top: float) -> Iterator[Element]:
    for share in (0, 0.5, 1):
        at = TOP + TALL * (1 - share)
        yield text(LEFT - 8, at + 6, f"{top * share:g}", "text soft small end")


def _side(
    name: str, sent: Sequence[Waited], wide: float, top: float, until: float
) -> Iterator[Element]:
    yield text(0, -34, name, "heading")
    yield text(0, -12, _said(sent), "text small")
    for share in (0, 0.5, 1):
        yield element("path", "rule", d=f"M0 {TALL * (1 - share):g}h{wide:.1f}")
    for classes, taken in (("flow", True), ("link-broken", False)):
        points = [
            (wide * one.due / until, TALL * (1 - one.seconds / top))
            for one in sent
            if (one.status in TAKEN) is taken
        ]
        shape = "M{:.1f} {:.1f}h0" if taken else "M{:.1f} {:.1f}m-3-3l6 6m0-6l-6 6"
        drawn = "".join(shape.format(*point) for point in points)
        if drawn:
            yield element("path", classes, d=drawn, data_marks="taken" if taken else "not taken")
    yield text(0, TALL + 20, "0 s", "text soft small")
    yield text(wide, TALL + 20, f"{until:g} s", "text soft small end")
    yield text(wide / 2, TALL + 40, "when the picture was due", "text soft small middle")


def _said(sent: Sequence[Waited]) -> str:
    refused = sum(one.status not in TAKEN for one in sent)
    p50, p95 = (percentile([one.seconds for one in sent], percent) for percent in (50, 95))
    left = f", {refused} got no answer" if refused else ""
    return f"{len(sent):,} pictures{left}; p50 {in_time(p50)}, p95 {in_time(p95)}"


def in_time(seconds: float) -> str:
    """Write a time as it is read: in milliseconds below one second, else in seconds."""
    return f"{seconds:.1f} s" if seconds >= 1 else f"{1000 * seconds:.0f} ms"


def _nice(value: float) -> float:
    return next((step for step in NICE if step >= value), value)
