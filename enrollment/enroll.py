"""Enroll a rider: consent, photos, template, account; all of it or nothing.

The order of writes leaves nothing half-written. Everything is checked first. Then the
fare account is opened (an account nobody uses is harmless, a template without an account
is not), then the rider's data key is made, then one transaction writes the rest. If it
fails, the data key is erased again. The start code and a pass, where there is one, come last:
without them the rider is enrolled and is given them on their record's page.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from flask_babel import gettext as _
from sqlmodel import Session

from enrollment.consent_texts import current_consent
from enrollment.duplicates import (
    NOT_ASKED,
    Alike,
    Approval,
    check_alike,
    confusable,
    mark_look_alikes,
)
from enrollment.form import EnrollForm, EnrollmentRefused, check_form
from enrollment.gallery import (
    data_key_name,
    gallery_version,
    move_gallery_version,
    seal_digits,
    seal_template,
)
from enrollment.hands_free import check_room
from enrollment.passes import IssuedPass, carried, issue_pass
from enrollment.pins import hash_pin
from enrollment.start_codes import StartCode, new_start_code
from enrollment.store import Enrollment
from enrollment.templating import NewTemplate, make_template
from models.database import reading, writing
from models.tables.riders import Consent, Rider, RiderStation, Template

# A reference that can be read over a telephone: no 0/o, 1/i/l. 31^10 is 2^49.
_REFERENCE_ALPHABET = "23456789abcdefghjkmnpqrstuvwxyz"
_REFERENCE_LENGTH = 10


class FormUsed(EnrollmentRefused):
    """The same form sent a second time; ``rider_id`` is whom it enrolled."""

    def __init__(self, rider_id: str) -> None:
        super().__init__(
            _("This form was used already: it enrolled rider %(reference)s.", reference=rider_id)
        )
        self.rider_id = rider_id


@dataclass(frozen=True, slots=True)
class Enrolled:
    """What came of an enrollment. ``issued`` is the pass, which is nowhere else.

    ``start`` is the start code of a rider who typed no PIN, which is nowhere else either.
    ``alike`` are the riders whom staff said this one is not.
    """

    rider_id: str
    account_id: str
    images: int
    issued: IssuedPass | None
    alike: tuple[Alike, ...]
    start: StartCode | None = None


def enroll_rider(
    enrollment: Enrollment,
    form: EnrollForm,
    photos: Sequence[bytes],
    staff: str,
    now: datetime,
    approval: Approval = NOT_ASKED,
) -> Enrolled:
    """Take in one rider; raise ``EnrollmentRefused`` with every fault that was found."""
    check_form(form, enrollment.settings)
    rider = _new_rider(form, staff, now)
    with reading(enrollment.riders) as session:
        if session.get(Rider, rider.rider_id) is not None:
            raise FormUsed(rider.rider_id)
        check_room(enrollment, session, form.stations)
    template = None if form.medium == "pass" else make_template(enrollment, photos)
    with reading(enrollment.riders) as session:
        version = gallery_version(session)
        alike = () if template is None else check_alike(enrollment, session, template, approval)
    enrollment.open_account(rider.account_id, form.category)
    key = enrollment.vault.create(data_key_name(rider.rider_id))
    try:
        with writing(enrollment.riders) as session:
            if session.get(Rider, rider.rider_id) is not None:
                raise FormUsed(rider.rider_id)
            check_room(enrollment, session, form.stations)  # the last place may be taken by now
            if template and gallery_version(session) != version:  # somebody was enrolled meanwhile
                alike = check_alike(enrollment, session, template, approval)
            _write(session, rider, form, key, staff)
            if template is not None and form.medium == "face":
                keep_template(session, key, rider, template, now)
            _mark_both(session, rider, confusable(alike, approval))
            enrolled = Enrolled(
                rider.rider_id, rider.account_id, template.images if template else 0, None, alike
            )
    except FormUsed:
        raise  # the same form, sent twice at once: the data key is the other request's
    except BaseException:
        enrollment.vault.erase(data_key_name(rider.rider_id))
        raise
    start = new_start_code(enrollment, enrolled.rider_id, now) if form.pin is None else None
    if form.medium == "face":
        return replace(enrolled, start=start)
    carries = carried(template.engine_id, template.images, template.vector) if template else None
    issued = issue_pass(enrollment, enrolled.rider_id, form.medium, now, carries)
    return replace(enrolled, issued=issued, start=start)


def _new_rider(form: EnrollForm, staff: str, now: datetime) -> Rider:
    return Rider(
        rider_id=_reference(form.form_id or secrets.token_hex(16)),
        account_id=secrets.token_hex(16),
        name=form.name,
        category=form.category,
        evidence_by=staff if form.evidence_checked and form.category != "adult" else None,
        language=form.language,
        medium=form.medium,
        status="active",
        created_at=now,
        pin_hash=None if form.pin is None else hash_pin(form.pin),
    )


def _reference(form_id: str) -> str:
    """The reference follows from the form, so that one form makes one rider, however often sent."""
    number = int.from_bytes(hashlib.sha256(form_id.encode()).digest(), "big")
    letters = []
    for _place in range(_REFERENCE_LENGTH):
        number, letter = divmod(number, len(_REFERENCE_ALPHABET))
        letters.append(_REFERENCE_ALPHABET[letter])
    return "".join(letters)


def _write(session: Session, rider: Rider, form: EnrollForm, key: bytes, staff: str) -> None:
    if form.phone_digits is not None:
        rider.phone_digits = seal_digits(key, form.phone_digits, rider.account_id)
    session.add(rider)
    session.flush()  # the rows below refer to it
    guardian = form.guardian if form.age_group == "under-14" else None
    keep_consent(session, rider, form.medium, form.language, guardian, staff, rider.created_at)
    keep_stations(session, rider, form.stations)


def keep_consent(
    session: Session,
    rider: Rider,
    medium: str,
    language: str,
    guardian: str | None,
    staff: str,
    now: datetime,
) -> None:
    """Record that the rider agreed to the text of ``medium``, in these very words."""
    text = current_consent(language, medium)
    session.add(
        Consent(
            rider_id=rider.rider_id,
            text_id=text.text_id,
            text_sha256=text.sha256,
            language=text.language,
            given_at=now,
            staff=staff,
            guardian=guardian,
        )
    )


def keep_template(
    session: Session, key: bytes, rider: Rider, template: NewTemplate, now: datetime
) -> None:
    """Seal the template under the rider's own key."""
    session.add(
        Template(
            rider_id=rider.rider_id,
            engine_id=template.engine_id,
            sealed=seal_template(key, template.vector, rider.account_id, template.engine_id),
            images=template.images,
            created_at=now,
            quality_note=template.quality_note,
        )
    )


def keep_stations(session: Session, rider: Rider, stations: Sequence[str]) -> None:
    """Let the gates of ``stations`` have the rider; they are told at once."""
    for station in dict.fromkeys(stations):
        session.add(RiderStation(rider_id=rider.rider_id, station=station))
    move_gallery_version(session, stations)


def _mark_both(session: Session, rider: Rider, others: Sequence[str]) -> None:
    if others:
        mark_look_alikes(session, [rider.rider_id, *others])
