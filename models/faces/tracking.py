"""Follow faces from frame to frame, and collect the embeddings of one face, never of two.

Detection is costly, so a frame is searched no more often than somebody gains
from it; a face belongs to the track whose box it overlaps most. Position alone is not
identity: after a cut, or when one person steps in front of another, the next face may sit
where the last one was. A track that inherits somebody else's face would charge the wrong
person, so it is cut

- where the whole picture changes at once (a cut, a jolted camera), and
- where a new embedding is too far from what the track has gathered.

A cut that was not needed only costs a few frames; one that is missed costs a stranger
money. The limits lean accordingly.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, field

import cv2
import numpy as np
import numpy.typing as npt

from models.faces.engine import Box, Embeddings, Engine, Face, Frame
from models.faces.quality import GATE_LIMITS, Limits, Quality, assess

OVERLAP_MIN = 0.3
"""Intersection over union from which two boxes are taken for the same face."""

STEP_MIN = 1.05
"""A face found so much larger than it was followed has come a step nearer."""

JUMP_COSINE_MIN = 0.93
"""Below this cosine to the track's mean an embedding is taken for somebody else's.

dlib's cosines are compressed: on the ten speaker clips of the test data one person's
frames stay above 0.96 of their mean; strangers lie at 0.86 on average and reach 0.95.
"""

PICTURE_CHANGE_MAX = 20.0
"""Mean absolute difference of two thumbnails (0-255) above which the picture was cut."""

EMBEDDINGS_FIRST = 3
EMBEDDING_EVERY = 5

LOST_AFTER_S = 0.42
"""A track that was not seen for so long is over, however often was looked."""

# The least time from one search of the picture to the next: at 30 frames a second every 2nd,
# 3rd, 5th and 6th frame.
LOOK_S = 0.06
"""While the first three looks at somebody are being taken."""
FOLLOW_S = 0.09
"""While somebody in view is not settled, and while there is nobody: liveness rests on how long a
face has been seen, so who walks up fast is to be found soon."""
REST_S = 0.16
"""While everybody in view is settled."""
IN_HAND_S = 0.2
"""While the only one in view is found again where they were, frame by frame."""


@dataclass
class Track:
    """The sightings of one person over consecutive frames."""

    track_id: int
    face: Face
    quality: Quality
    last_seen_s: float
    missed: int = 0  # searches since it was last seen
    usable_since_embedding: int = 0
    looks: int = 0  # embeddings made, kept or not
    kept: list[tuple[float, npt.NDArray[np.float32]]] = field(default_factory=list)

    @property
    def frames(self) -> int:
        """How many embeddings the fused one rests on."""
        return len(self.kept)

    def fused(self) -> npt.NDArray[np.float32]:
        """The normalised mean of the kept embeddings: (dimensions,), unit length."""
        mean = np.mean([embedding for _, embedding in self.kept], axis=0)
        return np.asarray(mean / np.linalg.norm(mean), dtype=np.float32)

    def embedding_is_due(self) -> bool:
        """The first three usable detections, then every fifth."""
        if not self.quality.usable:
            return False
        return self.looks < EMBEDDINGS_FIRST or self.usable_since_embedding >= EMBEDDING_EVERY

    def wait_s(self) -> float:
        """How long this track can wait for the next search, unless it is settled."""
        being_looked_at = self.quality.usable and 0 < self.looks < EMBEDDINGS_FIRST
        return LOOK_S if being_looked_at else FOLLOW_S

    def keep(self, embedding: npt.NDArray[np.float32], at_most: int) -> None:
        """Add an embedding; of more than ``at_most`` the least sharp one goes."""
        self.kept.append((self.quality.measures.sharpness, embedding))
        self.kept.sort(key=lambda pair: -pair[0])
        del self.kept[at_most:]
        self.looks += 1
        self.usable_since_embedding = 0


class Tracker:
    """Searches frames for faces, as often as there is need, and keeps the tracks in view.

    A track fuses its ``fused_frames`` sharpest embeddings: as many as the operating point
    was measured for. ``detect_every`` searches every n-th frame whatever there is to see: for
    measuring. ``settled`` are the ids of tracks of whom nothing more needs to be known.
    """

    def __init__(
        self,
        engine: Engine,
        fused_frames: int,
        detect_every: int | None = None,
        limits: Limits = GATE_LIMITS,
    ) -> None:
        self._engine = engine
        self._fused_frames = fused_frames
        self._detect_every = detect_every
        self._limits = limits
        self._frames_since_search = 0
        self._searched_s: float | None = None
        self._next_id = 1
        self._thumbnail: npt.NDArray[np.float32] | None = None
        self.tracks: list[Track] = []
        self.settled: Collection[int] = frozenset()
        self.sightings = 0

    @property
    def engine_id(self) -> str:
        """Whose embeddings the tracks carry."""
        return self._engine.engine_id

    def observe(self, frame: Frame, now_s: float) -> bool:
        """Take the next frame; True if it was searched for faces and ``tracks`` is fresh."""
        self._frames_since_search += 1
        if self._picture_was_cut(frame):
            self.tracks = []
            self._searched_s = None  # look at the new scene at once
        if not self._search_is_due(now_s):
            return False
        self._searched_s, self._frames_since_search = now_s, 0
        faces = self._engine.find(frame)
        self.sightings += len(faces)
        self._associate(frame, faces, now_s)
        return True

    def embed(self, frame: Frame, track: Track) -> Track:
        """Embed the face of ``track`` if one is due; return the track the face belongs to.

        That is a new track where the embedding shows that the person has changed.
        """
        if not track.embedding_is_due():
            return track
        embedding: Embeddings = self._engine.embed(frame, [track.face])
        if track.kept and float(track.fused() @ embedding[0]) < JUMP_COSINE_MIN:
            track = self._restart(track)
        track.keep(embedding[0], self._fused_frames)
        return track

    def follow(self, frame: Frame, track: Track) -> None:
        """See the track's face in a frame that was not searched: landmarks anew, and its box
        moved and grown with them."""
        found = self._engine.follow(frame, track.face)
        track.face = Face(_moved(track.face, found), found.landmarks, found.score)
        track.quality = assess(frame, track.face, self._limits)

    def find_again(self, frame: Frame, track: Track, now_s: float) -> bool:
        """Search the frame for the track's face where it was; False where it is not found.

        Unlike ``follow`` it sees that a face has gone, or has come a step nearer. A detector's
        sizes come in steps of a fifth and a rider's do not: between two steps the face is
        followed, for a box that jumps to and fro would look to the liveness check like life.
        """
        faces = self._engine.find_near(frame, track.face)
        face = max(faces, key=lambda found: found.box.overlap(track.face.box), default=None)
        if face is None or self._whose(face) is not track:
            return False
        self.follow(frame, track)
        if face.box.width > STEP_MIN * track.face.box.width:
            track.face = face
            track.quality = assess(frame, face, self._limits)
        track.last_seen_s = now_s
        return True

    def _whose(self, face: Face) -> Track | None:
        """The track in view whose face overlaps this one most."""
        present = [track for track in self.tracks if track.missed == 0]
        best = max(present, key=lambda track: track.face.box.overlap(face.box), default=None)
        return best if best and best.face.box.overlap(face.box) >= OVERLAP_MIN else None

    def resembles(self, frame: Frame, face: Face, track: Track) -> bool:
        """Whether ``face``, found earlier in ``frame``, may be the person of ``track``."""
        earlier = self._engine.embed(frame, [face])[0]
        return not track.kept or float(track.fused() @ earlier) >= JUMP_COSINE_MIN

    def _search_is_due(self, now_s: float) -> bool:
        if self._searched_s is None:
            return True
        if self._detect_every is not None:
            return self._frames_since_search >= self._detect_every
        present = [track for track in self.tracks if track.missed == 0]
        if len(present) == 1 and present[0].last_seen_s > self._searched_s:
            return now_s - self._searched_s >= IN_HAND_S
        waits = [REST_S if t.track_id in self.settled else t.wait_s() for t in present]
        return now_s - self._searched_s >= min(waits, default=FOLLOW_S)

    def _picture_was_cut(self, frame: Frame) -> bool:
        small = cv2.resize(frame, (32, 18), interpolation=cv2.INTER_AREA).astype(np.float32)
        before, self._thumbnail = self._thumbnail, small
        return before is not None and float(np.abs(small - before).mean()) > PICTURE_CHANGE_MAX

    def _associate(self, frame: Frame, faces: list[Face], now_s: float) -> None:
        self.tracks = [t for t in self.tracks if now_s - t.last_seen_s <= LOST_AFTER_S]
        pairs = sorted(
            (
                (track.face.box.overlap(face.box), number, track)
                for number, face in enumerate(faces)
                for track in self.tracks
            ),
            key=lambda item: -item[0],
        )
        taken: set[int] = set()
        matched: set[int] = set()
        for overlap, number, track in pairs:
            if overlap < OVERLAP_MIN or number in taken or track.track_id in matched:
                continue
            taken.add(number)
            matched.add(track.track_id)
            self._continue(track, frame, faces[number], now_s)
        for track in self.tracks:
            if track.track_id not in matched:
                track.missed += 1
        for number, face in enumerate(faces):
            if number not in taken:
                self.tracks.append(self._begin(frame, face, now_s))

    def _continue(self, track: Track, frame: Frame, face: Face, now_s: float) -> None:
        track.face = face
        track.quality = assess(frame, face, self._limits)
        track.last_seen_s = now_s
        track.missed = 0
        if track.quality.usable:
            track.usable_since_embedding += 1

    def _begin(self, frame: Frame, face: Face, now_s: float) -> Track:
        track = Track(self._next_id, face, assess(frame, face, self._limits), now_s)
        self._next_id += 1
        return track

    def _restart(self, track: Track) -> Track:
        fresh = Track(self._next_id, track.face, track.quality, track.last_seen_s)
        self._next_id += 1
        self.tracks = [fresh if other is track else other for other in self.tracks]
        return fresh


def _moved(before: Face, after: Face) -> Box:
    """The box of ``before``, moved and scaled as its landmarks have since."""
    old, new = before.landmarks.astype(np.float64), after.landmarks.astype(np.float64)
    grown = float(new.std(axis=0).sum() / max(1e-6, old.std(axis=0).sum()))
    box, shift = before.box, new.mean(axis=0) - old.mean(axis=0)
    middle = np.array([box.left + box.right, box.top + box.bottom]) / 2 + shift
    half = np.array([box.width, box.height]) * grown / 2
    left, top = np.rint(middle - half).astype(int)
    right, bottom = np.rint(middle + half).astype(int)
    return Box(int(left), int(top), int(right), int(bottom))


def nearest(tracks: list[Track], in_zone: Callable[[Box], bool] = lambda box: True) -> Track | None:
    """The track in view with the largest face inside the zone: who stands before the gate."""
    present = [track for track in tracks if track.missed == 0 and in_zone(track.face.box)]
    return max(present, key=lambda track: track.face.box.width, default=None)
