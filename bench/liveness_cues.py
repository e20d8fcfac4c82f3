"""What moved in a face, measured in several ways: the chosen cue beside those that failed.

Every cue sees the same pairs of views as the gate's own check, so that they are compared
on nothing but themselves.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import cv2
import numpy as np
import numpy.typing as npt

from gate.liveness.rigid import FACE_PX, Points, Rigidity, View

NOSE = slice(27, 36)
BOOTSTRAPS = 2000

Owned = Sequence[tuple[str, float]]
"""Scores, each with the person or recording it is of."""


class ListeningRigidity(Rigidity):
    """Measures the stirring as the gate does, and the other cues of the same two views."""

    def __init__(self) -> None:
        super().__init__()
        self.heard: dict[str, list[float]] = defaultdict(list)

    def stirring(self, before: View, after: View) -> float | None:
        """See ``Rigidity.stirring``."""
        old, new = before.landmarks, after.landmarks
        self.heard["landmarks"].append(_landmark_residual(old, new, slice(0, 68)))
        self.heard["nose"].append(_landmark_residual(old, new, NOSE))
        self.heard["eyes"].append(abs(_eyes(new) - _eyes(old)))
        self.heard["mouth"].append(abs(_mouth(new) - _mouth(old)))
        found = super().stirring(before, after)
        if found is not None:
            self.heard["stirring"].append(found)
        return found

    def fused(self) -> dict[str, float]:
        """One number a cue: what three quarters of the pairs reach, the largest for blinks."""
        largest = ("eyes", "mouth")
        return {
            name: float(max(values) if name in largest else np.percentile(values, 25))
            for name, values in self.heard.items()
        }


def _landmark_residual(before: Points, after: Points, kept: slice) -> float:
    """What a homography of the landmarks leaves of ``kept``, ‰ of the face's width."""
    others = np.ones(len(before), dtype=bool)
    if kept != slice(0, len(before)):
        others[kept] = False
    mapping, _ = cv2.findHomography(before[others], after[others], cv2.LMEDS)
    if mapping is None:
        return 0.0
    mapped = cv2.perspectiveTransform(before[kept].reshape(-1, 1, 2), mapping).reshape(-1, 2)
    rest = np.linalg.norm(mapped - after[kept], axis=1)
    return float(np.sqrt((rest**2).mean()) * 1000 / FACE_PX)


def _eyes(points: Points) -> float:
    return _height_by_width(points, (37, 41, 38, 40, 36, 39)) + _height_by_width(
        points, (43, 47, 44, 46, 42, 45)
    )


def _mouth(points: Points) -> float:
    return _height_by_width(points, (61, 67, 63, 65, 60, 64))


def _height_by_width(points: Points, six: tuple[int, int, int, int, int, int]) -> float:
    a, b, c, d, left, right = (points[number] for number in six)
    height = float(np.linalg.norm(a - b) + np.linalg.norm(c - d))
    return height / max(1e-6, 2 * float(np.linalg.norm(left - right)))


def area_under_curve(live: Owned, attacks: Owned, seed: int) -> tuple[float, float, float]:
    """(area, low, high): how often a live track scores above an attack, with a 95 % interval.

    The interval draws whole recordings or people (the first of each pair), not windows.
    """
    rng = np.random.default_rng(seed)
    pools = [_by_owner(live), _by_owner(attacks)]
    areas = []
    for _ in range(BOOTSTRAPS):
        drawn = [
            np.concatenate([pool[i] for i in rng.integers(0, len(pool), len(pool))])
            for pool in pools
        ]
        areas.append(_area(*drawn))
    whole = _area(*(np.concatenate(pool) for pool in pools))
    low, high = np.percentile(areas, [2.5, 97.5])
    return whole, float(low), float(high)


def _by_owner(scores: Owned) -> list[npt.NDArray[np.float64]]:
    owned: dict[str, list[float]] = defaultdict(list)
    for owner, score in scores:
        owned[owner].append(score)
    return [np.array(values) for values in owned.values()]


def _area(live: npt.NDArray[np.float64], attacks: npt.NDArray[np.float64]) -> float:
    above = (live[:, None] > attacks).mean() + 0.5 * (live[:, None] == attacks).mean()
    return float(above)
