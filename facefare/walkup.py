"""Render a walk-up clip from a photograph: somebody comes closer, stops, and is gone.

A clip made from a still photograph is exactly what a liveness check must refuse. It is
here to show and test the rest of the journey, and the gate has to be told so.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import cv2
import numpy as np

from models.errors import FacefareError
from models.faces.engine import Face, Frame

WIDTH, HEIGHT, FPS = 640, 480, 30
WALK_S, STAND_S, EMPTY_S = 1.0, 2.0, 1.5
FACE_PX_FAR, FACE_PX_NEAR = 90, 170
NOISE_LEVELS = 2.0


class ClipNotWritten(FacefareError):
    """The clip cannot be written where it was asked for."""


def write_walkups(people: Iterable[tuple[Frame, Face]], path: Path, seed: int) -> int:
    """Write one clip in which each of ``people`` walks up in turn; return its frame count.

    Raises ``ClipNotWritten`` where OpenCV cannot write ``path``.
    """
    noise = np.random.default_rng(seed)
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), FPS, (WIDTH, HEIGHT))
    if not writer.isOpened():
        raise ClipNotWritten(f"the clip {path} cannot be written; check the folder")
    frames = 0
    try:
        for picture, face in people:
            for frame in (*_empty(noise), *_walk(picture, face, noise)):
                writer.write(cv2.cvtColor(frame, cv2.COLOR_RGB2BGR))
                frames += 1
        for frame in _empty(noise):
            writer.write(cv2.cvtColor(frame, cv2.COLOR_RGB2BGR))
            frames += 1
    finally:
        writer.release()
    return frames


def _empty(noise: np.random.Generator) -> Iterable[Frame]:
    background = np.full((HEIGHT, WIDTH, 3), 96, dtype=np.uint8)
    return (_grain(background, noise) for _ in range(round(EMPTY_S * FPS)))


def _walk(picture: Frame, face: Face, noise: np.random.Generator) -> Iterable[Frame]:
    """The photograph grows until the face is near, sways a little, and stays."""
    for number in range(round((WALK_S + STAND_S) * FPS)):
        progress = min(1.0, number / (WALK_S * FPS))
        face_px = FACE_PX_FAR + (FACE_PX_NEAR - FACE_PX_FAR) * progress
        sway = 12.0 * np.sin(number / 9.0), 5.0 * np.sin(number / 5.0)
        yield _grain(_place(picture, face, face_px, sway), noise)


def _place(picture: Frame, face: Face, face_px: float, sway: tuple[float, float]) -> Frame:
    """The picture scaled so that the face is ``face_px`` wide, its centre in mid-frame."""
    scale = face_px / face.box.width
    centre_x = (face.box.left + face.box.right) / 2
    centre_y = (face.box.top + face.box.bottom) / 2
    move = np.array(
        [
            [scale, 0.0, WIDTH / 2 + sway[0] - scale * centre_x],
            [0.0, scale, HEIGHT / 2 + sway[1] - scale * centre_y],
        ]
    )
    # Averaging first: warping a large photograph straight to a small one leaves jagged edges.
    if scale < 0.5:
        smaller = cv2.resize(
            picture, None, fx=2 * scale, fy=2 * scale, interpolation=cv2.INTER_AREA
        )
        move[:, :2] /= 2 * scale
        picture = np.asarray(smaller, dtype=np.uint8)
    placed = cv2.warpAffine(
        picture, move, (WIDTH, HEIGHT), flags=cv2.INTER_LINEAR, borderValue=(96, 96, 96)
    )
    return np.asarray(placed, dtype=np.uint8)


def _grain(frame: Frame, noise: np.random.Generator) -> Frame:
    grains = noise.normal(0.0, NOISE_LEVELS, frame.shape)
    return np.asarray(np.clip(frame + grains, 0, 255), dtype=np.uint8)
