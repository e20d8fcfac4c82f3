"""Tracks on a real clip with cuts: a face is followed, and never becomes somebody else's."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from gate.camera import recorded
from models.faces.dlib_engine import DlibEngine
from models.faces.engine import Box, Embeddings, Face, Frame
from models.faces.tracking import JUMP_COSINE_MIN, Track, Tracker, nearest
from tests.conftest import read_rgb


def test_overlap_is_intersection_over_union() -> None:
    square = Box(0, 0, 10, 10)
    assert square.overlap(Box(0, 0, 10, 10)) == 1.0
    assert square.overlap(Box(5, 0, 15, 10)) == pytest.approx(1 / 3)
    assert square.overlap(Box(10, 0, 20, 10)) == 0.0


def test_no_track_of_the_stage_clip_ever_holds_two_people(engine: DlibEngine, data: Path) -> None:
    """After the cut at frame 211 an audience member sits where the singer was."""
    tracker = Tracker(engine, fused_frames=3)
    singer = read_rgb(data / "clips" / "stage" / "lin-manuel-miranda.png")
    known = engine.embed(singer, engine.find(singer))[0]
    seen: dict[int, list[float]] = {}
    for number, timed in enumerate(recorded(data / "clips" / "stage" / "short_hamilton_clip.mp4")):
        if not tracker.observe(timed.frame, timed.at_s):
            continue
        for track in [track for track in tracker.tracks if track.missed == 0]:
            truth = engine.embed(timed.frame, [track.face])[0]
            current = tracker.embed(timed.frame, track)
            seen.setdefault(current.track_id, []).append(float(truth @ known))
            if current.frames:
                assert float(current.fused() @ truth) > 0.88, f"frame {number}"
    singers = {number for number, scores in seen.items() if np.median(scores) > 0.93}
    others = set(seen) - singers
    assert singers and others
    assert all(max(seen[number]) < 0.94 for number in others)


def test_a_track_embeds_its_first_three_detections_and_then_every_fifth(
    engine: DlibEngine, data: Path
) -> None:
    tracker = Tracker(engine, fused_frames=3, detect_every=1)
    looks = []
    for timed in recorded(data / "clips" / "speakers" / "driving_d0.mp4"):
        tracker.observe(timed.frame, timed.at_s)
        track = nearest(tracker.tracks)
        assert track is not None
        looks.append(tracker.embed(timed.frame, track).looks)
        if len(looks) == 13:
            break
    assert looks == [1, 2, 3, 3, 3, 3, 3, 4, 4, 4, 4, 4, 5]
    assert {track.track_id for track in tracker.tracks} == {1}


def test_a_track_keeps_its_sharpest_embeddings(engine: DlibEngine, data: Path) -> None:
    tracker = Tracker(engine, fused_frames=2, detect_every=1)
    for number, timed in enumerate(recorded(data / "clips" / "speakers" / "driving_d0.mp4")):
        tracker.observe(timed.frame, timed.at_s)
        track = nearest(tracker.tracks)
        assert track is not None
        track = tracker.embed(timed.frame, track)
        if number == 20:
            break
    assert track.looks > 3
    assert track.frames == 2
    assert np.linalg.norm(track.fused()) == pytest.approx(1.0, abs=1e-6)


class Puppets:
    """An engine of our own port that shows one box and says whose face it is."""

    engine_id = "puppets-1"
    dimensions = 2

    def __init__(self) -> None:
        self.who: Embeddings = np.array([[1.0, 0.0]], np.float32)

    def find(self, frame: Frame, thorough: bool = False) -> list[Face]:
        landmarks = np.zeros((68, 2), np.float32)
        landmarks[36:42] = [[60 + 4 * i, 80 + (-3 if i in (1, 2) else 3)] for i in range(6)]
        landmarks[42:48] = [[120 + 4 * i, 80 + (-3 if i in (1, 2) else 3)] for i in range(6)]
        landmarks[48:60] = (100, 140)
        landmarks[30] = (100, 109)
        landmarks[:17] = (100, 100)
        return [Face(Box(40, 40, 160, 160), landmarks, 1.0)]

    def embed(self, frame: Frame, faces: list[Face]) -> Embeddings:
        return self.who


def test_an_embedding_that_jumps_begins_a_new_track_with_nothing_of_the_old() -> None:
    puppets = Puppets()
    tracker = Tracker(puppets, fused_frames=3, detect_every=1)
    frame = np.random.default_rng(0).integers(60, 200, (200, 200, 3), np.uint8)
    tracker.observe(frame, 0.0)
    assert tracker.tracks[0].quality.usable, tracker.tracks[0].quality
    first = tracker.embed(frame, tracker.tracks[0])
    puppets.who = np.array([[JUMP_COSINE_MIN - 0.01, 0.38]], np.float32)
    tracker.observe(frame, 0.1)
    second = tracker.embed(frame, tracker.tracks[0])
    assert second.track_id != first.track_id
    assert second.frames == 1
    assert [track.track_id for track in tracker.tracks] == [second.track_id]


def test_a_cut_of_the_picture_ends_every_track() -> None:
    tracker = Tracker(Puppets(), fused_frames=3, detect_every=1)
    dark, bright = np.full((200, 200, 3), 40, np.uint8), np.full((200, 200, 3), 90, np.uint8)
    tracker.observe(dark, 0.0)
    before: list[Track] = list(tracker.tracks)
    tracker.observe(bright, 0.1)
    assert tracker.tracks[0].track_id != before[0].track_id


def test_the_nearest_face_inside_the_zone_is_looked_at() -> None:
    puppets = Puppets()
    tracker = Tracker(puppets, fused_frames=3, detect_every=1)
    tracker.observe(np.full((200, 200, 3), 90, np.uint8), 0.0)
    assert nearest(tracker.tracks) is tracker.tracks[0]
    assert nearest(tracker.tracks, in_zone=lambda box: box.width > 500) is None
