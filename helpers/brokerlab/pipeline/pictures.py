"""What counts as a picture that the queue accepts, and how it is opened.

Only the decoders of JPEG, PNG, GIF and WebP are ever reached, and none before the header has told the picture's size. How
many bytes may come in is somebody else's limit.
"""

from __future__ import annotations

from collections.abc import Callable
from io import BytesIO

import numpy as np
from PIL import GifImagePlugin, Image, ImageFile, ImageOps, JpegImagePlugin, PngImagePlugin
from PIL import WebPImagePlugin as WebP

MOST_PIXELS = 25_000_000
"""Pixels, width times height, above which a picture is not decoded."""

_DECODERS: tuple[tuple[bytes, Callable[[BytesIO], ImageFile.ImageFile]], ...] = (
    (b"\xff\xd8\xff", JpegImagePlugin.JpegImageFile),
    (b"\x89PNG\r\n\x1a\n", PngImagePlugin.PngImageFile),
    (b"GIF87a", GifImagePlugin.GifImageFile),
    (b"GIF89a", GifImagePlugin.GifImageFile),
)


class NotAPicture(ValueError):
    """The bytes are no picture that is accepted, and never will be.

    Attributes
    ----------
    code
        A short word for programs: `empty`, `not-a-picture`, `too-many-pixels`, `truncated` or `damaged`.
    reason
        One sentence for people, which says what to do.
    """

    def __init__(self, code: str, reason: str) -> None:
        super().__init__(code, reason)
        self.code = code
        self.reason = reason

    def __str__(self) -> str:
        return self.reason


def open_picture(data: bytes) -> Image.Image:
    """Decode a JPEG, PNG, GIF or WebP.

    Returns
    -------
    Image.Image
        Mode RGB: the first frame of an animation, what is transparent on white, 16 bits a channel cut to 8,
        turned as its EXIF orientation says.

    Raises
    ------
    NotAPicture
        When the bytes are no such picture, are damaged, or hold more than `MOST_PIXELS`.
    """
    picture = _of_allowed_size(data)
    try:
        picture.load()
        return _in_rgb(ImageOps.exif_transpose(picture))
    except MemoryError:
        raise
    except Exception as trouble:  # whatever a decoder stumbles over, the picture is at fault
        raise _broken(trouble) from trouble


def media_type(data: bytes) -> str:
    """Return a picture's media type, such as ``image/jpeg``, from its header alone: cheap, whatever the picture's size.

    What only decoding shows, such as that the file breaks off, is not noticed.

    Raises
    ------
    NotAPicture
        When the header is none of a JPEG, PNG, GIF or WebP, or tells of more than `MOST_PIXELS`.
    """
    return f"image/{_of_allowed_size(data).format}".lower()


def _of_allowed_size(data: bytes) -> ImageFile.ImageFile:
    if not data:
        raise NotAPicture("empty", "There is nothing in the file: send a picture.")
    picture = _header(data)
    if picture.width * picture.height > MOST_PIXELS:
        raise _too_large(f"{picture.width} x {picture.height}")
    return picture


def _header(data: bytes) -> ImageFile.ImageFile:
    # Not Image.open: it would ask other decoders too, and complains on stderr about large sizes.
    decoder = next((decoder for magic, decoder in _DECODERS if data.startswith(magic)), None)
    if decoder is None and data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        decoder = WebP.WebPImageFile
    if decoder is None:
        raise NotAPicture(
            "not-a-picture", "This is no JPEG, PNG, GIF or WebP picture: send one of these."
        )
    try:
        return decoder(BytesIO(data))
    except MemoryError:
        raise
    except Image.DecompressionBombError as trouble:  # WebP's decoder compares for itself
        raise _too_large("far too many") from trouble
    except Exception as trouble:  # as in open_picture
        raise _broken(trouble) from trouble


def _too_large(pixels: str) -> NotAPicture:
    return NotAPicture(
        "too-many-pixels",
        f"The picture has {pixels} pixels, and {MOST_PIXELS // 1_000_000} million are the most: send a smaller one.",
    )


def _broken(trouble: Exception) -> NotAPicture:
    if "truncated" in str(trouble):
        return NotAPicture(
            "truncated", "The picture breaks off before its end: send the whole file."
        )
    return NotAPicture("damaged", "The picture is damaged and cannot be decoded: save it again.")


def _in_rgb(picture: Image.Image) -> Image.Image:
    if picture.mode.startswith("I"):
        # Pillow's own conversion would clip 16 bits, and show nearly all as white.
        picture = Image.fromarray((np.asarray(picture) >> 8).astype(np.uint8))
    if picture.has_transparency_data:
        layer = picture.convert("RGBA")
        ground = Image.new("RGBA", layer.size, "white")
        return Image.alpha_composite(ground, layer).convert("RGB")
    return picture.convert("RGB")
