"""Scenes: the same for ever, true to their boxes, quick to draw."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import time
from collections.abc import Callable
from io import BytesIO

import numpy as np
import pytest
from brokerlab.errors import SettingError
from brokerlab.pipeline.scenes import LABELS, Placed, Scene, compose, scene, sprite
from PIL import Image


def pixels(one: Scene) -> np.ndarray:
    return np.asarray(Image.open(BytesIO(one.picture))).astype(int)


def digest(one: Scene) -> str:
    return hashlib.sha256(one.picture + repr(one.objects).encode()).hexdigest()


def test_there_are_32_objects_and_each_can_be_seen() -> None:
    assert len(LABELS) == len(set(LABELS)) == 32
    looks = {sprite(label, 64).tobytes() for label in LABELS}
    assert len(looks) == 32


@pytest.mark.parametrize("px", [8, 24, 100, 1024])
def test_a_sprite_is_cut_to_what_shows_and_as_long_as_asked(px: int) -> None:
    for label in LABELS:
        drawn = sprite(label, px)
        assert drawn.mode == "RGBA"
        assert max(drawn.size) == pytest.approx(px, abs=2)
        opacity = np.asarray(drawn)[..., 3]
        edges = opacity[0], opacity[-1], opacity[:, 0], opacity[:, -1]
        assert all(edge.max() >= 64 for edge in edges), label


def test_a_scene_is_the_same_in_another_process() -> None:
    wanted = [(3, 0, 128), (3, 1, 320), (4, 1, 320)]
    code = (
        "import hashlib; from brokerlab.pipeline.scenes import scene\n"
        f"for asked in reversed({wanted}):\n"
        "    one = scene(*asked)\n"
        "    print(hashlib.sha256(one.picture + repr(one.objects).encode()).hexdigest())"
    )
    told = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONHASHSEED": "5"},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert told.stdout.split() == [digest(scene(*asked)) for asked in reversed(wanted)]


def test_scenes_differ_by_seed_index_and_size() -> None:
    kinds = {
        digest(scene(*asked)) for asked in [(0, 0, 128), (0, 1, 128), (1, 0, 128), (0, 0, 136)]
    }
    assert len(kinds) == 4


def test_a_scene_holds_one_to_eight_objects_wholly_inside() -> None:
    counts = set()
    for index in range(150):
        one = scene(8, index, 128)
        counts.add(len(one.objects))
        for thing in one.objects:
            assert thing.label in LABELS
            assert 0 <= thing.left <= thing.left + thing.width <= 128
            assert 0 <= thing.top <= thing.top + thing.height <= 128
            assert abs(thing.tilt) <= 30
    assert counts == set(range(1, 9))


@pytest.mark.parametrize("size", [64, 100, 128, 320, 641, 1024])
def test_a_scene_has_the_size_asked_for(size: int) -> None:
    one = scene(1, 2, size)
    assert one.size == size
    assert Image.open(BytesIO(one.picture)).size == (size, size)
    assert Image.open(BytesIO(one.picture)).format == "JPEG"


@pytest.mark.parametrize("label", LABELS)
def test_a_box_is_tight_around_what_is_drawn(label: str) -> None:
    wanted = Placed(label, 60, 50, 90, 120, 17.0)
    # Some part of an object may have the colour of one background, but not of four.
    changes = [
        np.abs(pixels(compose([wanted], 256, seed)) - pixels(compose([], 256, seed))).max(2)
        for seed in range(4)
    ]
    changed = np.max(changes, axis=0) > 60
    rows, columns = np.flatnonzero(changed.any(1)), np.flatnonzero(changed.any(0))
    (box,) = compose([wanted], 256).objects
    assert box.left == pytest.approx(columns[0], abs=2)
    assert box.top == pytest.approx(rows[0], abs=2)
    assert box.left + box.width == pytest.approx(columns[-1] + 1, abs=2)
    assert box.top + box.height == pytest.approx(rows[-1] + 1, abs=2)


def test_a_composed_object_fills_its_box_and_keeps_its_proportions() -> None:
    (wide,) = compose([Placed("car", 10, 20, 100, 300, 0)], 320).objects
    assert wide.width == pytest.approx(100, abs=2)
    assert wide.left == pytest.approx(10, abs=1)
    assert wide.top + wide.height / 2 == pytest.approx(170, abs=1)
    (small,) = compose([Placed("car", 10, 20, 50, 300, 0)], 320).objects
    assert small.width / small.height == pytest.approx(wide.width / wide.height, rel=0.1)


def test_a_scene_composed_of_a_scene_has_the_same_boxes() -> None:
    for index in range(20):
        objects = scene(9, index, 320).objects
        for one, again in zip(objects, compose(objects, 320).objects, strict=True):
            assert (one.label, one.tilt) == (again.label, again.tilt)
            for side in ("left", "top", "width", "height"):
                assert getattr(one, side) == pytest.approx(getattr(again, side), abs=2)


def test_what_reaches_over_the_edge_is_cut() -> None:
    (box,) = compose([Placed("football", -30, 150, 80, 80, 0)], 200).objects
    assert (box.left, box.top + box.height) == (0, 200)
    assert (box.width, box.height) == pytest.approx((50, 50), abs=2)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: scene(-1, 0), "negative"),
        (lambda: scene(0, -1), "negative"),
        (lambda: scene(0, 0, 63), "64 to 1024"),
        (lambda: scene(0, 0, 1025), "64 to 1024"),
        (lambda: compose([], 10), "64 to 1024"),
        (lambda: compose([Placed("unicorn", 0, 0, 20, 20, 0)]), "unicorn"),
        (lambda: compose([Placed("car", 0, 0, 20, 2, 0)]), "smaller than 8"),
        (lambda: compose([Placed("car", 0, 0, float("nan"), 20, 0)]), "no number"),
        (lambda: compose([Placed("car", 0, 0, 20, 20, float("inf"))]), "no number"),
        (lambda: compose([Placed("car", 400, 0, 20, 20, 0)]), "outside"),
        (lambda: compose([Placed("car", -90, 0, 20, 20, 0)]), "outside"),
        (lambda: sprite("unicorn", 64), "unicorn"),
        (lambda: sprite("car", 0), "8 to 1024"),
    ],
)
def test_what_cannot_be_drawn_is_refused_in_one_sentence(
    call: Callable[[], object], words: str
) -> None:
    with pytest.raises(SettingError, match=words):
        call()


def test_a_320_px_scene_takes_less_than_10_ms() -> None:
    for index in range(100):
        scene(12, index)
    spent = []
    for index in range(100):
        begun = time.thread_time()
        scene(13, index)
        spent.append(time.thread_time() - begun)
    assert np.median(spent) < 0.010
