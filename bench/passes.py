"""``facefare bench passes``: which passes a gate's camera reads, beside OpenCV's own reader.

The camera looks at a code on a telephone's screen (``bench.phone_screens``) before a real
photograph, with lenses and sensors of two sizes, from 20 to 40 cm, in five conditions. The
hand moves a little from frame to frame. A pass is *read* if one of the nine frames a gate
looks at in a second reads it; ``share_a_look`` is of the single frames. Both readers see the
same frames; OpenCV's gets them as they are, in black and white.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import segno
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from rich.progress import Progress

from bench.figures import Figure, answer, figure
from bench.phone_screens import Held, photographed
from gate.qr import PassReader
from models.faces.engine import Frame
from models.wire.pass_text import pack_pass
from models.wire.passes import CarriedTemplate, Pass, PassMedium, sign_pass

LOOKS = 9
CAMERAS = {720: Held(), 1080: Held(width_px=1920, height_px=1080)}
DISTANCES_MM = (200, 250, 300, 400)
CONDITIONS: dict[str, dict[str, float]] = {
    "still": {},
    "dim": {"brightness": 0.25, "reflected": 0.12, "noise": 7},
    "tilted": {"yaw_deg": 25, "pitch_deg": 20, "roll_deg": 12},
    "moving": {"motion_px": 4},
    "dim, tilted": {
        "brightness": 0.4, "reflected": 0.1, "noise": 6, "blur_px": 0.8,
        "yaw_deg": 18, "pitch_deg": 12, "roll_deg": 8,
    },
}  # fmt: skip
MEDIA: tuple[PassMedium, ...] = ("pass", "face+pass")
PEER = "OpenCV QRCodeDetector"


@dataclass
class _Reader:
    """One reader's record: looks that read the pass, passes read at all, and the times."""

    looks: list[bool] = field(default_factory=list)
    read: list[bool] = field(default_factory=list)
    ms: list[float] = field(default_factory=list)

    def watch(self, frames: list[Frame], text: str, reader: Callable[[Frame], str | None]) -> None:
        looks = []
        for frame in frames:
            began = time.perf_counter()
            looks.append(reader(frame) == text)
            self.ms.append((time.perf_counter() - began) * 1000)
        self.looks += looks
        self.read.append(any(looks))


def run(seed: int, data_dir: Path, progress: Progress | None = None) -> dict[str, Any]:
    """Measure every camera, medium, distance and condition; a few minutes."""
    picture = cv2.imread(str(data_dir / "clips" / "stage" / "obama.jpg"), cv2.IMREAD_COLOR)
    if picture is None:
        raise FileNotFoundError(f"{data_dir} holds no clips/stage/obama.jpg")
    background = np.asarray(cv2.cvtColor(picture, cv2.COLOR_BGR2RGB), dtype=np.uint8)
    steps = len(CAMERAS) * len(MEDIA) * len(DISTANCES_MM)
    task = progress.add_task("passes held before a camera", total=steps) if progress else None
    figures: list[Figure] = []
    for lines, camera in CAMERAS.items():
        ours, peer = _Reader(), _Reader()
        for medium in MEDIA:
            for distance_mm in DISTANCES_MM:
                held = camera.but(distance_mm=distance_mm)
                figures += _at(lines, medium, held, background, seed, ours, peer)
                if progress and task is not None:
                    progress.advance(task)
        figures += _times(lines, ours, peer)
    return answer("passes", seed, figures)


def _at(
    lines: int, medium: PassMedium, held: Held, background: Frame, seed: int,
    ours: _Reader, peer: _Reader,
) -> list[Figure]:  # fmt: skip
    text = _text(medium, seed)
    code = segno.make_qr(text, error="l", boost_error=False)
    mine, theirs = _Reader(), _Reader()
    for changes in CONDITIONS.values():
        frames = _frames(code, background, held.but(**changes), seed)
        mine.watch(frames, text, PassReader().read)
        theirs.watch(frames, text, _opencv)
    ours.ms += mine.ms
    peer.ms += theirs.ms
    name = f"{lines}p_{medium}_{held.distance_mm / 10:.0f}cm"
    return [
        figure(f"{name}_read", _share(mine.read), "share", None, PEER, _share(theirs.read),
               share_a_look=_share(mine.looks), peer_share_a_look=_share(theirs.looks)),
    ]  # fmt: skip


def _frames(code: segno.QRCode, background: Frame, held: Held, seed: int) -> list[Frame]:
    rng = np.random.default_rng(seed)
    moved = rng.normal(0, 1, (LOOKS, 3))
    return [
        photographed(
            code, background,
            held.but(seed=seed + number, across=held.across + 0.002 * across,
                     down=held.down + 0.002 * down, roll_deg=held.roll_deg + roll),
        )
        for number, (across, down, roll) in enumerate(moved)
    ]  # fmt: skip


def _opencv(frame: Frame) -> str | None:
    try:
        return cv2.QRCodeDetector().detectAndDecode(cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY))[0]
    except cv2.error:
        return None  # it raises on some pictures that hold no code


def _text(medium: PassMedium, seed: int) -> str:
    """A pass as enrollment issues it, with numbers drawn from ``seed``."""
    rng = np.random.default_rng(seed)
    key = Ed25519PrivateKey.from_private_bytes(rng.bytes(32))
    codes = rng.normal(0, 45, 128).clip(-127, 127).astype(np.int8).tobytes()
    carried = CarriedTemplate("dlib-resnet-1", 3, codes) if medium == "face+pass" else None
    at = datetime(2026, 11, 22, tzinfo=UTC)
    made = Pass("r4nD0m-12bytes_A", rng.bytes(16).hex(), medium, at, at + timedelta(365), carried)
    return pack_pass(sign_pass(made, "fares.example/metro", key))


def _times(lines: int, ours: _Reader, peer: _Reader) -> list[Figure]:
    return [
        figure(f"{lines}p_look_{name}_ms", round(float(np.percentile(ours.ms, share)), 2), "ms",
               None, PEER, round(float(np.percentile(peer.ms, share)), 2))
        for name, share in (("median", 50), ("p95", 95))
    ]  # fmt: skip


def _share(values: list[bool]) -> float:
    return round(sum(values) / len(values), 3)
