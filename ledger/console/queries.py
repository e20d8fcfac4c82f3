"""What the finance pages show, read from one snapshot of the database."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import select
from sqlmodel import Session, col

from ledger.store import total
from models.money import Money
from models.tables.ledger import (
    NOT_CHARGED,
    AccountRow,
    EntryRow,
    PostingRow,
    RefusalRow,
    TapRow,
)
from models.tables.reconcile import PostingTotalRow, TakingRow

PAGE = 50
RECENT = 20


@dataclass(frozen=True, slots=True)
class AccountTotal:
    """One line of the trial balance: debit positive, credit negative."""

    account: str
    total: Money


@dataclass(frozen=True, slots=True)
class Takings:
    """Rides and fares of one gate."""

    station: str
    gate: str
    rides: int
    fares: Money


def trial_balance(session: Session) -> list[AccountTotal]:
    """Every ledger account with its total; all totals of a currency sum to zero."""
    account, currency = col(PostingTotalRow.account), col(PostingTotalRow.currency)
    rows = session.execute(
        select(account, currency, total(col(PostingTotalRow.minor)).label("minor"))
        .group_by(account, currency)
        .order_by(account, currency)
    )
    return [AccountTotal(row.account, Money(row.minor, row.currency)) for row in rows]


def takings_of(session: Session, day: str) -> list[Takings]:
    """Rides of a day of the books by station and gate."""
    station, gate, currency = col(TakingRow.station), col(TakingRow.gate), col(TakingRow.currency)
    rows = session.execute(
        select(station, gate, currency, total(col(TakingRow.entries)).label("rides"),
               total(col(TakingRow.minor)).label("minor"))
        .where(col(TakingRow.kind) == "ride", col(TakingRow.day) == day)
        .group_by(station, gate, currency)
        .order_by(station, gate, currency)
    )  # fmt: skip
    return [Takings(r.station, r.gate, r.rides, Money(r.minor, r.currency)) for r in rows]


def entries_before(session: Session, before: int | None) -> list[EntryRow]:
    """One page of entries, newest first, with numbers below ``before``."""
    query = select(EntryRow).order_by(col(EntryRow.seq).desc()).limit(PAGE)
    if before is not None:
        query = query.where(col(EntryRow.seq) < before)
    return list(session.execute(query).scalars())


def postings_of(session: Session, seq: int) -> list[PostingRow]:
    """The postings of entry ``seq`` in order."""
    query = select(PostingRow).where(col(PostingRow.entry_seq) == seq)
    return list(session.execute(query.order_by(col(PostingRow.line))).scalars())


def tap_of(session: Session, seq: int) -> TapRow | None:
    """The tap that caused entry ``seq``, if a tap did."""
    return session.execute(select(TapRow).where(col(TapRow.entry_seq) == seq)).scalar()


def taps_with_trouble(session: Session) -> list[TapRow]:
    """The newest taps that were kept and not charged."""
    query = select(TapRow).where(NOT_CHARGED)
    return list(
        session.execute(query.order_by(col(TapRow.received_at).desc()).limit(RECENT)).scalars()
    )


def refusals(session: Session) -> list[RefusalRow]:
    """The newest things sent as taps that could not be read as one."""
    query = select(RefusalRow).order_by(col(RefusalRow.last_at).desc()).limit(RECENT)
    return list(session.execute(query).scalars())


def accounts_after(session: Session, after: str) -> list[AccountRow]:
    """One page of accounts by pseudonym, following ``after``."""
    account = col(AccountRow.account_id)
    query = select(AccountRow).where(account > after).order_by(account).limit(PAGE)
    return list(session.execute(query).scalars())
