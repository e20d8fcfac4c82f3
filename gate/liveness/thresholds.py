"""What a camera's own live riders reach, and the thresholds made from it.

A camera's light and lens move the scores of living people more than anything else does,
and no attack is needed to see by how much. So the operator records ordinary riders (their
own staff will do) at the camera itself, and the thresholds are set under what they reach:

    {"pair_min": 0.1, "stirring_min": 0.8, "live_tracks": 0, "asked": null}

``live_tracks`` is how many people's tracks it rests on (0: as shipped), ``asked`` the share
of them that would have been asked for the pass. The bounds hold whatever is recorded: below
them prints and stills of the test data pass, so a bad camera gets more questions asked, not
a weaker check.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np

from gate.errors import GateError

PAIR_BOUNDS = (0.05, 0.3)
STIRRING_BOUNDS = (0.8, 2.0)
PAIR_SHARE = 0.5
STIRRING_SHARE = 0.8
"""The threshold lies this far under what all but two in a hundred live tracks reach."""

LIVE_PERCENTILE = 2.0
LIVE_TRACKS_MIN = 20
WEAK_PAIR = 0.5
WEAK_STIRRING = 1.25
"""Live, but weakly: a pair score under 0.5, or stirring less than 1.25 times its threshold."""


class NotCalibrated(GateError):
    """Too little was recorded, or a threshold file cannot be used."""


@dataclass(frozen=True, slots=True)
class LiveTrack:
    """The best a live rider's track reached in time; None where it was never measured."""

    pair: float | None
    stirring: float | None


@dataclass(frozen=True, slots=True)
class LivenessThreshold:
    """``pair_min``: 0 to 1. ``stirring_min``: ‰ of the face's width."""

    pair_min: float
    stirring_min: float
    live_tracks: int = 0
    asked: float | None = None

    def is_weak(self, pair: float | None, stirring: float | None) -> bool:
        """True where a live finding rests on little, or on one check alone."""
        if pair is None or stirring is None:
            return True
        return pair < WEAK_PAIR or stirring < WEAK_STIRRING * self.stirring_min


SHIPPED = LivenessThreshold(pair_min=0.1, stirring_min=0.8)


def calibrate(tracks: Sequence[LiveTrack]) -> LivenessThreshold:
    """Set the thresholds under what these live riders reached; raise ``NotCalibrated``."""
    if len(tracks) < LIVE_TRACKS_MIN:
        raise NotCalibrated(
            f"{len(tracks)} live riders were recorded, at least {LIVE_TRACKS_MIN} are needed; "
            "let more people walk up to this camera, one after the other"
        )
    made = set_under(tracks)
    asked = sum(
        _fails(track.pair, made.pair_min) or _fails(track.stirring, made.stirring_min)
        for track in tracks
    )
    return replace(made, live_tracks=len(tracks), asked=round(asked / len(tracks), 4))


def set_under(tracks: Sequence[LiveTrack]) -> LivenessThreshold:
    """The thresholds that any number of tracks make."""
    return LivenessThreshold(
        _under([track.pair for track in tracks], PAIR_SHARE, PAIR_BOUNDS, SHIPPED.pair_min),
        _under(
            [track.stirring for track in tracks],
            STIRRING_SHARE,
            STIRRING_BOUNDS,
            SHIPPED.stirring_min,
        ),
    )


def _under(
    reached: list[float | None], share: float, bounds: tuple[float, float], otherwise: float
) -> float:
    """``share`` of the low percentile, within bounds; where nothing was measured, as shipped."""
    known = [value for value in reached if value is not None]
    if not known:
        return otherwise
    low = float(np.percentile(known, LIVE_PERCENTILE, method="lower"))
    return round(min(max(share * low, bounds[0]), bounds[1]), 4)


def _fails(reached: float | None, least: float) -> bool:
    return reached is not None and reached < least


def save_threshold(threshold: LivenessThreshold, path: Path) -> None:
    """Write the file the gate reads at its next start."""
    path.write_text(json.dumps(asdict(threshold)) + "\n", encoding="utf-8")


def load_threshold(path: Path) -> LivenessThreshold:
    """The camera's thresholds, or the shipped ones where it was never calibrated.

    Raises ``NotCalibrated`` for a file with other fields, or values outside the bounds.
    """
    if not path.exists():
        return SHIPPED
    try:
        threshold = LivenessThreshold(**json.loads(path.read_text(encoding="utf-8")))
        inside = (
            PAIR_BOUNDS[0] <= threshold.pair_min <= PAIR_BOUNDS[1]
            and STIRRING_BOUNDS[0] <= threshold.stirring_min <= STIRRING_BOUNDS[1]
            and math.isfinite(threshold.pair_min + threshold.stirring_min)
        )
    except (OSError, ValueError, TypeError) as error:
        raise NotCalibrated(
            f"the liveness thresholds {path} cannot be read ({error}); calibrate this camera "
            "again, or delete the file to use the shipped ones"
        ) from error
    if not inside:
        raise NotCalibrated(
            f"the liveness thresholds {path} lie outside what was ever measured to stop a "
            "picture; calibrate this camera again, or delete the file to use the shipped ones"
        )
    return threshold
