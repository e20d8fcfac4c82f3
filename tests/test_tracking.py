"""Tracks on a real clip with cuts: a face is followed, and never becomes somebody else's."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from gate.clips import recorded
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
    assert track is not None
    assert track.looks > 3
    assert track.frames == 2
    assert np.linalg.norm(track.fused()) == pytest.approx(1.0, abs=1e-6)


class Puppets:
    """An engine of our own port that shows faces at the places ``at`` and says whose they are."""

    engine_id = "puppets-1"
    dimensions = 2

    def __init__(self) -> None:
        self.who: Embeddings = np.array([[1.0, 0.0]], np.float32)
        self.at: list[int] = [40]
        self.searches = 0

    def find(self, frame: Frame, thorough: bool = False) -> list[Face]:
        self.searches += 1
        landmarks = np.zeros((68, 2), np.float32)
        landmarks[36:42] = [[60 + 4 * i, 80 + (-3 if i in (1, 2) else 3)] for i in range(6)]
        landmarks[42:48] = [[120 + 4 * i, 80 + (-3 if i in (1, 2) else 3)] for i in range(6)]
        landmarks[48:60] = (100, 140)
        landmarks[30] = (100, 109)
        landmarks[:17] = (100, 100)
        shifts = [np.array((x - 40, 0), np.float32) for x in self.at]
        return [
            Face(Box(x, 40, x + 120, 160), landmarks + shift, 1.0)
            for x, shift in zip(self.at, shifts, strict=True)
        ]

    def find_near(self, frame: Frame, face: Face) -> list[Face]:
        found = self.find(frame)
        self.searches -= 1
        return [near for near in found if near.box.overlap(face.box) > 0]

    def follow(self, frame: Frame, face: Face) -> Face:
        return face

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


NOISE = np.random.default_rng(2).integers(60, 200, (200, 400, 3), np.uint8)
"""A picture in which a puppet's face is sharp and bright enough."""


class Hall:
    """Puppets before a camera of 30 frames a second; everybody in view is embedded when due."""

    def __init__(self, detect_every: int | None = None) -> None:
        self.puppets = Puppets()
        self.tracker = Tracker(self.puppets, fused_frames=3, detect_every=detect_every)
        self.frame = 0

    def watch(self, frames: int) -> None:
        for _ in range(frames):
            if self.tracker.observe(NOISE, self.frame / 30):
                for track in [track for track in self.tracker.tracks if track.missed == 0]:
                    self.tracker.embed(NOISE, track)
            self.frame += 1
            assert all(track.quality.usable for track in self.tracker.tracks)

    def frames_until_looked_at(self, left: int) -> int:
        """How many frames after stepping up, the face at ``left`` has had its three looks."""
        for waited in range(60):
            self.watch(1)
            if any(t.face.box.left == left and t.looks >= 3 for t in self.tracker.tracks):
                return waited
        raise AssertionError("never looked at three times")


@pytest.mark.parametrize("others", [[], [40]], ids=["into an empty hall", "beside a settled rider"])
def test_whoever_steps_up_is_looked_at_as_soon_as_with_a_search_of_every_third_frame(
    others: list[int],
) -> None:
    slowest = {}
    for name, detect_every in (("ours", None), ("every third", 3)):
        waits = []
        for moment in range(60, 75):
            hall = Hall(detect_every)
            hall.puppets.at = list(others)
            hall.watch(30)
            hall.tracker.settled = {track.track_id for track in hall.tracker.tracks}
            hall.watch(moment - 30)
            hall.puppets.at = [*others, 240]
            waits.append(hall.frames_until_looked_at(240))
        slowest[name] = max(waits)
    assert slowest["ours"] <= slowest["every third"] == 8


