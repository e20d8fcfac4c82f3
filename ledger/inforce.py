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
from threading import RLock
from zoneinfo import ZoneInfo

from sqlmodel import Session

from ledger.fares.book import FareBook
from ledger.fares.flat import flat_tables
from ledger.fares.history import History
from ledger.fares.position import Position
from ledger.fares.tables import FareTables
from ledger.feeds import feed_rows, newest_number, tables_of
from models.settings import Settings

TAPS_MAX = 200  # a longer history is read anew, and shorter, the next time
TAPS_KEPT_MAX = 30_000
"""Of all riders together, those seen last: about 40 MB (1.4 kB a tap on CPython 3.11)."""


@dataclass(frozen=True, slots=True)
class Recalled:
    """A rider's fares as of a ``version`` of them, the history from the moment ``since`` on."""

    version: int
    since: datetime
    position: Position

    @property
    def history(self) -> History:
        """The taps so far."""
        return self.position.history


class FaresInForce:
    """One program's copies; safe to share between threads."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._lock = RLock()  # a connection may break, and all be forgotten, while a book is read
        self._number = -1
        self._book: FareBook | None = None
        self._tables: dict[int, FareTables] = {}
        self._riders: OrderedDict[str, Recalled] = OrderedDict()
        self._taps_kept = 0

    def book(self, session: Session) -> FareBook:
        """The book of all feeds the transaction sees, with the flat fare before the first."""
        number = newest_number(session)
        with self._lock:
            if self._book is None or number != self._number:
                self._book, self._number = self._read(session), number
                self._riders.clear()
                self._taps_kept = 0
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

    def forget_all(self) -> None:
        """Keep nothing: whoever answers from now on may have another past."""
        with self._lock:
            self._number, self._book = -1, None
            self._tables.clear()
            self._riders.clear()
            self._taps_kept = 0

    def kept(self) -> list[str]:
        """The accounts whose histories are kept."""
        with self._lock:
            return list(self._riders)

    def forget(self, account_id: str) -> None:
        """Keep nothing of this rider."""
        with self._lock:
            self._drop(account_id)

    def remember(self, riders: Iterable[tuple[str, Recalled]]) -> None:
        """Keep what transactions found or, once they have committed, made of riders' fares."""
        with self._lock:
            for account_id, recalled in riders:
                self._drop(account_id)
                taps = len(recalled.history.taps)
                if recalled.history.book is self._book and taps <= TAPS_MAX:
                    self._riders[account_id] = recalled
                    self._taps_kept += _kept(recalled)
            while self._taps_kept > TAPS_KEPT_MAX:
                self._drop(next(iter(self._riders)))

    def _drop(self, account_id: str) -> None:
        dropped = self._riders.pop(account_id, None)
        if dropped is not None:
            self._taps_kept -= _kept(dropped)


def _kept(recalled: Recalled) -> int:
    return 1 + len(recalled.history.taps)  # a rider without taps takes room too
