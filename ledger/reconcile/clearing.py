"""Clearing accounts must come back to zero; what remains is listed, line by line.

The balance is added up from the postings; the list is made from claims, statement lines and
differences. The two come from different tables and must agree to the cent: ``unexplained``
is what they do not agree on.

A list can be made for any day, also when later runs have paired what was open on it: a
claim whose line was booked only afterwards did remain on that day.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from sqlalchemy import or_, select
from sqlmodel import Session, col

from ledger.rollups import CLEARING, PAYOUTS, PSP_BALANCE, PSP_CLEARING
from ledger.store import table, total
from models.bulk import among
from models.tables.reconcile import (
    OPEN,
    UNPAID,
    DifferenceRow,
    MovementRow,
    PairingRow,
    PostingTotalRow,
    StatementLineRow,
)

_CLAIMS, _LINES, _PAIRS = table(MovementRow), table(StatementLineRow), table(PairingRow)
_DIFFERENCES = table(DifferenceRow)
_ON_PAIRS = ("amount",)
"""Differences whose two sides are paired, so that only the difference itself remains."""


@dataclass(frozen=True, slots=True)
class Residue:
    """One line of what remains on a clearing account."""

    account: str
    currency: str
    minor: int
    what: str
    subject: str
    day: str


@dataclass(frozen=True, slots=True)
class ClearingAccount:
    """A clearing account in one currency and what explains its balance."""

    account: str
    currency: str
    balance: int
    residues: tuple[Residue, ...]

    @property
    def unexplained(self) -> int:
        return self.balance - sum(residue.minor for residue in self.residues)


def clearing_accounts(session: Session, day: str) -> list[ClearingAccount]:
    """Every clearing account at the end of ``day``, with its list."""
    listed: dict[tuple[str, str], list[Residue]] = {}
    for residue in sorted(_residues(session, day), key=lambda r: (r.day, r.subject, r.what)):
        listed.setdefault((residue.account, residue.currency), []).append(residue)
    balances = clearing_balances(session, day)
    return [
        ClearingAccount(*key, balances.get(key, 0), tuple(listed.get(key, ())))
        for key in sorted(balances.keys() | listed.keys())
    ]


def clearing_balances(session: Session, day: str) -> dict[tuple[str, str], int]:
    """What the clearing accounts hold at the end of ``day``, by account and currency."""
    account, currency = col(PostingTotalRow.account), col(PostingTotalRow.currency)
    rows = session.execute(
        select(account, currency, total(col(PostingTotalRow.minor)).label("minor"))
        .where(account.in_(CLEARING), col(PostingTotalRow.day) <= day)
        .group_by(account, currency)
    )
    return {(row.account, row.currency): int(row.minor) for row in rows}


def _residues(session: Session, day: str) -> Iterator[Residue]:
    given_up = _resolved_later(session, day)
    yield from _claims(session, day, given_up)
    yield from _waiting_lines(session, day, given_up)
    yield from _unpaid(session, day)
    yield from _differences_of_pairs(session, day)


def _resolved_later(session: Session, day: str) -> set[str]:
    """What a difference was about that was still open on ``day`` and resolved afterwards."""
    query = select(DifferenceRow).where(
        col(DifferenceRow.state) == "resolved",
        col(DifferenceRow.closed_day) > day,
        col(DifferenceRow.kind).not_in((*_ON_PAIRS, "payout_sum", "tap_gap", "tap_fork")),
    )
    rows = session.execute(query).scalars().all()
    return {row.subject for row in rows} | {
        row.other for row in rows if row.kind == "currency" and row.other
    }


def _claims(session: Session, day: str, given_up: set[str]) -> Iterator[Residue]:
    paired_later = (
        select(_PAIRS.c.left_id)
        .join(_LINES, _LINES.c.line_id == _PAIRS.c.right_id)
        .where(_PAIRS.c.leg == "processor", _LINES.c.booked > day)
    )
    later = {*session.execute(paired_later).scalars(), *given_up}
    later |= _split_by(session, day, _CLAIMS.c.entry_id, _CLAIMS.c.day)
    query = select(*_CLAIMS.c["entry_id", "account", "kind", "minor", "currency", "day"])
    for row in _by_flag_or_id(session, query, _CLAIMS.c.entry_id, OPEN, later, _CLAIMS.c.day, day):
        yield Residue(row.account, row.currency, row.minor, f"our {row.kind}", row.entry_id,
                      row.day)  # fmt: skip


def _waiting_lines(session: Session, day: str, given_up: set[str]) -> Iterator[Residue]:
    claimed_later = (
        select(_PAIRS.c.right_id)
        .join(_CLAIMS, _CLAIMS.c.entry_id == _PAIRS.c.left_id)
        .where(_PAIRS.c.leg == "processor", _CLAIMS.c.day > day)
    )
    later = {
        *session.execute(claimed_later).scalars(),
        *_split_by(session, day, _LINES.c.line_id, _LINES.c.booked),
        *_split_by(session, day, _CLAIMS.c.entry_id, _CLAIMS.c.day),
        *given_up,
    }
    for row in _lines(session, OPEN, later, day):
        account = PAYOUTS if row.source == "bank" or row.kind == "payout" else PSP_CLEARING
        yield Residue(account, row.currency, -row.gross_minor, f"{row.source}: {row.kind}",
                      row.line_id, row.booked)  # fmt: skip


def _split_by(session: Session, day: str, left_id: Any, left_on: Any) -> set[str]:
    """What went to the bank and its receipts, paired across the end of ``day``, with all parts.

    ``left_id`` and ``left_on`` say where the left sides are: lines of payouts, or our deposits.
    """
    right = _LINES.alias()
    crossing = (
        select(_PAIRS.c.left_id, _PAIRS.c.right_id)
        .join(left_id.table, left_id == _PAIRS.c.left_id)
        .join(right, right.c.line_id == _PAIRS.c.right_id)
        .where(
            _PAIRS.c.leg == "bank",
            or_(
                (left_on > day) & (right.c.booked <= day),
                (right.c.booked > day) & (left_on <= day),
            ),
        )
    )
    ids = {name for row in session.execute(crossing) for name in row}
    if not ids:
        return ids
    touching = select(_PAIRS.c.left_id, _PAIRS.c.right_id).where(
        or_(
            among(session, _PAIRS.c.left_id, sorted(ids)),
            among(session, _PAIRS.c.right_id, sorted(ids)),
        )
    )
    return ids | {name for row in session.execute(touching) for name in row}


def _unpaid(session: Session, day: str) -> Iterator[Residue]:
    completed_later = select(_LINES.c.payout_id).where(
        _LINES.c.source == "processor", _LINES.c.booked > day, _LINES.c.payout_id.is_not(None)
    )
    sums_resolved_later = (
        select(_LINES.c.payout_id)
        .join(_DIFFERENCES, _DIFFERENCES.c.subject == _LINES.c.line_id)
        .where(_DIFFERENCES.c.kind == "payout_sum", _DIFFERENCES.c.closed_day > day)
    )
    payouts = {
        *session.execute(completed_later).scalars(),
        *session.execute(sums_resolved_later).scalars(),
    }
    of_payouts = select(_LINES.c.line_id).where(
        among(session, _LINES.c.payout_id, sorted(payouts)), _LINES.c.source == "processor"
    )
    later = set(session.execute(of_payouts).scalars()) if payouts else set()
    for row in _lines(session, UNPAID, later, day):
        what = "payout without all its lines" if row.kind == "payout" else "waits for its payout"
        yield Residue(PSP_BALANCE, row.currency, row.net_minor, what, row.line_id, row.booked)
    if payouts:
        yield from _sums_resolved(session, payouts, day)


def _sums_resolved(session: Session, payouts: set[str], day: str) -> Iterator[Residue]:
    """What resolutions up to ``day`` took off payouts of which all lines are listed."""
    query = (
        select(*_DIFFERENCES.c["subject", "minor", "currency", "closed_day"])
        .join(_LINES, _LINES.c.line_id == _DIFFERENCES.c.subject)
        .where(
            _DIFFERENCES.c.kind == "payout_sum",
            _DIFFERENCES.c.state == "resolved",
            _DIFFERENCES.c.closed_day <= day,
            among(session, _LINES.c.payout_id, sorted(payouts)),
        )
    )
    for row in session.execute(query):
        yield Residue(PSP_BALANCE, row.currency, -row.minor, "payout_sum", row.subject,
                      row.closed_day)  # fmt: skip


def _lines(session: Session, flag: Any, later: set[str], day: str) -> Iterator[Any]:
    columns = _LINES.c["line_id", "source", "kind", "gross_minor", "net_minor", "currency",
                       "booked"]  # fmt: skip
    return _by_flag_or_id(
        session, select(*columns), _LINES.c.line_id, flag, later, _LINES.c.booked, day
    )


def _by_flag_or_id(
    session: Session, query: Any, name: Any, flag: Any, ids: Iterable[str], on: Any, day: str
) -> Iterator[Any]:
    """Rows up to ``day`` that are flagged now or were meant by id, each once."""
    wanted = sorted(ids)
    flagged = session.execute(query.where(flag, on <= day)).all()
    yield from flagged
    if wanted:
        seen = {row[0] for row in flagged}
        for row in session.execute(query.where(among(session, name, wanted), on <= day)):
            if row[0] not in seen:
                yield row


def _differences_of_pairs(session: Session, day: str) -> Iterator[Residue]:
    query = select(DifferenceRow).where(
        col(DifferenceRow.kind).in_(_ON_PAIRS),
        col(DifferenceRow.day) <= day,
        or_(col(DifferenceRow.state) == "open", col(DifferenceRow.closed_day) > day),
    )
    for row in session.execute(query).scalars().all():
        ids = [name for name in (row.subject, row.other) if name]
        later = select(_LINES.c.line_id).where(_LINES.c.line_id.in_(ids), _LINES.c.booked > day)
        if session.execute(later).first() is None:
            yield Residue(row.account, row.currency, row.minor, row.kind, row.subject, row.day)
