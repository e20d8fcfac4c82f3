"""Read a pass from the camera's frames: the QR code that a rider holds up, if there is one.

A code on a telephone is small, dim and has a pixel grid of its own, so the picture is read
enlarged: twice, three times and as it is, in turn, because each reads codes that the others
do not. To leave the processor to the faces, the loop asks for some frames a second only, and
they are looked at in one channel, in the part of the picture where passes are held. Nothing
of a picture is kept.

The decoder is zxing-cpp; docs/passes.md has what it and OpenCV's read, and the times.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt
import zxingcpp

from models.faces.engine import Frame
from models.wire.pass_text import QR_CHARACTERS_MAX, is_pass_text

SCALES = (2, 3, 1)
WIDTH_PX_MAX = 1920
"""A wider picture is looked at smaller: more pixels take time and are not needed."""

ENLARGED_PX_MAX = 3840
"""No enlarged picture is wider; one that would be is looked at as it is."""

Grey = npt.NDArray[np.uint8]
"""(rows, columns), 0 black to 255 white."""

Zone = tuple[float, float, float, float]
"""Left, top, right, bottom as shares of the picture."""

WHOLE: Zone = (0.0, 0.0, 1.0, 1.0)


@dataclass
class PassReader:
    """Reads one camera's frames; ``zone`` is the part of the picture where passes are held."""

    zone: Zone = WHOLE
    _looks: int = -1

    def read(self, frame: Frame) -> str | None:
        """The text of a pass in this frame, or None; other codes are passed over."""
        self._looks += 1
        grey = _grey(frame, self.zone)
        return read_pass(_scaled(grey, SCALES[self._looks % len(SCALES)])) if grey.size else None


def read_pass(grey: Grey) -> str | None:
    """The text of the pass in a picture, or None where there is none that can be read."""
    found = zxingcpp.read_barcodes(
        grey,
        formats=zxingcpp.BarcodeFormats(zxingcpp.BarcodeFormat.QRCode),
        try_rotate=False,  # its finder patterns are found at any angle
        try_invert=False,
        try_downscale=False,
    )
    for code in found:
        text = code.text
        if code.valid and len(text) <= QR_CHARACTERS_MAX and is_pass_text(text):
            return text
    return None


def _grey(frame: Frame, zone: Zone) -> Grey:
    height, width = frame.shape[:2]
    left, top, right, bottom = zone
    rows = slice(int(top * height), int(bottom * height))
    part = frame[rows, int(left * width) : int(right * width)]
    # The green channel is where a sensor is sharpest, and costs nothing to make.
    return np.ascontiguousarray(part[:, :, 1])


def _scaled(grey: Grey, scale: int) -> Grey:
    across = grey.shape[1]
    if across > WIDTH_PX_MAX:
        return _resized(grey, WIDTH_PX_MAX / across, cv2.INTER_AREA)
    if scale == 1 or across * scale > ENLARGED_PX_MAX:
        return grey
    return _resized(grey, scale, cv2.INTER_CUBIC)


def _resized(grey: Grey, scale: float, how: int) -> Grey:
    other = cv2.resize(grey, None, fx=scale, fy=scale, interpolation=how)
    return np.asarray(other, dtype=np.uint8)
