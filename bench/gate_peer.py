"""The stage clip through the gate, and through the usual webcam example, as fast as they go.

The example (``facerec_from_webcam_faster.py`` of ``face_recognition``) looks at every other
frame at a quarter of its size and names every face within 0.6 of a known one. At that size
it finds nobody in this clip, so it is also run on full frames. Processor time counts, one
thread on both sides: whatever else runs on the machine slows neither of them.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from bench.figures import Figure, figure
from bench.gate_station import Stopwatch, gallery_of, make_gate, make_loop
from enrollment.photos import read_photo
from gate.clips import recorded
from gate.liveness.choices import make_check
from gate.liveness.thresholds import SHIPPED
from models.faces.dlib_engine import DlibEngine
from models.faces.engine import Frame

KNOWN = {
    "singer": "lin-manuel-miranda.png",
    "musician": "alex-lacamoire.png",
    "guest 1": "biden.jpg",
    "guest 2": "obama.jpg",
}
TARGET = 8.0


def clip_figures(engine: DlibEngine, data_dir: Path, folder: Path) -> list[Figure]:
    """Frames a second of both sides, and whom each found; only the singer is on stage."""
    stage = data_dir / "clips" / "stage"
    frames = [timed.frame for timed in recorded(stage / "short_hamilton_clip.mp4")]
    stills = {name: read_photo((stage / file).read_bytes()) for name, file in KNOWN.items()}
    ours_fps, ours = _gate(engine, frames, stills, data_dir, folder / "stage")
    quarter_fps, quarter = _example(frames, stills, 0.25)
    full_fps, full = _example(frames, stills, 1.0)
    example = "face_recognition's webcam example"
    return [
        figure(
            "clip_fps", round(ours_fps, 1), "frames a second of processor time", None,
            f"{example}, quarter size", round(quarter_fps, 1),
            found=ours, peer_found=quarter,
        ),
        figure(
            "clip_fps_full_size_ratio", round(ours_fps / full_fps, 2), "times", TARGET,
            f"{example}, full size", 1.0, at_least=True,
            ours_fps=round(ours_fps, 1), peer_fps=round(full_fps, 1), found=ours, peer_found=full,
        ),
        figure("clip_false_opens", sum(who != "singer" for who in ours), "doors", 0),
    ]  # fmt: skip


def _gate(
    engine: DlibEngine, frames: list[Frame], stills: dict[str, Frame], data_dir: Path, folder: Path
) -> tuple[float, list[str]]:
    folder.mkdir()
    names = {f"{number:032x}": name for number, name in enumerate(stills)}
    templates = [
        engine.embed(still, engine.find(still, thorough=True)[:1])[0] for still in stills.values()
    ]
    gallery = gallery_of(templates, list(names), len(names), seed=0)
    door = Stopwatch()
    check = make_check("full", data_dir / "models", SHIPPED)
    identity = make_gate(folder, face_share_min=0.1)  # the singer is farther from this camera
    loop = make_loop(identity, engine, gallery, check, door, enrolled_images=1)
    started = time.process_time()
    for number, frame in enumerate(frames):
        loop.on_frame(frame, number / 30)
    spent_s = time.process_time() - started
    return len(frames) / spent_s, [names[account] for _, account in door.opened]


def _example(
    frames: list[Frame], stills: dict[str, Frame], scale: float
) -> tuple[float, list[str]]:
    import face_recognition

    known: dict[str, Any] = {
        name: face_recognition.face_encodings(still)[0] for name, still in stills.items()
    }
    found: list[str] = []
    started = time.process_time()
    for frame in frames[::2]:
        small = cv2.resize(frame, (0, 0), fx=scale, fy=scale)
        places = face_recognition.face_locations(np.ascontiguousarray(small))
        for encoding in face_recognition.face_encodings(small, places):
            matches = face_recognition.compare_faces(list(known.values()), encoding)
            found += [name for name, fits in zip(known, matches, strict=True) if fits][:1]
    spent_s = time.process_time() - started
    return len(frames) / spent_s, sorted(set(found))
