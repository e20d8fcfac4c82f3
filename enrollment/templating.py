"""From photos to one template, and whether it may become one.

Photos exist in memory only, and end here. A template is refused where its photos show
several people, or where it is not the template of one person at all.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from flask_babel import gettext as _

from enrollment.form import EnrollmentRefused
from enrollment.likeness import Vector, fuse, is_one_face, limits_for, nobody, odd_one_out
from enrollment.photos import PhotoRefused, read_photo
from enrollment.prints import shows_a_print
from enrollment.store import Enrollment
from enrollment.words import photo_advice, print_advice
from models.faces.engine import Engine, Face, Frame
from models.faces.quality import ENROLLMENT_LIMITS, assess

PHOTOS_MAX = 8
PHOTOS_RECOMMENDED = 3


@dataclass(frozen=True, slots=True)
class NewTemplate:
    """A template in the clear, on its way to being sealed or into a pass."""

    engine_id: str
    vector: Vector
    images: int
    quality_note: str


def make_template(enrollment: Enrollment, photos: Sequence[bytes]) -> NewTemplate:
    """Turn photos into one template; raise ``EnrollmentRefused`` with each photo's fault."""
    if not 1 <= len(photos) <= PHOTOS_MAX:
        raise EnrollmentRefused(
            _(
                "Choose one to %(max)s photos; %(recommended)s are recommended.",
                max=PHOTOS_MAX,
                recommended=PHOTOS_RECOMMENDED,
            )
        )
    engine = enrollment.load_engine()
    limits = limits_for(engine.engine_id)
    with enrollment.looking:
        seen = _usable_faces(engine, photos)
        if shows_a_print(enrollment.load_pair(), seen):
            raise EnrollmentRefused(print_advice())
        embeddings = np.concatenate([engine.embed(frame, [face]) for frame, face in seen])
    odd = odd_one_out(embeddings, limits.same_photos_min)
    if odd is not None:
        raise EnrollmentRefused(_not_one_person(odd + 1, len(photos)))
    vector = fuse(embeddings)
    if not is_one_face(vector, nobody(engine.engine_id), limits):
        raise EnrollmentRefused(_not_a_face())
    smallest = min(face.box.width for _frame, face in seen)
    return NewTemplate(engine.engine_id, vector, len(photos), f"smallest face {smallest} px wide")


def _not_one_person(odd: int, count: int) -> str:
    said: str = _("The two photos do not look like the same person: replace one of them.")
    if count > 2:
        said = _(
            "Photo %(number)s does not look like the same person as the others: replace it.",
            number=odd,
        )
    return said


def _not_a_face() -> str:
    said: str = _(
        "These photos give a template that fits many people: they may be smoothed, averaged or "
        "computed. Take new ones with the camera of the desk; if that does not help, issue a pass."
    )
    return said


def _usable_faces(engine: Engine, photos: Sequence[bytes]) -> list[tuple[Frame, Face]]:
    """The one face of each photo; raise ``EnrollmentRefused`` with each photo's fault."""
    seen, problems = [], []
    for position, data in enumerate(photos, start=1):
        try:
            frame = read_photo(data)
            seen.append((frame, _only_usable_face(engine, frame)))
        except PhotoRefused as error:
            problems.append(
                _("Photo %(number)s cannot be used: %(why)s.", number=position, why=str(error))
            )
    if problems:
        raise EnrollmentRefused(*problems)
    return seen


def _only_usable_face(engine: Engine, frame: Frame) -> Face:
    faces = engine.find(frame, thorough=True)
    if not faces:
        raise PhotoRefused(
            _("no face was found in it; the whole face must be seen, from the front")
        )
    if len(faces) > 1:
        raise PhotoRefused(
            _("%(count)s faces are in it; only the rider may be in the photo", count=len(faces))
        )
    quality = assess(frame, faces[0], ENROLLMENT_LIMITS)
    if quality.reasons:
        raise PhotoRefused(photo_advice(quality.reasons[0]).rstrip(".。"))
    return faces[0]
