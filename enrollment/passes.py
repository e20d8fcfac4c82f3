"""Passes: issued to a rider, renewed, revoked; the pass itself stays in the rider's hands.

Kept here are the number of a pass, its times and, once revoked, the reason. The signed text
is not, so a lost pass cannot be printed again: it is replaced, and the old one revoked. A
``face+pass`` takes the rider's template with it: issuing one deletes the template here, in
the same transaction. It is renewed from the pass that the rider shows, without a new photo.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np
from flask_babel import gettext as _
from sqlmodel import Session, col, delete, select, update

from enrollment.gallery import data_key_name, move_gallery_version, open_template
from enrollment.pass_keys import VALID_FOR, public_half, signing_key, trusted_keys
from enrollment.store import Enrollment
from models.database import forget_old_pages, reading, writing
from models.errors import FacefareError
from models.faces.quantise import quantise
from models.tables.riders import Pass, Rider, Template
from models.wire.gallery import PassRules
from models.wire.keys import base64url
from models.wire.pass_text import pack_pass, unpack_pass
from models.wire.passes import (
    PASS_ID_BYTES,
    VALID_FOR_MAX,
    CarriedTemplate,
    PassMedium,
    check_pass,
    sign_pass,
)
from models.wire.passes import Pass as SignedPass

EXPIRED_FOR = timedelta(days=1)
"""How long a revoked pass stays on the list after it expired: a gate's clock may be slow."""


class PassNotIssued(FacefareError):
    """A pass that cannot be issued or renewed as asked."""


@dataclass(frozen=True, slots=True)
class IssuedPass:
    """A new pass, on its way to the rider: ``qr_text`` goes into the code and nowhere else."""

    pass_id: str
    medium: PassMedium
    issued_at: datetime
    expires_at: datetime
    qr_text: str


def issue_pass(
    enrollment: Enrollment,
    rider_id: str,
    medium: PassMedium,
    now: datetime,
    template: CarriedTemplate | None = None,
) -> IssuedPass:
    """Issue a pass and revoke the rider's former one.

    A ``face+pass`` carries ``template``, or else the template kept for the rider; from then on
    the rider's medium is ``face+pass`` and no template is kept. A ``pass`` changes nothing of
    how the rider goes: it is the way through wherever the face is not enough.

    Raises ``PassNotIssued`` where there is no such active rider or no template.
    """
    with writing(enrollment.riders) as session:
        issued = issue_within(enrollment, session, rider_id, medium, now, template)
    if medium == "face+pass":
        forget_old_pages(enrollment.riders)  # the template is not in SQLite's log either
    return issued


def issue_within(
    enrollment: Enrollment,
    session: Session,
    rider_id: str,
    medium: PassMedium,
    now: datetime,
    template: CarriedTemplate | None = None,
) -> IssuedPass:
    """``issue_pass`` in the transaction of whatever else changes with it.

    After a ``face+pass`` is committed, call ``forget_old_pages``.
    """
    rider = _active_rider(session, rider_id)
    if medium == "pass":
        template = None
        if rider.medium == "face+pass":  # whose carried template is revoked by this
            rider.medium = "pass"
            session.add(rider)
    else:
        template = template or _kept_template(enrollment, session, rider)
        session.exec(delete(Template).where(col(Template.rider_id) == rider_id))
        rider.medium = medium
        session.add(rider)
    return _issue(enrollment, session, rider, medium, template, now)


def renew_pass(enrollment: Enrollment, qr_text: str, now: datetime) -> IssuedPass:
    """Exchange the pass with this text for a new one with the same template.

    Raises ``PassRefused`` for what is no valid pass and ``PassNotIssued`` for a revoked one.
    """
    with writing(enrollment.riders) as session:
        keys = {key.key_id: public_half(key) for key in trusted_keys(session, now)}
        shown = check_pass(unpack_pass(qr_text), keys, enrollment.settings.origin, now)
        known = session.get(Pass, shown.pass_id)
        if known is None or known.rider_id is None or known.reason not in (None, "frozen"):
            raise PassNotIssued(_revoked())
        rider = _active_rider(session, known.rider_id)
        if known.revoked_at is not None:
            if (rider.medium, shown.medium) != ("face+pass", "face+pass"):
                raise PassNotIssued(_revoked())
            known.reason = "replaced"  # frozen, and the only place where the template still is
            session.add(known)
        return _issue(enrollment, session, rider, shown.medium, shown.template, now)


