"""A pass held before a gate's camera, as the camera sees it: a pinhole camera looks at a screen.

Everything is in millimetres and pixels of a real lens, so "30 cm" means 30 cm: the screen
with its own pixel grid (which makes moiré), its brightness and the light it reflects, turned
and tilted in space, then the lens's blur, motion, and the sensor's noise.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import segno

from models.faces.engine import Frame

SCREEN_PX_PER_MM = 12  # about 300 pixels an inch
DRAWN_PX_PER_MM = SCREEN_PX_PER_MM * 3


@dataclass(frozen=True)
class Held:
    """How a pass is held, and what camera looks at it."""

    distance_mm: float = 300.0
    yaw_deg: float = 0.0
    pitch_deg: float = 0.0
    roll_deg: float = 0.0
    across: float = 0.5  # where its middle is in the picture
    down: float = 0.6
    code_mm: float = 58.0  # with its white border, on a screen of 65 mm
    width_px: int = 1280
    height_px: int = 720
    field_of_view_deg: float = 70.0
    brightness: float = 1.0  # of white on the screen
    reflected: float = 0.04  # light thrown back by the glass
    grid: float = 0.35  # how dark the lines between the screen's pixels are
    blur_px: float = 0.6
    motion_px: float = 0.0
    noise: float = 4.0
    seed: int = 1

    def but(self, **changes: Any) -> Held:
        return replace(self, **changes)


Light = npt.NDArray[np.float32]


def screen(code: segno.QRCode, held: Held) -> Light:
    """The code as the screen shows it, 0 to 1, with the lines between its pixels."""
    modules = np.array([[1 - bool(dark) for dark in row] for row in code.matrix_iter(border=4)])
    side_screen_px = round(held.code_mm * SCREEN_PX_PER_MM)
    drawn = cv2.resize(
        modules.astype(np.float32), (side_screen_px, side_screen_px), interpolation=cv2.INTER_AREA
    )
    fine: Light = np.asarray(drawn, np.float32).repeat(3, axis=0).repeat(3, axis=1)
    fine[:, 2::3] *= 1 - held.grid
    fine[2::3, :] *= 1 - held.grid
    return fine


def photographed(code: segno.QRCode, background: Frame, held: Held) -> Frame:
    """The camera's picture of ``background`` with the code held before it."""
    shown = screen(code, held)
    corners_px = _project(held)
    side = shown.shape[0]
    source = np.array([[0, 0], [side, 0], [side, side], [0, side]], dtype=np.float32)
    # Four times as fine as the sensor, then averaged: a sensor's pixel is an area, not a point.
    size = (held.width_px * 2, held.height_px * 2)
    warp = cv2.getPerspectiveTransform(source, corners_px * 2)
    seen = cv2.warpPerspective(shown, warp, size, flags=cv2.INTER_LINEAR)
    covered = cv2.warpPerspective(np.ones_like(shown), warp, size, flags=cv2.INTER_LINEAR)
    seen, covered = (
        cv2.resize(picture, (held.width_px, held.height_px), interpolation=cv2.INTER_AREA)
        for picture in (seen, covered)
    )
    scene = cv2.resize(background, (held.width_px, held.height_px)).astype(np.float32)
    light = 255 * (held.reflected + held.brightness * seen)
    picture = scene * (1 - covered[..., None]) + (light * covered)[..., None]
    return _through_the_lens(picture, held)


def _project(held: Held) -> npt.NDArray[np.float32]:
    """Where the four corners of the code fall in the picture, in pixels."""
    half = held.code_mm / 2
    flat = np.array([[-half, -half, 0], [half, -half, 0], [half, half, 0], [-half, half, 0]])
    yaw, pitch, roll = (math.radians(a) for a in (held.yaw_deg, held.pitch_deg, held.roll_deg))
    turn = (
        cv2.Rodrigues(np.array([0.0, yaw, 0.0]))[0] @ cv2.Rodrigues(np.array([pitch, 0.0, 0.0]))[0]
    )
    turn = turn @ cv2.Rodrigues(np.array([0.0, 0.0, roll]))[0]
    focal_px = held.width_px / 2 / math.tan(math.radians(held.field_of_view_deg) / 2)
    place = turn @ flat.T + np.array([[0.0], [0.0], [held.distance_mm]])
    across = held.across * held.width_px + focal_px * place[0] / place[2]
    down = held.down * held.height_px + focal_px * place[1] / place[2]
    return np.stack([across, down], axis=1).astype(np.float32)


def _through_the_lens(picture: Light, held: Held) -> Frame:
    seen: npt.NDArray[Any] = picture
    if held.blur_px:
        seen = cv2.GaussianBlur(seen, (0, 0), held.blur_px)
    if held.motion_px >= 1:
        length = round(held.motion_px) | 1
        seen = cv2.filter2D(seen, -1, np.full((1, length), 1 / length, np.float32))
    noise = np.random.default_rng(held.seed).normal(0, held.noise, seen.shape)
    return np.ascontiguousarray(np.clip(seen + noise, 0, 255), dtype=np.uint8)
