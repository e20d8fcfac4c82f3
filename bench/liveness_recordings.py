"""The recordings of the liveness benchmark, and what the gate's checks see in each.

Live clips, stills of other people and of the same clips, and people who walk up; all go
through the tracker and the checks as they would at a gate.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageSequence

from bench.liveness_attacks import FPS, draw_manner, still_clip
from bench.liveness_cues import ListeningRigidity
from gate.clips import recorded
from gate.frames import TimedFrame
from gate.liveness.measuring import History, follow, is_live, reached
from gate.liveness.thresholds import LivenessThreshold, LiveTrack
from models.faces.dlib_engine import DlibEngine
from models.faces.engine import Frame, as_frame
from models.faces.liveness_pair import LivenessPair

CLIP_S = 3.4
SEGMENT_S = 3.4
SEGMENTS_MAX = 4
STILLS_OF_A_CLIP = 3


@dataclass
class Seen:
    """What one recording gave: the histories of its tracks, and its cues."""

    owner: str
    histories: list[History]
    cues: dict[str, float] = field(default_factory=dict)

    def live(self, threshold: LivenessThreshold) -> bool:
        return any(is_live(history, threshold) for history in self.histories)

    def best(self) -> LiveTrack:
        """The best of its longest track."""
        return reached(max(self.histories, key=len, default=[]))


@dataclass
class Bench:
    """The parts under test, loaded once."""

    engine: DlibEngine
    pair: LivenessPair

    def see(self, owner: str, frames: Iterable[TimedFrame]) -> Seen:
        cues = ListeningRigidity()
        histories = follow(frames, self.engine, self.pair, cues)
        return Seen(owner, histories, cues.fused())


def clip_paths(data_dir: Path) -> list[Path]:
    return [
        *sorted((data_dir / "clips" / "speakers").glob("*.mp4")),
        *sorted((data_dir / "spoof" / "video").glob("*.mp4")),
    ]


def segments(bench: Bench, path: Path) -> Iterator[Seen]:
    """A clip in pieces of some seconds, each as if somebody had just stepped up."""
    frames = [timed for timed in recorded(path) if timed.at_s < SEGMENT_S * SEGMENTS_MAX]
    for _, piece in groupby(frames, key=lambda timed: int(timed.at_s / SEGMENT_S)):
        seen = bench.see(path.stem, piece)
        if seen.best().stirring is not None:
            yield seen


def people_stills(
    bench: Bench,
    data_dir: Path,
    count: int,
    skip: int,
    seed: int,
    bend: float,
    step: Callable[[], None],
) -> Iterator[Seen]:
    """A still of each of ``count`` people, moved about."""
    folder = data_dir / "faces" / "lfw"
    people = sorted(
        folder.iterdir(), key=lambda p: hashlib.sha256(f"still:{p.name}".encode()).hexdigest()
    )
    made = 0
    for person in people[skip:]:
        if made == count:
            return
        seen = _still(
            bench, person.name, read_picture(min(person.iterdir())), [seed, made, skip], bend
        )
        if seen is not None:
            made += 1
            step()
            yield seen


def clip_stills(
    bench: Bench, data_dir: Path, seed: int, step: Callable[[], None]
) -> Iterator[Seen]:
    """Stills of each live clip: the same camera and the same light as the living."""
    for path in clip_paths(data_dir):
        frames = [] if path.stem == "replay" else list(recorded(path))
        for number in range(STILLS_OF_A_CLIP if frames else 0):
            frame = frames[number * (len(frames) - 1) // STILLS_OF_A_CLIP].frame
            seen = _still(bench, path.stem, frame, [seed, number, len(frames)], 0.0)
            step()
            if seen is not None:
                yield seen


def _still(bench: Bench, owner: str, picture: Frame, seed: list[int], bend: float) -> Seen | None:
    faces = bench.engine.find(picture, thorough=True)
    if not faces:
        return None
    box = faces[0].box
    face = ((box.left + box.right) / 2, (box.top + box.bottom) / 2, float(box.width))
    rng = np.random.default_rng(seed)
    manner = draw_manner(rng, bend)
    frames = still_clip(picture, face, manner, round(CLIP_S * FPS), int(rng.integers(2**31)))
    timed = (TimedFrame(frame, number / FPS) for number, frame in enumerate(frames))
    return bench.see(owner, timed)


def read_picture(path: Path) -> Frame:
    picture = cv2.imread(str(path), cv2.IMREAD_COLOR)
    if picture is None:
        raise FileNotFoundError(f"{path} is not a picture that can be read")
    return as_frame(cv2.cvtColor(picture, cv2.COLOR_BGR2RGB))


def every_picture(path: Path) -> Iterator[TimedFrame]:
    at_s = 0.0
    with Image.open(path) as film:
        for picture in ImageSequence.Iterator(film):
            rgb = np.asarray(picture.convert("RGB"))
            twice = cv2.resize(rgb, None, fx=2, fy=2, interpolation=cv2.INTER_CUBIC)
            yield TimedFrame(as_frame(twice), at_s)
            at_s += picture.info.get("duration", 80) / 1000