def test_the_picture_is_searched_less_while_everybody_is_settled() -> None:
    """HOG is most of what a frame costs: this is what pays for the other views of a face."""
    searches = {}
    for case, at, settle in (("nobody", [], False), ("settled", [40], True), ("open", [40], False)):
        hall = Hall()
        hall.puppets.at = at
        hall.watch(30)
        if settle:
            hall.tracker.settled = {track.track_id for track in hall.tracker.tracks}
        before = hall.puppets.searches
        hall.watch(60)
        searches[case] = hall.puppets.searches - before
    assert searches == {"nobody": 20, "settled": 12, "open": 20}


def test_a_cut_is_searched_at_once_however_little_there_was_to_do() -> None:
    for settle in (False, True):
        hall = Hall()
        hall.watch(31)
        if settle:
            hall.tracker.settled = {1}
        before = hall.puppets.searches
        assert hall.tracker.observe(np.full_like(NOISE, 250), hall.frame / 30)
        assert hall.puppets.searches == before + 1
        assert [track.track_id for track in hall.tracker.tracks] == [2]


@pytest.mark.parametrize(("away", "same"), [(6, True), (30, False)])
def test_a_track_outlives_a_turned_head_but_not_half_a_second(away: int, same: bool) -> None:
    hall = Hall()
    hall.watch(30)
    hall.puppets.at = []
    hall.watch(away)
    hall.puppets.at = [40]
    hall.watch(6)
    assert [track.track_id for track in hall.tracker.tracks] == ([1] if same else [2])


def test_a_face_is_found_again_where_it_was_and_a_face_that_has_gone_is_not() -> None:
    hall = Hall()
    hall.watch(1)
    (track,) = hall.tracker.tracks
    hall.puppets.at = [52]
    assert hall.tracker.find_again(NOISE, track, 0.1)
    assert track.last_seen_s == 0.1
    for gone in ([], [240]):
        hall.puppets.at = gone
        assert not hall.tracker.find_again(NOISE, track, 0.2)
        assert track.last_seen_s == 0.1


def test_a_face_that_another_track_fits_better_is_not_taken_for_ones_own() -> None:
    hall = Hall()
    hall.puppets.at = [40, 100]
    hall.watch(1)
    first, second = hall.tracker.tracks
    hall.puppets.at = [95]
    assert not hall.tracker.find_again(NOISE, first, 0.1)
    assert hall.tracker.find_again(NOISE, second, 0.1)


def test_the_whole_picture_is_searched_less_while_the_only_face_is_found_again() -> None:
    searches = {}
    for alone in (True, False):
        hall = Hall()
        hall.puppets.at = [40] if alone else [40, 240]
        hall.watch(1)
        before = hall.puppets.searches
        for _ in range(60):
            hall.watch(1)
            track = hall.tracker.tracks[0]
            hall.tracker.find_again(NOISE, track, hall.frame / 30)
        searches[alone] = hall.puppets.searches - before
    assert searches[True] <= 10 < 18 <= searches[False]


def test_near_a_walking_rider_the_engine_finds_the_same_face_as_in_the_whole_picture(
    engine: DlibEngine, data: Path
) -> None:
    clip = list(recorded(data / "clips" / "speakers" / "driving_d0.mp4"))[:40]
    for before, after in zip(clip[::4], clip[1::4], strict=True):
        was = engine.find(before.frame)[0]
        now = engine.find(after.frame)[0]
        near = engine.find_near(after.frame, was)[0]
        assert near.box.overlap(now.box) > 0.6
        eyes = np.linalg.norm(now.landmarks[36:48] - near.landmarks[36:48], axis=1)
        assert eyes.mean() < 0.03 * now.box.width


def test_nobody_is_found_near_a_place_where_nobody_is(engine: DlibEngine, stills: Path) -> None:
    frame = read_rgb(stills / "obama2.jpg")
    face = engine.find(frame)[0]
    for corner in ((0, 0), (frame.shape[1] - 50, frame.shape[0] - 50), (10**4, 10**4)):
        elsewhere = Face(Box(*corner, corner[0] + 80, corner[1] + 80), face.landmarks, 1.0)
        assert engine.find_near(frame, elsewhere) == []
