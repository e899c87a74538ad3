"""The black box of the ML queue: which objects a picture shows, and where.

A small convolutional network (CenterNet style) that knows 32 objects as OpenMoji draws them, in scenes that `scenes.py`
generates. It has never seen a photograph, and what it says about one means nothing. `detector.json` holds how it was trained
and how it scored.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from brokerlab.errors import BrokerLabError
from brokerlab.pipeline.boxes import Box, iou
from brokerlab.pipeline.pictures import open_picture

# From 1.29 on ONNX Runtime reports its use to its maker, unless this is set before it is imported.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

import onnxruntime

MODEL = Path(__file__).with_name("detector.onnx")
CONFIDENT = 0.3
"""The confidence from which an object counts as found."""
LONGEST_SIDE = 640
"""Larger pictures are scaled down to this many px before the network sees them."""

_STRIDE = 8
_MULTIPLE = 16
_GREY = 127
_SAME_OBJECT = 0.5


class ModelError(BrokerLabError):
    """The model's file is missing, or is not a model of this detector."""


@dataclass(frozen=True)
class Detection:
    """An object that was found: its name, how sure (0 to 1), and its box in px of the given picture."""

    label: str
    confidence: float
    left: float
    top: float
    width: float
    height: float


class Detector:
    """The loaded model, on one core. The same bytes always give the same answer.

    Parameters
    ----------
    model
        The ONNX file; the one in the package by default.

    Raises
    ------
    ModelError
        When the file is missing or is not a model of this detector.
    """

    def __init__(self, model: Path | None = None) -> None:
        file = MODEL if model is None else model
        self._session = _session(file)
        properties = self._session.get_modelmeta().custom_metadata_map
        names = [part.name for part in (*self._session.get_inputs(), *self._session.get_outputs())]
        if "labels" not in properties or names != ["picture", "heat", "boxes"]:
            raise ModelError(f"{file} is a model of something else: install BrokerLab again.")
        self.labels: tuple[str, ...] = tuple(properties["labels"].split(","))

    def detect(self, picture: bytes) -> tuple[Detection, ...]:
        """Find the objects in a JPEG, PNG, GIF or WebP, the surest first.

        Raises
        ------
        NotAPicture
            When the bytes cannot be opened as a picture.
        """
        image = open_picture(picture)
        pixels = _fitted(image)
        heat, boxes = self._session.run(None, {"picture": _padded(pixels)})
        kinds, rows, columns = _peaks(heat).T
        shrunk = image.width / pixels.shape[1], image.height / pixels.shape[0]
        corners = _corners(boxes[:, rows, columns], rows, columns, shrunk, image.size)
        found: list[Detection] = []
        for kind, confidence, (left, top, right, bottom) in zip(
            kinds.tolist(), heat[kinds, rows, columns].tolist(), corners.T.tolist(), strict=True
        ):
            # Comparisons with what is no number are false, so a ruined model finds nothing.
            if not (left < right and top < bottom):
                continue
            size = round(right - left, 1), round(bottom - top, 1)
            one = Detection(
                self.labels[kind], round(confidence, 4), round(left, 1), round(top, 1), *size
            )
            if all(iou(one, other) < _SAME_OBJECT for other in found):
                found.append(one)
        return tuple(found)


def match(truth: Sequence[Box], found: Sequence[Box], overlap: float = 0.5) -> tuple[int, int, int]:
    """Compare what was found with what is there.

    Each object found, in the order given, takes the object of the same name that it overlaps most, if by
    `overlap` at least (intersection over union) and not taken before.

    Returns
    -------
    tuple[int, int, int]
        Hits, misses and extra ones.
    """
    left = list(truth)
    hits = 0
    for one in found:
        near = [(iou(one, other), at) for at, other in enumerate(left) if other.label == one.label]
        best, at = max(near, default=(0.0, -1))
        if best >= overlap:
            hits += 1
            del left[at]
    return hits, len(left), len(found) - hits


def _session(file: Path) -> onnxruntime.InferenceSession:
    if not file.is_file():
        raise ModelError(f"The model {file} is missing: install BrokerLab again.")
    options = onnxruntime.SessionOptions()
    # One worker, one core: by default a pool would be made for every core of the host.
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 4
    try:
        return onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])
    except Exception as trouble:  # ONNX Runtime's errors have no common class
        raise ModelError(f"{file} cannot be read as a model: install BrokerLab again.") from trouble


def _fitted(image: Image.Image) -> np.ndarray:
    shrink = LONGEST_SIDE / max(image.size)
    if shrink < 1:
        extent = (max(1, round(image.width * shrink)), max(1, round(image.height * shrink)))
        image = image.resize(extent, Image.Resampling.BILINEAR, reducing_gap=2.0)
    return np.asarray(image)


def _padded(pixels: np.ndarray) -> np.ndarray:
    height, width = pixels.shape[:2]
    right, below = -width % _MULTIPLE, -height % _MULTIPLE
    return np.pad(pixels, ((0, below), (0, right), (0, 0)), constant_values=_GREY)


def _peaks(heat: np.ndarray) -> np.ndarray:
    """Return (class, row, column) of each cell that is confident and hotter than its neighbours, hottest first."""
    kinds, rows, columns = heat.shape
    room = np.full((kinds, rows + 2, columns + 2), -1, heat.dtype)
    room[:, 1:-1, 1:-1] = heat
    across = np.maximum(np.maximum(room[:, :, :-2], room[:, :, 2:]), room[:, :, 1:-1])
    around = np.maximum(np.maximum(across[:, :-2], across[:, 2:]), across[:, 1:-1])
    peaks = np.argwhere((heat >= CONFIDENT) & (heat >= around))
    return peaks[np.argsort(-heat[tuple(peaks.T)], kind="stable")]


def _corners(
    boxes: np.ndarray,
    rows: np.ndarray,
    columns: np.ndarray,
    shrunk: tuple[float, float],
    extent: tuple[int, int],
) -> np.ndarray:
    """Return left, top, right and bottom, in px of the given picture and inside it, of the boxes of some cells.

    Parameters
    ----------
    boxes
        Shape (4, cells): the way from the cell's middle to the object's, and the logarithms of its width and
        height, all in strides.
    """
    middle = np.stack([columns, rows]) + 0.5 + boxes[:2]
    half = np.exp(np.clip(boxes[2:], -3, 6)) / 2
    to_px = _STRIDE * np.array(shrunk)[:, None]
    edge = np.array(extent, float)[:, None]
    return np.concatenate(
        [np.clip((middle - half) * to_px, 0, edge), np.clip((middle + half) * to_px, 0, edge)]
    )
