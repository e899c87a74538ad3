"""What scenes are made of: pictures inside, controls, and stills of charts."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET

from brokerlab.widgets.scene import (
    CAPTION,
    CAPTION_HEIGHT,
    Still,
    box,
    control,
    image,
    picture,
    to_svg,
)

GIF = b"GIF89a\x01\x00\x01\x00\x00\x00\x00;"


def test_an_image_carries_its_bytes_and_says_what_it_shows() -> None:
    tag, attributes, title = image(1, 2, 30, 40, GIF, "image/gif", 'a "cat"')
    assert tag == "image" and title == ["title", {}, 'a "cat"']
    assert attributes["href"].startswith("data:image/gif;base64,R0lGOD")
    assert attributes["aria-label"] == 'a "cat"'
    ET.fromstring(to_svg(picture(50, 50, "one", image(1, 2, 30, 40, GIF, "image/gif", "<&>"))))


def test_whatever_is_drawn_can_be_a_control_and_stills_have_none() -> None:
    drawn = control(
        "c",
        {"kind": "go", "x": 1},
        "view.go()",
        box(0, 0, 9, 9, "face"),
        x=3,
        y=4,
        group_name="g",
        label="go",
    )
    attributes = drawn[1]
    assert (attributes["role"], attributes["tabindex"], attributes["aria-label"]) == (
        "button",
        0,
        "go",
    )
    assert json.loads(attributes["data-command"]) == {"kind": "go", "x": 1}
    assert "aria-disabled" not in attributes
    assert "view.go" not in to_svg(picture(50, 50, "one", drawn))


def test_a_still_says_that_it_is_one_and_a_chart_does_not() -> None:
    scene = picture(50, 60, "a chart")
    assert CAPTION in to_svg(scene) and f'height="{60 + CAPTION_HEIGHT}"' in to_svg(scene)
    chart = Still(scene)
    assert CAPTION not in chart._repr_svg_() and 'height="60"' in chart._repr_svg_()
    assert repr(chart) == "<picture: a chart>"
