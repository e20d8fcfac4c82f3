"""Price the taps of a batch and put what they cost into the log, rider by rider.

The riders are held by the transaction (``ledger.histories``), the amounts come from the pure
engine (``ledger.fares.position``), the entries from ``ledger.fare_entries``. Service days
that closed since the rider was last looked at are settled first, so a tap is charged for
what it changes itself.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

from sqlmodel import Session

from ledger.answers import Charge
from ledger.arrivals import ReadTap
from ledger.entries import Draft
from ledger.fare_entries import closing_draft, feed_name, rated_drafts, unpriced_draft
from ledger.fares.book import NoFares
from ledger.fares.position import Position, Rated, looks_back, rate, settle
from ledger.fares.rates import UnknownPlace
from ledger.fares.taps import FareTap, fare_tap, place_of
from ledger.fares.words import Rule
from ledger.histories import Rider, Riders
from ledger.ledger import Ledger
from ledger.sequencer import Inbox
from ledger.store import LogWriter
from models.money import Money
from models.wire.tap import Tap
from models.wire.times import format_utc

Log = LogWriter | Inbox


def earliest_taps(taps: Iterable[ReadTap], keys: Mapping[str, bytes]) -> dict[str, datetime]:
    """The first moment that each rider who has a key is to be priced at."""
    earliest: dict[str, datetime] = {}
    for arrival in taps:
        account, moment = arrival.tap.account, arrival.tap.moment
        if account in keys:
            earliest[account] = min(moment, earliest.get(account, moment))
    return earliest


class Pricing:
    """Prices taps within one transaction: those of the riders in ``earliest``."""

    def __init__(
        self,
        ledger: Ledger,
        session: Session,
        log: Log,
        earliest: Mapping[str, datetime],
        keys: Mapping[str, bytes],
    ) -> None:
        self._log, self._keys, self._now = log, keys, log.recorded_at
        self._received_at = format_utc(self._now)
        self._currency = ledger.settings.currency
        self._riders = Riders(session, ledger.fares, earliest, self._currency)

    def knows(self, account_id: str) -> bool:
        """Whether there is such an account."""
        return self._riders.get(account_id) is not None

    def charge(self, arrival: ReadTap) -> tuple[int | None, Charge] | None:
        """Charge a new tap: its entry's number, where it has one yet, and what it cost.

        None where the account is not there.
        """
        rider = self._riders.get(arrival.tap.account)
        if rider is None:
            return None
        tap, key, book = arrival.tap, self._keys[arrival.tap.account], self._riders.book
        settle_rider(self._riders, rider, self._log, key, self._now)
        try:
            fare = fare_tap(tap, self._now, book)
            rated = self._rate(rider, fare)
        except (UnknownPlace, NoFares):
            return self._unpriced(arrival, key)
        self._riders.passed(tap, self._received_at)
        feed = feed_name(book, fare.at)
        route = place_of(tap.station, tap.gate, fare.at, book).route
        ride, *adjustments = rated_drafts(
            tap, arrival.hash, rated, fare.at, feed, key, self._now, route
        )
        rule = ride.facts["rule"]
        number = self._append(ride, adjustments)
        return number, Charge(rated.charge.amount, rule["code"], rule["words"])

    def _append(self, ride: Draft, others: Sequence[Draft]) -> int | None:
        number = self._log.append(ride)
        for draft in others:
            self._log.append(draft)
        return number

    def _rate(self, rider: Rider, tap: FareTap) -> Rated:
        if self._usual_trips_matter(rider.position):
            self._riders.look_back(rider, tap.at)
        position, rated = rate(rider.position, tap, self._now)
        if self._usual_trips_matter(position) and self._riders.look_back(rider, tap.at):
            position, rated = rate(rider.position, tap, self._now)
        self._riders.move(rider, position)
        return rated

    def _usual_trips_matter(self, position: Position) -> bool:
        return looks_back(position.history, position.not_before(self._now))

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
    if closes_at is None or closes_at > rider.position.not_before(now):
        return 0
    riders.look_back(rider, closes_at)
    position, closings = settle(rider.position, now)
    for closing in closings:
        log.append(closing_draft(rider.account_id, closing, riders.book, key, now))
    riders.move(rider, position)
    return len(closings)
