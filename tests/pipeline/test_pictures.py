"""What is opened as a picture, and what is refused with which words."""

from __future__ import annotations

import pickle
import struct
import tracemalloc
import warnings
import zlib
from io import BytesIO
from typing import Any

import numpy as np
import psutil
import pytest
from brokerlab.pipeline.pictures import MOST_PIXELS, NotAPicture, open_picture
from brokerlab.pipeline.scenes import scene
from PIL import Image

RED, GREEN, BLUE = (255, 0, 0), (0, 255, 0), (0, 0, 255)


def saved(picture: Image.Image, kind: str, **settings: Any) -> bytes:
    file = BytesIO()
    picture.save(file, kind, **settings)
    return file.getvalue()


def refused(data: bytes) -> NotAPicture:
    with pytest.raises(NotAPicture) as refusal:
        open_picture(data)
    assert str(refusal.value) == refusal.value.reason
    assert refusal.value.reason.endswith(".")
    return refusal.value


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png_header(width: int, height: int) -> bytes:
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header)


def halves(left: Any, right: Any, mode: str = "RGB") -> Image.Image:
    picture = Image.new(mode, (20, 10), left)
    picture.paste(right, (10, 0, 20, 10))
    return picture


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF", "WEBP"])
def test_the_four_kinds_are_opened(kind: str) -> None:
    opened = open_picture(saved(halves(RED, BLUE), kind))
    assert (opened.mode, opened.size) == ("RGB", (20, 10))
    assert np.abs(np.array(opened.getpixel((2, 5))) - RED).max() < 12
    assert np.abs(np.array(opened.getpixel((17, 5))) - BLUE).max() < 12


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF", "WEBP"])
def test_one_pixel_is_a_picture(kind: str) -> None:
    assert open_picture(saved(Image.new("RGB", (1, 1), RED), kind)).size == (1, 1)


@pytest.mark.parametrize(
    "kind", ["BMP", "TIFF", "ICO", "PPM", "PCX", "TGA", "PDF", "EPS", "JPEG2000"]
)
def test_other_kinds_are_refused(kind: str) -> None:
    assert refused(saved(Image.new("RGB", (32, 32), RED), kind)).code == "not-a-picture"


def test_nothing_is_refused() -> None:
    assert refused(b"").code == "empty"


def test_a_refusal_can_be_sent_to_another_process() -> None:
    sent = pickle.loads(pickle.dumps(refused(b"")))
    assert (sent.code, str(sent)) == ("empty", refused(b"").reason)


@pytest.mark.parametrize("data", [b"Hello", b"\xff", b"RIFF\0\0\0\0WAVE", b"<svg/>", bytes(1000)])
def test_what_is_no_picture_is_refused(data: bytes) -> None:
    assert refused(data).code == "not-a-picture"


def test_12000_by_12000_is_refused_before_it_is_decoded() -> None:
    data = png_header(12_000, 12_000) + chunk(b"IDAT", zlib.compress(bytes(36_001 * 12_000), 1))
    tracemalloc.start()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        trouble = refused(data + chunk(b"IEND", b""))
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert trouble.code == "too-many-pixels"
    assert "12000 x 12000" in trouble.reason
    assert most < 3_000_000 + 2 * len(data)


def test_the_limit_itself_is_allowed() -> None:
    high = MOST_PIXELS // 1_000
    assert open_picture(saved(Image.new("L", (1_000, high)), "PNG")).size == (1_000, high)
    assert refused(saved(Image.new("L", (1_000, high + 1)), "PNG")).code == "too-many-pixels"


@pytest.mark.parametrize("kind", ["JPEG", "GIF", "WEBP"])
def test_too_large_a_header_is_refused_whatever_the_kind(kind: str) -> None:
    assert refused(saved(Image.new("L", (9_000, 3_000)), kind)).code == "too-many-pixels"


@pytest.mark.parametrize("side", [6_000, 12_000, 16_000, 2**24])
def test_a_webp_with_a_huge_canvas_is_refused_before_memory_is_used(side: int) -> None:
    frames = [Image.new("RGB", (16, 16), colour) for colour in (RED, GREEN)]
    data = bytearray(saved(frames[0], "WEBP", save_all=True, append_images=frames[1:]))
    assert data[12:16] == b"VP8X"
    data[24:30] = (side - 1).to_bytes(3, "little") * 2
    before = psutil.Process().memory_info().rss
    assert refused(bytes(data)).code == "too-many-pixels"
    assert psutil.Process().memory_info().rss - before < 20_000_000


def test_transparency_is_laid_on_white() -> None:
    opened = open_picture(saved(halves((255, 0, 0, 0), (0, 0, 255, 128), "RGBA"), "PNG"))
    assert opened.getpixel((2, 5)) == (255, 255, 255)
    assert opened.getpixel((17, 5)) == pytest.approx((127, 127, 255), abs=2)


def test_grey_with_transparency_is_laid_on_white() -> None:
    opened = open_picture(saved(halves((0, 0), (0, 255), "LA"), "PNG"))
    assert (opened.getpixel((2, 5)), opened.getpixel((17, 5))) == ((255,) * 3, (0,) * 3)


