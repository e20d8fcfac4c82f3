"""Run the check over recordings without deciding: what did each person's track reach?

``facefare gate calibrate-liveness`` feeds it the site's own live riders, the benchmark
attacks as well. Everything is as at the gate: the nearest face counts, it waits once it is
in the zone, the same clock, the same deadlines; only no threshold is ever reached.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from gate.frames import TimedFrame
from gate.liveness.check import LivenessScore
from gate.liveness.fused import FusedCheck, Pair
from gate.liveness.rigid import Rigidity
from gate.liveness.thresholds import LivenessThreshold, LiveTrack, calibrate, set_under
from models.faces.engine import Engine
from models.faces.tracking import Tracker, nearest

OUT_OF_REACH = LivenessThreshold(pair_min=float("inf"), stirring_min=float("inf"))

FACE_SHARE_MIN = 0.16
"""The gate's own default."""

History = list[LivenessScore]
"""What was known of one track after each look in the zone, until its time was up."""


def follow(
    frames: Iterable[TimedFrame],
    engine: Engine,
    pair: Pair | None,
    rigidity: Rigidity | None,
    face_share_min: float = FACE_SHARE_MIN,
) -> list[History]:
    """The histories of all tracks that were the nearest face and stood in the zone.

    The zone is the whole picture, from a face of ``face_share_min`` of its width on.
    """
    check = FusedCheck(pair, rigidity, OUT_OF_REACH)
    tracker = Tracker(engine, fused_frames=1)
    histories: dict[int, History] = {}
    for timed in frames:
        searched = tracker.observe(timed.frame, timed.at_s)
        track = nearest(tracker.tracks)
        if track is None:
            continue
        waiting = track.face.box.width >= face_share_min * timed.frame.shape[1]
        if not check.looks_at(track.track_id, timed.at_s, waiting):
            continue
        if not searched:
            tracker.follow(timed.frame, track)
        check.observe(timed.frame, track, timed.at_s, waiting)
        score = check.score(track.track_id)
        if score is not None and waiting and track.quality.usable:
            histories.setdefault(track.track_id, []).append(score)
    return list(histories.values())


def is_live(history: History, threshold: LivenessThreshold) -> bool:
    """Whether the gate would have found this track live at any moment."""
    return any(
        (score.pair is None or score.pair >= threshold.pair_min)
        and score.stirring is not None
        and score.stirring >= threshold.stirring_min
        for score in history
    )


def reached(history: History) -> LiveTrack:
    """The best of a track, each check for itself."""
    return LiveTrack(
        max((score.pair for score in history if score.pair is not None), default=None),
        max((score.stirring for score in history if score.stirring is not None), default=None),
    )


@dataclass(frozen=True, slots=True)
class Calibration:
    """Thresholds from this camera's living riders, and what is known about them.

    ``asked`` of ``riders`` would be asked for the pass, each with the thresholds that the
    others make. ``opened`` of ``pictures`` would open: None where no pictures were recorded.
    """

    threshold: LivenessThreshold
    riders: int
    asked: int
    pictures: int
    opened: int | None


def judged(histories: Iterable[History]) -> list[History]:
    """Those that were seen long enough; somebody who only passes by says nothing."""
    return [history for history in histories if reached(history).stirring is not None]


def calibrated(living: Sequence[History], pictures: Sequence[History]) -> Calibration:
    """Set the thresholds; raise ``NotCalibrated`` where there are too few living riders."""
    tracks = [reached(history) for history in living]
    threshold = calibrate(tracks)
    asked = 0
    for number, history in enumerate(living):
        others = [*tracks[:number], *tracks[number + 1 :]]
        asked += not is_live(history, set_under(others))
    opened = sum(is_live(history, threshold) for history in pictures) if pictures else None
    return Calibration(threshold, len(living), asked, len(pictures), opened)
