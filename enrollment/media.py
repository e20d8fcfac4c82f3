"""How a rider goes: with the face, with the face in a pass, with a pass; and changing it.

    pass_only      no face any more: the template is deleted, its consent withdrawn
    take_face      new photos: enrolled anew, or another medium that needs a face
    reissue        a new pass in place of the one that is lost or worn
    revoke         no pass any more

Whatever changes, the gates follow with their next gallery, within seconds.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from flask_babel import gettext as _
from sqlmodel import Session, col, delete, select, update

from enrollment.duplicates import (
    NOT_ASKED,
    Alike,
    Approval,
    check_alike,
    confusable,
    mark_look_alikes,
)
from enrollment.enroll import keep_consent, keep_stations, keep_template
from enrollment.form import GUARDIAN_AGREES, EnrollmentRefused, FaceForm, check_face_form
from enrollment.gallery import data_key_name, gallery_version, move_gallery_version
from enrollment.hands_free import check_room
from enrollment.passes import IssuedPass, carried, issue_pass, issue_within, revoke_passes
from enrollment.store import Enrollment
from enrollment.templating import make_template
from models.database import forget_old_pages, reading, writing
from models.tables.riders import Consent, Pass, Rider, RiderStation, Template

NO_FACE = "pass-"
"""How the ids of consent texts begin that take no face."""


def pass_only(enrollment: Enrollment, rider_id: str, now: datetime) -> IssuedPass:
    """Let the rider go by pass alone; nothing of the face is kept from then on."""
    with writing(enrollment.riders) as session:
        rider = active_rider(session, rider_id)
        _forget_face(session, rider, now)
        revoke_passes(session, rider_id, "changed", now)  # it may carry the face
        rider.medium = "pass"
        session.add(rider)
        issued = issue_within(enrollment, session, rider_id, "pass", now)
    forget_old_pages(enrollment.riders)
    return issued


def take_face(
    enrollment: Enrollment,
    rider_id: str,
    form: FaceForm,
    photos: Sequence[bytes],
    staff: str,
    now: datetime,
    approval: Approval = NOT_ASKED,
) -> tuple[IssuedPass | None, tuple[Alike, ...]]:
    """Make a rider's template anew, for the medium they chose.

    Returns the pass of a ``face+pass``, and the riders whom staff said this one is not.
    Raises ``EnrollmentRefused`` with every fault that was found.
    """
    check_face_form(form, enrollment.settings)
    with reading(enrollment.riders) as session:
        active_rider(session, rider_id)
        who_agrees(session, rider_id, form)
        check_room(enrollment, session, form.stations, but_for=rider_id)
    template = make_template(enrollment, photos)
    with reading(enrollment.riders) as session:
        version = gallery_version(session)
        alike = check_alike(enrollment, session, template, approval, but_for=rider_id)
    with writing(enrollment.riders) as session:
        rider = active_rider(session, rider_id)
        check_room(enrollment, session, form.stations, but_for=rider_id)
        if gallery_version(session) != version:
            alike = check_alike(enrollment, session, template, approval, but_for=rider_id)
        _forget_face(session, rider, now)
        if rider.medium == "face+pass":
            revoke_passes(session, rider_id, "changed", now)  # it carries the former template
        rider.medium = form.medium
        session.add(rider)
        guardian = who_agrees(session, rider_id, form)
        keep_consent(session, rider, form.medium, form.language, guardian, staff, now)
        keep_stations(session, rider, form.stations)
        if form.medium == "face":
            key = enrollment.vault.key(data_key_name(rider_id))
            keep_template(session, key, rider, template, now)
        others = confusable(alike, approval)
        if others:
            mark_look_alikes(session, [rider_id, *others])
        issued = None
        if form.medium == "face+pass":
            carries = carried(template.engine_id, template.images, template.vector)
            issued = issue_within(enrollment, session, rider_id, "face+pass", now, carries)
    forget_old_pages(enrollment.riders)
    return issued, alike


def carry_face(
    enrollment: Enrollment, rider_id: str, form: FaceForm, staff: str, now: datetime
) -> IssuedPass:
    """Move the kept template of a hands-free rider into their pass; no new photos are needed.

    Pass, medium and consent change together: whoever carries their face has agreed to it.
    Raises ``PassNotIssued`` or ``EnrollmentRefused``.
    """
    check_face_form(form, enrollment.settings)
    with writing(enrollment.riders) as session:
        issued = issue_within(enrollment, session, rider_id, "face+pass", now)
        rider = active_rider(session, rider_id)
        guardian = who_agrees(session, rider_id, form)
        _forget_face(session, rider, now)
        keep_consent(session, rider, "face+pass", form.language, guardian, staff, now)
    forget_old_pages(enrollment.riders)
    return issued


def reissue(enrollment: Enrollment, rider_id: str, replaces: str, now: datetime) -> IssuedPass:
    """A new ``pass`` in place of the one numbered ``replaces`` (empty: of none).

    A page that is sent twice replaces one pass: the second time that one is not current any
    more. A ``face+pass`` is made anew from photos, or from the pass itself on the rider's page.
    """
    current = active_pass(enrollment, rider_id)
    if (current.pass_id if current else "") != replaces:
        raise EnrollmentRefused(
            _("This pass was replaced or revoked meanwhile; look at the record again.")
        )
    with reading(enrollment.riders) as session:
        if active_rider(session, rider_id).medium == "face+pass":
            raise EnrollmentRefused(
                _("The face is in the pass only: take new photos to make this pass anew.")
            )
    return issue_pass(enrollment, rider_id, "pass", now)


def revoke(enrollment: Enrollment, rider_id: str, now: datetime) -> None:
    """Let the rider's pass open nothing any more; it is not replaced."""
    with writing(enrollment.riders) as session:
        active_rider(session, rider_id)
        revoke_passes(session, rider_id, "lost", now)


