"""The riders of a batch: their fares so far, read together and held while they are decided.

In a transaction that writes, one query finds and holds the riders' rows, so that one at a time
prices a rider, whichever gates the taps came through; on a snapshot they are only read. What
the program remembers of a rider is used as it is where the row's version says that it still
holds, and with the passages added that other programs charged since; the passages of all
others are read in one query more. Two weeks are enough to price a tap; where usual trips
matter, six.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any

from sqlalchemy import bindparam, select
from sqlmodel import Session

from ledger.arrivals import ReadTap
from ledger.fares.book import FareBook
from ledger.fares.calendars import day_starts, service_day, week_of
from ledger.fares.history import History
from ledger.fares.position import Position
from ledger.fares.taps import LATE_AFTER, Concession, FareTap, place_of
from ledger.inforce import FaresInForce, Recalled
from ledger.store import table
from models.bulk import Prepared, change_rows, insert_rows
from models.tables.ledger import AccountCategoryRow, AccountRow, FareStateRow, PassageRow
from models.wire.tap import Tap
from models.wire.times import format_utc

DAYS_BEFORE = 8  # the week before may be corrected too, and a journey may lead into it
DAYS_BEFORE_USUAL = 36  # and four weeks of trips say which one is usual

_PASSAGE = (
    "account_id", "at", "tap_id", "gate", "station", "direction", "received_at", "version",
)  # fmt: skip


_state, _account = table(FareStateRow), table(AccountRow)
_HOLD = Prepared(
    lambda one_of: (
        select(_state)
        .join(_account, _account.c.account_id == _state.c.account_id)
        .where(
            one_of(_state.c.account_id, "accounts"), _account.c.currency == bindparam("currency")
        )
        .order_by(_state.c.account_id)
        .with_for_update(of=_state)
    )
)
_passage, _category = table(PassageRow), table(AccountCategoryRow)
_NEWER = Prepared(
    lambda one_of: select(_passage).where(
        one_of(_passage.c.account_id, "accounts"), _passage.c.version > bindparam("version")
    )
)
_BETWEEN = Prepared(
    lambda one_of: select(_passage).where(
        one_of(_passage.c.account_id, "accounts"),
        _passage.c.at >= bindparam("since"),
        _passage.c.at < bindparam("until"),
    )
)
_CATEGORIES = Prepared(
    lambda one_of: (
        select(_category)
        .where(one_of(_category.c.account_id, "accounts"))
        .order_by(_category.c.first_day.desc())
    )
)
_NO_END = datetime(9999, 1, 1, tzinfo=UTC)


@dataclass(slots=True)
class Rider:
    """A rider whose row this transaction holds; ``since`` is where the history begins."""

    account_id: str
    version: int
    position: Position
    since: datetime


def earliest_taps(taps: Iterable[ReadTap], keys: Mapping[str, bytes]) -> dict[str, datetime]:
    """The first moment that each rider who has a key is to be priced at."""
    earliest: dict[str, datetime] = {}
    for arrival in taps:
        account, moment = arrival.tap.account, arrival.tap.moment
        if account in keys:
            earliest[account] = min(moment, earliest.get(account, moment))
    return earliest


class Riders:
    """The riders of one transaction."""

    def __init__(
        self,
        session: Session,
        fares: FaresInForce,
        earliest: Mapping[str, datetime],
        currency: str,
    ) -> None:
        """Hold the accounts in ``earliest``, each to be priced from that moment on.

        Those that do not exist, or are kept in another currency, are not held.
        """
        self._session, self._fares = session, fares
        self.book = fares.book(session)
        self._changed: set[str] = set()
        self._passages: list[tuple[str, ...]] = []
        self._riders: dict[str, Rider] = {}
        unknown: dict[str, tuple[Any, datetime]] = {}
        behind: dict[str, tuple[Any, Recalled]] = {}
        rows = self._hold(list(earliest), currency)
        for gone in earliest.keys() - {row.account_id for row in rows}:
            fares.forget(gone)
        for row in rows:
            since = since_of(earliest[row.account_id], self.book, DAYS_BEFORE)
            found = fares.recall(row.account_id, self.book)
            if found is None or found.since > since or found.version > row.version:
                unknown[row.account_id] = row, since
            elif found.version == row.version:
                self._riders[row.account_id] = Rider(
                    row.account_id, row.version, found.position, found.since
                )
            else:
                behind[row.account_id] = row, found
        self._catch_up(behind, unknown)
        self._read(unknown)

    def _hold(self, accounts: list[str], currency: str) -> Sequence[Any]:
        """The riders' rows, locked in the order of ids so that two batches do not deadlock."""
        return _HOLD.run(self._session, accounts=accounts, currency=currency).all()

    def _add(self, row: Any, history: History, since: datetime) -> None:
        position = Position(history, row.held_minor, row.closes_at, row.as_of)
        self._riders[row.account_id] = Rider(row.account_id, row.version, position, since)

    def _catch_up(
        self,
        behind: Mapping[str, tuple[Any, Recalled]],
        unknown: dict[str, tuple[Any, datetime]],
    ) -> None:
        """Add what other programs charged since to the kept histories of ``behind``.

        A history is a function of the set of its taps and of the concessions; where those
        changed the rider is ``unknown`` again.
        """
        if not behind:
            return
        concessions = self._concessions(list(behind))
        oldest = min(found.version for _, found in behind.values())
        newer: dict[str, list[FareTap]] = defaultdict(list)
        for one in _NEWER.run(self._session, accounts=list(behind), version=oldest):
            _, found = behind[one.account_id]
            if one.version > found.version and one.at >= found.since:
                newer[one.account_id].append(stored_tap(one, self.book))
        for account_id, (row, found) in behind.items():
            if found.history.concessions != concessions[account_id]:
                unknown[account_id] = row, found.since
                continue
            self._add(row, found.history.add_all(newer[account_id]), found.since)

    def _read(self, unknown: Mapping[str, tuple[Any, datetime]]) -> None:
        if not unknown:
            return
        concessions = self._concessions(list(unknown))
        by_start: dict[datetime, list[str]] = defaultdict(list)
        for account_id, (_, since) in unknown.items():
            by_start[since].append(account_id)
        for since, accounts in by_start.items():  # nearly always one: this week's
            taps = self._taps(accounts, since)
            for account_id in accounts:
                nothing = History.of(self.book, concessions[account_id])
                history = nothing.add_all(taps[account_id])
                self._add(unknown[account_id][0], history, since)

    def _taps(
        self, accounts: list[str], since: datetime, until: datetime | None = None
    ) -> dict[str, list[FareTap]]:
        until = until or _NO_END
        taps: dict[str, list[FareTap]] = defaultdict(list)
        for row in _BETWEEN.run(self._session, accounts=accounts, since=since, until=until):
            taps[row.account_id].append(stored_tap(row, self.book))
        return taps

    def _concessions(self, accounts: list[str]) -> dict[str, tuple[Concession, ...]]:
        """The riders' categories, the newest first: of two that cover a day it holds."""
        found: dict[str, tuple[Concession, ...]] = defaultdict(tuple)
        for row in _CATEGORIES.run(self._session, accounts=accounts):
            days = date.fromisoformat(row.first_day), date.fromisoformat(row.last_day)
            found[row.account_id] += (Concession(row.category, *days),)
        return found

    def get(self, account_id: str) -> Rider | None:
        """The rider, None where the account has no row: it was never opened, or erased."""
        return self._riders.get(account_id)

    def look_back(self, rider: Rider, at: datetime) -> bool:
        """Lengthen the rider's history by the weeks that usual trips are known from.

        False where it is long enough.
        """
        since = since_of(at, self.book, DAYS_BEFORE_USUAL)
        if since >= rider.since:
            return False
        history = rider.position.history
        earlier = self._taps([rider.account_id], since, rider.since)[rider.account_id]
        nothing = History.of(self.book, history.concessions)
        longer = nothing.add_all([*earlier, *history.taps])
        old = rider.position
        rider.position = Position(longer, old.held, old.closes_at, old.as_of)
        rider.since = since
        return True

    def move(self, rider: Rider, position: Position) -> None:
        """The rider's fares are at ``position`` now."""
        rider.position = position
        self._changed.add(rider.account_id)

    def passed(self, tap: Tap, received_at: str) -> None:
        """Keep a tap for its rider's history, its time as the gate wrote it."""
        self._passages.append(
            (
                tap.account,
                tap.at,
                tap.tap_id,
                tap.gate,
                tap.station,
                tap.direction,
                received_at,
            )
        )

    def save(self) -> None:
        """Write what changed into the transaction."""
        changed = [self._riders[account_id] for account_id in sorted(self._changed)]
        for rider in changed:
            rider.version += 1
        passages = [(*one, self._riders[one[0]].version) for one in sorted(self._passages)]
        insert_rows(self._session, table(PassageRow), _PASSAGE, passages)
        change_rows(
            self._session,
            "fare_state",
            "version = {}, held_minor = {}, closes_at = {}, as_of = {}",
            "account_id",
            _states(changed),
        )

    def remember(self) -> None:
        """After the commit: keep the histories for the next batch."""
        self._fares.remember(
            (rider.account_id, Recalled(rider.version, rider.since, rider.position))
            for rider in self._riders.values()
        )


def _states(riders: Iterable[Rider]) -> list[tuple[int, int, str | None, str | None, str]]:
    written: dict[datetime | None, str | None] = {None: None}  # most are looked at in one moment
    rows = []
    for rider in riders:
        position = rider.position
        for moment in (position.closes_at, position.as_of):
            if moment not in written and moment is not None:
                written[moment] = format_utc(moment)
        closes_at, as_of = written[position.closes_at], written[position.as_of]
        rows.append((rider.version, position.held, closes_at, as_of, rider.account_id))
    return rows


def since_of(at: datetime, book: FareBook, days: int) -> datetime:
    """The moment ``days`` service days before the week of ``at``."""
    monday = week_of(service_day(at, book.zone)) * 7 + 1
    return day_starts(max(1, monday - days), book.zone)


def stored_tap(row: Any, book: FareBook) -> FareTap:
    """A kept passage as fares see it."""
    place = place_of(row.station, row.gate, row.at, book)
    late = row.received_at - row.at > LATE_AFTER
    return FareTap(row.tap_id, place.stop, place.network, row.direction, row.at, late)
