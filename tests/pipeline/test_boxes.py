"""What two boxes share."""

from __future__ import annotations

import pytest
from brokerlab.pipeline.boxes import area, intersection, iou
from brokerlab.pipeline.scenes import Placed


def box(left: float, top: float, width: float, height: float) -> Placed:
    return Placed("cat", left, top, width, height, 0)


def test_the_intersection_is_what_both_cover() -> None:
    assert area(box(3, 4, 10, 20)) == 200
    assert intersection(box(0, 0, 10, 10), box(5, 2, 10, 4)) == 20
    assert intersection(box(0, 0, 10, 10), box(10, 0, 10, 10)) == 0
    assert intersection(box(0, 0, 10, 10), box(20, 20, 10, 10)) == 0


def test_iou_is_intersection_over_union() -> None:
    assert iou(box(0, 0, 10, 10), box(0, 0, 10, 10)) == 1
    assert iou(box(0, 0, 10, 10), box(5, 0, 10, 10)) == pytest.approx(1 / 3)
    assert iou(box(0, 0, 10, 10), box(0, 10, 10, 10)) == 0
    assert iou(box(0, 0, 0, 0), box(0, 0, 0, 0)) == 0
