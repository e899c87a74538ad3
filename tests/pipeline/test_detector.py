"""The detector: how well it sees, where it says things are, what it costs, and what it refuses."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import time
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from brokerlab.pipeline import detector
from brokerlab.pipeline.boxes import iou
from brokerlab.pipeline.detector import MODEL, Detection, Detector, ModelError, match
from brokerlab.pipeline.pictures import NotAPicture
from brokerlab.pipeline.scenes import LABELS, Placed, compose, scene
from PIL import Image

UNSEEN_SEED = 40_404
CARD = json.loads(MODEL.with_suffix(".json").read_text(encoding="utf-8"))
BOUNDS = {128: 0.93, 320: 0.90}


@pytest.fixture(scope="module")
def eyes() -> Detector:
    return Detector()


def saved(picture: Image.Image, kind: str = "PNG") -> bytes:
    file = BytesIO()
    picture.save(file, kind)
    return file.getvalue()


def opened(data: bytes) -> Image.Image:
    return Image.open(BytesIO(data)).convert("RGB")


def moved(thing: Any, scale: tuple[float, float], left: float = 0, top: float = 0) -> Placed:
    """Return a box after its picture was scaled and then put at (left, top) of another."""
    x, y = scale
    return Placed(
        thing.label,
        thing.left * x + left,
        thing.top * y + top,
        thing.width * x,
        thing.height * y,
        0,
    )


@pytest.mark.parametrize(("size", "bound"), BOUNDS.items())
def test_it_finds_what_500_unseen_scenes_show(eyes: Detector, size: int, bound: float) -> None:
    assert UNSEEN_SEED not in (CARD["training"]["scene_seed"], CARD["scores"]["scene_seed"])
    hits = misses = extra = 0
    for index in range(500):
        truth = scene(UNSEEN_SEED, index, size)
        results = match(truth.objects, eyes.detect(truth.picture))
        hits, misses, extra = hits + results[0], misses + results[1], extra + results[2]
    assert hits / (hits + misses) >= bound
    assert hits / (hits + extra) >= bound


def test_the_card_tells_of_this_model(eyes: Detector) -> None:
    assert tuple(CARD["labels"]) == eyes.labels == LABELS
    assert MODEL.stat().st_size < 1_000_000
    assert hashlib.sha256(MODEL.read_bytes()).hexdigest() == CARD["sha256"]
    assert CARD["scores"]["confidence_from"] == detector.CONFIDENT
    for size, bound in BOUNDS.items():
        assert min(CARD["scores"][f"{size} px"][name] for name in ("recall", "precision")) >= bound


@pytest.mark.parametrize("label", LABELS)
def test_it_knows_each_object(eyes: Detector, label: str) -> None:
    shown = [compose([Placed(label, 90, 80, 100, 100, 0)], 320, seed) for seed in range(8)]
    seen = [match(one.objects, eyes.detect(one.picture))[0] for one in shown]
    assert sum(seen) == len(shown)


@pytest.mark.parametrize(
    "extent", [(317, 211), (129, 300), (64, 64), (201, 333), (640, 8), (9, 640)]
)
def test_a_picture_may_have_any_size(eyes: Detector, extent: tuple[int, int]) -> None:
    canvas = Image.new("RGB", extent, (120, 130, 110))
    canvas.paste(opened(scene(UNSEEN_SEED, 1, 128).picture), (5, 3))
    for one in eyes.detect(saved(canvas)):
        assert 0 <= one.left < one.left + one.width <= extent[0] + 0.1
        assert 0 <= one.top < one.top + one.height <= extent[1] + 0.1


def test_boxes_move_with_what_they_show(eyes: Detector) -> None:
    hits = objects = 0
    for index in range(40):
        truth = scene(UNSEEN_SEED, index, 128)
        canvas = Image.new("RGB", (301, 203), (128, 128, 128))
        canvas.paste(opened(truth.picture), (150, 61))
        there = [moved(thing, (1, 1), 150, 61) for thing in truth.objects]
        hits += match(there, eyes.detect(saved(canvas)))[0]
        objects += len(there)
    assert hits / objects >= 0.93


def test_a_large_picture_is_scaled_down_and_its_boxes_up_again(eyes: Detector) -> None:
    hits = objects = 0
    for index in range(20):
        truth = scene(UNSEEN_SEED, index, 640)
        large = opened(truth.picture).resize((1601, 1280))
        there = [moved(thing, (1601 / 640, 2)) for thing in truth.objects]
        hits += match(there, eyes.detect(saved(large, "JPEG")))[0]
        objects += len(there)
    assert hits / objects >= 0.93


@pytest.mark.parametrize("extent", [(1, 1), (7, 300), (320, 320), (2000, 3), (1, 25_000_000)])
def test_where_nothing_is_nothing_is_found(eyes: Detector, extent: tuple[int, int]) -> None:
    assert eyes.detect(saved(Image.new("L", extent, 90))) == ()


def test_one_object_is_found_once(eyes: Detector) -> None:
    for index in range(60):
        found = eyes.detect(scene(UNSEEN_SEED, index).picture)
        confidences = [one.confidence for one in found]
        assert confidences == sorted(confidences, reverse=True)
        assert all(detector.CONFIDENT <= value <= 1 for value in confidences)
        assert all(iou(a, b) < 0.5 for n, a in enumerate(found) for b in found[:n])


class BrokenSession:
    """What a model with ruined weights would answer."""

    def __init__(self, heat: float, box: float) -> None:
        self.heat, self.box = heat, box

    def run(self, _: None, inputs: dict[str, np.ndarray]) -> list[np.ndarray]:
        height, width, _ = inputs["picture"].shape
        cells = height // 8, width // 8
        heat = np.full((len(LABELS), *cells), self.heat, np.float32)
        return [heat, np.full((4, *cells), self.box, np.float32)]


@pytest.mark.parametrize(
    ("heat", "box"), [(np.nan, 0), (0.9, np.nan), (0.9, np.inf), (0.9, -np.inf)]
)
def test_numbers_that_are_none_are_never_reported(heat: float, box: float) -> None:
    eyes = Detector()
    eyes._session = BrokenSession(heat, box)  # type: ignore[assignment]
    assert eyes.detect(scene(1, 1, 128).picture) == ()


def test_the_same_picture_gets_the_same_answer_in_another_process(eyes: Detector) -> None:
    code = (
        "from brokerlab.pipeline.detector import Detector; from brokerlab.pipeline.scenes import scene\n"
        "eyes = Detector()\n"
        "print([eyes.detect(scene(1, index).picture) for index in (3, 2, 1)])"
    )
    told = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    assert told.stdout.strip() == str([eyes.detect(scene(1, index).picture) for index in (3, 2, 1)])


def test_a_process_that_looks_is_small_has_one_thread_and_leaves_nothing(tmp_path: Path) -> None:
    pictures, home = tmp_path / "pictures", tmp_path / "home"
    pictures.mkdir()
    home.mkdir()
    for index in range(60):
        (pictures / f"{index}.jpg").write_bytes(scene(1, index, (128, 320)[index % 2]).picture)
    code = (
        "import sys, pathlib, psutil\n"
        "from brokerlab.pipeline.detector import Detector\n"
        "eyes = Detector()\n"
        "for file in pathlib.Path(sys.argv[1]).iterdir(): eyes.detect(file.read_bytes())\n"
        "print(psutil.Process().memory_info().rss, psutil.Process().num_threads())\n"
    )
    told = subprocess.run(
        [sys.executable, "-c", code, str(pictures)],
        # ONNX Runtime's telemetry would need a thread, and a database in the home.
        env={"HOME": str(home), "OPENBLAS_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    memory, threads = (int(word) for word in told.stdout.split())
    assert memory < 100_000_000
    assert threads == 1
    assert list(home.iterdir()) == []


def test_a_picture_of_320_px_costs_real_work_but_little(eyes: Detector) -> None:
    pictures = [scene(1, index).picture for index in range(30)]
    spent = []
    for picture in pictures:
        begun = time.thread_time()
        eyes.detect(picture)
        spent.append(time.thread_time() - begun)
    assert 0.001 < np.median(spent) < 0.020


@pytest.mark.parametrize("data", [b"", b"no picture", scene(1, 1).picture[:3000]])
def test_what_is_no_picture_is_refused(eyes: Detector, data: bytes) -> None:
    with pytest.raises(NotAPicture):
        eyes.detect(data)


def test_a_missing_model_is_told_in_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"missing.*\.$"):
        Detector(tmp_path / "none.onnx")


@pytest.mark.parametrize("part", [0, 0.5, 0.99])
def test_a_broken_model_is_told_in_one_sentence(tmp_path: Path, part: float) -> None:
    whole = MODEL.read_bytes()
    broken = tmp_path / "broken.onnx"
    broken.write_bytes(whole[: int(len(whole) * part)])
    with pytest.raises(ModelError, match=r"install BrokerLab again\.$"):
        Detector(broken)


def test_a_model_of_something_else_is_refused(tmp_path: Path) -> None:
    other = tmp_path / "other.onnx"
    other.write_bytes(MODEL.read_bytes().replace(b"labels", b"animal"))
    with pytest.raises(ModelError, match="something else"):
        Detector(other)


def box(label: str, left: float, width: float = 10) -> Detection:
    return Detection(label, 0.9, left, 0, width, 10)


def test_match_counts_hits_misses_and_extra_ones() -> None:
    truth = [box("cat", 0), box("dog", 50), box("cup", 100)]
    found = [box("cat", 1), box("cat", 0), box("cat", 50), box("cup", 106)]
    assert match(truth, found) == (1, 2, 3)
    assert match(truth, found, 0.2) == (2, 1, 2)
    assert match(truth, truth) == (3, 0, 0)
    assert match([], []) == (0, 0, 0)


def test_match_takes_the_object_that_overlaps_most() -> None:
    truth = [box("cat", 3), box("cat", 0)]
    assert match(truth, [box("cat", 0), box("cat", 3)]) == (2, 0, 0)
