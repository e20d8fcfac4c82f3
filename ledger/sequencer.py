"""Who numbers entries when many requests charge at once.

On SQLite the one writer numbers its entries itself. On PostgreSQL a charging transaction
leaves them in the *inbox* and is done: once it has committed, the tap is accepted for
ever, and its entry's number follows. One *sequencer*, whoever holds the advisory lock,
takes what is committed there, gives numbers without gaps, extends the chain and the tree,
and moves the balances, in one transaction per batch:

    request     [ tap rows | inbox rows ] commit -> "accepted", the number not known yet
    sequencer   [ take inbox rows | entries, postings, nodes, balances, tap.entry_seq ] commit

Database sequences would not do: their numbers are given before the commit, so they have
gaps and are not in the order of commits. Here a row that commits late is simply taken
with the next batch, and a sequencer that dies leaves the inbox as it was.
"""

from __future__ import annotations

import logging
import threading
import time
from datetime import datetime
from typing import Any

import orjson
from sqlalchemy import func, select
from sqlmodel import Session, col

from ledger.entries import Composed, Draft, compose
from ledger.ledger import Ledger
from ledger.rollback import refuse_shorter_log, signed_size
from ledger.store import LOG_LOCK, TAKE_MAX, LogWriter, table
from models.bulk import insert_rows
from models.database import is_postgres, reading, sequencing
from models.errors import sentence
from models.tables.ledger import EntryRow, InboxRow
from models.wire.times import format_utc, parse_utc

INTERVAL_S = 0.2
"""How long accepted entries gather before they are numbered together."""

IDLE_S = 1.0
"""How often a program looks for entries that another one accepted and did not number."""

STOP_ATTEMPTS = 20

_COLUMNS = ("entry_id", "accepted_at", "place", "contents", "account_id", "made_by")

_FIRST = select(col(InboxRow.entry_id)).limit(1)

_log = logging.getLogger(__name__)


class Inbox:
    """Accepts entries within the transaction of ``session``; their numbers follow."""

    def __init__(self, session: Session, now: datetime) -> None:
        self._session = session
        signed = signed_size(session)
        last = session.execute(select(func.max(col(EntryRow.seq)))).scalar()
        refuse_shorter_log(0 if last is None else last + 1, signed)
        self.recorded_at = parse_utc(format_utc(now))
        self._accepted_at = format_utc(now)
        self._rows: list[tuple[Any, ...]] = []

    def append(self, draft: Draft) -> None:
        """Accept ``draft``; ``save`` writes it. Raises what ``compose`` raises."""
        self.add(compose(draft))

    def add(self, entry: Composed) -> None:
        """Accept an entry that was composed before, as ``append`` does."""
        text = orjson.dumps(entry.contents).decode()
        self._rows.append(
            (entry.entry_id, self._accepted_at, len(self._rows), text, entry.account_id,
             entry.made_by)
        )  # fmt: skip

    def save(self) -> None:
        """Write everything accepted so far into the transaction."""
        insert_rows(self._session, table(InboxRow), _COLUMNS, sorted(self._rows))
        self._rows = []


def accept_into(session: Session, now: datetime) -> LogWriter | Inbox:
    """Where a charging transaction puts its entries."""
    return (Inbox if is_postgres(session.connection()) else LogWriter)(session, now)


def sequence(ledger: Ledger) -> int:
    """Number everything that waits in the inbox; return how many entries that were.

    At most ``TAKE_MAX`` in a transaction: while more keep coming, those have their numbers.
    Answers 0 at once where another program is the sequencer at this moment.
    """
    if not is_postgres(ledger.engine):
        return 0
    numbered = 0
    while True:
        with sequencing(ledger.engine, LOG_LOCK) as session:
            taken = 0 if session is None else LogWriter(session, ledger.clock(), TAKE_MAX).taken
        numbered += taken
        if taken < TAKE_MAX:
            return numbered


def _anything_waits(ledger: Ledger) -> bool:
    with reading(ledger.engine) as session:
        return session.execute(_FIRST).first() is not None


class Sequencer:
    """A thread that keeps the inbox empty. Every worker runs one; the lock elects.

    It sleeps until this program accepts something (``Ledger.accepted``).
    """

    def __init__(self, ledger: Ledger, interval_s: float = INTERVAL_S) -> None:
        self._ledger, self._interval_s = ledger, interval_s
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._complaint = ""

    def start(self) -> None:
        """Go on alone until ``stop``; on SQLite there is nothing to do."""
        if is_postgres(self._ledger.engine):
            self._thread = threading.Thread(target=self._run, name="sequencer", daemon=True)
            self._thread.start()

    def stop(self) -> None:
        """Number what is left and end the thread."""
        self._stop.set()
        self._ledger.accepted.set()
        if self._thread is None:
            return
        self._thread.join()
        for _ in range(STOP_ATTEMPTS):
            if self._sequence():
                return
            time.sleep(self._interval_s)  # another program is at it, and may have missed some

    def _run(self) -> None:
        while not self._stop.is_set():
            self._ledger.accepted.wait(IDLE_S)
            self._ledger.accepted.clear()  # before looking: what is accepted from now on sets it
            self._stop.wait(self._interval_s)
            if not self._sequence():
                self._ledger.accepted.set()  # another program is at it: look again

    def _sequence(self) -> bool:
        """Number what waits; False where another program held the lock.

        A trouble is logged once; the entries wait, and the next attempt may succeed.
        """
        try:
            done = not _anything_waits(self._ledger) or sequence(self._ledger) > 0
        except Exception as error:  # noqa: BLE001 - the thread must see the next round
            if sentence(error) != self._complaint:
                self._complaint = sentence(error)
                _log.error("accepted taps wait for their numbers: %s", self._complaint)
            return True  # asking again at once would not help
        self._complaint = ""
        return done
