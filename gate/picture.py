"""What can be wrong with a camera's picture, told from the pictures alone.

    judge = PictureJudge(); judge.take(frame, at_s) -> CameraFault | None

A fault is only called one after it has lasted: a rider in black cloth before the lens is
none. It is over with the first good picture. Pure: no camera, no clock.
"""

from __future__ import annotations

import zlib
from enum import StrEnum

import cv2
import numpy as np

from models.faces.engine import Frame


class CameraFault(StrEnum):
    """By the names an engineer uses; ``SENTENCES`` says what to do."""

    UNPLUGGED = "unplugged"
    FROZEN = "frozen"
    BLACK = "black"
    OVER_EXPOSED = "over-exposed"
    BLOCKED = "blocked"


SENTENCES: dict[CameraFault, str] = {
    CameraFault.UNPLUGGED: "the camera {} gives no picture; check the cable, the address and "
    "whether another program uses it",
    CameraFault.FROZEN: "the camera {} repeats one picture; switch it off and on again",
    CameraFault.BLACK: "the camera {} gives a black picture; check its lens cap and the light",
    CameraFault.OVER_EXPOSED: "the camera {} is blinded; shade it, or shorten its exposure",
    CameraFault.BLOCKED: "the camera {} sees nothing but one colour; clear what covers it",
}
"""For the log and the engineer; {} is the camera's name."""

LASTS_S: dict[CameraFault, float] = {
    CameraFault.FROZEN: 2.0,
    CameraFault.BLACK: 2.0,
    CameraFault.OVER_EXPOSED: 2.0,
    CameraFault.BLOCKED: 5.0,
}
"""How long it must last. A living sensor's noise never repeats a picture to the bit."""

LUMA_BLACK_MAX = 24.0  # 99 of 100 points are darker
LUMA_BLINDED_MIN = 250.0  # the median point is brighter
LUMA_SPREAD_BLOCKED_MAX = 4.0  # the standard deviation of a coarse thumbnail


class PictureJudge:
    """Follows one camera's pictures."""

    def __init__(self) -> None:
        self._suspected: CameraFault | None = None
        self._since_s = 0.0
        self._checksum = -1

    def take(self, frame: Frame, at_s: float) -> CameraFault | None:
        """The fault that has lasted long enough by ``at_s``, if any."""
        suspected = self._looks(frame)
        if suspected is not self._suspected:
            self._suspected, self._since_s = suspected, at_s
        if suspected is None or at_s - self._since_s < LASTS_S[suspected]:
            return None
        return suspected

    def _looks(self, frame: Frame) -> CameraFault | None:
        checksum = zlib.crc32(frame[::4, ::4].tobytes())
        repeated, self._checksum = checksum == self._checksum, checksum
        grey = cv2.cvtColor(cv2.resize(frame, (64, 48), interpolation=cv2.INTER_AREA), _GREY)
        if float(np.percentile(grey, 99)) <= LUMA_BLACK_MAX:
            return CameraFault.BLACK
        if float(np.median(grey)) >= LUMA_BLINDED_MIN:
            return CameraFault.OVER_EXPOSED
        if repeated:
            return CameraFault.FROZEN
        return CameraFault.BLOCKED if float(grey.std()) <= LUMA_SPREAD_BLOCKED_MAX else None


_GREY = cv2.COLOR_RGB2GRAY