def active_pass(enrollment: Enrollment, rider_id: str) -> Pass | None:
    """The pass that the rider holds, or None."""
    with reading(enrollment.riders) as session:
        held = select(Pass).where(Pass.rider_id == rider_id, col(Pass.revoked_at).is_(None))
        return session.exec(held).first()


def active_rider(session: Session, rider_id: str) -> Rider:
    """The rider, who must not be frozen; raise ``EnrollmentRefused`` otherwise."""
    rider = _rider(session, rider_id)
    if rider.status != "active":
        raise EnrollmentRefused(
            _("Rider %(reference)s is frozen: let them ride again first.", reference=rider_id)
        )
    return rider


def _rider(session: Session, rider_id: str) -> Rider:
    rider = session.get(Rider, rider_id)
    if rider is None or rider.status == "left":
        raise EnrollmentRefused(
            _("There is no rider %(reference)s; check the reference.", reference=rider_id)
        )
    return rider


def last_guardian(enrollment: Enrollment, rider_id: str) -> str | None:
    """Who agreed for this rider the last time; None where the rider did."""
    with reading(enrollment.riders) as session:
        return _guardian(session, rider_id)


def who_agrees(session: Session, rider_id: str, form: FaceForm) -> str | None:
    """The guardian as ``form`` names them now, or None where the rider agrees alone.

    Where the form does not say the age, whoever had a guardian the last time is a child still.
    Raises ``EnrollmentRefused`` for a child without a guardian's name: the one before agreed
    to other words.
    """
    child = form.age_group == "under-14"
    if form.age_group is None:
        child = _guardian(session, rider_id) is not None
    if child and form.guardian is None:
        raise EnrollmentRefused(str(GUARDIAN_AGREES))
    return form.guardian if child else None


def _guardian(session: Session, rider_id: str) -> str | None:
    newest = (
        select(Consent.guardian)
        .where(Consent.rider_id == rider_id)
        .order_by(col(Consent.consent_id).desc())
    )
    return session.exec(newest).first()


def _forget_face(session: Session, rider: Rider, now: datetime) -> None:
    """Delete templates and stations, and note that the consent to them has ended."""
    for table in (Template, RiderStation):
        session.exec(delete(table).where(col(table.rider_id) == rider.rider_id))
    session.exec(
        update(Consent)
        .where(
            col(Consent.rider_id) == rider.rider_id,
            col(Consent.withdrawn_at).is_(None),
            col(Consent.text_id).not_like(f"{NO_FACE}%"),
        )
        .values(withdrawn_at=now)
    )
    session.flush()
    move_gallery_version(session)  # also at the gates of the stations that are left
