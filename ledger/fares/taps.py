"""The two inputs of pricing about a rider: the taps, and the concessions that were proven."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

from ledger.fares.book import FareBook
from ledger.fares.rates import UnknownPlace
from ledger.fares.tables import Place
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
    at = tap.moment
    place = place_of(tap.station, tap.gate, at, book)
    late = received - at > LATE_AFTER
    return FareTap(tap.tap_id, place.stop, place.network, tap.direction, at, late)


def place_of(station: str, gate: str, at: datetime, book: FareBook) -> Place:
    """The stop and network a gate stood for ``at`` a moment; raise ``UnknownPlace`` for none."""
    _, rates = book.at(at)
    places = rates.tables.places
    for key in ((station, gate), (station, ""), ("", "")):
        place = places.get(key)
        if place is not None:
            return place
    raise UnknownPlace(
        f"fare_stations.txt has no row for gate {gate} at station {station}; "
        "add one and import the feed again"
    )
