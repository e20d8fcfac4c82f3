"""What the staff pages show of riders: words and numbers, never a face."""

from __future__ import annotations

from dataclasses import dataclass

from sqlmodel import Session, col, select

from enrollment.store import Enrollment
from models.database import reading
from models.tables.riders import Consent, Rider, RiderStation, Template

RIDERS_SHOWN_MAX = 500


@dataclass(frozen=True, slots=True)
class RiderSummary:
    """One rider with the names of the stations they chose."""

    rider: Rider
    stations: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class RiderDetails:
    """One rider with all that is kept about them; templates stay sealed."""

    rider: Rider
    stations: tuple[str, ...]
    consents: tuple[Consent, ...]
    templates: tuple[Template, ...]


def list_riders(enrollment: Enrollment) -> list[RiderSummary]:
    """The newest riders, ``RIDERS_SHOWN_MAX`` at most, newest first."""
    newest = select(Rider).order_by(col(Rider.created_at).desc()).limit(RIDERS_SHOWN_MAX)
    with reading(enrollment.riders) as session:
        riders = session.exec(newest).all()
        stations = _stations(session, enrollment, [rider.rider_id for rider in riders])
    return [RiderSummary(rider, stations.get(rider.rider_id, ())) for rider in riders]


def find_rider(enrollment: Enrollment, rider_id: str) -> RiderDetails | None:
    """The rider with this reference, or None."""
    with reading(enrollment.riders) as session:
        rider = session.get(Rider, rider_id)
        if rider is None:
            return None
        stations = _stations(session, enrollment, [rider_id]).get(rider_id, ())
        consents = session.exec(select(Consent).where(Consent.rider_id == rider_id)).all()
        templates = session.exec(select(Template).where(Template.rider_id == rider_id)).all()
        return RiderDetails(rider, stations, tuple(consents), tuple(templates))


def _stations(
    session: Session, enrollment: Enrollment, rider_ids: list[str]
) -> dict[str, tuple[str, ...]]:
    """The titles of each rider's own stations."""
    titles = enrollment.settings.stations
    rows = session.exec(
        select(RiderStation)
        .where(col(RiderStation.rider_id).in_(rider_ids))
        .order_by(RiderStation.station)
    )
    found: dict[str, tuple[str, ...]] = {}
    for row in rows:
        found[row.rider_id] = (*found.get(row.rider_id, ()), titles.get(row.station, row.station))
    return found
