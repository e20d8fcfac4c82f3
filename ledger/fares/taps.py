"""The two inputs of pricing about a rider: the taps, and the concessions that were proven."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

from ledger.fares.book import FareBook
from ledger.fares.rates import UnknownPlace
from models.wire.tap import Direction, Tap

LATE_AFTER = timedelta(days=3)  # from then on a tap can only lower what was charged


@dataclass(frozen=True, slots=True)
class FareTap:
    """A passage as fares see it. Whichever medium made it, it is the same journey.

    ``late`` is set by the ledger when the tap reached it more than ``LATE_AFTER`` after it
    was made.
    """

    tap_id: str
    stop: str
    network: str
    direction: Direction
    at: datetime
    late: bool = False

    def __post_init__(self) -> None:
        if self.at.tzinfo is None:
            raise ValueError("a tap's time needs a zone")
        # Differences of local times are wrong on the days the clocks change.
        if self.at.tzinfo is not UTC:
            object.__setattr__(self, "at", self.at.astimezone(UTC))


@dataclass(frozen=True, slots=True)
class Concession:
    """A category proven for the service days ``first`` to ``last``, both included."""

    category: str
    first: date
    last: date


def category_on(concessions: tuple[Concession, ...], day: int) -> str:
    """The category of a rider on a service day; empty is the default category."""
    for concession in concessions:
        if concession.first.toordinal() <= day <= concession.last.toordinal():
            return concession.category
    return ""


def fare_tap(tap: Tap, received: datetime, book: FareBook) -> FareTap:
    """The fare's view of a gate's ``tap`` that reached the ledger at ``received``.

    Raises ``UnknownPlace`` where fare_stations.txt of the tables in force has no row for the
    gate or its station.
    """
    _, rates = book.at(tap.moment)
    places = rates.tables.places
    place = places.get((tap.station, tap.gate)) or places.get((tap.station, ""))
    if place is None:
        raise UnknownPlace(
            f"fare_stations.txt has no row for gate {tap.gate} at station {tap.station}; "
            "add one and import the feed again"
        )
    late = received - tap.moment > LATE_AFTER
    return FareTap(tap.tap_id, place.stop, place.network, tap.direction, tap.moment, late)
