"""Add entries to the log, in the transaction that causes them.

A ``LogWriter`` lives as long as one write transaction. It gives each entry the next
number, chains and hashes it, and at the end writes all rows at once: entries, postings,
tree nodes and the balances they move. Whoever holds the write lock is the sequencer.

On PostgreSQL entries of other transactions may wait in the inbox for their numbers. A
``LogWriter`` takes those first, so that its maker sees everything that was decided before.
**Make it before looking anything up**: a ride that still waits is no entry yet.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime
from operator import itemgetter
from typing import Any

import orjson
from sqlalchemy import BigInteger, ColumnElement, Row, Table, cast, delete, func, select
from sqlmodel import Session, SQLModel

from ledger.entries import (
    FIRST_PREV,
    Composed,
    Draft,
    EntryUnreadable,
    compose,
    decode,
    encode,
    place,
    searchable,
)
from ledger.nodes import KEPT_LEVELS, frontier_after, nodes_to_keep
from ledger.postings import RIDER
from ledger.rollback import refuse_shorter_log, signed_size
from ledger.rollups import roll_up
from models.bulk import change_rows, insert_rows
from models.database import is_postgres, lock
from models.log.tree import Frontier, leaf_hash
from models.tables.ledger import EntryRow, InboxRow, NodeRow, PostingRow
from models.wire.times import format_utc, parse_utc

LOG_LOCK = 0x0FAC_EFA8_E000_0002
"""The PostgreSQL advisory lock of whoever numbers entries."""

TAKE_MAX = 2048
"""Entries taken from the inbox in one statement."""


def table(row: type[SQLModel]) -> Table:
    """The table of a row class, for statements over many rows."""
    found = row.__table__  # type: ignore[attr-defined]
    assert isinstance(found, Table)
    return found


def total(column: Any) -> ColumnElement[int]:
    """The sum of whole numbers as a whole number; PostgreSQL's own answer is a decimal."""
    return cast(func.sum(column), BigInteger)


_SEARCHABLE = (
    "entry_id", "kind", "recorded_at", "occurred_at", "amount_minor", "currency", "gate",
    "station", "direction", "medium", "rule", "tap_hash", "corrects",
)  # fmt: skip
_ENTRY = ("seq", "body", "leaf_hash", "prev", "account_id", "made_by", *_SEARCHABLE)
_searched = itemgetter(*_SEARCHABLE)
_POSTING = ("entry_seq", "line", "account", "account_id", "minor", "currency")
_NODE = ("level", "position", "hash")


_entry = table(EntryRow)
_HEAD = select(*_entry.c["seq", "leaf_hash", "recorded_at"]).order_by(_entry.c.seq.desc()).limit(1)


