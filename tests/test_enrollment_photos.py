"""Uploaded files: what becomes a frame, and the sentence for everything that does not."""

from __future__ import annotations

import io
import os
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from enrollment.photos import PHOTO_BYTES_MAX, PIXELS_MAX, SIDE_PX_MAX, PhotoRefused, read_photo
from tests.desk import FIRST, encoded, load_engine, photo

RED, GREEN = (200, 20, 20), (20, 200, 20)


def picture(width: int = 320, height: int = 200) -> Image.Image:
    """Red, with a green strip along its top."""
    image = Image.new("RGB", (width, height), RED)
    image.paste(GREEN, (0, 0, width, height // 4))
    return image


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png_header(width: int, height: int) -> bytes:
    """A PNG that claims a size and holds hardly anything."""
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    body = chunk(b"IDAT", zlib.compress(bytes(1000)))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + body + chunk(b"IEND", b"")


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_the_three_formats_become_frames(kind: str) -> None:
    frame = read_photo(encoded(picture(), kind))
    assert (frame.shape, frame.dtype) == ((200, 320, 3), np.uint8)
    assert frame.flags.c_contiguous
    assert np.abs(frame[150, 160].astype(int) - RED).max() < 12
    assert np.abs(frame[20, 160].astype(int) - GREEN).max() < 12


def test_a_real_photograph_becomes_a_frame_of_bounded_size() -> None:
    frame = read_photo(photo(FIRST))
    assert frame.shape == (1137, 910, 3)
    assert read_photo(encoded(picture(3200, 1000))).shape == (500, SIDE_PX_MAX, 3)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_a_photo_is_turned_upright(kind: str) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was held on its side: turn by 90 degrees
    turned = picture().rotate(90, expand=True)
    frame = read_photo(encoded(turned, kind, exif=exif))
    assert frame.shape == (200, 320, 3)
    assert np.abs(frame[20, 160].astype(int) - GREEN).max() < 12
    assert np.abs(frame[150, 160].astype(int) - RED).max() < 12


def test_grey_becomes_three_equal_channels() -> None:
    frame = read_photo(encoded(Image.new("L", (120, 120), 77)))
    assert (frame == 77).all()


def test_sixteen_bit_grey_keeps_its_shades() -> None:
    shades = np.linspace(0, 65535, 120 * 120).reshape(120, 120).astype(np.uint16)
    frame = read_photo(encoded(Image.fromarray(shades)))
    assert (frame[:, :, 0] == shades >> 8).all()


def test_transparency_becomes_white() -> None:
    clear = Image.new("RGBA", (120, 120), (10, 20, 30, 0))
    assert (read_photo(encoded(clear)) == 255).all()
    palette = clear.convert("P")
    palette.info["transparency"] = palette.getpixel((0, 0))
    assert (read_photo(encoded(palette)) == 255).all()


def test_print_colours_become_screen_colours() -> None:
    frame = read_photo(encoded(picture().convert("CMYK"), "JPEG"))
    assert np.abs(frame[150, 160].astype(int) - RED).max() < 12


@pytest.mark.parametrize(
    "data", [b"", b"hello", b"%PDF-1.7", b"<svg xmlns='http://www.w3.org/2000/svg'/>", bytes(5000)]
)
def test_something_that_is_no_picture_is_refused(data: bytes) -> None:
    with pytest.raises(PhotoRefused, match="not a JPEG, PNG or WebP picture; choose a photo"):
        read_photo(data)


@pytest.mark.parametrize("kind", ["GIF", "BMP", "TIFF", "PPM", "ICO"])
def test_other_picture_formats_are_refused(kind: str) -> None:
    with pytest.raises(PhotoRefused, match="not a JPEG, PNG or WebP picture"):
        read_photo(encoded(picture(), kind))


def test_a_file_above_the_limit_is_refused_by_its_size() -> None:
    good = encoded(picture(), "JPEG")
    assert read_photo(good + bytes(PHOTO_BYTES_MAX - len(good))).shape == (200, 320, 3)
    with pytest.raises(PhotoRefused, match="larger than 12 MB"):
        read_photo(good + bytes(PHOTO_BYTES_MAX - len(good) + 1))


def test_a_picture_of_ten_thousand_by_ten_thousand_is_refused() -> None:
    with pytest.raises(PhotoRefused, match="10000 × 10000 pixels, above the limit of 40 million"):
        read_photo(encoded(Image.new("1", (10_000, 10_000))))


def test_a_photo_of_fifty_megapixels_is_refused() -> None:
    data = encoded(Image.new("L", (8660, 5774), 128), "JPEG")
    with pytest.raises(PhotoRefused, match="8660 × 5774 pixels, above the limit"):
        read_photo(data)


def test_a_claim_of_a_size_is_refused_before_anything_is_decoded() -> None:
    with pytest.raises(PhotoRefused, match="60000 × 60000 pixels, above the limit"):
        read_photo(png_header(60_000, 60_000))
    canvas = b"\0" * 4 + struct.pack("<I", 16_382)[:3] * 2
    body = b"WEBPVP8X" + struct.pack("<I", len(canvas)) + canvas
    with pytest.raises(PhotoRefused, match="more pixels than can be decoded, above the limit"):
        read_photo(b"RIFF" + struct.pack("<I", len(body)) + body)


def test_the_largest_allowed_photo_is_read() -> None:
    width = 8000
    frame = read_photo(encoded(Image.new("L", (width, PIXELS_MAX // width), 128), "JPEG"))
    assert frame.shape == (1000, 1600, 3)


def test_a_tiny_picture_is_refused() -> None:
    with pytest.raises(PhotoRefused, match="only 99 × 400 pixels; both sides need at least 100"):
        read_photo(encoded(picture(99, 400)))


@pytest.mark.parametrize("kind", ["PNG", "WEBP"])
def test_an_animation_is_refused(kind: str) -> None:
    frames = [Image.new("RGB", (120, 120), colour) for colour in (RED, GREEN)]
    buffer = io.BytesIO()
    frames[0].save(buffer, kind, save_all=True, append_images=frames[1:], duration=100)
    with pytest.raises(PhotoRefused, match="an animation; send a still photo"):
        read_photo(buffer.getvalue())


def noise() -> Image.Image:
    return Image.fromarray(np.random.default_rng(7).integers(0, 256, (150, 150, 3), dtype=np.uint8))


@pytest.mark.parametrize("options", [{}, {"progressive": True}])
def test_a_jpeg_cut_anywhere_in_its_first_nine_tenths_is_refused(options: dict[str, bool]) -> None:
    data = encoded(noise(), "JPEG", **options)
    for length in range(3, len(data) * 9 // 10, 97):
        with pytest.raises(PhotoRefused, match="cut short or damaged"):
            read_photo(data[:length])


@pytest.mark.parametrize("kind", ["PNG", "WEBP"])
def test_a_cut_png_or_webp_is_refused(kind: str) -> None:
    data = encoded(noise(), kind)
    for length in range(12, len(data) * 9 // 10, len(data) // 60):
        with pytest.raises(PhotoRefused, match="cut short or damaged"):
            read_photo(data[:length])


def test_a_real_photograph_cut_in_half_is_refused_with_the_engine_loaded() -> None:
    load_engine()  # imports face_recognition, which tells Pillow to accept such files
    whole = photo(FIRST)
    with pytest.raises(PhotoRefused, match="cut short or damaged; take or copy the photo again"):
        read_photo(whole[: len(whole) // 2])


@pytest.mark.filterwarnings("ignore::UserWarning:PIL")  # Pillow warns of odd EXIF and reads on
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_a_damaged_file_is_a_photo_or_a_refusal_and_never_a_crash(kind: str) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    data = encoded(noise(), kind, exif=exif)
    random = np.random.default_rng(11)
    refused = 0
    for _ in range(150):
        damaged = bytearray(data)
        for position in random.integers(0, min(len(data), 2000), 6):
            damaged[position] = random.integers(256)
        try:
            assert read_photo(bytes(damaged)).shape[2] == 3
        except PhotoRefused:
            refused += 1
    assert refused > 10


@pytest.mark.parametrize("start", [b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"RIFF\0\0\0\0WEBP"])
def test_a_good_beginning_and_nonsense_is_refused(start: bytes) -> None:
    with pytest.raises(PhotoRefused, match="cut short or damaged"):
        read_photo(start + os.urandom(3000))
