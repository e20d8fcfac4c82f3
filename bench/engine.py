"""``facefare bench engine``: embedding and whole-clip speed beside ``face_recognition`` itself.

Both sides run in this process on one thread, in turns, and the median of the rounds
counts. The clip pipeline is the gate's: the picture searched as often as the tracker asks
for, tracking between, and every face in view embedded as often as its track asks for. As at
a gate that knows the rider, a track is settled with the third look; unlike a gate, it goes on
being embedded. A face counts as wrong
when a track carries an embedding that is farther than face_recognition's own limit (0.6)
from what the same face gives in that very frame.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import cv2
import numpy as np
from rich.progress import Progress

from bench.figures import Figure, answer, figure
from enrollment.photos import read_photo
from gate.clips import recorded
from gate.decision import FRAMES_MIN
from models.faces.dlib_engine import (
    DlibEngine,
    import_face_recognition,
    onnx_embedder,
    reference_embedder,
)
from models.faces.engine import Frame
from models.faces.scoring import Vectors
from models.faces.tracking import Tracker

PARITY_FACES = 200
ROUNDS = 3
CLIP = Path("clips") / "stage" / "short_hamilton_clip.mp4"
# dlib's limit of 0.6 between embeddings about 1.45 long is a cosine of 1 - (0.6 / 1.45)² / 2.
WRONG_FACE_COSINE = 1.0 - (0.6 / 1.45) ** 2 / 2
PEER_EMBED = "dlib-bin compute_face_descriptor, one thread"
PEER_CLIP = "face_recognition face_locations + face_encodings on every full frame"


def run(seed: int, data_dir: Path, progress: Progress | None = None) -> dict[str, Any]:
    """Measure speed, parity and the clip; ``data_dir`` holds ``faces/lfw`` and ``clips``."""
    cv2.setNumThreads(1)
    engine = DlibEngine.load()
    figures = [*_embedding(engine, seed, data_dir, progress), *_clip(engine, data_dir, progress)]
    return answer("engine", seed, figures)


def _pictures(seed: int, data_dir: Path) -> Iterator[Frame]:
    files = sorted((data_dir / "faces" / "lfw").rglob("*.jpg"))
    for number in np.random.default_rng(seed).permutation(len(files)):
        yield read_photo(files[number].read_bytes())


@dataclass
class _Embedded:
    """Per face: seconds of one chip through both networks, of a whole look, and their distance."""

    fast_s: list[float] = field(default_factory=list)
    slow_s: list[float] = field(default_factory=list)
    look_s: list[float] = field(default_factory=list)
    distances: list[float] = field(default_factory=list)


def _embedding(
    engine: DlibEngine, seed: int, data_dir: Path, progress: Progress | None
) -> list[Figure]:
    done = _embed_both(engine, seed, data_dir, progress)
    fast_ms, slow_ms, look_ms = (
        round(median(seconds) * 1e3, 2) for seconds in (done.fast_s, done.slow_s, done.look_s)
    )
    return [
        figure(
            "embed_speedup", round(median(done.slow_s) / median(done.fast_s), 2), "times", 10.0,
            PEER_EMBED, 1.0, at_least=True, ours_ms=fast_ms, peer_ms=slow_ms,
        ),
        figure(
            "embed_parity_l2_max", max(done.distances), "L2", 1e-4, PEER_EMBED, None,
            faces=len(done.distances),
        ),
        figure("look_ms", look_ms, "ms for a face: crops and all views", None),
    ]  # fmt: skip


def _embed_both(
    engine: DlibEngine, seed: int, data_dir: Path, progress: Progress | None
) -> _Embedded:
    """The same chip of each face through both networks; then the face as the gate embeds it."""
    api = import_face_recognition()
    fast = onnx_embedder(Path(api.face_recognition_model))
    slow = reference_embedder(api)
    task = progress.add_task("embedding", total=PARITY_FACES) if progress else None
    done = _Embedded()
    for frame in _pictures(seed, data_dir):
        faces = engine.find(frame)[:1]
        if not faces:
            continue
        chip = engine.chip(frame, faces[0])[None]
        theirs = _timed(done.slow_s, partial(slow, chip))
        ours = _timed(done.fast_s, partial(fast, chip))
        _timed(done.look_s, partial(engine.embed, frame, faces))
        done.distances.append(float(np.linalg.norm(ours - theirs)))
        if progress and task is not None:
            progress.advance(task)
        if len(done.distances) == PARITY_FACES:
            break
    return done


def _timed(seconds: list[float], run: Callable[[], Vectors]) -> Vectors:
    started = time.perf_counter()
    made = run()
    seconds.append(time.perf_counter() - started)
    return made


def _clip(engine: DlibEngine, data_dir: Path, progress: Progress | None) -> list[Figure]:
    frames = [timed.frame for timed in recorded(data_dir / CLIP)]
    task = progress.add_task("stage clip", total=2 * ROUNDS) if progress else None
    ours: list[float] = []
    peer: list[float] = []
    for _ in range(ROUNDS):
        for rates, pipeline in ((ours, _track), (peer, _naive)):
            started = time.perf_counter()
            pipeline(engine, frames)
            rates.append(len(frames) / (time.perf_counter() - started))
            if progress and task is not None:
                progress.advance(task)
    wrong, looked = _wrong_faces(engine, frames)
    return [
        figure(
            "clip_fps_ratio", round(median(ours) / median(peer), 2), "times", 20.0, PEER_CLIP, 1.0,
            at_least=True,
            ours_fps=round(median(ours), 1), peer_fps=round(median(peer), 1), rounds=ROUNDS,
        ),
        figure("clip_wrong_faces", wrong, "faces", 0, None, None, looked_at=looked),
    ]  # fmt: skip


def _track(engine: DlibEngine, frames: list[Frame]) -> None:
    tracker = Tracker(engine, fused_frames=FRAMES_MIN)
    for number, frame in enumerate(frames):
        if tracker.observe(frame, number / 30):
            for track in [track for track in tracker.tracks if track.missed == 0]:
                tracker.embed(frame, track)
            _settle(tracker)


def _settle(tracker: Tracker) -> None:
    """What a gate says of riders it has opened for."""
    tracker.settled = {t.track_id for t in tracker.tracks if t.looks >= FRAMES_MIN}


def _naive(engine: DlibEngine, frames: list[Frame]) -> None:
    import face_recognition

    for frame in frames:
        face_recognition.face_encodings(
            frame, face_recognition.face_locations(frame), model="large"
        )


def _wrong_faces(engine: DlibEngine, frames: list[Frame]) -> tuple[int, int]:
    """(faces whose track carries another person, faces compared)."""
    tracker = Tracker(engine, fused_frames=FRAMES_MIN)
    wrong = looked = 0
    for number, frame in enumerate(frames):
        if not tracker.observe(frame, number / 30):
            continue
        for track in [track for track in tracker.tracks if track.missed == 0]:
            truth = engine.embed(frame, [track.face])[0]
            current = tracker.embed(frame, track)
            if current.frames:
                looked += 1
                wrong += float(current.fused() @ truth) < WRONG_FACE_COSINE
        _settle(tracker)
    return wrong, looked
