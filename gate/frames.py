"""A frame and its time, and how a camera's picture becomes one.

Frames are RGB and contiguous, upright, and cut to the region that is looked at.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from models.faces.engine import Frame

_TURNS = {
    90: cv2.ROTATE_90_CLOCKWISE,
    180: cv2.ROTATE_180,
    270: cv2.ROTATE_90_COUNTERCLOCKWISE,
}


@dataclass(frozen=True, slots=True)
class TimedFrame:
    """A frame and when it was taken, in seconds from the source's own start."""

    frame: Frame
    at_s: float


@dataclass(frozen=True, slots=True)
class Mount:
    """How the camera hangs: ``rotation`` in degrees clockwise makes its picture upright.

    ``region`` is the part of the upright picture that is looked at, as shares of it: left,
    top, right, bottom.
    """

    rotation: int = 0
    region: tuple[float, float, float, float] = (0.0, 0.0, 1.0, 1.0)

    def upright(self, picture: cv2.typing.MatLike) -> Frame:
        """The frame the gate looks at, from the camera's BGR ``picture``."""
        if self.rotation:
            picture = cv2.rotate(picture, _TURNS[self.rotation])
        rows, columns = picture.shape[:2]
        left, top, right, bottom = self.region
        inside = picture[
            round(top * rows) : round(bottom * rows), round(left * columns) : round(right * columns)
        ]
        return np.ascontiguousarray(cv2.cvtColor(inside, cv2.COLOR_BGR2RGB), dtype=np.uint8)


STRAIGHT = Mount()
