"""Other stations for a hands-free rider, from the template that is kept: no new photos.

The rider agrees to the text again, because it says that the template lies at the gates of the
stations they choose. Gates of stations that were left out drop the rider with their next
gallery, gates of new ones get them; both within seconds, as with every change.
"""

from __future__ import annotations

from datetime import datetime

from flask_babel import gettext as _
from sqlmodel import Session, col, delete, select

from enrollment.enroll import keep_consent
from enrollment.form import EnrollmentRefused, FaceForm, check_face_form
from enrollment.gallery import move_gallery_version
from enrollment.hands_free import check_room
from enrollment.media import active_rider, who_agrees
from enrollment.store import Enrollment
from models.database import reading, writing
from models.tables.riders import Rider, RiderStation, Template


def may_change_stations(enrollment: Enrollment, rider: Rider) -> bool:
    """Whether there is a template here that other stations could have."""
    if rider.medium != "face" or rider.status != "active":
        return False
    with reading(enrollment.riders) as session:
        return session.get(Template, (rider.rider_id, enrollment.engine_id)) is not None


def change_stations(
    enrollment: Enrollment, rider_id: str, form: FaceForm, staff: str, now: datetime
) -> None:
    """Let exactly the stations of ``form`` recognise the rider.

    Raises ``EnrollmentRefused`` for a station that is full or unknown, for a rider of whom no
    template is kept, and for a child without a guardian.
    """
    check_face_form(form, enrollment.settings)
    with writing(enrollment.riders) as session:
        rider = active_rider(session, rider_id)
        if session.get(Template, (rider_id, enrollment.engine_id)) is None:
            raise EnrollmentRefused(
                _("No template is kept of this rider: take new photos to ride hands-free.")
            )
        before = _stations_of(session, rider_id)
        after = tuple(dict.fromkeys(form.stations))
        check_room(enrollment, session, set(after) - before, but_for=rider_id)
        session.exec(delete(RiderStation).where(col(RiderStation.rider_id) == rider_id))
        session.add_all(RiderStation(rider_id=rider_id, station=station) for station in after)
        guardian = who_agrees(session, rider_id, form)
        keep_consent(session, rider, "face", form.language, guardian, staff, now)
        move_gallery_version(session, before.symmetric_difference(after))


def _stations_of(session: Session, rider_id: str) -> set[str]:
    return set(
        session.exec(select(RiderStation.station).where(RiderStation.rider_id == rider_id)).all()
    )
