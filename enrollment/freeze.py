"""Stop an account from riding for a while, and let it ride again.

A frozen rider is in no gallery, and the pass is revoked in the same transaction: connected
gates follow within seconds. What was frozen is kept; a revoked pass is not good again, so a
rider who comes back is issued a new one.
"""

from __future__ import annotations

from datetime import datetime

from flask_babel import gettext as _
from sqlmodel import Session

from enrollment.form import EnrollmentRefused
from enrollment.gallery import move_gallery_version
from enrollment.passes import revoke_passes
from enrollment.store import Enrollment
from models.database import writing
from models.tables.riders import Rider


def freeze_rider(enrollment: Enrollment, rider_id: str, now: datetime) -> None:
    """Let no gate open for this rider; raise ``EnrollmentRefused`` where there is
    none who is active."""
    with writing(enrollment.riders) as session:
        _set_status(session, rider_id, "active", "frozen")
        revoke_passes(session, rider_id, "frozen", now)


def thaw_rider(enrollment: Enrollment, rider_id: str) -> None:
    """Let a frozen rider ride again, by face at once and by a new pass."""
    with writing(enrollment.riders) as session:
        _set_status(session, rider_id, "frozen", "active")
        move_gallery_version(session)


def _set_status(session: Session, rider_id: str, before: str, status: str) -> None:
    rider = session.get(Rider, rider_id)
    if rider is None or rider.status == "left":
        raise EnrollmentRefused(
            _("There is no rider %(reference)s; check the reference.", reference=rider_id)
        )
    if rider.status != before:
        already = _("Rider %(reference)s is frozen already.", reference=rider_id)
        never = _("Rider %(reference)s is not frozen.", reference=rider_id)
        raise EnrollmentRefused(already if status == "frozen" else never)
    rider.status = status
    session.add(rider)
