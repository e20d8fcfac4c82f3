"""Who plays in the demo: photos to enroll a rider from, and what the gate's camera sees."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from rich.console import Console

from facefare import photographs
from facefare.walkup import write_walkups
from gate.camera import Camera
from models.errors import FacefareError
from models.faces.dlib_engine import DlibEngine
from models.faces.engine import Face, Frame
from models.faces.quality import ENROLLMENT_LIMITS, assess

SELF_PHOTOS = 3
SEED = 20261122


class DemoFailed(FacefareError):
    """A step of the demo did not do what it should."""


@dataclass(frozen=True, slots=True)
class Cast:
    """Who plays: the photos a rider is enrolled from, and what the gate's camera sees."""

    photos: list[Path]
    camera: str | None  # a live camera, or
    clip: Path | None  # a recorded walk-up


def _read(path: Path) -> Frame:
    picture = cv2.imread(str(path), cv2.IMREAD_COLOR)
    if picture is None:
        raise DemoFailed(f"{path} is not a picture that can be read")
    return np.asarray(cv2.cvtColor(picture, cv2.COLOR_BGR2RGB), dtype=np.uint8)


def _only_face(engine: DlibEngine, path: Path) -> tuple[Frame, Face]:
    frame = _read(path)
    faces = engine.find(frame, thorough=True)
    if not faces:
        raise DemoFailed(f"no face was found in {path}")
    return frame, faces[0]


def default_cast(work: Path, console: Console) -> Cast:
    """The package's own test photographs: one rider, and a stranger behind them."""
    console.print("Fetching the test photographs of face_recognition 1.3.0 …")
    folder = photographs.fetch_photographs()
    engine = DlibEngine.load()
    clip = work / "walkup.mp4"
    people = [
        _only_face(engine, folder / name)
        for name in (photographs.RIDER_AT_THE_GATE, photographs.STRANGER)
    ]
    write_walkups(people, clip, SEED)
    return Cast([folder / name for name in photographs.RIDER_ENROLLED], None, clip)


def webcam_cast(work: Path, source: str, console: Console) -> Cast:
    """Photograph whoever sits before the camera, a second apart; then they walk up live."""
    engine = DlibEngine.load()
    console.print("Look at the camera, and turn your head a little between the photos …")
    camera = Camera(source)
    camera.start()
    photos: list[Path] = []
    last_s = 0.0
    try:
        for timed in camera.frames():
            faces = engine.find(timed.frame)
            if timed.at_s - last_s < 1.0 or len(faces) != 1:
                continue
            quality = assess(timed.frame, faces[0], ENROLLMENT_LIMITS)
            if not quality.usable:
                console.print(f"  {quality.advice()}")
                continue
            photo = work / f"photo-{len(photos)}.png"
            cv2.imwrite(str(photo), cv2.cvtColor(timed.frame, cv2.COLOR_RGB2BGR))
            photos.append(photo)
            last_s = timed.at_s
            console.print(f"  photo {len(photos)} of {SELF_PHOTOS}")
            if len(photos) == SELF_PHOTOS:
                break
    finally:
        camera.stop()
    return Cast(photos, source, None)


def own_cast(photos: Path, clip: Path) -> Cast:
    """The caller's own photos of one person, and their own clip."""
    found = sorted(p for p in photos.iterdir() if p.suffix.lower() in {".jpg", ".jpeg", ".png"})
    if not found:
        raise DemoFailed(f"the folder {photos} holds no JPEG or PNG photos")
    return Cast(found, None, clip)
