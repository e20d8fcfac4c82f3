"""Run the check over recordings without deciding: what did each person's track reach?

``facefare gate calibrate-liveness`` feeds it the site's own live riders, the benchmark
attacks as well. Everything is as at the gate: the nearest face counts, the same clock, the
same deadlines; only no threshold is ever reached.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from gate.camera import TimedFrame
from gate.liveness.check import Finding, LivenessScore
from gate.liveness.fused import FusedCheck, Pair
from gate.liveness.rigid import Rigidity
from gate.liveness.thresholds import LivenessThreshold, LiveTrack, calibrate
from models.faces.engine import Engine
from models.faces.tracking import Tracker, nearest

OUT_OF_REACH = LivenessThreshold(pair_min=float("inf"), stirring_min=float("inf"))

History = list[LivenessScore]
"""What was known of one track after each look, until its time was up."""


def follow(
    frames: Iterable[TimedFrame],
    engine: Engine,
    pair: Pair | None,
    rigidity: Rigidity | None,
    detect_every: int = 3,
) -> list[History]:
    """The histories of all tracks that were the nearest face at some time."""
    check = FusedCheck(pair, rigidity, OUT_OF_REACH)
    tracker = Tracker(engine, fused_frames=1, detect_every=detect_every)
    histories: dict[int, History] = {}
    for timed in frames:
        if not tracker.observe(timed.frame, timed.at_s):
            continue
        track = nearest(tracker.tracks)
        if track is None:
            continue
        check.observe(timed.frame, track, timed.at_s)
        score = check.score(track.track_id)
        if score is None:
            continue
        history = histories.setdefault(track.track_id, [])
        if not history or history[-1].finding is Finding.LOOKING:
            history.append(score)
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


def calibrate_clips(
    clips: Iterable[Iterable[TimedFrame]],
    engine: Engine,
    pair: Pair | None,
    rigidity: Rigidity | None,
    on_track: Callable[[int], None] = lambda tracks: None,
) -> LivenessThreshold:
    """Thresholds from recordings of live riders walking up to this camera.

    Tracks too short to be judged (somebody passing by) are left out. ``on_track`` is called
    with the number of tracks so far. Raises ``NotCalibrated`` where there are too few.
    """
    tracks: list[LiveTrack] = []
    for clip in clips:
        for history in follow(clip, engine, pair, rigidity):
            best = reached(history)
            if rigidity is None or best.stirring is not None:
                tracks.append(best)
        on_track(len(tracks))
    return calibrate(tracks)
