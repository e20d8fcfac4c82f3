"""The outbox: a call is written down, then made, then settled; its outcome is never guessed.

    due   never sent        → mark it sent, commit, send
    sent  may have arrived  → ask first; only where the processor knows nothing of it, and
                              has had time to, send the same order again under the same key

A program that dies between the commit and the answer leaves a ``sent`` call: the next one
asks. Two workers do not make one call at once: who takes it moves its next time ahead.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import select
from sqlmodel import Session, col

from ledger.autotopup import unanswered
from ledger.ledger import Ledger
from ledger.once import EntryRefused
from ledger.processors.cards import add_charge
from ledger.processors.protocol import (
    ChargeOrder,
    NotThere,
    Order,
    Outcome,
    OutcomeUnknown,
    Pending,
    Processor,
    ProcessorUnusable,
    RefundOrder,
)
from ledger.processors.settling import settle
from models.database import reading, writing
from models.money import Money
from models.tables.ledger import TopUpRequestRow
from models.tables.reconcile import UNSETTLED, ProcessorCallRow

AT_ONCE = 100
WAITS = tuple(timedelta(seconds=s) for s in (60, 120, 300, 900, 3600))
"""How long a call rests after each attempt; the first rest outlasts any call still running."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Worked:
    """What one round did."""

    settled: int
    waiting: int


def work(ledger: Ledger, processor: Processor) -> Worked:
    """Make or ask about every call whose time has come."""
    _take_requests(ledger)
    settled = waiting = 0
    with reading(ledger.engine) as session:
        due = session.execute(
            select(col(ProcessorCallRow.call_id))
            .where(UNSETTLED, col(ProcessorCallRow.next_at) <= ledger.clock())
            .order_by(col(ProcessorCallRow.next_at), col(ProcessorCallRow.call_id))
            .limit(AT_ONCE)
        )
        calls = list(due.scalars())
    for call_id in calls:
        if attempt(ledger, processor, call_id):
            settled += 1
        else:
            waiting += 1
    return Worked(settled, waiting)


def _take_requests(ledger: Ledger) -> None:
    """Make a call of every automatic top-up that was asked for; without a card it failed."""
    with reading(ledger.engine) as session:
        wanted = [row.request_id for row in unanswered(session)]
    for request_id in wanted:
        with writing(ledger.engine) as session:
            request = session.get(TopUpRequestRow, request_id)
            if request is None or session.get(ProcessorCallRow, request_id) is not None:
                continue
            amount = Money(request.amount_minor, request.currency)
            try:
                add_charge(ledger, session, request.account_id, amount, request_id, automatic=True)
            except EntryRefused:
                request.answered_at, request.outcome = ledger.clock(), "no_card"
                session.add(request)


def attempt(ledger: Ledger, processor: Processor, call_id: str) -> bool:
    """Make or ask about one call now; return whether it is settled."""
    with writing(ledger.engine) as session:
        call = _take(session, call_id, ledger.clock())
        if call is None:
            return False
        was_sent, order = call.attempts > 1, _order(session, call)
    try:
        outcome = _ask(processor, order) if was_sent else NotThere()
        if isinstance(outcome, NotThere):
            outcome = _send(processor, order)
    except OutcomeUnknown as error:
        _log.warning("the outcome of call %s is not known yet: %s", call_id, error)
        return False
    except ProcessorUnusable as error:
        _log.error("call %s cannot be made: %s", call_id, error)
        return False
    if isinstance(outcome, Pending):
        return False
    settle(ledger, processor.name, call_id, outcome)
    return True


def ask_about(ledger: Ledger, processor: Processor, call_id: str) -> None:
    """Learn what became of a call, at whatever state it is; a webhook is only a hint to ask.

    Raises ``OutcomeUnknown`` where the processor does not tell.
    """
    with reading(ledger.engine) as session:
        call = session.get(ProcessorCallRow, call_id)
        if call is None or call.state == "due":
            return
        order = _order(session, call)
    outcome = _ask(processor, order)
    if not isinstance(outcome, NotThere | Pending):
        settle(ledger, processor.name, call_id, outcome)


def _take(session: Session, call_id: str, now: datetime) -> ProcessorCallRow | None:
    """Mark the call as sent before it is; None where another worker has it."""
    call = session.get(ProcessorCallRow, call_id)
    if call is None or call.state not in ("due", "sent") or call.next_at > now:
        return None
    call.next_at = now + WAITS[min(call.attempts, len(WAITS) - 1)]
    call.state, call.attempts = "sent", call.attempts + 1
    session.add(call)
    return call


def _order(session: Session, call: ProcessorCallRow) -> Order:
    amount = Money(call.minor, call.currency)
    if call.kind == "charge":
        return ChargeOrder(call.call_id, amount, call.customer, call.method, call.made_at)
    charge = session.get(ProcessorCallRow, call.corrects)
    assert charge is not None and charge.reference is not None  # refund_to_card has seen to it
    return RefundOrder(call.call_id, amount, charge.reference)


def _ask(processor: Processor, order: Order) -> Outcome | NotThere:
    if isinstance(order, ChargeOrder):
        return processor.find_charge(order)
    return processor.find_refund(order)


def _send(processor: Processor, order: Order) -> Outcome:
    return processor.charge(order) if isinstance(order, ChargeOrder) else processor.refund(order)
