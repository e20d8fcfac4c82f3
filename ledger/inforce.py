"""The fares in force, as a running program keeps them: the book, and histories seen lately.

Both are copies of what the database says. The book is as good as the number of the newest
feed; a history as good as its rider's version in ``fare_state``, which every change of the
rider's fares raises. So whoever holds the rider's row can tell whether the copy is good, or
which passages it lacks, and several servers may keep copies of their own.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from threading import Lock
from zoneinfo import ZoneInfo

from sqlmodel import Session

from ledger.fares.book import FareBook
from ledger.fares.flat import flat_tables
from ledger.fares.history import History
from ledger.fares.tables import FareTables
from ledger.feeds import feed_rows, newest_number, tables_of
from models.settings import Settings

RIDERS_MAX = 4096
TAPS_MAX = 200  # a longer history is read anew, and shorter, the next time


@dataclass(frozen=True, slots=True)
class Recalled:
    """A rider's history from the moment ``since`` on, as of a ``version`` of the rider's fares."""

    version: int
    since: datetime
    history: History


class FaresInForce:
    """One program's copies; safe to share between threads."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._lock = Lock()
        self._number = -1
        self._book: FareBook | None = None
        self._tables: dict[int, FareTables] = {}
        self._riders: OrderedDict[str, Recalled] = OrderedDict()

    def book(self, session: Session) -> FareBook:
        """The book of all feeds the transaction sees, with the flat fare before the first."""
        number = newest_number(session)
        with self._lock:
            if self._book is None or number != self._number:
                self._book, self._number = self._read(session), number
                self._riders.clear()
            return self._book

    def _read(self, session: Session) -> FareBook:
        rows = feed_rows(session)
        for row in rows:
            if row.number not in self._tables:
                self._tables[row.number] = tables_of(row)
        kept = [self._tables[row.number] for row in rows]
        flat = flat_tables(self._settings, kept[0].zone if kept else ZoneInfo("UTC"))
        return FareBook.of(flat, *kept)

    def recall(self, account_id: str, book: FareBook) -> Recalled | None:
        """The kept history of the rider. Taps after its ``version`` are not in it."""
        with self._lock:
            found = self._riders.get(account_id)
            if found is None or found.history.book is not book:
                return None
            self._riders.move_to_end(account_id)
            return found

    def forget(self, account_id: str) -> None:
        """Keep nothing of this rider."""
        with self._lock:
            self._riders.pop(account_id, None)

    def remember(self, riders: Iterable[tuple[str, Recalled]]) -> None:
        """Keep histories; to be called once the transaction that made them has committed."""
        with self._lock:
            for account_id, recalled in riders:
                if recalled.history.book is not self._book or len(recalled.history.taps) > TAPS_MAX:
                    self._riders.pop(account_id, None)
                    continue
                self._riders[account_id] = recalled
                self._riders.move_to_end(account_id)
            while len(self._riders) > RIDERS_MAX:
                self._riders.popitem(last=False)
