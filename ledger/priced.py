"""What one tap does to its rider's fares and to the log: pure, so it can be worked out ahead.

    priced = price_tap(position, arrival, book, key, received_at)

The same arguments give the same answer, whether a lock is held or not.
"""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple

from ledger.answers import Charge
from ledger.arrivals import ReadTap
from ledger.entries import Composed, compose
from ledger.fare_entries import feed_name, rated_drafts
from ledger.fares.book import FareBook
from ledger.fares.position import Position, rate
from ledger.fares.taps import fare_tap, place_of


class PricedTap(NamedTuple):
    """The rider's fares ``before`` and ``after`` a tap, its ``entries`` and the gate's answer.

    The first entry is the ride, the others correct what earlier taps were charged.
    """

    received_at: datetime
    before: Position
    after: Position
    entries: tuple[Composed, ...]
    charge: Charge


def price_tap(
    position: Position, arrival: ReadTap, book: FareBook, key: bytes, received_at: datetime
) -> PricedTap:
    """Charge a tap to a rider in whose ``position`` everything due is settled.

    Raises ``UnknownPlace`` or ``NoFares``; then nothing is charged.
    """
    tap = arrival.tap
    fare = fare_tap(tap, received_at, book)
    after, rated = rate(position, fare, received_at)
    feed = feed_name(book, fare.at)
    route = place_of(tap.station, tap.gate, fare.at, book).route
    drafts = list(rated_drafts(tap, arrival.hash, rated, fare.at, feed, key, received_at, route))
    rule = drafts[0].facts["rule"]
    charge = Charge(rated.charge.amount, rule["code"], rule["words"])
    return PricedTap(received_at, position, after, tuple(map(compose, drafts)), charge)
