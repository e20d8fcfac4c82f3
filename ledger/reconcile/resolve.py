"""Close a difference: with an entry where money is concerned, and always with a reason.

The entry moves what the difference left on its clearing account to where the reason says it
belongs. It names the difference and, where there is one, the entry it puts right; nothing
recorded before is changed. A difference that leaves no money is acknowledged without one.

    missing at processor 20.00, "not_paid"     liabilities:rider     +2000   not topped up
                                               assets:psp_clearing   -2000

Comments, owners and resolutions are notes that are only added. Each change names the
version it was decided on; whoever comes second is told so and looks again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID, uuid5

from sqlalchemy import select
from sqlmodel import Session, col

from ledger.accounts import key_name
from ledger.entries import Draft
from ledger.ledger import Ledger
from ledger.postings import BAD_DEBT, GOODWILL, RIDER, UNCLAIMED, Posting
from ledger.reconcile.closed import booking_day
from ledger.reconcile.importing import PSP_FEES
from ledger.rollups import RESOLUTION
from ledger.store import LogWriter
from ledger.topups import staff_key_name
from models.bulk import change_rows
from models.database import writing
from models.errors import FacefareError
from models.money import Money
from models.tables.ledger import AccountRow, EntryRow
from models.tables.reconcile import (
    DifferenceNoteRow,
    DifferenceRow,
    MovementRow,
    ProcessorCallRow,
    StatementLineRow,
)

SUSPENSE = "assets:suspense"
BANK_FEES = "expenses:bank_fees"
EXCHANGE = "expenses:exchange"
OTHER_BUSINESS = "equity:other_business"

REASONS = {
    "not_paid": (RIDER, "The rider's payment never reached the processor."),
    "paid_after_all": (RIDER, "The processor has the rider's payment; it was not booked."),
    "charged_back": (RIDER, "The cardholder's bank took the payment back."),
    "refunded_outside": (RIDER, "The refund was made at the processor."),
    "processor_fee": (PSP_FEES, "The processor kept it as a fee."),
    "bank_fee": (BANK_FEES, "The bank kept it as a fee."),
    "exchange": (EXCHANGE, "Exchanged between currencies."),
    "our_loss": (BAD_DEBT, "It is lost."),
    "goodwill": (GOODWILL, "Left to the rider out of goodwill."),
    "not_ours": (OTHER_BUSINESS, "It is no business of the fares."),
    "suspense": (SUSPENSE, "Set aside while it is looked into."),
}
ACKNOWLEDGED = "acknowledged"
"""The reason for closing a difference that leaves no money."""

_RESOLUTIONS = UUID("f0f4a2a8-7d0b-5f0b-8a60-8d6d6f0f6c2e")
_WORDS_MAX = 2_000


class ResolutionRefused(FacefareError):
    """A difference that cannot be changed as asked."""


class DifferenceChanged(ResolutionRefused):
    """Somebody else changed the difference meanwhile."""


@dataclass(frozen=True, slots=True)
class Resolved:
    """The difference's new version and the entry that closed it, if money was concerned."""

    version: int
    entry: int | None


def comment(ledger: Ledger, difference_id: str, version: int, words: str, made_by: str) -> int:
    """Add a comment and return the new version."""
    return _note(ledger, difference_id, version, "comment", words, made_by)


def hand_over(ledger: Ledger, difference_id: str, version: int, owner: str, made_by: str) -> int:
    """Give the difference another owner and return the new version."""
    return _note(ledger, difference_id, version, "owner", owner, made_by)


def _note(
    ledger: Ledger, difference_id: str, version: int, what: str, words: str, made_by: str
) -> int:
    if not 1 <= len(words.strip()) <= _WORDS_MAX:
        raise ResolutionRefused(f"write 1 to {_WORDS_MAX} characters")
    with writing(ledger.engine) as session:
        row = _difference(session, difference_id, version)
        if what == "owner":
            row.owner = words.strip()
        _add_note(ledger, session, row, what, words.strip(), made_by)
        return row.version


def _difference(session: Session, difference_id: str, version: int) -> DifferenceRow:
    row = session.get(DifferenceRow, difference_id)
    if row is None:
        raise ResolutionRefused(f"there is no difference {difference_id!r}")
    if row.state != "open":
        raise ResolutionRefused(f"the difference is {row.state} already")
    if row.version != version:
        raise DifferenceChanged(
            f"the difference is at version {row.version} by now, not {version}; look at it again"
        )
    return row


def _add_note(
    ledger: Ledger, session: Session, row: DifferenceRow, what: str, words: str, made_by: str
) -> None:
    row.version += 1
    session.add(row)
    session.add(
        DifferenceNoteRow(
            difference_id=row.difference_id,
            version=row.version,
            at=ledger.clock(),
            made_by=made_by,
            what=what,
            words=words,
        )
    )