def test_a_palette_with_a_transparent_colour_is_laid_on_white() -> None:
    picture = halves(RED, BLUE).quantize(2)
    opened = open_picture(saved(picture, "PNG", transparency=picture.getpixel((2, 5))))
    assert (opened.getpixel((2, 5)), opened.getpixel((17, 5))) == ((255, 255, 255), BLUE)


def test_a_palette_is_opened_in_its_colours() -> None:
    opened = open_picture(saved(halves(RED, BLUE).quantize(2), "PNG"))
    assert (opened.getpixel((2, 5)), opened.getpixel((17, 5))) == (RED, BLUE)


@pytest.mark.parametrize("kind", ["GIF", "PNG", "WEBP"])
def test_an_animation_is_its_first_frame(kind: str) -> None:
    frames = [Image.new("RGB", (20, 10), colour) for colour in (RED, GREEN, BLUE)]
    settings = {"lossless": True} if kind == "WEBP" else {}
    data = saved(frames[0], kind, save_all=True, append_images=frames[1:], **settings)
    assert open_picture(data).getpixel((3, 3)) == RED


def test_cmyk_is_opened_in_its_colours() -> None:
    opened = open_picture(saved(halves(RED, (255, 255, 255)).convert("CMYK"), "JPEG"))
    assert np.abs(np.array(opened.getpixel((2, 5))) - RED).max() < 12
    assert np.abs(np.array(opened.getpixel((17, 5))) - 255).max() < 12


def test_sixteen_bits_keep_their_brightness() -> None:
    shades = np.array([[0, 0x4000, 0x8000, 0xFFFF]], np.uint16)
    opened = np.asarray(open_picture(saved(Image.fromarray(shades), "PNG")))
    assert opened[0, :, 0].tolist() == [0, 0x40, 0x80, 0xFF]


def test_sixteen_bits_a_colour_keep_their_colours() -> None:
    row = b"\0" + struct.pack(">6H", 0xFFFF, 0x8000, 0, 0, 0x4000, 0xFFFF)
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 2, 1, 16, 2, 0, 0, 0))
    data = b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(row)) + chunk(b"IEND", b"")
    assert np.asarray(open_picture(data))[0].tolist() == [[0xFF, 0x80, 0], [0, 0x40, 0xFF]]


def test_black_and_white_is_opened() -> None:
    opened = open_picture(saved(halves(0, 1, "1"), "PNG"))
    assert (opened.getpixel((2, 5)), opened.getpixel((17, 5))) == ((0,) * 3, (255,) * 3)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_exif_says_which_side_is_up(kind: str, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    picture = halves(RED, BLUE)
    picture.paste(GREEN, (0, 0, 5, 5))
    turns = {
        **{2: Image.Transpose.FLIP_LEFT_RIGHT, 3: Image.Transpose.ROTATE_180},
        **{4: Image.Transpose.FLIP_TOP_BOTTOM, 5: Image.Transpose.TRANSPOSE},
        **{6: Image.Transpose.ROTATE_270, 7: Image.Transpose.TRANSVERSE},
        **{8: Image.Transpose.ROTATE_90},
    }
    expected = picture.transpose(turns[orientation]) if orientation > 1 else picture
    opened = open_picture(saved(picture, kind, exif=exif))
    assert opened.size == expected.size
    assert np.abs(np.asarray(opened).astype(int) - np.asarray(expected)).mean() < 20


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P", "I;16", "L"])
def test_exif_says_so_in_every_mode(mode: str) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    picture = Image.new(mode, (20, 10), 0)
    assert open_picture(saved(picture, "PNG", exif=exif)).size == (10, 20)


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data")
def test_exif_that_cannot_be_read_turns_nothing() -> None:
    data = saved(halves(RED, BLUE), "JPEG", exif=b"Exif\0\0MM\0*\0\0\0\x08\xff\xff\x01\x12")
    assert open_picture(data).size == (20, 10)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF", "WEBP"])
def test_what_breaks_off_is_refused(kind: str) -> None:
    whole = saved(open_picture(scene(1, 1).picture), kind)
    codes = {refused(whole[: len(whole) * part // 10]).code for part in range(1, 10)}
    assert codes <= {"truncated", "damaged"}
    if kind == "JPEG":
        assert codes == {"truncated"}


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF", "WEBP"])
def test_damage_is_a_picture_or_not_a_picture_and_nothing_else(kind: str) -> None:
    whole = np.frombuffer(saved(open_picture(scene(1, 2, 64).picture), kind), np.uint8)
    rng = np.random.default_rng(11)
    refusals = 0
    for _ in range(300):
        broken = whole.copy()
        where = rng.integers(4, len(broken), int(rng.integers(1, 20)))
        broken[where] = rng.integers(0, 256, len(where))
        try:
            open_picture(broken.tobytes())
        except NotAPicture:
            refusals += 1
    assert refusals > 0
