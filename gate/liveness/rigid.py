"""Did anything in this face move that a flat, rigid picture cannot?

A photograph before the camera can drift, turn, tilt and come closer, and all of that
together is one plane-to-plane mapping (a homography). A living face also talks, blinks,
turns in depth and comes nearer nose first, and that is none. So:

    the face now and a third of a second ago, both scaled to a 128 px wide face
      -> landmarks lay one roughly over the other
      -> dense flow between them, and the homography that explains most of it, twice
      -> the flow that is *left*, averaged over 17 × 17 px, minus the smooth surface of second
         degree that bent paper makes; its root mean square over the face below the upper
         forehead, where there is texture to see it by, is the *stirring*

in thousandths of the face's width. The landmarks alone cannot do this: their own noise is
two to four hundredths of the eye distance, many times the motion that matters.

It says nothing about a moving picture (a video on a screen), and a person who holds
perfectly still looks to it like a photograph.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from models.faces.engine import Face, Frame

FACE_PX = 128
CHIP_PX = 192

ALIKE_MIN = 0.6
"""Chips less alike than this were not registered, or show two faces: what seems to move proves
nothing. Of pairs a third of a second apart living speakers lose 2 in 100; of pairs of two
different people 11 in 100 stay above it."""

_STEP_PX = 8
_AVERAGED_PX = 17
_CENTRE = CHIP_PX / 2
_FACE_HALF = (58.0, 66.0)  # the ellipse inside which the face lies, px of the chip
_EDGE_LEVELS = 40.0  # every chip's face is scaled to this contrast
_OUTLIER_PX = 0.3

Chip = npt.NDArray[np.uint8]
Points = npt.NDArray[np.float32]
Mapping = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class View:
    """One face at one moment: (192, 192) grey, and its 68 landmarks in px of the chip."""

    chip: Chip
    landmarks: Points


def view_of(frame: Frame, face: Face) -> View:
    """Cut the face out with a quarter of its width around it, slightly smoothed."""
    box = face.box
    scale = FACE_PX / max(1, box.width)
    middle = np.array([(box.left + box.right) / 2, (box.top + box.bottom) / 2])
    landmarks = np.asarray((face.landmarks - middle) * scale + _CENTRE, dtype=np.float32)
    corner, end = (
        np.clip(middle + side * CHIP_PX / scale, 0, frame.shape[1::-1]).astype(int)
        for side in (-1, 1)
    )
    inside = frame[corner[1] : end[1], corner[0] : end[0]]
    if min(inside.shape[:2]) < 2:
        return View(np.zeros((CHIP_PX, CHIP_PX), dtype=np.uint8), landmarks)
    grey = cv2.cvtColor(np.ascontiguousarray(inside), cv2.COLOR_RGB2GRAY)
    middle = middle - corner
    if scale < 0.6:  # averaging first: warping a large face straight to a small one is jagged
        grey = cv2.resize(grey, None, fx=2 * scale, fy=2 * scale, interpolation=cv2.INTER_AREA)
        middle, scale = middle * 2 * scale, 0.5
    move = np.column_stack([np.eye(2) * scale, _CENTRE - scale * middle])
    chip = cv2.warpAffine(
        grey, move, (CHIP_PX, CHIP_PX), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )
    return View(_same_contrast(cv2.GaussianBlur(chip, (0, 0), 1.5)), landmarks)


def _same_contrast(chip: cv2.typing.MatLike) -> Chip:
    """Light and exposure change; the face's mean and spread of grey are made the same."""
    low, high = (CHIP_PX - FACE_PX) // 2, (CHIP_PX + FACE_PX) // 2
    face = chip[low:high, low:high].astype(np.float32)
    even = (chip.astype(np.float32) - face.mean()) / (face.std() + 1e-3) * _EDGE_LEVELS + 128
    return np.asarray(np.clip(even, 0, 255), dtype=np.uint8)


