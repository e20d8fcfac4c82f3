"""What the staff pages show of riders: words and numbers, never a face."""

from __future__ import annotations

from dataclasses import dataclass

from sqlmodel import Session, col, select

from enrollment.store import Enrollment
from models.database import reading
from models.tables.riders import Consent, Rider, RiderStation, Template


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
    """All riders, newest first."""
    with reading(enrollment.riders) as session:
        stations = _stations_by_rider(session, enrollment)
        riders = session.exec(select(Rider).order_by(col(Rider.created_at).desc()))
        return [RiderSummary(rider, stations.get(rider.rider_id, ())) for rider in riders]


def find_rider(enrollment: Enrollment, rider_id: str) -> RiderDetails | None:
    """The rider with this reference, or None."""
    with reading(enrollment.riders) as session:
        rider = session.get(Rider, rider_id)
        if rider is None:
            return None
        stations = _stations_by_rider(session, enrollment).get(rider_id, ())
        consents = session.exec(select(Consent).where(Consent.rider_id == rider_id)).all()
        templates = session.exec(select(Template).where(Template.rider_id == rider_id)).all()
        return RiderDetails(rider, stations, tuple(consents), tuple(templates))


def _stations_by_rider(session: Session, enrollment: Enrollment) -> dict[str, tuple[str, ...]]:
    names = enrollment.settings.stations
    found: dict[str, tuple[str, ...]] = {}
    for row in session.exec(select(RiderStation).order_by(RiderStation.station)):
        name = names.get(row.station, row.station)
        found[row.rider_id] = (*found.get(row.rider_id, ()), name)
    return found
