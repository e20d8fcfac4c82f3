"""What a difference leaves on its account at this moment, looked up anew.

Between the run that found a difference and the person who resolves it a statement may have
come, or a colleague may have resolved another difference about the same money. Nobody
resolves what was so yesterday.
"""

from __future__ import annotations

from sqlalchemy import and_, func, or_, select
from sqlmodel import Session, col

from ledger.entries import decode
from ledger.reconcile.gate_taps import is_still_so
from ledger.reconcile.matching import CLAIM_KINDS, claim_name
from ledger.store import total
from models.tables.ledger import EntryRow
from models.tables.reconcile import (
    OPEN,
    UNPAID,
    DifferenceRow,
    MovementRow,
    PairingRow,
    StatementLineRow,
)

_ABOUT_A_PAIR = ("fee", "split_or_merged_payout")
_NOT_BOOKED = ("missing_in_ledger", "refund_without_charge", "chargeback")


def left_now(session: Session, row: DifferenceRow) -> int | None:
    """Minor units in the difference's currency; None where it is not as it was found any more."""
    if row.kind in ("tap_gap", "tap_fork"):
        return 0 if is_still_so(session, row) else None
    if row.kind == "payout_sum":
        return _payout_sum(session, row.subject)
    if row.kind == "amount":
        return _between(session, row)
    if row.kind in _ABOUT_A_PAIR or (row.kind == "late" and _is_paired(session, row)):
        return 0
    if row.kind == "currency" and row.other and waiting(session, row.other) is None:
        return None
    found = waiting(session, row.subject)
    return None if found is None or found[1] != row.currency else found[0]


def waiting(session: Session, name: str) -> tuple[int, str] | None:
    """What a claim, a deposit or a line leaves that still waits, and its currency."""
    claim = session.execute(
        select(MovementRow).where(col(MovementRow.entry_id) == name, OPEN)
    ).scalar()
    if claim is not None:
        return claim.minor, claim.currency
    line = session.get(StatementLineRow, name)
    if line is None or not line.open:
        return None
    at_bank = line.source == "bank" or line.kind == "payout"
    return -(line.net_minor if at_bank else line.gross_minor), line.currency


def _between(session: Session, row: DifferenceRow) -> int | None:
    """What the two sides of a pair differ by."""
    line = session.get(StatementLineRow, row.other)
    if line is None or not _is_paired(session, row):
        return None
    claim = session.execute(
        select(MovementRow).where(col(MovementRow.entry_id) == row.subject)
    ).scalar()
    if claim is not None:
        theirs = line.net_minor if line.source == "bank" else line.gross_minor
        return int(claim.minor - theirs)
    payout = session.get(StatementLineRow, row.subject)
    return None if payout is None else -payout.net_minor - line.net_minor


def _is_paired(session: Session, row: DifferenceRow) -> bool:
    names = (row.subject, row.other or "")
    return any(session.get(PairingRow, pair) is not None for pair in (names, names[::-1]))


def _payout_sum(session: Session, subject: str) -> int | None:
    payout = session.get(StatementLineRow, subject)
    if payout is None or not payout.unpaid:
        return None
    lines = select(func.coalesce(total(col(StatementLineRow.net_minor)), 0)).where(
        UNPAID,
        col(StatementLineRow.payout_id) == payout.payout_id,
        col(StatementLineRow.source) == "processor",
        col(StatementLineRow.currency) == payout.currency,
    )
    return int(session.execute(lines).scalar_one())


def named_since(session: Session, row: DifferenceRow) -> bool:
    """Whether what is said to be missing came meanwhile, by a statement or by the processor."""
    lines = StatementLineRow
    if row.kind in _NOT_BOOKED:
        return _booked_since(session, row.subject)
    if row.kind == "missing_at_processor":
        query = select(col(lines.line_id)).where(OPEN, col(lines.own_id) == row.subject)
    elif row.kind == "missing_at_bank":
        name = _name_at_bank(session, row.subject)
        named = or_(col(lines.payout_id) == name, col(lines.reference) == name)
        query = select(col(lines.line_id)).where(OPEN, col(lines.source) == "bank", named)
    else:
        return False
    return session.execute(query.limit(1)).first() is not None


def _booked_since(session: Session, subject: str) -> bool:
    """Whether our books have the money of this line by now: the next run would pair the two."""
    line = session.get(StatementLineRow, subject)
    if line is None:
        return False
    ours, name = MovementRow, claim_name(line.kind, line.gross_minor, line.own_id)
    if name:
        found = col(ours.entry_id) == name
    elif line.reference:
        found = and_(
            OPEN,
            col(ours.corrects) == line.reference,
            col(ours.kind) == CLAIM_KINDS.get(line.kind),
            col(ours.minor) == line.gross_minor,
            col(ours.currency) == line.currency,
        )
    else:
        return False
    return session.execute(select(col(ours.entry_id)).where(found).limit(1)).first() is not None


def _name_at_bank(session: Session, subject: str) -> str | None:
    payout = session.get(StatementLineRow, subject)
    if payout is not None:
        return payout.payout_id
    body = session.execute(select(col(EntryRow.body)).where(col(EntryRow.entry_id) == subject))
    return str(decode(body.scalar_one())["slip"])
