"""Quality in words, on real pictures that each have one thing wrong with them."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from models.faces.dlib_engine import DlibEngine
from models.faces.engine import Frame
from models.faces.quality import ADVICE, ENROLLMENT_LIMITS, Quality, Reason, assess
from tests.conftest import read_rgb


@pytest.fixture(scope="module")
def portrait(stills: Path) -> Frame:
    return read_rgb(stills / "obama.jpg")


def quality_of(engine: DlibEngine, frame: Frame) -> Quality:
    face = max(engine.find(frame, thorough=True), key=lambda face: face.box.width)
    return assess(frame, face, ENROLLMENT_LIMITS)


def as_frame(picture: np.ndarray) -> Frame:
    return np.ascontiguousarray(np.clip(picture, 0, 255), dtype=np.uint8)


@pytest.mark.parametrize(
    ("picture", "reason"),
    [
        ("pose/left_face.jpeg", Reason.TURNED),
        ("pose/rise_face.jpeg", Reason.TILTED_UP_OR_DOWN),
        ("pose/right_wryneck.png", Reason.TILTED_SIDEWAYS),
        ("reaction/close_eyes.jpeg", Reason.EYES_CLOSED),
        ("bulk/blur.jpg", Reason.NOT_SHARP),
        ("bulk/mask2.jpg", Reason.MOUTH_COVERED),
    ],
)
def test_each_fault_is_named(engine: DlibEngine, data: Path, picture: str, reason: Reason) -> None:
    quality = quality_of(engine, read_rgb(data / "faces" / "quality" / picture))
    assert reason in quality.reasons, quality


@pytest.mark.parametrize("name", ["obama.jpg", "biden.jpg"])
def test_a_good_portrait_has_nothing_wrong(engine: DlibEngine, stills: Path, name: str) -> None:
    assert quality_of(engine, read_rgb(stills / name)).reasons == ()


def test_a_dark_portrait_is_too_dark(engine: DlibEngine, portrait: Frame) -> None:
    assert Reason.TOO_DARK in quality_of(engine, as_frame(portrait * 0.2)).reasons


def test_a_washed_out_portrait_is_too_bright(engine: DlibEngine, portrait: Frame) -> None:
    assert Reason.TOO_BRIGHT in quality_of(engine, as_frame(portrait * 0.3 + 190)).reasons


def test_a_blurred_portrait_is_not_sharp(engine: DlibEngine, portrait: Frame) -> None:
    blurred = as_frame(cv2.GaussianBlur(portrait, (0, 0), 9))
    assert Reason.NOT_SHARP in quality_of(engine, blurred).reasons


def test_a_far_face_is_asked_closer_and_that_comes_first(
    engine: DlibEngine, portrait: Frame
) -> None:
    far = as_frame(cv2.resize(portrait, None, fx=0.25, fy=0.25, interpolation=cv2.INTER_AREA))
    quality = quality_of(engine, far)
    assert quality.reasons[0] is Reason.FACE_TOO_SMALL
    assert quality.advice() == "Come closer."


def test_a_face_cut_by_the_border_is_cropped(engine: DlibEngine, portrait: Frame) -> None:
    (face,) = engine.find(portrait)
    middle = (face.box.left + face.box.right) // 2
    cut = as_frame(portrait[:, : middle + 60])
    assert Reason.CROPPED in quality_of(engine, cut).reasons


def test_every_reason_has_a_sentence_for_the_rider() -> None:
    assert set(ADVICE) == set(Reason)
    assert all(sentence.endswith(".") for sentence in ADVICE.values())


def test_a_blue_mask_painted_over_the_mouth_is_seen(engine: DlibEngine, portrait: Frame) -> None:
    (face,) = engine.find(portrait)
    jaw = np.concatenate([face.landmarks[1:16], face.landmarks[29:30]]).astype(np.int32)
    masked = portrait.copy()
    cv2.fillPoly(masked, [jaw], (120, 170, 215))
    quality = assess(masked, face, ENROLLMENT_LIMITS)
    assert Reason.MOUTH_COVERED in quality.reasons
    assert "Take off the mask" in quality.sentences()[-1]
