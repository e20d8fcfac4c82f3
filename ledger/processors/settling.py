"""What became of a call, booked once; and payments that the cardholder's bank took back."""

from __future__ import annotations

from uuid import UUID, uuid5

from sqlalchemy import and_, or_, select
from sqlmodel import Session, col

from ledger.autotopup import CHARGEBACK, DONE, answer, pause_auto_top_up
from ledger.entries import Draft
from ledger.ledger import Ledger
from ledger.once import recorded_before
from ledger.postings import BAD_DEBT, RIDER, UNCLAIMED, transfer
from ledger.processors.cards import (
    CARD_REFUNDS,
    WORDS,
    call_draft,
    failed_refund_id,
    rider_key,
)
from ledger.processors.protocol import Dispute, Failed, Succeeded
from ledger.rollups import PSP_CLEARING
from ledger.store import LogWriter
from models.database import forget_old_pages, writing
from models.tables.ledger import EntryRow
from models.tables.reconcile import DifferenceRow, ProcessorCallRow

_DISPUTES = UUID("4e6e2a52-0a2f-5c0e-8d7b-5f3a1f0d9c31")


def settle(ledger: Ledger, processor: str, call_id: str, outcome: Succeeded | Failed) -> bool:
    """Book what became of a call; return whether that was news.

    A charge that failed may have succeeded after all, and a refund that was made may fail days
    later. A refund that failed was given back to the rider: if it was made nevertheless,
    reconciliation finds it, and a person decides.
    """
    with writing(ledger.engine) as session:
        writer = LogWriter(session, ledger.clock())
        call = session.get(ProcessorCallRow, call_id)
        if call is None:
            return False
        returned = call.state == "succeeded" and isinstance(outcome, Failed)
        if call.state == "succeeded" and not (returned and _was_refunded(session, call)):
            return False
        if call.state == "failed" and (isinstance(outcome, Failed) or call.kind == "refund"):
            return False
        if isinstance(outcome, Succeeded):
            call.state, call.reference, call.reason = "succeeded", outcome.reference, None
        else:
            call.state, call.reason = "failed", outcome.reason[:200]
        erased = call.account_id is None
        if erased:
            call.customer = call.method = ""  # the rider left while this was on its way
        session.add(call)
        done = call.state == "succeeded"
        answer(session, call_id, DONE if done else call.reason or "failed", writer.recorded_at)
        draft = _settling(ledger, writer, call, processor, returned=returned)
        if draft is not None and recorded_before(session, draft) is None:
            writer.append(draft)
            writer.save()
    if erased:
        forget_old_pages(ledger.engine)
    return True


def _was_refunded(session: Session, call: ProcessorCallRow) -> bool:
    """Whether we booked this refund ourselves; what a person resolved is not booked by itself."""
    booked = select(col(EntryRow.seq)).where(col(EntryRow.entry_id) == call.call_id)
    return call.kind == "refund" and session.execute(booked).first() is not None


def _settling(
    ledger: Ledger, writer: LogWriter, call: ProcessorCallRow, processor: str, *, returned: bool
) -> Draft | None:
    rider = UNCLAIMED if call.account_id is None else RIDER
    if call.kind == "charge":
        if call.state == "failed":
            return None
        facts = {"method": "card", "processor": processor}
        return call_draft(ledger, writer, call, "top_up", call.call_id, debit=PSP_CLEARING,
                      credit=rider, facts=facts)  # fmt: skip
    if call.state == "succeeded":
        return call_draft(ledger, writer, call, "card_refund", call.call_id, debit=CARD_REFUNDS,
                      credit=PSP_CLEARING)  # fmt: skip
    failed_id = failed_refund_id(call.call_id)
    if returned:  # a claim of its own: the processor's report has a line for it
        rule = {"code": "card_refund_failed", "words": WORDS["card_refund_failed"]}
        return call_draft(ledger, writer, call, "card_refund", failed_id, debit=PSP_CLEARING,
                          credit=rider, facts={"rule": rule})  # fmt: skip
    return call_draft(ledger, writer, call, "card_refund_failed", failed_id,
                  debit=CARD_REFUNDS, credit=rider)  # fmt: skip


def book_dispute(ledger: Ledger, dispute: Dispute) -> bool:
    """Book that a payment was taken back, or given back again; once each.

    Returns False where the charge is not ours to know: reconciliation will show it.
    """
    with writing(ledger.engine) as session:
        writer = LogWriter(session, ledger.clock())
        query = select(ProcessorCallRow).where(
            col(ProcessorCallRow.reference) == dispute.charge,
            col(ProcessorCallRow.kind) == "charge",
        )
        charge: ProcessorCallRow | None = session.execute(query).scalar()
        if charge is None:
            return False
        rider = BAD_DEBT if charge.account_id is None else RIDER
        sides = (PSP_CLEARING, rider) if dispute.won else (rider, PSP_CLEARING)
        code = "chargeback_won" if dispute.won else "chargeback"
        draft = Draft(
            kind="chargeback",
            entry_id=str(uuid5(_DISPUTES, f"{dispute.dispute_id} {code}")),
            occurred_at=writer.recorded_at,
            amount=dispute.amount,
            postings=transfer(dispute.amount, debit=sides[0], credit=sides[1]),
            facts={"corrects": charge.call_id, "rule": {"code": code, "words": WORDS[code]}},
            account_id=charge.account_id,
            account_key=rider_key(ledger, charge.account_id),
        )
        if recorded_before(session, draft) is not None:
            return True
        if not _resolved_by_hand(session, charge, won=dispute.won):
            writer.append(draft)
            writer.save()
        if charge.account_id is not None and not dispute.won:
            pause_auto_top_up(session, charge.account_id, CHARGEBACK)
    return True


def _resolved_by_hand(session: Session, charge: ProcessorCallRow, *, won: bool) -> bool:
    """Whether a person found this in the processor's report and booked it before we were told.

    Another dispute of the same charge is not booked either then: its line will be a
    difference of its own.
    """
    row = DifferenceRow
    theirs = and_(
        col(row.kind) == "chargeback", col(row.other).in_((charge.call_id, charge.reference))
    )
    ours = and_(col(row.subject) == charge.call_id, col(row.reason) == "charged_back")
    query = select(col(row.difference_id)).where(
        col(row.state) == "resolved",
        col(row.minor) < 0 if won else col(row.minor) > 0,
        or_(theirs, ours),
    )
    return session.execute(query.limit(1)).first() is not None
