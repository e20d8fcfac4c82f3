"""Find an entry by what people have in their hands: an id, a number, an amount, a receipt.

0198c1d2-…            the id of a ride (its tap's), top-up, refund or difference
1042                  the number of an entry
9f0c… (32 hex)        an account, as its pseudonym
12.50                 an amount, within the days that are looked through
txn_1Pxyz, po_1Pxyz   a line of a statement, or its payout
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import ColumnElement, or_, select
from sqlmodel import Session, col

from ledger.ledger import Ledger
from models.errors import FacefareError
from models.log.proofs import ProofRefused
from models.log.receipts import check_receipt, read_receipt
from models.money import MoneyError, parse_money
from models.tables.ledger import EntryRow
from models.tables.reconcile import DifferenceRow, StatementLineRow

FOUND_MAX = 50
DAYS_MAX = 366
_ACCOUNT = re.compile(r"[0-9a-f]{32}")


@dataclass(frozen=True, slots=True)
class Found:
    """What there is under one question."""

    entries: Sequence[EntryRow] = ()
    lines: Sequence[StatementLineRow] = ()
    differences: Sequence[DifferenceRow] = ()

    def __bool__(self) -> bool:
        return bool(self.entries or self.lines or self.differences)


def find(session: Session, asked: str, currency: str, since: datetime) -> Found:
    """Everything under ``asked``; amounts are looked for among entries recorded ``since``."""
    asked = asked.strip()
    entry = col(EntryRow.seq).desc()
    where = _entries_under(asked, currency, since)
    entries: list[EntryRow] = []
    if where is not None:
        query = select(EntryRow).where(where).order_by(entry).limit(FOUND_MAX)
        entries = list(session.execute(query).scalars())
    return Found(entries, _lines_under(session, asked), _differences_under(session, asked))


def _entries_under(asked: str, currency: str, since: datetime) -> ColumnElement[bool] | None:
    """The condition that an entry is meant, or None where no entry can be."""
    try:
        entry_id = str(UUID(asked)) if "-" in asked else None
    except ValueError:
        entry_id = None
    if entry_id is not None:
        return or_(col(EntryRow.entry_id) == entry_id, col(EntryRow.corrects) == entry_id)
    if _ACCOUNT.fullmatch(asked.lower()):
        return col(EntryRow.account_id) == asked.lower()
    try:
        minor = parse_money(asked, currency).minor
    except MoneyError:
        return None
    amount = (col(EntryRow.amount_minor) == abs(minor)) & (col(EntryRow.recorded_at) >= since)
    return or_(amount, col(EntryRow.seq) == int(asked)) if asked.isdecimal() else amount


def _lines_under(session: Session, asked: str) -> list[StatementLineRow]:
    """Lines of statements by their id at the other side, our id, or their payout."""
    row = StatementLineRow
    if len(asked) < 3:
        return []
    ids = [asked, *(f"{source}:{asked}" for source in ("stripe", "processor", "bank"))]
    query = select(row).where(
        or_(col(row.line_id).in_(ids), col(row.own_id) == asked, col(row.payout_id) == asked)
    )
    return list(session.execute(query.order_by(col(row.line_id)).limit(FOUND_MAX)).scalars())


def _differences_under(session: Session, asked: str) -> list[DifferenceRow]:
    row = DifferenceRow
    query = select(row).where(or_(col(row.difference_id) == asked, col(row.subject) == asked))
    return list(session.execute(query.order_by(col(row.day)).limit(FOUND_MAX)).scalars())


@dataclass(frozen=True, slots=True)
class CheckedReceipt:
    """Where a receipt says its entry is, and what is wrong with it (empty: it is good)."""

    seq: int | None
    trouble: str


def check(ledger: Ledger, text: str) -> CheckedReceipt:
    """Check a receipt that somebody brought: is it ours, and what is it of?"""
    text = "\n".join(text.replace("\r\n", "\n").strip().split("\n")) + "\n"
    try:
        seq = read_receipt(text).index
    except ProofRefused as error:
        return CheckedReceipt(None, str(error))
    try:
        check_receipt(text, ledger.settings.origin, ledger.log_key.public_key())
    except FacefareError as error:
        return CheckedReceipt(seq, str(error))
    return CheckedReceipt(seq, "")


def since(now: datetime, days: int) -> datetime:
    """The moment ``days`` days ago, of those that may be looked through."""
    return now - timedelta(days=min(max(days, 1), DAYS_MAX))
