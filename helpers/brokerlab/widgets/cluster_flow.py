"""How messages that flow are drawn on the cluster map: into each leader, and on to its followers in sync.

The browser moves the dots by itself (they are the dashes of a line); the kernel says only how fast a log grows.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from brokerlab.observe import PartitionView
from brokerlab.widgets.scene import Element, element, group

SPEED = 96
"""Px that a dot moves in a second."""

DENSITY = ((2, 96), (6, 64), (20, 40), (60, 26), (200, 18), (float("inf"), 13))
"""Records per second, at most -> px from one dot to the next. Up to 2 a second a dot is about a record."""

DROP = 13
"""Px above a leader, down which its messages come."""


@dataclass(frozen=True)
class Spot:
    """Where the chip of a replica stands: the middle of it, its upper and its lower edge, in px of the picture."""

    x: float
    top: float
    bottom: float


def flow_sheet() -> str:
    """Return the CSS that makes the dots move; without motion they are not shown at all."""
    paces = "".join(
        f".bl-flow-{number}{{--bl-gap:{gap}px;animation-duration:{gap / SPEED:.3f}s}}"
        for number, (_, gap) in enumerate(DENSITY, start=1)
    )
    moving = f".bl-flow{{display:inline;animation:bl-flow 1s linear infinite}}{paces}"
    return (
        ".bl-flow{display:none}"
        f"@media (prefers-reduced-motion:no-preference){{{moving}}}"
        "@keyframes bl-flow{from{stroke-dashoffset:var(--bl-gap)}to{stroke-dashoffset:0}}"
        '.bl:not([data-status="live"]) .bl-flow{display:none}'
    )


def rate_words(rate: float | None) -> str:
    """Write a rate with two digits, so that it can be read while it changes."""
    if rate is None:
        return "–"
    if 0 < rate < 0.95:
        return "<1/s"
    if rate < 99.5:
        return f"{rate:.0f}/s"
    if rate < 995:
        return f"{round(rate, -1):.0f}/s"
    return f"{rate / 1000:.1f}k/s" if rate < 9950 else f"{rate / 1000:.0f}k/s"


def dots(key: str, d: str, rate: float) -> Element:
    """Draw dots that move along the path `d`, the denser the more records a second there are."""
    number, gap = next((i, gap) for i, (most, gap) in enumerate(DENSITY, 1) if rate <= most)
    return element(
        "path",
        f"flow flow-{number}",
        key=key,
        d=d,
        stroke_dasharray=f"0 {gap}",
        aria_hidden="true",
    )


def routes(
    partition: PartitionView, rate: float, spots: Mapping[int, Spot], lane: float
) -> Element:
    """Draw the messages of one partition on their way.

    Parameters
    ----------
    partition : PartitionView
        It has a leader.
    rate : float
        Records per second, more than none.
    spots : mapping of int to Spot
        Broker that runs -> where its replica of this partition stands.
    lane : float
        At which height, below the chips, copies go from broker to broker.
    """
    return group(
        f"flow-{partition.topic}-{partition.id}",
        *_legs(partition, rate, spots, lane),
        data_flow=f"{partition.topic}-{partition.id}",
    )


def _legs(
    partition: PartitionView, rate: float, spots: Mapping[int, Spot], lane: float
) -> Iterator[Element]:
    leader = spots[partition.leader] if partition.leader is not None else None
    if leader is None:
        return
    followers = [b for b in partition.isr if b != partition.leader and b in spots]
    copies = {b: f"{_down(leader, lane)}H{spots[b].x:g}V{spots[b].bottom:g}" for b in followers}
    for broker, way in copies.items():
        yield element("path", "rule", key=f"way-{broker}", d=way)
    yield dots("in", f"M{leader.x:g} {leader.top - DROP:g}V{leader.top:g}", rate)
    for broker, way in copies.items():
        yield dots(f"to-{broker}", way, rate)


def _down(leader: Spot, lane: float) -> str:
    return f"M{leader.x:g} {leader.bottom:g}V{lane:g}"
