"""Add entries to the log, in the transaction that causes them.

A ``LogWriter`` lives as long as one write transaction. It gives each draft the next
number, chains and hashes it, and at the end writes all rows at once: entries, postings,
tree nodes and the balances they move. Whoever holds the write lock is the sequencer.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from datetime import datetime
from typing import Any

from sqlalchemy import Table, bindparam, insert, select, update
from sqlmodel import Session, SQLModel, col

from ledger.entries import FIRST_PREV, Draft, compose, encode, searchable
from ledger.nodes import frontier_at, nodes_to_keep
from ledger.postings import RIDER, check_balanced
from models.log.tree import Frontier, leaf_hash
from models.tables.ledger import AccountRow, EntryRow, NodeRow, PostingRow
from models.wire.times import format_utc, parse_utc


def table(row: type[SQLModel]) -> Table:
    """The table of a row class, for statements over many rows."""
    found = row.__table__  # type: ignore[attr-defined]
    assert isinstance(found, Table)
    return found


class LogWriter:
    """Appends to the log within the write transaction of ``session``."""

    def __init__(self, session: Session, now: datetime) -> None:
        self._session = session
        head = session.execute(
            select(col(EntryRow.seq), col(EntryRow.leaf_hash), col(EntryRow.recorded_at))
            .order_by(col(EntryRow.seq).desc())
            .limit(1)
        ).first()
        size = head.seq + 1 if head else 0
        self._prev: bytes = head.leaf_hash if head else FIRST_PREV
        # A clock that was set back does not make an entry look older than the one before.
        wire_now = parse_utc(format_utc(now))
        self.recorded_at = max(wire_now, head.recorded_at) if head else wire_now
        self._frontier: Frontier = frontier_at(session, size)
        self._entries: list[dict[str, Any]] = []
        self._postings: list[dict[str, Any]] = []
        self._nodes: list[dict[str, Any]] = []
        self._owed: dict[str, int] = defaultdict(int)

    def append(self, draft: Draft) -> int:
        """Give ``draft`` the next number and return it; ``save`` writes it.

        Raises ``Unbalanced`` for postings that do not sum to zero; nothing is kept then.
        """
        check_balanced(draft.postings)
        seq = self._frontier.size
        value = compose(draft, seq, self._prev, self.recorded_at)
        body = encode(value)
        leaf = leaf_hash(body)
        self._entries.append(
            {
                **searchable(value),
                "seq": seq,
                "body": body,
                "leaf_hash": leaf,
                "prev": self._prev,
                "recorded_at": self.recorded_at,
                "occurred_at": draft.occurred_at,
                "account_id": draft.account_id,
                "made_by": draft.made_by,
            }
        )
        self._add_postings(draft, seq)
        completed = self._frontier.append(leaf)
        self._nodes += nodes_to_keep(self._frontier.size, completed)
        self._prev = leaf
        return seq

    def _add_postings(self, draft: Draft, seq: int) -> None:
        for line, posting in enumerate(draft.postings):
            owner = draft.account_id if posting.account == RIDER else None
            self._postings.append(
                {
                    "entry_seq": seq,
                    "line": line,
                    "account": posting.account,
                    "account_id": owner,
                    "minor": posting.amount.minor,
                    "currency": posting.amount.currency,
                }
            )
            if owner is not None:
                self._owed[owner] -= posting.amount.minor

    def save(self) -> None:
        """Write everything appended so far into the transaction."""
        self._insert(EntryRow, self._entries)
        self._insert(PostingRow, self._postings)
        self._insert(NodeRow, self._nodes)
        accounts = table(AccountRow)
        if self._owed:
            self._session.execute(
                update(accounts)
                .where(accounts.c.account_id == bindparam("whose"))
                .values(
                    balance_minor=accounts.c.balance_minor + bindparam("more"),
                    changed_at=bindparam("at"),
                ),
                [
                    {"whose": account, "more": more, "at": self.recorded_at}
                    for account, more in self._owed.items()
                ],
            )
        self._entries, self._postings, self._nodes = [], [], []
        self._owed.clear()

    def _insert(self, row: type[SQLModel], values: Iterable[dict[str, Any]]) -> None:
        rows = list(values)
        if rows:
            self._session.execute(insert(table(row)), rows)
