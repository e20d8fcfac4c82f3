"""Living people who walk up to a gate, made from recordings of living people.

There is no recording of riders at a real gate in the data. A clip of somebody who talks to
a camera is shrunk and enlarged as a camera at 49° would see them come nearer, sway with
their steps, and is given a sensor's noise and a camera's compression. The face itself moves
as it was recorded.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from gate.frames import TimedFrame
from models.faces.engine import Box, Frame

WIDTH, HEIGHT, FPS = 640, 480, 30
FACE_PX_METRES = 112.0
"""A face's width in px times its distance: 0.16 m wide, a 640 px picture of 49°."""


@dataclass(frozen=True, slots=True)
class Walk:
    """From where, how fast, and where they stop, in metres and seconds."""

    from_m: float = 2.2
    speed_m_s: float = 1.0
    stop_m: float = 0.7
    seconds: float = 2.4


def walked(frames: list[TimedFrame], face: Box, walk: Walk, seed: int) -> Iterator[Frame]:
    """The living person of ``frames``, whose ``face`` is in the first one, walks up."""
    rng = np.random.default_rng(seed)
    for number in range(round(walk.seconds * FPS)):
        at_s = number / FPS
        source = frames[_nearest(frames, frames[0].at_s + at_s)].frame
        distance_m = max(walk.stop_m, walk.from_m - walk.speed_m_s * at_s)
        sway = 8 * np.sin(2 * np.pi * 0.9 * at_s), 4 * np.sin(2 * np.pi * 1.8 * at_s)
        yield _grained(_placed(source, face, FACE_PX_METRES / distance_m, sway), rng)


def nobody(seconds: float, seed: int) -> Iterator[Frame]:
    """An empty gate: a wall in uneven light."""
    rng = np.random.default_rng(seed)
    light = np.linspace(70, 130, WIDTH, dtype=np.float32)[None, :, None]
    wall = np.broadcast_to(light, (HEIGHT, WIDTH, 3)).astype(np.uint8)
    return (_grained(wall, rng) for _ in range(round(seconds * FPS)))


def _nearest(frames: list[TimedFrame], at_s: float) -> int:
    times = np.array([timed.at_s for timed in frames])
    return int(np.abs(times - at_s).argmin())


def _placed(picture: Frame, face: Box, face_px: float, sway: tuple[float, float]) -> Frame:
    scale = face_px / face.width
    middle = np.array([(face.left + face.right) / 2, (face.top + face.bottom) / 2])
    if scale < 0.5:  # averaging first: warping straight to a small picture leaves jagged edges
        smaller = cv2.resize(
            picture, None, fx=2 * scale, fy=2 * scale, interpolation=cv2.INTER_AREA
        )
        picture, middle, scale = np.asarray(smaller, np.uint8), middle * 2 * scale, 0.5
    corner = np.array([WIDTH / 2 + sway[0], HEIGHT / 2 + sway[1]]) - scale * middle
    move = np.column_stack([np.eye(2) * scale, corner])
    placed = cv2.warpAffine(
        picture, move, (WIDTH, HEIGHT), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )
    return np.asarray(placed, dtype=np.uint8)


def _grained(frame: Frame, rng: np.random.Generator) -> Frame:
    grains: npt.NDArray[np.float64] = rng.normal(0.0, 1.5, frame.shape)
    return np.asarray(np.clip(frame + grains, 0, 255), dtype=np.uint8)
