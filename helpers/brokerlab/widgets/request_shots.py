"""The small pictures on a request board: of what was sent, of what is composed, of the objects to choose from."""

from __future__ import annotations

from collections import OrderedDict
from io import BytesIO

from PIL import Image

from brokerlab.pipeline.pictures import NotAPicture, open_picture
from brokerlab.pipeline.scenes import LABELS, sprite
from brokerlab.pipeline.store import Job, Store
from brokerlab.widgets.request_picture import ACROSS, Shot

SMALL, LARGE = 160, 320
"""Px of a side at most: in the row of the latest, and of the one that was sent from the board."""

_KEPT = 64
_CELL, _OBJECT = 50, 40
_SMALL_QUALITY, _LARGE_QUALITY = 60, 75

Thumbnail = tuple[bytes | None, int, int]


class Shots:
    """Makes `Shot` of jobs; keeps the newest thumbnails, since the same pictures are asked for again and again."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._kept: OrderedDict[tuple[str, int], Thumbnail] = OrderedDict()

    def shot(self, job: Job, side: int = SMALL) -> Shot:
        """Return a job with its picture, `side` px at most."""
        data, width, height = self._thumbnail(job.id, side)
        return Shot(job.id, job.state, data, width, height, job.detections or (), job.reason or "")

    def _thumbnail(self, id: str, side: int) -> Thumbnail:
        key = (id, side)
        if key not in self._kept:
            found = self._store.picture(id)
            self._kept[key] = thumbnail(found[1], side) if found else (None, side, side)
            while len(self._kept) > _KEPT:
                self._kept.popitem(last=False)
        self._kept.move_to_end(key)
        return self._kept[key]


def thumbnail(picture: bytes, side: int) -> Thumbnail:
    """Return a JPEG of a picture, `side` px at most, and the picture's own width and height; None if it has none."""
    try:
        image = open_picture(picture)
    except NotAPicture:
        return None, side, side
    extent = image.size
    image.thumbnail((side, side))
    return _written(image, "JPEG", _SMALL_QUALITY if side <= SMALL else _LARGE_QUALITY), *extent


def palette() -> bytes:
    """Return one WebP of all objects, in the order of `LABELS`, `ACROSS` in a row."""
    sheet = Image.new("RGBA", (ACROSS * _CELL, -(-len(LABELS) // ACROSS) * _CELL))
    for number, label in enumerate(LABELS):
        one = sprite(label, _OBJECT)
        left = number % ACROSS * _CELL + (_CELL - one.width) // 2
        top = number // ACROSS * _CELL + (_CELL - one.height) // 2
        sheet.paste(one, (left, top))
    return _written(sheet, "WEBP", _LARGE_QUALITY)


def _written(image: Image.Image, kind: str, quality: int) -> bytes:
    file = BytesIO()
    image.save(file, kind, quality=quality)
    return file.getvalue()
