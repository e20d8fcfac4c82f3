"""Whether a face is good enough to be compared, and in words what is wrong with it.

The gate and the enrollment desk use this one module, so that a photo the desk accepts is
one the gate could recognise. Component names are those of ISO/IEC 29794-5 and its
reference implementation OFIQ; the limits are our own, and are stated here.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import cv2
import numpy as np
import numpy.typing as npt

from models.faces.engine import Face, Frame


class Reason(StrEnum):
    """What is wrong with a face, by the name of the OFIQ component that measures it."""

    FACE_TOO_SMALL = "inter_eye_distance"
    CROPPED = "crop_of_the_face_image"
    NOT_SHARP = "sharpness"
    TOO_DARK = "under_exposure_prevention"
    TOO_BRIGHT = "over_exposure_prevention"
    TURNED = "head_pose_yaw"
    TILTED_UP_OR_DOWN = "head_pose_pitch"
    TILTED_SIDEWAYS = "head_pose_roll"
    EYES_CLOSED = "eyes_open"
    MOUTH_COVERED = "mouth_occlusion_prevention"


ADVICE: dict[Reason, str] = {
    Reason.FACE_TOO_SMALL: "Come closer.",
    Reason.CROPPED: "Move to the middle of the picture.",
    Reason.NOT_SHARP: "Hold still; the picture is blurred.",
    Reason.TOO_DARK: "It is too dark here; turn towards the light.",
    Reason.TOO_BRIGHT: "The light is too strong; turn away from it.",
    Reason.TURNED: "Look straight at the camera.",
    Reason.TILTED_UP_OR_DOWN: "Hold your head level.",
    Reason.TILTED_SIDEWAYS: "Hold your head upright.",
    Reason.EYES_CLOSED: "Open your eyes.",
    Reason.MOUTH_COVERED: "Take off the mask, or uncover your mouth.",
}


@dataclass(frozen=True, slots=True)
class Limits:
    """The values beyond which a face is not usable.

    ``eye_distance_px_min``: between the pupils; dlib loses a tenth of genuine pairs where
    the whole face is 60 px wide, which is 26 px between the eyes. ``sharpness_min``:
    variance of the Laplacian on a face scaled to 96 px. ``luma``: mean of the face, 0-255.
    Angles in degrees. ``eye_opening_min``: height by width of the more open eye.
    """

    eye_distance_px_min: float = 28.0
    sharpness_min: float = 25.0
    luma_min: float = 40.0
    luma_max: float = 225.0
    yaw_deg_max: float = 35.0
    pitch_deg_max: float = 30.0
    roll_deg_max: float = 30.0
    eye_opening_min: float = 0.12


@dataclass(frozen=True, slots=True)
class Measures:
    """What was measured, in the units of ``Limits``.

    ``mouth_colour``: how far the skin around the mouth is from that of nose and cheeks in
    the a-b plane of CIELAB. ``lip_redness``: how much redder (a) the lips are than the skin
    around them.
    """

    eye_distance_px: float
    sharpness: float
    luma: float
    yaw_deg: float
    pitch_deg: float
    roll_deg: float
    eye_opening: float
    mouth_colour: float
    lip_redness: float


@dataclass(frozen=True, slots=True)
class Quality:
    """``reasons`` is empty for a usable face; ``measures`` says why."""

    reasons: tuple[Reason, ...]
    measures: Measures

    @property
    def usable(self) -> bool:
        return not self.reasons

    def advice(self) -> str:
        """The first thing to do about it, as a sentence for the rider."""
        return ADVICE[self.reasons[0]] if self.reasons else ""

    def sentences(self) -> tuple[str, ...]:
        """Everything that is wrong, each with what to do about it."""
        return tuple(ADVICE[reason] for reason in self.reasons)


# The desk asks for more than the gate: a template is made once and used for years.
GATE_LIMITS = Limits()
ENROLLMENT_LIMITS = Limits(
    eye_distance_px_min=36.0,
    sharpness_min=40.0,
    luma_min=50.0,
    yaw_deg_max=30.0,
    pitch_deg_max=25.0,
    roll_deg_max=25.0,
    eye_opening_min=0.14,
)


def assess(frame: Frame, face: Face, limits: Limits = GATE_LIMITS) -> Quality:
    """Measure ``face`` in ``frame``; the reasons come in the order a rider can mend them."""
    measures = measure(frame, face)
    checks = (
        (Reason.FACE_TOO_SMALL, measures.eye_distance_px < limits.eye_distance_px_min),
        (Reason.CROPPED, _reaches_border(frame, face)),
        (Reason.TOO_DARK, measures.luma < limits.luma_min),
        (Reason.TOO_BRIGHT, measures.luma > limits.luma_max),
        (Reason.TURNED, abs(measures.yaw_deg) > limits.yaw_deg_max),
        (Reason.TILTED_UP_OR_DOWN, abs(measures.pitch_deg) > limits.pitch_deg_max),
        (Reason.TILTED_SIDEWAYS, abs(measures.roll_deg) > limits.roll_deg_max),
        (Reason.NOT_SHARP, measures.sharpness < limits.sharpness_min),
        (Reason.EYES_CLOSED, measures.eye_opening < limits.eye_opening_min),
        (Reason.MOUTH_COVERED, _is_covered(measures)),
    )
    return Quality(tuple(reason for reason, fails in checks if fails), measures)


def measure(frame: Frame, face: Face) -> Measures:
    """Take all measures of one face."""
    points = face.landmarks.astype(np.float64)
    left_eye, right_eye = points[36:42].mean(axis=0), points[42:48].mean(axis=0)
    eye_line = right_eye - left_eye
    patch = _patch(frame, face)
    yaw, pitch = _yaw_and_pitch(points)
    mouth_colour, lip_redness = _mouth(frame, points)
    return Measures(
        eye_distance_px=float(np.linalg.norm(eye_line)),
        sharpness=float(cv2.Laplacian(patch, cv2.CV_64F).var()),
        luma=float(patch.mean()),
        yaw_deg=yaw,
        pitch_deg=pitch,
        roll_deg=float(np.degrees(np.arctan2(eye_line[1], eye_line[0]))),
        eye_opening=max(_opening(points[36:42]), _opening(points[42:48])),
        mouth_colour=mouth_colour,
        lip_redness=lip_redness,
    )


def _patch(frame: Frame, face: Face) -> npt.NDArray[np.uint8]:
    """The face in grey, 96 px wide, so that sharpness means the same at every distance."""
    rows, columns = frame.shape[:2]
    box = face.box
    top, bottom = max(0, box.top), min(rows, box.bottom)
    left, right = max(0, box.left), min(columns, box.right)
    inside = frame[top:bottom, left:right]
    if inside.size == 0:
        return np.zeros((96, 96), dtype=np.uint8)
    grey = cv2.cvtColor(inside, cv2.COLOR_RGB2GRAY)
    return np.asarray(cv2.resize(grey, (96, 96), interpolation=cv2.INTER_AREA), dtype=np.uint8)


def _reaches_border(frame: Frame, face: Face) -> bool:
    """True where eyes, nose, mouth or chin lie outside the picture."""
    rows, columns = frame.shape[:2]
    x, y = face.landmarks[:, 0], face.landmarks[:, 1]
    return bool(x.min() < 0 or y.min() < 0 or x.max() >= columns or y.max() >= rows)


def _opening(eye: npt.NDArray[np.float64]) -> float:
    """Eye aspect ratio of Soukupová and Čech (2016): height by width."""
    height = np.linalg.norm(eye[1] - eye[5]) + np.linalg.norm(eye[2] - eye[4])
    return float(height / (2.0 * np.linalg.norm(eye[0] - eye[3])))


def _is_covered(measures: Measures) -> bool:
    """A mask has another colour than the cheeks, and no lips.

    On 1,098 LFW faces without a mask the rule speaks 13 times (1.2 %). Of masks painted onto
    300 of them and still detected as faces it finds 64 % of white, 81 % of blue and 79 % of
    black ones. It is advice, not protection: a skin-coloured mask passes.
    """
    colour, lips = measures.mouth_colour, measures.lip_redness
    return (colour >= 12.0 and lips <= 0.0) or (colour >= 8.0 and lips <= -3.0)


def _mouth(frame: Frame, points: npt.NDArray[np.float64]) -> tuple[float, float]:
    """(mouth_colour, lip_redness); a face whose skin is not in the picture measures 0."""
    eyes = (points[36:42].mean(axis=0) + points[42:48].mean(axis=0)) / 2
    below = (points[48:60].mean(axis=0) - eyes) * 0.15
    cheeks = np.concatenate([points[27:31], points[[39, 42]] + below])
    around = points[[4, 5, 6, 10, 11, 12, 48, 54]]
    left, top = np.maximum(points.min(axis=0).astype(int), 0)
    right, bottom = points.max(axis=0).astype(int) + 1
    inside = frame[top:bottom, left:right]
    if inside.size == 0:
        return 0.0, 0.0
    lab = cv2.cvtColor(np.ascontiguousarray(inside), cv2.COLOR_RGB2LAB)
    origin = np.array([left, top])
    cheek, skin, lips = (_colour(lab, area - origin) for area in (cheeks, around, points[48:60]))
    return float(np.linalg.norm(cheek - skin)), float(lips[0] - skin[0])


def _colour(
    lab: npt.NDArray[np.generic], corners: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    """The median (a, b) inside the hull of ``corners``."""
    mask = np.zeros(lab.shape[:2], dtype=np.uint8)
    cv2.fillConvexPoly(mask, cv2.convexHull(corners.astype(np.int32)), 1)
    pixels = lab[mask > 0]
    if not len(pixels):
        return np.zeros(2)
    return np.median(pixels[:, 1:].astype(np.float64), axis=0)


# A generic adult face: how far the nose tip stands out from the plane of eyes and mouth,
# and how far down it sits between them when the head is level (the median of 300 press
# photographs of LFW, whose heads are level in the median).
_NOSE_BY_EYE_DISTANCE = 0.42
_NOSE_BY_FACE_HEIGHT = 0.40
_LEVEL_NOSE_HEIGHT = 0.48


def _yaw_and_pitch(points: npt.NDArray[np.float64]) -> tuple[float, float]:
    """Head turn and nod in degrees, from where the nose tip lies between eyes and mouth.

    In a turned head the nose tip moves sideways by (nose depth × sin yaw) while the eyes
    draw together by cos yaw, so their ratio is the tangent; a nod moves it up or down the
    same way. Solving for the full pose from landmarks was tried and is bistable: frontal
    faces came out at 30 degrees to either side.
    """
    left_eye, right_eye = points[36:42].mean(axis=0), points[42:48].mean(axis=0)
    eyes, mouth, nose = (left_eye + right_eye) / 2, points[48:60].mean(axis=0), points[30]
    across = right_eye - left_eye
    distance = float(np.linalg.norm(across))
    if distance == 0.0:
        return 90.0, 90.0  # fail closed: a pose that cannot be measured is not usable
    across = across / distance
    down = np.array([-across[1], across[0]])
    height = float((mouth - eyes) @ down)
    if height <= 0.0:
        return 90.0, 90.0
    sideways = float((nose - (eyes + mouth) / 2) @ across) / distance
    downwards = float((nose - eyes) @ down) / height - _LEVEL_NOSE_HEIGHT
    yaw = np.degrees(np.arctan(sideways / _NOSE_BY_EYE_DISTANCE))
    pitch = np.degrees(np.arctan(-downwards / _NOSE_BY_FACE_HEIGHT))
    return float(yaw), float(pitch)