def resolve(
    ledger: Ledger, difference_id: str, version: int, reason: str, words: str, made_by: str
) -> Resolved:
    """Close the difference for ``reason``, one of ``REASONS`` or ``acknowledged``.

    Raises ``ResolutionRefused`` for an unknown reason, for acknowledging money away, and
    where a rider is meant and cannot be told; ``DifferenceChanged`` for an old version.
    """
    if reason != ACKNOWLEDGED and reason not in REASONS:
        known = ", ".join((*REASONS, ACKNOWLEDGED))
        raise ResolutionRefused(f"the reason is one of {known}, not {reason!r}")
    made_by_key = ledger.vault.create(staff_key_name(made_by))
    with writing(ledger.engine) as session:
        writer = LogWriter(session, ledger.clock())
        row = _difference(session, difference_id, version)
        _leave_to_the_outbox(session, row)
        seq = None
        if row.minor:
            if reason == ACKNOWLEDGED:
                raise ResolutionRefused("money is concerned: choose where it belongs")
            draft = _draft(ledger, session, writer, row, reason, made_by, made_by_key)
            seq, row.entry_id = writer.append(draft), draft.entry_id
            row.closed_day = str(draft.facts["day"])
            writer.save()
        else:
            row.closed_day = booking_day(session, "9999-12-31", writer.recorded_at)
        row.state, row.reason = "resolved", reason
        _close(session, row)
        _add_note(ledger, session, row, "resolved", words.strip() or reason, made_by)
        return Resolved(row.version, seq)


def _leave_to_the_outbox(session: Session, row: DifferenceRow) -> None:
    """Book nothing that the outbox is about to book, and nothing it would book again later."""
    line = session.get(StatementLineRow, row.subject)
    call = session.get(ProcessorCallRow, line.own_id) if line and line.own_id else None
    if call is None or call.state == "succeeded":
        return
    if call.state != "failed":
        raise ResolutionRefused(
            "the processor is still being asked about this call; its outcome is booked by itself"
        )
    call.state, call.reason = "succeeded", "reconciled"
    call.reference = call.reference or (line.reference if line else None)
    session.add(call)


def _draft(
    ledger: Ledger,
    session: Session,
    writer: LogWriter,
    row: DifferenceRow,
    reason: str,
    made_by: str,
    made_by_key: bytes,
) -> Draft:
    account, words = REASONS[reason]
    account_id = _rider(session, row) if account == RIDER else None
    account = UNCLAIMED if account == RIDER and account_id is None else account
    entry = session.execute(select(EntryRow).where(col(EntryRow.entry_id).in_(_about(row))))
    corrects = sorted(found.entry_id for found in entry.scalars())
    facts = {
        "day": booking_day(session, row.day, writer.recorded_at),
        "difference": row.difference_id,
        "rule": {"code": reason, "words": words},
        **({"corrects": corrects[0]} if corrects else {}),
    }
    return Draft(
        kind=RESOLUTION,
        entry_id=str(uuid5(_RESOLUTIONS, row.difference_id)),
        occurred_at=writer.recorded_at,
        amount=Money(abs(row.minor), row.currency),
        postings=_postings(session, row, account),
        facts=facts,
        account_id=account_id,
        account_key=None if account_id is None else ledger.vault.key(key_name(account_id)),
        made_by=made_by,
        made_by_key=made_by_key,
    )


def _about(row: DifferenceRow) -> list[str]:
    return [name for name in (row.subject, row.other) if name]


def _postings(session: Session, row: DifferenceRow, account: str) -> tuple[Posting, ...]:
    moves = [(row.minor, row.currency)]
    if row.kind == "currency" and row.other:
        moves.append(_other_side(session, row))
    lines = [
        Posting(name, Money(sign * minor, currency))
        for minor, currency in moves
        for name, sign in ((account, 1), (row.account, -1))
    ]
    return tuple(sorted(lines, key=lambda line: line.amount.minor < 0))  # debits first


def _other_side(session: Session, row: DifferenceRow) -> tuple[int, str]:
    """What the other currency's side of a difference left: a claim of ours, or a payout."""
    claim = session.execute(
        select(MovementRow).where(col(MovementRow.entry_id) == row.other)
    ).scalar()
    if claim is not None:
        return claim.minor, claim.currency
    line = session.get(StatementLineRow, row.other)
    assert line is not None  # the difference was made from it
    return -line.gross_minor, line.currency


def _rider(session: Session, row: DifferenceRow) -> str | None:
    """The account a difference is about, None where its rider was erased or was never known.

    Raises ``ResolutionRefused`` where no rider can be told from it.
    """
    line = session.get(StatementLineRow, row.subject) if row.subject else None
    names = [*_about(row), *(n for n in ((line.own_id, line.reference) if line else ()) if n)]
    for query in (
        select(col(EntryRow.account_id)).where(col(EntryRow.entry_id).in_(names)),
        select(col(ProcessorCallRow.account_id)).where(col(ProcessorCallRow.call_id).in_(names)),
    ):
        found: Sequence[str | None] = session.execute(query).scalars().all()
        for account_id in found:
            if account_id is not None and session.get(AccountRow, account_id) is not None:
                return account_id
        if found:
            return None
    raise ResolutionRefused("nothing tells which rider it is about; choose another reason")


def _close(session: Session, row: DifferenceRow) -> None:
    """What the difference was about waits no more."""
    names = [(0, name) for name in _about(row)]
    if row.kind == "payout_sum":
        payout = session.get(StatementLineRow, row.subject)
        assert payout is not None  # the difference was made from it
        change_rows(session, "statement_line", "unpaid = {}", "payout_id", [(0, payout.payout_id)])
        return
    if not row.minor:
        return
    paired = row.kind in ("amount", "duplicate", "late", "chargeback", "refund_without_charge",
                          "missing_in_ledger", "missing_at_processor")  # fmt: skip
    # Of these only the subject was open; the other side, where there is one, is done.
    change_rows(session, "statement_line", "open = {}", "line_id", names[:1] if paired else names)
    change_rows(session, "movement", "open = {}", "entry_id", names[:1] if paired else names)
