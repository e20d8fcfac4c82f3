"""Work out what taps will cost before the write lock is taken, which all others wait for.

    before the lock    riders as they are now → price → price → price
    under the lock     a rider is still where the price was worked out?  use it
                       another program charged the rider meanwhile?      price again

SQLite has one writer, so what a batch costs under the lock is what the whole server can do.
Nothing is decided here. A price is a pure function of the rider's position, and it is used
for that very position or not at all.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from ledger.arrivals import ReadTap
from ledger.fares.book import FareBook, NoFares
from ledger.fares.history import TapConflict
from ledger.fares.position import Position
from ledger.fares.rates import UnknownPlace
from ledger.histories import Riders, earliest_taps
from ledger.ledger import Ledger
from ledger.priced import PricedTap, price_tap
from models.database import is_postgres, reading

TAPS_MIN = 16
"""For fewer, looking the riders up twice costs more than it spares."""

Foreseen = Mapping[str, PricedTap]
"""Priced taps by the hash of the tap."""


def foresee(
    ledger: Ledger,
    taps: Sequence[ReadTap],
    keys: Mapping[str, bytes],
    received_at: datetime,
) -> Foreseen:
    """Price the taps for the riders as the database has them at this moment.

    Left out is what cannot be priced from there, and everything on PostgreSQL, where a batch
    waits for those alone that charge the same riders.
    """
    if len(taps) < TAPS_MIN or is_postgres(ledger.engine):
        return {}
    with reading(ledger.engine) as session:
        riders = Riders(session, ledger.fares, earliest_taps(taps, keys), ledger.settings.currency)
    riders.remember()
    positions: dict[str, Position | None] = {}
    foreseen: dict[str, PricedTap] = {}
    for arrival in taps:
        account_id = arrival.tap.account
        if account_id not in positions:
            rider = riders.get(account_id)
            positions[account_id] = rider.position if rider else None
        position = positions[account_id]
        if position is None or arrival.hash in foreseen:
            continue
        priced = _priced(position, arrival, riders.book, keys[account_id], received_at)
        positions[account_id] = priced.after if priced else None
        if priced is not None:
            foreseen[arrival.hash] = priced
    return foreseen


def _priced(
    position: Position, arrival: ReadTap, book: FareBook, key: bytes, received_at: datetime
) -> PricedTap | None:
    """The tap priced from ``position``, None where more must be known or done first."""
    if not position.settled(received_at) or position.looks_back(received_at):
        return None
    try:
        priced = price_tap(position, arrival, book, key, received_at)
    except (UnknownPlace, NoFares, TapConflict):
        return None
    return None if priced.after.looks_back(received_at) else priced
