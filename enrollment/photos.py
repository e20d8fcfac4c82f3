"""From uploaded bytes to a frame, without trusting any of them.

What a file is, is decided by its first bytes, never by its name. Its size in pixels is
read from the header and refused before anything is decoded: a few kilobytes can claim to
be a picture of ten thousand by ten thousand. Nothing but the pixels is kept; the place and
time a telephone writes into a photo end here.
"""

from __future__ import annotations

import struct
import zlib
from io import BytesIO

import numpy as np
from flask_babel import gettext as _
from PIL import Image, ImageFile, ImageOps
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.WebPImagePlugin import WebPImageFile

from models.errors import FacefareError
from models.faces.engine import Frame

PHOTO_BYTES_MAX = 12_000_000
PIXELS_MAX = 40_000_000
SIDE_PX_MIN = 100
SIDE_PX_MAX = 1600  # a face that fills a tenth of it is still 160 px wide

# What Pillow raises on a file that is broken behind a good beginning.
_DAMAGED = (OSError, SyntaxError, ValueError, TypeError, EOFError, struct.error, zlib.error)


class PhotoRefused(FacefareError):
    """A file that cannot be used as a photo; the message speaks of "it"."""


def read_photo(data: bytes, pixels_max: int = PIXELS_MAX) -> Frame:
    """Decode a JPEG, PNG or WebP file into an upright RGB frame of at most 1600 px a side.

    Raises ``PhotoRefused`` for another kind of file, one too large in bytes or pixels, an
    animation, and a file that is cut short or damaged.
    """
    if len(data) > PHOTO_BYTES_MAX:
        raise PhotoRefused(
            _(
                "it is larger than %(max)s MB; send a smaller copy",
                max=PHOTO_BYTES_MAX // 1_000_000,
            )
        )
    kind = _kind(data)
    # face_recognition switches this on for the whole process when it is imported, and from
    # then on half a photo is a photo with a grey lower half.
    ImageFile.LOAD_TRUNCATED_IMAGES = False
    try:
        image = kind(BytesIO(data))
        _check_header(image, pixels_max)
        return _decode(image)
    except Image.DecompressionBombError as error:
        raise _too_many_pixels(_("more pixels than can be decoded"), pixels_max) from error
    except _DAMAGED as error:
        raise PhotoRefused(_("it is cut short or damaged; take or copy the photo again")) from error


def _kind(data: bytes) -> type[ImageFile.ImageFile]:
    # Pillow's own opener is passed by: it tries every format it knows.
    if data.startswith(b"\xff\xd8\xff"):
        return JpegImageFile
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        return PngImageFile
    if data.startswith(b"RIFF") and data[8:12] == b"WEBP":
        return WebPImageFile
    raise PhotoRefused(_("it is not a JPEG, PNG or WebP picture; choose a photo"))


def _check_header(image: ImageFile.ImageFile, pixels_max: int) -> None:
    width, height = image.size
    if width * height > pixels_max:
        size = _("%(width)s × %(height)s pixels", width=width, height=height)
        raise _too_many_pixels(size, pixels_max)
    if min(width, height) < SIDE_PX_MIN:
        raise PhotoRefused(
            _(
                "it has only %(width)s × %(height)s pixels; both sides need at least %(min)s",
                width=width,
                height=height,
                min=SIDE_PX_MIN,
            )
        )
    if getattr(image, "is_animated", False):
        raise PhotoRefused(_("it is an animation; send a still photo"))


def _too_many_pixels(size: str, pixels_max: int) -> PhotoRefused:
    return PhotoRefused(
        _(
            "it has %(size)s, above the limit of %(max)s million; send a smaller copy",
            size=size,
            max=pixels_max // 1_000_000,
        )
    )


def _decode(image: ImageFile.ImageFile) -> Frame:
    image.draft("RGB", (SIDE_PX_MAX, SIDE_PX_MAX))  # a large JPEG is decoded at a fraction
    image.load()
    upright = _to_rgb(ImageOps.exif_transpose(image))
    upright.thumbnail((SIDE_PX_MAX, SIDE_PX_MAX))
    return np.ascontiguousarray(upright, dtype=np.uint8)


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I"):  # 16-bit grey: Pillow would clip it to white
        grey = np.asarray(image).astype(np.uint32) >> 8
        return Image.fromarray(grey.clip(0, 255).astype(np.uint8)).convert("RGB")
    if image.has_transparency_data:  # what lies under transparent pixels was not meant to be seen
        layered = image.convert("RGBA")
        white = Image.new("RGBA", layered.size, "white")
        return Image.alpha_composite(white, layered).convert("RGB")
    return image.convert("RGB")
