"""What the staff pages show of riders: words and numbers, never a face."""

from __future__ import annotations

from dataclasses import dataclass

from sqlmodel import Session, col, func, or_, select
from sqlmodel.sql.expression import SelectOfScalar

from enrollment.store import Enrollment
from models.database import reading
from models.tables.riders import Consent, Rider, RiderStation, Template

RIDERS_SHOWN_MAX = 20
SEARCH_CHARACTERS_MIN = 2


@dataclass(frozen=True, slots=True)
class RiderSummary:
    """One rider with the names of the stations they chose."""

    rider: Rider
    stations: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class RiderDetails:
    """One rider with all that is kept about them; templates stay sealed.

    ``stations`` are titles, ``station_names`` what the settings call them.
    """

    rider: Rider
    stations: tuple[str, ...]
    station_names: tuple[str, ...]
    consents: tuple[Consent, ...]
    templates: tuple[Template, ...]


def search_riders(enrollment: Enrollment, words: str) -> list[RiderSummary]:
    """Riders with this reference, or with ``words`` in their name; the newest first.

    At most ``RIDERS_SHOWN_MAX``: nobody can read through all riders.
    """
    like = words.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    newest = (
        select(Rider)
        .where(
            or_(
                col(Rider.rider_id) == words.lower(),
                col(Rider.name).ilike(f"%{like}%", escape="\\"),
            )
        )
        .order_by(col(Rider.created_at).desc())
        .limit(RIDERS_SHOWN_MAX)
    )
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
        names = session.exec(
            select(RiderStation.station)
            .where(RiderStation.rider_id == rider_id)
            .order_by(RiderStation.station)
        ).all()
        consents = session.exec(select(Consent).where(Consent.rider_id == rider_id)).all()
        templates = session.exec(select(Template).where(Template.rider_id == rider_id)).all()
        return RiderDetails(rider, stations, tuple(names), tuple(consents), tuple(templates))


def riders_of_other_engines(enrollment: Enrollment) -> list[RiderSummary]:
    """Hands-free riders whom no gate recognises, because their template is of another engine.

    Those who wait longest come first, ``RIDERS_SHOWN_MAX`` at most. New photos mend it: no
    photo is kept from which a template for another engine could be computed.
    """
    with reading(enrollment.riders) as session:
        query = _without_template(enrollment).order_by(col(Rider.created_at))
        riders = session.exec(query.limit(RIDERS_SHOWN_MAX)).all()
        stations = _stations(session, enrollment, [rider.rider_id for rider in riders])
    return [RiderSummary(rider, stations.get(rider.rider_id, ())) for rider in riders]


def count_of_other_engines(enrollment: Enrollment) -> int:
    """How many riders ``riders_of_other_engines`` would find without its limit."""
    with reading(enrollment.riders) as session:
        found = select(func.count()).select_from(_without_template(enrollment).subquery())
        return session.exec(found).one()


def _without_template(enrollment: Enrollment) -> SelectOfScalar[Rider]:
    current = select(Template.rider_id).where(Template.engine_id == enrollment.engine_id)
    return select(Rider).where(
        Rider.medium == "face", Rider.status != "left", col(Rider.rider_id).not_in(current)
    )


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
