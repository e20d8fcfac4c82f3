"""Thresholds from a camera's own live riders, and the file they are kept in."""

from __future__ import annotations

from pathlib import Path

import pytest

from gate.clips import recorded
from gate.frames import TimedFrame
from gate.liveness.check import Finding, LivenessScore
from gate.liveness.measuring import calibrated, follow, is_live, judged
from gate.liveness.rigid import Rigidity
from gate.liveness.thresholds import (
    LIVE_TRACKS_MIN,
    PAIR_BOUNDS,
    SHIPPED,
    STIRRING_BOUNDS,
    LivenessThreshold,
    LiveTrack,
    NotCalibrated,
    calibrate,
    load_threshold,
    save_threshold,
)
from models.faces.dlib_engine import DlibEngine


def riders(pair: float | None, stirring: float | None, count: int = 50) -> list[LiveTrack]:
    return [LiveTrack(pair, stirring)] * count


def test_the_threshold_lies_under_what_the_riders_reach() -> None:
    assert calibrate(riders(0.4, 1.5)) == LivenessThreshold(0.2, 1.2, 50, 0.0)


def test_one_odd_rider_in_a_hundred_does_not_move_it() -> None:
    odd = [*riders(0.4, 1.5, 99), LiveTrack(0.06, 0.9)]
    assert calibrate(odd) == LivenessThreshold(0.2, 1.2, 100, 0.01)


def test_a_bad_camera_asks_more_but_is_not_weaker() -> None:
    dim = calibrate(riders(0.02, 0.5))
    assert (dim.pair_min, dim.stirring_min) == (PAIR_BOUNDS[0], STIRRING_BOUNDS[0])
    assert dim.asked == 1.0


def test_a_splendid_camera_does_not_ask_the_unusual_rider_more_than_need_be() -> None:
    bright = calibrate(riders(1.0, 50.0))
    assert (bright.pair_min, bright.stirring_min) == (PAIR_BOUNDS[1], STIRRING_BOUNDS[1])


def test_a_check_that_was_not_run_keeps_the_shipped_threshold() -> None:
    assert calibrate(riders(None, 3.0)).pair_min == SHIPPED.pair_min
    assert calibrate(riders(0.4, None)).stirring_min == SHIPPED.stirring_min


def test_too_few_riders_are_refused() -> None:
    with pytest.raises(NotCalibrated, match="19 live riders were recorded, at least 20"):
        calibrate(riders(0.4, 1.5, LIVE_TRACKS_MIN - 1))


def test_a_real_clip_is_one_rider(engine: DlibEngine, data: Path) -> None:
    clip = data / "clips" / "speakers" / "source_s32.mp4"
    piece: list[TimedFrame] = [timed for timed in recorded(clip) if timed.at_s < 1.3]
    histories = judged(follow(piece, engine, None, Rigidity()))
    assert len(histories) == 1
    assert is_live(histories[0], SHIPPED)
    with pytest.raises(NotCalibrated, match="1 live riders were recorded"):
        calibrated(histories, [])


def history(pair: float, stirring: float) -> list[LivenessScore]:
    return [LivenessScore(Finding.LOOKING, pair, stirring)]


def test_a_calibration_says_whom_it_would_ask_and_what_it_would_let_in() -> None:
    living = [*[history(0.9, 3.0)] * 39, history(0.9, 0.5)]
    found = calibrated(living, [history(0.9, 0.4), history(0.9, 5.0), history(0.01, 5.0)])
    assert (found.riders, found.asked) == (40, 1)
    assert (found.pictures, found.opened) == (3, 1)
    assert calibrated(living, []).opened is None


def test_thresholds_are_kept_and_read_again(tmp_path: Path) -> None:
    made = calibrate(riders(0.4, 1.5))
    save_threshold(made, tmp_path / "liveness.json")
    assert load_threshold(tmp_path / "liveness.json") == made


def test_a_camera_never_calibrated_uses_the_shipped_thresholds(tmp_path: Path) -> None:
    assert load_threshold(tmp_path / "none.json") == SHIPPED


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"pair_min": 0.0, "stirring_min": 1.0}', "lie outside"),
        ('{"pair_min": 0.1, "stirring_min": 0.1}', "lie outside"),
        ('{"pair_min": NaN, "stirring_min": 1.0}', "lie outside"),
        ('{"pair_min": "low", "stirring_min": 1.0}', "cannot be read"),
        ('{"pair_min": 0.1}', "cannot be read"),
        ("{}x", "cannot be read"),
        ("[]", "cannot be read"),
    ],
)
def test_a_threshold_file_that_would_let_pictures_in_is_refused(
    tmp_path: Path, text: str, said: str
) -> None:
    (tmp_path / "liveness.json").write_text(text)
    with pytest.raises(NotCalibrated, match=said):
        load_threshold(tmp_path / "liveness.json")
