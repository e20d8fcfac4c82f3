"""How many riders a station can recognise: as many as an operating point was measured for.

Above that a gate has no threshold that is known to be strict enough and would not start.
So a full station takes no more hands-free riders; the pass opens it all the same.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache

from flask_babel import gettext as _
from sqlmodel import Session, col, func, select

from enrollment.form import EnrollmentRefused
from enrollment.store import Enrollment
from models.faces.operating_points import shipped_table
from models.tables.riders import Rider, RiderStation

TARGET_FPIR = 0.001
"""The rate of strangers let through that gates are set to unless their file says otherwise."""


@cache
def riders_max(engine_id: str) -> int:
    """The largest gallery with a measured operating point; raise ``NoOperatingPoint`` if none."""
    rows = shipped_table(engine_id).points
    measured = (
        row.gallery_size
        for row in rows
        if abs(row.target_fpir - TARGET_FPIR) <= 1e-9 and not row.extrapolated
    )
    return max(measured, default=0)


def full_stations(
    enrollment: Enrollment, session: Session, but_for: str | None = None
) -> frozenset[str]:
    """The stations that can take no more hands-free riders; ``but_for`` is not counted."""
    count = func.count(col(RiderStation.rider_id))
    query = (
        select(RiderStation.station)
        .join(Rider, col(Rider.rider_id) == col(RiderStation.rider_id))
        .where(Rider.medium == "face", Rider.rider_id != (but_for or ""))
        .group_by(RiderStation.station)
        .having(count >= riders_max(enrollment.engine_id))
    )
    return frozenset(session.exec(query))


def check_room(
    enrollment: Enrollment, session: Session, stations: Iterable[str], but_for: str | None = None
) -> None:
    """Raise ``EnrollmentRefused`` where one of ``stations`` is full."""
    full = full_stations(enrollment, session, but_for)
    problems = [
        _(
            "%(station)s recognises %(max)s riders already and takes no more: leave it out, and "
            "use the pass there.",
            station=enrollment.settings.stations.get(station, station),
            max=riders_max(enrollment.engine_id),
        )
        for station in stations
        if station in full
    ]
    if problems:
        raise EnrollmentRefused(*problems)
