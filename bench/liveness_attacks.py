"""Attacks made from photographs: a still picture, moved before the camera as a hand would.

The picture comes closer, drifts, turns and tilts; the camera adds blur, noise and changing
light; the clip is compressed as video or as single JPEG pictures. Nothing in it moves that
a rigid sheet cannot, unless ``bend`` is asked for: then the sheet is paper, and bows.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import cv2
import numpy as np
import numpy.typing as npt

from models.faces.engine import Frame

WIDTH, HEIGHT, FPS = 640, 480, 30
Path1D = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Manner:
    """How one picture is shown: sizes in px of the face's width, angles in degrees."""

    near_px: float
    far_px: float
    drift_px: float
    turn_deg: float
    tilt_deg: float
    flicker: float
    blur_px: float
    noise: float
    jpeg: int | None  # the quality of single pictures, or None: a compressed video
    full_frame: bool  # the picture fills the camera's view, or is a sheet before a wall
    bend: float = 0.0  # how far the sheet bows, in parts of its width


def draw_manner(rng: np.random.Generator, bend: float = 0.0) -> Manner:
    """A manner at random: from held quite still to waved about."""
    near_px = float(rng.uniform(110, 200))
    return Manner(
        near_px=near_px,
        far_px=near_px * float(rng.uniform(0.5, 1.0)),
        drift_px=float(rng.uniform(2, 25)),
        turn_deg=float(rng.uniform(0, 8)),
        tilt_deg=float(rng.uniform(0, 20)),
        flicker=float(rng.uniform(0, 0.08)),
        blur_px=float(rng.uniform(0, 1.2)),
        noise=float(rng.uniform(0.5, 4.0)),
        jpeg=int(rng.integers(60, 96)) if rng.random() < 0.5 else None,
        full_frame=bool(rng.random() < 0.5),
        bend=bend,
    )


def still_clip(
    picture: Frame, face: tuple[float, float, float], manner: Manner, frames: int, seed: int
) -> Iterator[Frame]:
    """Yield ``frames`` RGB frames of ``picture``; ``face`` is its centre and width in px."""
    rng = np.random.default_rng(seed)
    made = _compressed(_rendered(picture, face, manner, frames, rng), manner)
    return iter(made)


def _rendered(
    picture: Frame,
    face: tuple[float, float, float],
    manner: Manner,
    frames: int,
    rng: np.random.Generator,
) -> Iterator[Frame]:
    grains = rng.normal(0.0, 1.0, (HEIGHT + 64, WIDTH + 64, 3)).astype(np.float32)
    x, y, turn, tilt_x, tilt_y, light, bow = (_wander(frames, rng) for _ in range(7))
    border = cv2.BORDER_REPLICATE if manner.full_frame else cv2.BORDER_CONSTANT
    for number in range(frames):
        near = min(1.0, 1.5 * number / frames)
        face_px = manner.far_px + (manner.near_px - manner.far_px) * near
        sheet = _bowed(picture, manner.bend * bow[number]) if manner.bend else picture
        placing = _placing(
            face,
            face_px,
            (manner.drift_px * x[number], manner.drift_px * y[number]),
            np.radians(manner.turn_deg * turn[number]),
            np.radians(manner.tilt_deg * np.array([tilt_x[number], tilt_y[number]])),
        )
        shown = cv2.warpPerspective(
            sheet, placing, (WIDTH, HEIGHT), borderMode=border, borderValue=(96, 96, 96)
        )
        if manner.blur_px > 0.2:
            shown = cv2.GaussianBlur(shown, (0, 0), manner.blur_px)
        row, column = rng.integers(0, 64, 2)
        grain = grains[row : row + HEIGHT, column : column + WIDTH] * manner.noise
        lit = shown.astype(np.float32) * (1.0 + manner.flicker * light[number]) + grain
        yield np.clip(lit, 0, 255).astype(np.uint8)


def _wander(frames: int, rng: np.random.Generator) -> Path1D:
    """A smooth random path between -1 and 1 that begins anywhere: three slow waves."""
    seconds = np.arange(frames) / FPS
    path = sum(
        weight * np.sin(2 * np.pi * (rng.uniform(0.1, top) * seconds + rng.random()))
        for weight, top in ((0.5, 0.5), (0.35, 1.5), (0.15, 3.0))
    )
    return np.asarray(path, dtype=np.float64)


def _placing(
    face: tuple[float, float, float],
    face_px: float,
    drift: tuple[float, float],
    turn: float,
    tilt: npt.NDArray[np.float64],
) -> npt.NDArray[np.float64]:
    """The plane of the picture seen by a camera: scaled, turned, tilted, then moved."""
    centre_x, centre_y, width = face
    scale = face_px / width
    to_centre = np.array([[1.0, 0, -centre_x], [0, 1.0, -centre_y], [0, 0, 1]])
    size = np.diag([scale, scale, 1.0])
    spin = np.array(
        [[np.cos(turn), -np.sin(turn), 0], [np.sin(turn), np.cos(turn), 0], [0, 0, 1.0]]
    )
    # A sheet turned about its own middle, seen from four face widths away.
    away = 4.0 * face_px
    lean = np.array(
        [
            [np.cos(tilt[0]), 0, 0],
            [0, np.cos(tilt[1]), 0],
            [np.sin(tilt[0]) / away, np.sin(tilt[1]) / away, 1.0],
        ]
    )
    move = np.array([[1.0, 0, WIDTH / 2 + drift[0]], [0, 1.0, HEIGHT / 2 + drift[1]], [0, 0, 1]])
    return np.asarray(move @ spin @ lean @ size @ to_centre)


def _bowed(picture: Frame, bow: float) -> Frame:
    """Paper bent about its upright middle: columns move by a parabola, rows hardly."""
    rows, columns = picture.shape[:2]
    across = np.linspace(-1.0, 1.0, columns, dtype=np.float32)
    shift = np.float32(bow * columns / 2) * (1 - across**2)
    x = np.arange(columns, dtype=np.float32) + shift
    y = np.arange(rows, dtype=np.float32)
    grid_x, grid_y = np.meshgrid(x, y)
    bent = cv2.remap(picture, grid_x, grid_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(bent, dtype=np.uint8)


def _compressed(frames: Iterator[Frame], manner: Manner) -> list[Frame]:
    if manner.jpeg is None:
        return _as_video(frames)
    return [_as_jpeg(frame, manner.jpeg) for frame in frames]


def _as_jpeg(frame: Frame, quality: int) -> Frame:
    _, coded = cv2.imencode(".jpg", frame[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])
    shown = cv2.imdecode(coded, cv2.IMREAD_COLOR)
    if shown is None:
        raise ValueError("OpenCV cannot read the JPEG it has just written")
    return np.ascontiguousarray(shown[..., ::-1], dtype=np.uint8)


def _as_video(frames: Iterator[Frame]) -> list[Frame]:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "clip.mp4"
        fourcc = cv2.VideoWriter.fourcc(*"mp4v")
        writer = cv2.VideoWriter(str(path), fourcc, FPS, (WIDTH, HEIGHT))
        for frame in frames:
            writer.write(cv2.cvtColor(frame, cv2.COLOR_RGB2BGR))
        writer.release()
        capture = cv2.VideoCapture(str(path))
        read: list[Frame] = []
        while True:
            good, picture = capture.read()
            if not good:
                break
            rgb = cv2.cvtColor(picture, cv2.COLOR_BGR2RGB)
            read.append(np.ascontiguousarray(rgb, dtype=np.uint8))
        capture.release()
        return read
