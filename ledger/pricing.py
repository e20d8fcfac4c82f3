"""Price the taps of a batch and put what they cost into the log, rider by rider.

The riders are held by the transaction (``ledger.histories``), the amounts come from the pure
engine (``ledger.fares.position``), the entries from ``ledger.fare_entries``. Service days
that closed since the rider was last looked at are settled first, so a tap is charged for
what it changes itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from sqlmodel import Session

from ledger.answers import Charge
from ledger.arrivals import ReadTap
from ledger.fare_entries import closing_draft, unpriced_draft
from ledger.fares.book import NoFares
from ledger.fares.position import settle
from ledger.fares.rates import UnknownPlace
from ledger.fares.words import Rule
from ledger.foresight import Foreseen
from ledger.histories import Rider, Riders
from ledger.ledger import Ledger
from ledger.priced import PricedTap, price_tap
from ledger.sequencer import Inbox
from ledger.store import LogWriter
from models.money import Money
from models.wire.tap import Tap
from models.wire.times import format_utc

Log = LogWriter | Inbox


class Pricing:
    """Prices taps within one transaction: those of the riders in ``earliest``.

    ``foreseen`` is what was worked out before.
    """

    def __init__(
        self,
        ledger: Ledger,
        session: Session,
        log: Log,
        earliest: Mapping[str, datetime],
        keys: Mapping[str, bytes],
        foreseen: Foreseen,
    ) -> None:
        self._log, self._keys, self._foreseen = log, keys, foreseen
        self._currency = ledger.settings.currency
        self._riders = Riders(session, ledger.fares, earliest, self._currency)

    def knows(self, account_id: str) -> bool:
        """Whether there is such an account."""
        return self._riders.get(account_id) is not None

    def charge(self, arrival: ReadTap, received_at: datetime) -> tuple[int | None, Charge] | None:
        """Charge a new tap: its entry's number, where it has one yet, and what it cost.

        None where the account is not there.
        """
        rider = self._riders.get(arrival.tap.account)
        if rider is None:
            return None
        key = self._keys[rider.account_id]
        settle_rider(self._riders, rider, self._log, key, received_at)
        try:
            priced = self._price(rider, arrival, key, received_at)
        except (UnknownPlace, NoFares):
            return self._unpriced(arrival, key)
        self._riders.move(rider, priced.after)
        self._riders.passed(arrival.tap, format_utc(received_at))
        number, *_ = [self._log.add(entry) for entry in priced.entries]
        return number, priced.charge

    def _price(
        self, rider: Rider, arrival: ReadTap, key: bytes, received_at: datetime
    ) -> PricedTap:
        foreseen = self._foreseen.get(arrival.hash)
        if (
            foreseen is not None
            and foreseen.before is rider.position
            and foreseen.received_at == received_at
        ):
            return foreseen
        at, book = arrival.tap.moment, self._riders.book
        if rider.position.looks_back(received_at):
            self._riders.look_back(rider, at)
        priced = price_tap(rider.position, arrival, book, key, received_at)
        if priced.after.looks_back(received_at) and self._riders.look_back(rider, at):
            priced = price_tap(rider.position, arrival, book, key, received_at)
        return priced

    def _unpriced(self, arrival: ReadTap, key: bytes) -> tuple[int | None, Charge]:
        """A place the tables do not know: recorded, free, and shown to finance."""
        tap: Tap = arrival.tap
        rule = Rule("unknown_place", (("start", tap.station),))
        number = self._log.append(unpriced_draft(tap, arrival.hash, self._currency, rule, key))
        return number, Charge(Money(0, self._currency), rule.code, rule.words())

    def save(self) -> None:
        """Write what changed of the riders into the transaction."""
        self._riders.save()

    def remember(self) -> None:
        """Keep the histories, now that the transaction has committed."""
        self._riders.remember()


def settle_rider(riders: Riders, rider: Rider, log: Log, key: bytes, now: datetime) -> int:
    """Charge what closed for the rider until ``now``; return how many entries that made."""
    closes_at = rider.position.closes_at
    if closes_at is None or rider.position.settled(now):
        return 0
    riders.look_back(rider, closes_at)
    position, closings = settle(rider.position, now)
    for closing in closings:
        log.append(closing_draft(rider.account_id, closing, riders.book, key, now))
    riders.move(rider, position)
    return len(closings)