def _revoked() -> str:
    said: str = _("This pass was revoked. Ask for a new one at the desk.")
    return said


def _active_rider(session: Session, rider_id: str) -> Rider:
    rider = session.get(Rider, rider_id)
    if rider is None or rider.status == "left":
        raise PassNotIssued(
            _("There is no rider %(reference)s; check the reference.", reference=rider_id)
        )
    if rider.status != "active":
        raise PassNotIssued(
            _("Rider %(reference)s is frozen: let them ride again first.", reference=rider_id)
        )
    return rider


def _kept_template(enrollment: Enrollment, session: Session, rider: Rider) -> CarriedTemplate:
    template = session.get(Template, (rider.rider_id, enrollment.engine_id))
    if template is None:
        raise PassNotIssued(
            _(
                "No template is kept of rider %(reference)s: renew the pass they hold, or take "
                "new photos.",
                reference=rider.rider_id,
            )
        )
    key = enrollment.vault.key(data_key_name(rider.rider_id))
    opened = open_template(key, template.sealed, rider.account_id, template.engine_id)
    vector = np.frombuffer(opened, "<f4")
    return carried(template.engine_id, template.images, vector.astype(np.float32))


def carried(
    engine_id: str, images: int, vector: np.ndarray[tuple[int], np.dtype[np.float32]]
) -> CarriedTemplate:
    """A template (dimensions,) of unit length as a pass carries it."""
    return CarriedTemplate(engine_id, images, quantise(vector.reshape(1, -1)).tobytes())


def _issue(
    enrollment: Enrollment,
    session: Session,
    rider: Rider,
    medium: PassMedium,
    template: CarriedTemplate | None,
    now: datetime,
) -> IssuedPass:
    at = now.replace(microsecond=0)
    pass_id = base64url(secrets.token_bytes(PASS_ID_BYTES))
    signed = SignedPass(pass_id, rider.account_id, medium, at, at + VALID_FOR, template)
    key = signing_key(enrollment.vault, session, now)
    revoke_passes(session, rider.rider_id, "replaced", now)
    session.add(
        Pass(
            pass_id=pass_id, rider_id=rider.rider_id, medium=medium, issued_at=at,
            expires_at=signed.expires_at,
        )
    )  # fmt: skip
    move_gallery_version(session)
    text = pack_pass(sign_pass(signed, enrollment.settings.origin, key))
    return IssuedPass(pass_id, medium, at, signed.expires_at, text)


def revoke_passes(session: Session, rider_id: str, reason: str, now: datetime) -> None:
    """Revoke the pass a rider holds, in the transaction of whatever makes it necessary.

    ``reason`` is replaced, lost, frozen or changed. Every gate learns of it at once.
    """
    session.exec(
        update(Pass)
        .where(col(Pass.rider_id) == rider_id, col(Pass.revoked_at).is_(None))
        .values(revoked_at=now, reason=reason)
    )
    move_gallery_version(session)


def forget_passes(session: Session, rider_id: str, now: datetime) -> None:
    """Revoke an erased rider's passes and take the reference to the rider off them.

    Passes of erased riders that have expired say nothing any more and are deleted.
    """
    revoke_passes(session, rider_id, "erased", now)
    session.exec(update(Pass).where(col(Pass.rider_id) == rider_id).values(rider_id=None))
    expired = col(Pass.expires_at) < now - EXPIRED_FOR
    session.exec(delete(Pass).where(col(Pass.rider_id).is_(None), expired))


def list_passes(enrollment: Enrollment, rider_id: str) -> list[Pass]:
    """The passes a rider was issued, newest first."""
    newest = col(Pass.issued_at).desc()
    with reading(enrollment.riders) as session:
        return list(session.exec(select(Pass).where(Pass.rider_id == rider_id).order_by(newest)))


def pass_rules(enrollment: Enrollment, session: Session, now: datetime) -> PassRules | None:
    """What every gate needs to judge passes; None where none was ever issued."""
    keys = trusted_keys(session, now)
    if not keys:
        return None
    revoked = select(Pass.pass_id).where(
        col(Pass.revoked_at).is_not(None), col(Pass.expires_at) > now - EXPIRED_FOR
    )
    return PassRules(
        issuer=enrollment.settings.origin,
        keys=tuple(base64url(key.public_key) for key in keys),
        valid_days_max=VALID_FOR_MAX.days,
        revoked=tuple(session.exec(revoked.order_by(Pass.pass_id))),
    )
