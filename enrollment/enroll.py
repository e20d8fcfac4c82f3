"""Enroll a rider: consent, photos, template, account; all of it or nothing.

The order of writes leaves nothing half-written. Everything is checked first. Then the
fare account is opened (an account nobody uses is harmless, a template without an account
is not), then the rider's data key is made, then one transaction writes the rest. If it
fails, the data key is erased again. Photos exist in memory only, and end here.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np
from sqlmodel import Session

from enrollment.consent_texts import current_consent
from enrollment.form import EnrollForm, EnrollmentRefused, check_form
from enrollment.gallery import (
    data_key_name,
    gallery_version,
    move_gallery_version,
    open_templates,
    seal_template,
    templates_of,
)
from enrollment.likeness import Vector, fuse, limits_for, most_alike, odd_one_out
from enrollment.photos import PhotoRefused, read_photo
from enrollment.store import Enrollment
from models.database import reading, writing
from models.faces.engine import Embeddings, Engine, Face, Frame
from models.faces.quality import ENROLLMENT_LIMITS, assess
from models.tables.riders import Consent, Rider, RiderStation, Template

PHOTOS_MAX = 8
PHOTOS_RECOMMENDED = 3

# A reference that can be read over a telephone: no 0/o, 1/i/l. 31^10 is 2^49.
_REFERENCE_ALPHABET = "23456789abcdefghjkmnpqrstuvwxyz"
_REFERENCE_LENGTH = 10


@dataclass(frozen=True, slots=True)
class Enrolled:
    """What came of an enrollment."""

    rider_id: str
    account_id: str
    engine_id: str
    images: int


@dataclass(frozen=True, slots=True)
class NewTemplate:
    """A template in the clear, on its way to being sealed."""

    engine_id: str
    vector: Vector
    images: int
    quality_note: str


def enroll_rider(
    enrollment: Enrollment, form: EnrollForm, photos: Sequence[bytes], staff: str, now: datetime
) -> Enrolled:
    """Take in one rider; raise ``EnrollmentRefused`` with every fault that was found."""
    check_form(form, enrollment.settings)
    template = make_template(enrollment, photos)
    with reading(enrollment.riders) as session:
        version = gallery_version(session)
        _refuse_duplicate(enrollment, session, template)
    rider = _new_rider(form, now)
    enrollment.open_account(rider.account_id)
    key = enrollment.vault.create(data_key_name(rider.rider_id))
    try:
        with writing(enrollment.riders) as session:
            if gallery_version(session) != version:  # somebody was enrolled meanwhile: look again
                _refuse_duplicate(enrollment, session, template)
            _write(session, rider, form, template, key, staff)
    except BaseException:
        enrollment.vault.erase(data_key_name(rider.rider_id))
        raise
    return Enrolled(rider.rider_id, rider.account_id, template.engine_id, template.images)


def make_template(enrollment: Enrollment, photos: Sequence[bytes]) -> NewTemplate:
    """Turn photos into one template; raise ``EnrollmentRefused`` with each photo's fault."""
    if not 1 <= len(photos) <= PHOTOS_MAX:
        raise EnrollmentRefused(
            f"Choose one to {PHOTOS_MAX} photos; {PHOTOS_RECOMMENDED} are recommended."
        )
    engine = enrollment.load_engine()
    limits = limits_for(engine.engine_id)
    with enrollment.looking:
        embeddings, note = _embed_all(engine, photos)
    odd = odd_one_out(embeddings, limits.same_photos_min)
    if odd is not None:
        raise EnrollmentRefused(_not_one_person(odd + 1, len(photos)))
    return NewTemplate(engine.engine_id, fuse(embeddings), len(photos), note)


def _not_one_person(odd: int, count: int) -> str:
    if count == 2:
        return "The two photos do not look like the same person: replace one of them."
    return f"Photo {odd} does not look like the same person as the others: replace it."


def _embed_all(engine: Engine, photos: Sequence[bytes]) -> tuple[Embeddings, str]:
    rows, sizes, problems = [], [], []
    for position, data in enumerate(photos, start=1):
        try:
            frame = read_photo(data)
            face = _only_usable_face(engine, frame)
        except PhotoRefused as error:
            problems.append(f"Photo {position} cannot be used: {error}.")
            continue
        rows.append(engine.embed(frame, [face]))
        sizes.append(face.box.width)
    if problems:
        raise EnrollmentRefused(*problems)
    return np.concatenate(rows), f"smallest face {min(sizes)} px wide"


def _only_usable_face(engine: Engine, frame: Frame) -> Face:
    faces = engine.find(frame, thorough=True)
    if not faces:
        raise PhotoRefused("no face was found in it; the whole face must be seen, from the front")
    if len(faces) > 1:
        raise PhotoRefused(f"{len(faces)} faces are in it; only the rider may be in the photo")
    quality = assess(frame, faces[0], ENROLLMENT_LIMITS)
    if quality.reasons:
        raise PhotoRefused(quality.advice().rstrip("."))
    return faces[0]


def _refuse_duplicate(enrollment: Enrollment, session: Session, template: NewTemplate) -> None:
    found = templates_of(session, template.engine_id)
    opened = list(open_templates(enrollment.vault, found))
    if not opened:
        return
    enrolled = np.stack([np.frombuffer(vector, "<f4") for _, vector in opened])
    limit = limits_for(template.engine_id).duplicate_min
    twin = most_alike(template.vector, enrolled, limit)
    if twin is not None:
        raise EnrollmentRefused(
            f"This face is enrolled already, as rider {opened[twin][0].rider_id}. If this is "
            "another person, such as a twin, issue a pass instead."
        )


def _new_rider(form: EnrollForm, now: datetime) -> Rider:
    return Rider(
        rider_id="".join(secrets.choice(_REFERENCE_ALPHABET) for _ in range(_REFERENCE_LENGTH)),
        account_id=secrets.token_hex(16),
        name=form.name,
        category=form.category,
        language=form.language,
        medium="face",
        status="active",
        created_at=now,
    )


def _write(
    session: Session,
    rider: Rider,
    form: EnrollForm,
    template: NewTemplate,
    key: bytes,
    staff: str,
) -> None:
    text = current_consent(form.language)
    session.add(rider)
    session.flush()  # the rows below refer to it
    session.add(
        Consent(
            rider_id=rider.rider_id,
            text_id=text.text_id,
            text_sha256=text.sha256,
            language=text.language,
            given_at=rider.created_at,
            staff=staff,
            guardian=form.guardian if form.age_group == "under-14" else None,
        )
    )
    session.add(
        Template(
            rider_id=rider.rider_id,
            engine_id=template.engine_id,
            sealed=seal_template(key, template.vector, rider.account_id, template.engine_id),
            images=template.images,
            created_at=rider.created_at,
            quality_note=template.quality_note,
        )
    )
    for station in dict.fromkeys(form.stations):
        session.add(RiderStation(rider_id=rider.rider_id, station=station))
    move_gallery_version(session)
