"""Close a difference: with an entry where money is concerned, and always with a reason.

The entry moves what the difference left on its clearing account to where the reason says it
belongs. It names the difference and, where there is one, the entry it puts right; nothing
recorded before is changed. A difference that leaves no money is acknowledged without one.

    missing at processor 20.00, "not_paid"     liabilities:rider     +2000   not topped up
                                               assets:psp_clearing   -2000

Comments, owners and resolutions are notes that are only added. Each change names the
version it was decided on; whoever comes second is told so and looks again. What is resolved
is what is left at that moment: where a statement or a colleague changed it, nothing is booked.

The same person may import a statement and resolve what it makes, so a resolution that gives a
rider money is under the limit of one person like any other credit. Above it the first one
only proposes, and another one, who resolves for the same reason, makes the entry. So it is for
charging a tap that contradicts its gate: it always takes two.
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
from ledger.limits import CREDITING_RULES, AboveLimit, Limit
from ledger.postings import BAD_DEBT, GOODWILL, RIDER, UNCLAIMED, Posting
from ledger.reconcile.closed import booking_day, is_closed
from ledger.reconcile.drawer import OVER_SHORT
from ledger.reconcile.importing import PSP_FEES
from ledger.reconcile.kept_taps import charge_kept_tap
from ledger.reconcile.left import left_now, named_since, waiting
from ledger.reconcile.matching import failed_refund
from ledger.rollups import RESOLUTION
from ledger.store import LogWriter
from ledger.topups import staff_key_name
from ledger.two_persons import check_two_persons
from models.bulk import change_rows
from models.database import reading, writing
from models.errors import FacefareError
from models.money import Money
from models.tables.ledger import AccountRow, EntryRow
from models.tables.reconcile import (
    DifferenceNoteRow,
    DifferenceRow,
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
    "not_refunded": (RIDER, "The refund was never made at the processor."),
    "processor_fee": (PSP_FEES, "The processor kept it as a fee."),
    "bank_fee": (BANK_FEES, "The bank kept it as a fee."),
    "exchange": (EXCHANGE, "Exchanged between currencies."),
    "miscounted": (OVER_SHORT, "The cash was counted wrongly."),
    "our_loss": (BAD_DEBT, "It is lost."),
    "goodwill": (GOODWILL, "Left to the rider out of goodwill."),
    "not_ours": (OTHER_BUSINESS, "It is no business of the fares."),
    "suspense": (SUSPENSE, "Set aside while it is looked into."),
}
CREDITING = CREDITING_RULES
"""The reasons that give a rider money; the others about a rider take it."""

ACKNOWLEDGED = "acknowledged"
"""The reason for closing a difference that leaves no money."""

CHARGE = "charge"
TAP_REASONS = {
    "tap_gap": {"lost_at_gate": "It was lost at the gate."},
    "tap_fork": {CHARGE: "The rider did travel: charge it.", "not_charged": "It stays uncharged."},
}
"""The reasons for closing a difference about taps, besides ``acknowledged``."""

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


@dataclass(frozen=True, slots=True)
class Proposed:
    """Nothing moved: one person proposed it, and another one resolves it for the same reason."""

    version: int


def comment(ledger: Ledger, difference_id: str, version: int, words: str, made_by: str) -> int:
    """Add a comment and return the new version."""
    return _note(ledger, difference_id, version, "comment", words, made_by)


def hand_over(ledger: Ledger, difference_id: str, version: int, owner: str, made_by: str) -> int:
    """Give the difference another owner and return the new version."""
    return _note(ledger, difference_id, version, "owner", owner, made_by)


def _note(
    ledger: Ledger, difference_id: str, version: int, what: str, words: str, made_by: str
) -> int:
    words = _checked(words)
    with writing(ledger.engine) as session:
        row = _difference(session, difference_id, version)
        if what == "owner":
            row.owner = words
        _add_note(ledger, session, row, what, words, made_by)
        return row.version


def _checked(words: str) -> str:
    if not 1 <= len(words.strip()) <= _WORDS_MAX:
        raise ResolutionRefused(f"write 1 to {_WORDS_MAX} characters")
    return words.strip()


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
) -> Resolved | Proposed:
    """Close the difference for ``reason``, one of those that ``reasons_for`` it there are.

    Raises ``ResolutionRefused`` for an unknown reason or one that turns the money round, for
    acknowledging money away, where a rider is meant and cannot be told, and where what is left
    is not what the difference says any more; ``DifferenceChanged`` for an old version;
    ``NotIndependent`` where the second person is the first one's.
    """
    words = _checked(words.strip() or reason)
    made_by_key = ledger.vault.create(staff_key_name(made_by))
    with reading(ledger.engine) as session:
        proposed_by = _proposed(session, difference_id, reason)
    if proposed_by not in (None, made_by):
        check_two_persons(ledger, proposed_by, made_by, resolution_id(difference_id))
    with writing(ledger.engine) as session:
        writer = LogWriter(session, ledger.clock())
        row = _difference(session, difference_id, version)
        _check_as_found(session, row)
        _check_reason(row, reason)
        alone = proposed_by in (None, made_by)
        if reason == CHARGE and alone:
            return _propose(ledger, session, row, reason, words, made_by, proposed_by)
        if not row.minor:
            seq = _charge(ledger, session, writer, row) if reason == CHARGE else None
            row.closed_day = booking_day(session, "9999-12-31", writer.recorded_at)
            return _resolved(ledger, session, row, reason, words, made_by, seq)
        draft = _draft(ledger, session, writer, row, reason, made_by, made_by_key)
        if reason in CREDITING and alone:
            try:
                Limit(ledger.settings.refund_limit_amount).check(session, draft)
            except AboveLimit:
                return _propose(ledger, session, row, reason, words, made_by, proposed_by)
        _leave_to_the_outbox(session, row)
        row.entry_id, row.closed_day = draft.entry_id, str(draft.facts["day"])
        seq = writer.append(draft)
        writer.save()
        return _resolved(ledger, session, row, reason, words, made_by, seq)


def reasons_for(row: DifferenceRow) -> tuple[str, ...]:
    """The reasons that this difference can be closed for."""
    return tuple(REASONS) if row.minor else (*TAP_REASONS.get(row.kind, ()), ACKNOWLEDGED)


def _check_reason(row: DifferenceRow, reason: str) -> None:
    known = reasons_for(row)
    if reason == ACKNOWLEDGED and row.minor:
        raise ResolutionRefused("money is concerned: choose where it belongs")
    if reason not in known:
        raise ResolutionRefused(f"the reason is one of {', '.join(known)}, not {reason!r}")


def _charge(ledger: Ledger, session: Session, writer: LogWriter, row: DifferenceRow) -> int:
    """Charge the tap of a fork; the entry has its id. Return the entry's number."""
    number = charge_kept_tap(ledger, session, writer, row.subject)
    if number is None:
        raise ResolutionRefused("its rider is not there any more; nobody can be charged for it")
    row.entry_id = row.subject
    return number


