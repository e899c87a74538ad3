"""The chart of how long senders waited: one scale, every picture a point, refusals told apart."""

from __future__ import annotations

import xml.etree.ElementTree as ET

import pytest
from brokerlab.pipeline.camera import Sent
from brokerlab.widgets.latency_picture import TALL, in_time, latencies
from widget_fakes import found, words


def sent(count: int, seconds: float, status: int | None = 202) -> list[Sent]:
    return [Sent(n, n / 10, n / 10 + seconds, status, "id", 1) for n in range(count)]


def test_every_picture_is_a_point_on_one_scale() -> None:
    chart = latencies({"synchronous": sent(30, 3.5), "queued": sent(20, 0.01)})
    slow, fast = (mark[1]["d"] for mark in found(chart.scene, data_marks="taken"))
    assert (slow.count("M"), fast.count("M")) == (30, 20)
    heights = [
        float(point.split()[1].partition("h")[0])
        for d in (slow, fast)
        for point in d[1:].split("M")
    ]
    assert max(heights[:30]) < TALL * 0.2 and min(heights[30:]) > TALL * 0.98
    assert "30 pictures; p50 3.5 s, p95 3.5 s" in words(chart.scene)
    assert "20 pictures; p50 10 ms, p95 10 ms" in words(chart.scene)


def test_who_got_no_answer_has_a_mark_of_another_shape() -> None:
    chart = latencies({"one": [*sent(5, 1.0), *sent(2, 10.0, None), *sent(1, 0.1, 503)]})
    (lost,) = found(chart.scene, data_marks="not taken")
    assert lost[1]["d"].count("l") == 6, "two strokes each"
    assert "8 pictures, 3 got no answer" in words(chart.scene)


@pytest.mark.parametrize("sides", [{}, {"nobody": []}, {'a"<b>&c': sent(1, 0.0)}])
def test_little_or_nothing_is_drawn_too(sides: dict[str, list[Sent]]) -> None:
    ET.fromstring(latencies(sides)._repr_svg_())


def test_times_are_written_as_they_are_read() -> None:
    assert [in_time(t) for t in (0.0042, 0.9994, 1.0, 12.345)] == [
        "4 ms",
        "999 ms",
        "1.0 s",
        "12.3 s",
    ]
