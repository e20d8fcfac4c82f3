"""What a ride would cost: the question as people ask it, for the command and the console page.

A place may be a stop of the feed or a station as the gates know it (fare_stations.txt). The
time is by the clock on the wall there.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from ledger.fares.book import FareBook
from ledger.fares.engine import Quote, quote
from ledger.fares.problems import FareError
from ledger.fares.rates import Rates
from ledger.ledger import Ledger
from models.database import reading


class AskedWrongly(FareError):
    """A question about a price that cannot be answered."""


@dataclass(frozen=True, slots=True)
class Answered:
    """The prices, cheapest first, under the feed in force at the moment."""

    feed: str
    sha256: str
    moment: datetime
    zone: str
    prices: tuple[Quote, ...]


def ask(
    ledger: Ledger, start: str, end: str, when: str = "", category: str = "", network: str = ""
) -> Answered:
    """Price one ride; an empty ``when`` is now, an empty ``end`` a ride without tap-off.

    Raises ``AskedWrongly``, ``NoFares`` or ``UnknownPlace``.
    """
    with reading(ledger.engine) as session:
        book = ledger.fares.book(session)
    moment = _moment(book, when) if when else ledger.clock()
    _, rates = book.at(moment)
    known = rates.tables.categories
    if category and known and category not in known:
        raise AskedWrongly(
            f"the feed has the categories {', '.join(sorted(known))}, not {category!r}"
        )
    places = (_stop(rates, start), _stop(rates, end) if end else "")
    prices = quote(book, *places, moment, category, network)
    local = moment.astimezone(book.zone)
    return Answered(rates.tables.name, rates.tables.sha256, local, book.zone.key, prices)


def _moment(book: FareBook, when: str) -> datetime:
    try:
        moment = datetime.fromisoformat(when)
    except ValueError as error:
        raise AskedWrongly(f"{when!r} is not a time; write it like 2026-03-05T08:00") from error
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=book.zone)


def _stop(rates: Rates, place: str) -> str:
    """The stop that ``place`` means; a station with one network stands for its stop."""
    if place in rates.tables.stops:
        return place
    found = rates.tables.places.get((place, ""))
    return place if found is None else found.stop
