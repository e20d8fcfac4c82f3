"""What is wrong with this frame of the desk's camera, while the rider still looks into it.

    POST /enrollment/capture   body: one JPEG of at most 640 px a side and 300 kB
    -> {"good": false, "faces": 1, "yaw_deg": 21.3, "pitch_deg": 2.0,
        "reasons": [{"name": "sharpness", "words": "Hold still; the picture is blurred."}]}

Names are those of ISO/IEC 29794-5 as its reference implementation OFIQ spells them; measures
and limits are those of the template (``models.faces.quality``). Nothing is kept between two
frames: the browser keeps the good ones and sends them with the form, where every one of them
is looked at again.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from flask import Blueprint, abort, request
from flask.typing import ResponseReturnValue
from flask_babel import gettext as _

from enrollment.photos import PhotoRefused, read_photo
from enrollment.prints import PRESENTATION, shows_a_print
from enrollment.store import Enrollment
from enrollment.words import photo_advice, print_advice
from models.access.web import require_role
from models.faces.engine import Engine, Face, Frame
from models.faces.liveness_pair import LivenessPair
from models.faces.quality import ENROLLMENT_LIMITS, assess

FRAME_SIDE_PX_MAX = 640
FRAME_BYTES_MAX = 300_000
SINGLE_FACE = "single_face_present"
_BACKGROUND_SHARE = 0.5  # a second face of less than half the width stands behind the rider


@dataclass(frozen=True, slots=True)
class Verdict:
    """``reasons``: what fails, as (name, words), what to mend first at the beginning."""

    faces: int
    reasons: tuple[tuple[str, str], ...]
    yaw_deg: float | None = None
    pitch_deg: float | None = None

    def as_json(self) -> dict[str, Any]:
        """What the page gets."""
        return {
            "good": not self.reasons,
            "faces": self.faces,
            "reasons": [{"name": name, "words": words} for name, words in self.reasons],
            "yaw_deg": self.yaw_deg,
            "pitch_deg": self.pitch_deg,
        }


def judge(engine: Engine, frame: Frame, pair: LivenessPair | None = None) -> Verdict:
    """Look at one frame as the gate would, with the limits of the desk."""
    faces = engine.find(frame)
    if len(faces) != 1:
        return Verdict(len(faces), ((SINGLE_FACE, _not_one(faces)),))
    quality = assess(frame, faces[0], ENROLLMENT_LIMITS)
    reasons = tuple((reason.value, photo_advice(reason)) for reason in quality.reasons)
    if not reasons and shows_a_print(pair, [(frame, faces[0])]):
        reasons = ((PRESENTATION, print_advice()),)
    measures = quality.measures
    return Verdict(1, reasons, round(measures.yaw_deg, 1), round(measures.pitch_deg, 1))


def _not_one(faces: list[Face]) -> str:
    said: str = _("Only the rider may be before the camera.")
    widths = sorted(face.box.width for face in faces)
    if not faces:
        said = _("Put your face into the oval.")
    elif widths[-2] < _BACKGROUND_SHARE * widths[-1]:
        said = _("There is another face in the background; only the rider may be seen.")
    return said


def capture_pages(blueprint: Blueprint, enrollment: Enrollment, *roles: str) -> None:
    """The address that looks at frames, for signed-in staff with one of ``roles``."""

    @blueprint.post("/capture")
    @require_role(*roles)
    def capture() -> ResponseReturnValue:
        data = request.get_data(cache=False)
        if len(data) > FRAME_BYTES_MAX:
            abort(413)
        try:
            frame = read_photo(data)
        except PhotoRefused as error:
            return {"good": False, "faces": 0, "reasons": [], "problem": str(error)}, 400
        if max(frame.shape[:2]) > FRAME_SIDE_PX_MAX:
            problem = _("A frame has at most %(max)s pixels a side.", max=FRAME_SIDE_PX_MAX)
            return {"good": False, "faces": 0, "reasons": [], "problem": problem}, 400
        engine, pair = enrollment.load_engine(), enrollment.load_pair()
        with enrollment.looking:
            return judge(engine, frame, pair).as_json()