class LogWriter:
    """Appends to the log within the write transaction of ``session``.

    It takes all that waits for a number first, or as much as ``at_most`` where others go on
    accepting meanwhile.
    """

    def __init__(self, session: Session, now: datetime, at_most: int | None = None) -> None:
        self._session = session
        if is_postgres(session.connection()):
            lock(session, LOG_LOCK)
        head = session.execute(_HEAD).first()
        size = head.seq + 1 if head else 0
        refuse_shorter_log(size, signed_size(session))  # nobody else adds to it now
        self._prev: bytes = head.leaf_hash if head else FIRST_PREV
        # A clock that was set back does not make an entry look older than the one before.
        wire_now = parse_utc(format_utc(now))
        self.recorded_at = max(wire_now, head.recorded_at) if head else wire_now
        self._recorded_at = format_utc(self.recorded_at)
        self._frontier: Frontier = frontier_after(session, size, self._prev)
        self._entries: list[tuple[Any, ...]] = []
        self._postings: list[tuple[Any, ...]] = []
        self._nodes: list[tuple[Any, ...]] = []
        self._owed: dict[str, int] = defaultdict(int)
        self._values: list[Mapping[str, Any]] = []
        self.taken = self._take_inbox(at_most) if is_postgres(session.connection()) else 0

    def append(self, draft: Draft) -> int:
        """Give ``draft`` the next number and return it; ``save`` writes it.

        Raises what ``compose`` raises; nothing is kept then.
        """
        return self.add(compose(draft))

    def add(self, entry: Composed) -> int:
        """Give an entry that was composed before the next number, as ``append`` does."""
        return self._number(entry.contents, entry.account_id, entry.made_by)

    def replay(self, body: bytes) -> int:
        """Add an entry that was recorded elsewhere, byte for byte; return its number.

        Whose it is stands beside the bytes, not in them, so nobody's balance moves. Raises
        ``EntryUnreadable`` unless the entry is the next one of this log.
        """
        value = decode(body)
        if (value.get("seq"), value.get("prev")) != (self._frontier.size, self._prev.hex()):
            raise EntryUnreadable(
                f"the log's next entry is number {self._frontier.size} and names the one before; "
                f"this one says it is number {value.get('seq')}"
            )
        return self._add(value, body, None, None)

    def _number(
        self, contents: Mapping[str, Any], account_id: str | None, made_by: str | None
    ) -> int:
        value = place(contents, self._frontier.size, self._prev, self._recorded_at)
        return self._add(value, encode(value), account_id, made_by)

    def _add(
        self, value: Mapping[str, Any], body: bytes, account_id: str | None, made_by: str | None
    ) -> int:
        seq = self._frontier.size
        leaf = leaf_hash(body)
        columns = searchable(value)
        self._entries.append(
            (seq, body, leaf, self._prev, account_id, made_by, *_searched(columns))
        )
        self._add_postings(seq, value["postings"], account_id)
        self._values.append(value)
        completed = self._frontier.append(leaf)
        if len(completed) > KEPT_LEVELS:
            self._nodes += [
                tuple(map(node.get, _NODE)) for node in nodes_to_keep(seq + 1, completed)
            ]
        self._prev = leaf
        return seq

    def _add_postings(
        self, seq: int, postings: Sequence[Mapping[str, Any]], account_id: str | None
    ) -> None:
        for line, posting in enumerate(postings):
            account, minor = posting["account"], posting["minor"]
            owner = account_id if account == RIDER else None
            self._postings.append((seq, line, account, owner, minor, posting["currency"]))
            if owner is not None:
                self._owed[owner] -= minor

    def _take_inbox(self, at_most: int | None) -> int:
        """Number what waits, and write it; return how many that were."""
        taken = 0
        while (at_most is None or taken < at_most) and (waiting := self._waiting()):
            numbered = [
                (
                    self._number(orjson.loads(row.contents), row.account_id, row.made_by),
                    row.entry_id,
                )
                for row in waiting
            ]
            self.save()
            change_rows(
                self._session,
                "tap",
                "entry_seq = {}, outcome = 'accepted'",
                "tap_id",
                numbered,
            )
            taken += len(numbered)
        return taken

    def _waiting(self) -> list[Row[Any]]:
        """Take the next entries out of the inbox, in a fair order."""
        inbox = table(InboxRow)
        order = (inbox.c.accepted_at, inbox.c.place, inbox.c.entry_id)
        first = select(inbox.c.entry_id).order_by(*order).limit(TAKE_MAX)
        taken = self._session.execute(
            delete(inbox).where(inbox.c.entry_id.in_(first)).returning(inbox)
        )
        return sorted(taken, key=lambda row: (row.accepted_at, row.place, row.entry_id))

    def save(self) -> None:
        """Write everything appended so far into the transaction."""
        insert_rows(self._session, table(EntryRow), _ENTRY, self._entries)
        insert_rows(self._session, table(PostingRow), _POSTING, self._postings)
        insert_rows(self._session, table(NodeRow), _NODE, self._nodes)
        change_rows(
            self._session,
            "account",
            "balance_minor = balance_minor + {}, changed_at = {}",
            "account_id",
            [(more, self._recorded_at, account) for account, more in self._owed.items()],
        )
        roll_up(self._session, self._values)
        self._entries, self._postings, self._nodes, self._values = [], [], [], []
        self._owed.clear()