def _check_as_found(session: Session, row: DifferenceRow) -> None:
    """Raise ``ResolutionRefused`` unless the books still leave what the difference says."""
    if left_now(session, row) != row.minor or named_since(session, row):
        raise ResolutionRefused(
            "a statement or a colleague has changed what this difference is about; reconcile the "
            "day again and look at what is left"
        )


def _resolved(
    ledger: Ledger,
    session: Session,
    row: DifferenceRow,
    reason: str,
    words: str,
    made_by: str,
    seq: int | None,
) -> Resolved:
    row.state, row.reason = "resolved", reason
    _close(session, row)
    _add_note(ledger, session, row, "resolved", words, made_by)
    return Resolved(row.version, seq)


def _propose(
    ledger: Ledger,
    session: Session,
    row: DifferenceRow,
    reason: str,
    words: str,
    made_by: str,
    proposed_by: str | None,
) -> Proposed:
    """Write down what the first person found out, and for which reason they would resolve it."""
    if proposed_by == made_by:
        raise ResolutionRefused(
            "you proposed this already; a colleague resolves it for the same reason"
        )
    if words != reason:
        _add_note(ledger, session, row, "comment", words, made_by)
        session.flush()
    _add_note(ledger, session, row, "proposed", reason, made_by)
    return Proposed(row.version)


