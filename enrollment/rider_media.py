"""How a rider goes, changed by the rider: only towards less that is kept, never more.

    face       -> pass        the template is deleted
    face       -> face+pass   the template moves into the pass, and is deleted here
    face+pass  -> pass        the pass that carries it is revoked
    anything   -> face        at the desk: a face is only ever taken in there

Whichever way it goes, the rider gets a new pass; the pass before it opens nothing any more.
"""

from __future__ import annotations

from datetime import datetime

from flask_babel import gettext as _

from enrollment.form import read_face_form
from enrollment.media import carry_face, pass_only, reissue
from enrollment.passes import IssuedPass, PassNotIssued, renew_pass
from enrollment.rider_sign_in import rider_of
from enrollment.store import Enrollment
from models.tables.riders import Rider
from models.wire.pass_text import is_pass_text
from models.wire.passes import PassMedium

BY_THE_RIDER = "the rider"
"""Before whom a consent was given on the rider's own page; no name of staff has a space."""

_CHANGES: dict[str, tuple[PassMedium, ...]] = {
    "face": ("face+pass", "pass"),
    "face+pass": ("pass",),
}


def may_change_to(rider: Rider) -> tuple[PassMedium, ...]:
    """The media a rider may change to without the desk."""
    return _CHANGES.get(rider.medium, ()) if rider.status == "active" else ()


def change_medium(
    enrollment: Enrollment,
    rider: Rider,
    medium: PassMedium,
    language: str,
    text_id: str,
    now: datetime,
) -> IssuedPass:
    """Change the medium and issue the pass that goes with it.

    ``text_id`` is the consent text of a ``face+pass`` that the rider read, in ``language``.
    Raises ``PassNotIssued`` or ``EnrollmentRefused``.
    """
    if medium not in may_change_to(rider):
        raise PassNotIssued(_("This change is made at the desk."))
    if medium == "pass":
        return pass_only(enrollment, rider.rider_id, now)
    agreed = {
        "medium": medium,
        "language": language,
        "stations": (),
        "consent_text": text_id,
        "consent_given": True,
    }
    return carry_face(enrollment, rider.rider_id, read_face_form(agreed), BY_THE_RIDER, now)


def new_pass(
    enrollment: Enrollment, rider: Rider, text: str, replaces: str, now: datetime
) -> IssuedPass:
    """Replace the pass numbered ``replaces``; one that carries a face is renewed from ``text``.

    Raises ``PassNotIssued``, ``PassRefused`` or ``EnrollmentRefused``.
    """
    if rider.medium != "face+pass":
        return reissue(enrollment, rider.rider_id, replaces, now)
    holder = rider_of(enrollment, text, now) if is_pass_text(text.strip()) else None
    if holder is None or holder.rider_id != rider.rider_id:
        raise PassNotIssued(
            _(
                "Only your pass holds your face: give its text to have it renewed, or have "
                "photos taken at the desk."
            )
        )
    return renew_pass(enrollment, text.strip(), now)