def _grid() -> Points:
    middles = np.arange(_STEP_PX // 2, CHIP_PX, _STEP_PX, dtype=np.float32)
    points = np.stack(np.meshgrid(middles, middles), axis=-1).reshape(-1, 2)
    away = (points - _CENTRE) / np.array(_FACE_HALF, dtype=np.float32)
    return np.asarray(points[(away**2).sum(axis=1) < 1.0], dtype=np.float32)


_POINTS = _grid()
_ACROSS, _DOWN = ((_POINTS - _CENTRE) / (FACE_PX / 2)).T.astype(np.float64)
_BENT_SHEET = np.column_stack(
    [np.ones(len(_POINTS)), _ACROSS, _DOWN, _ACROSS**2, _ACROSS * _DOWN, _DOWN**2]
)
"""What a sheet may do beyond the mapping: lean a little more, and bow."""

_FEATURES = (_POINTS[:, 1] >= 52).astype(np.float64)
"""1 for eyebrows and below. A smooth forehead gives the flow nothing to hold on to."""


class Rigidity:
    """Compares chips; holds the flow algorithm's memory, so each thread needs its own."""

    def __init__(self) -> None:
        self._flow = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_FAST)

    def stirring(self, before: View, after: View) -> float | None:
        """Motion that no rigid picture explains, in ‰ of the face's width; None: not comparable."""
        mapping = _rough_mapping(before.landmarks, after.landmarks)
        for _ in range(2):
            if mapping is None:
                return None
            closer = self._mapping(before.chip, _laid_over(after.chip, mapping))
            mapping = None if closer is None else mapping @ closer
        if mapping is None:
            return None
        laid = _laid_over(after.chip, mapping)
        if _alikeness(before.chip, laid) < ALIKE_MIN:
            return None
        left = self._calc(before.chip, laid)
        smooth = cv2.blur(left, (_AVERAGED_PX, _AVERAGED_PX))
        weights = _texture(before.chip) * _FEATURES
        rest = _without_bow(_at_points(smooth).astype(np.float64), weights)
        return float(np.sqrt(np.average((rest**2).sum(axis=1), weights=weights))) * 1000 / FACE_PX

    def _calc(self, before: Chip, after: Chip) -> npt.NDArray[np.float32]:
        return np.asarray(self._flow.calc(before, after, None), dtype=np.float32)  # type: ignore[call-overload]

    def _mapping(self, before: Chip, after: Chip) -> Mapping | None:
        moved = _POINTS + _at_points(self._calc(before, after))
        mapping, _ = cv2.findHomography(_POINTS, moved, cv2.RANSAC, 1.5)
        return None if mapping is None else np.asarray(mapping, dtype=np.float64)


def _rough_mapping(before: Points, after: Points) -> Mapping | None:
    """Turn, scale and shift that lay most landmarks of one view over those of the other."""
    similarity, _ = cv2.estimateAffinePartial2D(before, after, method=cv2.LMEDS)
    return None if similarity is None else np.vstack([similarity, [0.0, 0.0, 1.0]])


def _at_points(flow: cv2.typing.MatLike) -> Points:
    columns, rows = _POINTS.astype(int).T
    return np.asarray(flow[rows, columns], dtype=np.float32)


def _laid_over(chip: Chip, mapping: Mapping) -> Chip:
    laid = cv2.warpPerspective(
        chip,
        mapping,
        (CHIP_PX, CHIP_PX),
        flags=cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_REPLICATE,
    )
    return np.asarray(laid, dtype=np.uint8)


def _alikeness(before: Chip, laid: Chip) -> float:
    """Correlation of the two chips' greys within the face, -1 to 1; 0 where one is blank."""
    first, second = (_at_points(chip).astype(np.float64) for chip in (before, laid))
    first, second = first - first.mean(), second - second.mean()
    lengths = float(np.linalg.norm(first) * np.linalg.norm(second))
    return float(first @ second) / lengths if lengths > 0 else 0.0


def _texture(chip: Chip) -> npt.NDArray[np.float64]:
    """How well motion can be seen at each point, 0 to 1: the weaker of its two gradients."""
    seen = _at_points(cv2.cornerMinEigenVal(chip, _AVERAGED_PX, ksize=3)).astype(np.float64)
    return np.asarray(seen / (seen + np.percentile(seen, 80) + 1e-12) + 1e-6)


def _without_bow(
    flow: npt.NDArray[np.float64], weights: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    """Take off what a bent sheet explains; twice more, without what stands out from it."""
    kept = weights[:, None]
    rest = flow
    for _ in range(3):
        sheet = np.linalg.lstsq(_BENT_SHEET * kept, flow * kept, rcond=None)[0]
        rest = flow - _BENT_SHEET @ sheet
        kept = weights[:, None] / (1 + (rest**2).sum(axis=1, keepdims=True) / _OUTLIER_PX**2)
    return rest