def _proposed(session: Session, difference_id: str, reason: str) -> str | None:
    """Who proposed this reason for the money that is left, None where nobody did."""
    note = DifferenceNoteRow
    newest = session.execute(
        select(note)
        .where(
            col(note.difference_id) == difference_id, col(note.what).in_(("proposed", "changed"))
        )
        .order_by(col(note.version).desc())
        .limit(1)
    ).scalar()
    asked = newest is not None and (newest.what, newest.words) == ("proposed", reason)
    return newest.made_by if newest is not None and asked else None


def resolution_id(difference_id: str) -> str:
    """The id of the one entry that can resolve the difference."""
    return str(uuid5(_RESOLUTIONS, difference_id))


def _leave_to_the_outbox(session: Session, row: DifferenceRow) -> None:
    """Book nothing that the outbox is about to book, and nothing it would book again later."""
    line = _line(session, row)
    call = session.get(ProcessorCallRow, line.own_id) if line and line.own_id else None
    if line is None or call is None:
        return
    if call.state not in ("succeeded", "failed"):
        raise ResolutionRefused(
            "the processor is still being asked about this call; its outcome is booked by itself"
        )
    state = "failed" if failed_refund(line.kind, line.gross_minor) else "succeeded"
    if call.state == state:
        return
    call.state, call.reason = state, "reconciled"
    call.reference = call.reference or line.reference
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
    if account == RIDER and (reason in CREDITING) != (row.minor < 0):
        raise ResolutionRefused(
            "this reason moves the rider's money the other way; choose the one that says what was"
        )
    account_id = _rider(session, row) if account == RIDER else None
    account = UNCLAIMED if account == RIDER and account_id is None else account
    corrects = _puts_right(session, row)
    day = booking_day(session, row.day, writer.recorded_at)
    if is_closed(session, day):
        raise ResolutionRefused(f"the books of {day} are closed; nothing is booked in them")
    facts = {
        "day": day,
        "difference": row.difference_id,
        "rule": {"code": reason, "words": words},
        **({"corrects": corrects} if corrects else {}),
    }
    return Draft(
        kind=RESOLUTION,
        entry_id=resolution_id(row.difference_id),
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


def _line(session: Session, row: DifferenceRow) -> StatementLineRow | None:
    """The line a difference is about; what a payout leaves is about no single one."""
    return None if row.kind == "payout_sum" else session.get(StatementLineRow, row.subject)


def _puts_right(session: Session, row: DifferenceRow) -> str | None:
    """The entry a difference is about; of money that went back without us, the top-up."""
    entry_id = col(EntryRow.entry_id)
    found = session.execute(select(entry_id).where(entry_id.in_(_about(row))).order_by(entry_id))
    corrects: str | None = found.scalars().first()
    line = _line(session, row)
    if corrects or line is None or line.kind not in ("refund", "chargeback") or line.own_id:
        return corrects
    charge = session.get(ProcessorCallRow, line.reference) if line.reference else None
    return charge.call_id if charge else None


def _postings(session: Session, row: DifferenceRow, account: str) -> tuple[Posting, ...]:
    moves = [(row.minor, row.currency)]
    if row.kind == "currency" and row.other:
        other = waiting(session, row.other)
        assert other is not None  # _check_as_found has seen to it
        moves.append(other)
    lines = [
        Posting(name, Money(sign * minor, currency))
        for minor, currency in moves
        for name, sign in ((account, 1), (row.account, -1))
    ]
    return tuple(sorted(lines, key=lambda line: line.amount.minor < 0))  # debits first


def _rider(session: Session, row: DifferenceRow) -> str | None:
    """The account a difference is about, None where its rider was erased or was never known.

    Raises ``ResolutionRefused`` where no rider can be told from it.
    """
    line = _line(session, row)
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
