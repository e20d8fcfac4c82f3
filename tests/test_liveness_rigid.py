"""The stirring of a face: what a rigid picture cannot do, and what it can."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from bench.liveness_attacks import draw_manner, still_clip
from gate.clips import recorded
from gate.frames import TimedFrame
from gate.liveness.measuring import follow, is_live, reached
from gate.liveness.rigid import CHIP_PX, Rigidity, View, view_of
from gate.liveness.thresholds import SHIPPED, STIRRING_BOUNDS
from models.faces.dlib_engine import DlibEngine
from models.faces.engine import Box, Face, Frame
from tests.conftest import read_rgb


@pytest.fixture(scope="module")
def photo(stills: Path) -> Frame:
    """As large as a gate's camera would see it: a face of about 150 px."""
    large = read_rgb(stills / "biden.jpg")
    small = cv2.resize(large, None, fx=0.4, fy=0.4, interpolation=cv2.INTER_AREA)
    return np.asarray(small, dtype=np.uint8)


def seen(engine: DlibEngine, frame: Frame) -> View:
    return view_of(frame, engine.find(frame, thorough=True)[0])


def moved(frame: Frame, turn_deg: float, scale: float, lean: float) -> Frame:
    """The picture turned, scaled and tilted about its middle."""
    rows, columns = frame.shape[:2]
    turn = cv2.getRotationMatrix2D((columns / 2, rows / 2), turn_deg, scale)
    plane = np.vstack([turn, [lean / columns, 0.0, 1.0 - lean / 2]])
    shown = cv2.warpPerspective(frame, plane, (columns, rows), borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(shown, dtype=np.uint8)


@pytest.mark.parametrize(
    ("turn_deg", "scale", "lean"), [(0, 1.0, 0.0), (5, 1.0, 0.0), (0, 1.15, 0.0), (3, 0.9, 0.1)]
)
def test_a_flat_picture_does_not_stir_however_it_is_moved(
    engine: DlibEngine, photo: Frame, turn_deg: float, scale: float, lean: float
) -> None:
    stirring = Rigidity().stirring(
        seen(engine, photo), seen(engine, moved(photo, turn_deg, scale, lean))
    )
    assert stirring is not None
    assert stirring < STIRRING_BOUNDS[0]


def test_brighter_light_does_not_stir_a_picture(engine: DlibEngine, photo: Frame) -> None:
    brighter = np.clip(photo * 1.25 + 10, 0, 255).astype(np.uint8)
    stirring = Rigidity().stirring(seen(engine, photo), seen(engine, brighter))
    assert stirring is not None
    assert stirring < STIRRING_BOUNDS[0]


def test_a_mouth_that_opens_stirs(engine: DlibEngine, photo: Frame) -> None:
    """The part below the mouth moves down by a fiftieth of the face, the rest stays."""
    face = engine.find(photo, thorough=True)[0]
    rows, columns = np.mgrid[0 : photo.shape[0], 0 : photo.shape[1]].astype(np.float32)
    middle = face.landmarks[48:68].mean(axis=0)
    near = np.exp(-(((columns - middle[0]) / (0.3 * face.box.width)) ** 2))
    jaw = 1 / (1 + np.exp(-(rows - middle[1]) / (0.05 * face.box.width)))
    shift = 0.02 * face.box.width * near * jaw
    opened = cv2.remap(photo, columns, rows - shift, cv2.INTER_LINEAR)
    before, after = seen(engine, photo), seen(engine, np.asarray(opened, dtype=np.uint8))
    stirring = Rigidity().stirring(before, after)
    assert stirring is not None
    assert stirring > SHIPPED.stirring_min


def test_pictures_without_anything_in_them_prove_nothing() -> None:
    points = np.random.default_rng(0).uniform(40, 150, (68, 2)).astype(np.float32)
    blank = View(np.full((CHIP_PX, CHIP_PX), 128, np.uint8), points)
    assert Rigidity().stirring(blank, blank) is None
    nowhere = View(blank.chip, np.zeros((68, 2), np.float32))
    assert Rigidity().stirring(nowhere, nowhere) is None


def test_what_cannot_be_registered_is_not_compared(engine: DlibEngine, stills: Path) -> None:
    """A failed registration would look like a great deal of motion."""
    noise = np.random.default_rng(3).integers(0, 256, (CHIP_PX, CHIP_PX)).astype(np.uint8)
    face = seen(engine, read_rgb(stills / "obama.jpg"))
    assert Rigidity().stirring(face, View(noise, face.landmarks)) is None


@pytest.mark.parametrize(
    "box", [Box(-60, -60, 40, 40), Box(500, 500, 600, 600), Box(-300, -300, 600, 600)]
)
def test_a_face_at_or_beyond_the_border_still_gives_a_view(box: Box) -> None:
    frame = np.random.default_rng(1).integers(0, 256, (200, 300, 3)).astype(np.uint8)
    view = view_of(frame, Face(box, np.zeros((68, 2), np.float32), 1.0))
    assert view.chip.shape == (CHIP_PX, CHIP_PX)


def still_of(engine: DlibEngine, picture: Frame, seed: int) -> list[TimedFrame]:
    """The picture held before a camera for 1.6 s."""
    box = engine.find(picture, thorough=True)[0].box
    face = ((box.left + box.right) / 2, (box.top + box.bottom) / 2, float(box.width))
    frames = still_clip(picture, face, draw_manner(np.random.default_rng(seed)), 48, seed)
    return [TimedFrame(frame, number / 30) for number, frame in enumerate(frames)]


def test_stills_of_a_speaker_do_not_pass_where_the_speaker_does(
    engine: DlibEngine, data: Path
) -> None:
    """Same face, same camera, same light: only the living one stirs."""
    clip = data / "clips" / "speakers" / "source_s32.mp4"
    alive = [timed for timed in recorded(clip) if timed.at_s < 1.6]
    (history,) = follow(alive, engine, None, Rigidity())
    assert is_live(history, SHIPPED)
    for seed in (1, 2):
        histories = follow(still_of(engine, alive[0].frame, seed), engine, None, Rigidity())
        best = max((reached(history).stirring or 0.0 for history in histories), default=0.0)
        assert 0.0 < best < SHIPPED.stirring_min
