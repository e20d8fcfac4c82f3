"""The outbox: a call is written down, then made, then settled; its outcome is never guessed.

    due   never sent        → mark it sent, commit, send
    sent  may have arrived  → ask first; only where the processor knows nothing of it, and
                              has had time to, send the same order again under the same key

A program that dies between the commit and the answer leaves a ``sent`` call: the next one
asks. Two workers do not make one call at once: who takes it moves its next time ahead, and
with that a call that nobody can make stands in no other's way.

A charge is looked at once more before it is sent, the first time or again: nothing is taken
for a rider who left, from a card that was removed, or by an automatic top-up that was
switched off, that stopped by itself, or whose account was blocked meanwhile.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from sqlalchemy import select
from sqlmodel import Session, col

from ledger.autotopup import NO_CARD, answer, not_wanted, pause_auto_top_up, unanswered
from ledger.ledger import Ledger
from ledger.once import EntryRefused
from ledger.processors.cards import add_charge
from ledger.processors.keeping import (
    ask_about_page,
    cards_to_forget,
    forget,
    pages_to_ask,
    put_off_page,
)
from ledger.processors.protocol import (
    ChargeOrder,
    Failed,
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
from ledger.processors.state import note_answer, note_trouble
from models.database import reading, writing
from models.money import Money
from models.tables.ledger import TopUpRequestRow
from models.tables.reconcile import UNSETTLED, CardRow, ProcessorCallRow

AT_ONCE = 100
WAITS = tuple(timedelta(seconds=s) for s in (60, 120, 300, 900, 3600))
"""How long a call rests after each attempt; the first rest outlasts any call still running."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Worked:
    """What one round did; ``troubles`` are the items that broke, and how, for the log."""

    settled: int
    waiting: int
    troubles: dict[str, Exception] = field(default_factory=dict)


def work(ledger: Ledger, processor: Processor) -> Worked:
    """Make or ask about every call whose time has come, each for itself.

    An item that breaks in a way nobody thought of is put into ``troubles`` and stops no other.
    """
    troubles: dict[str, Exception] = {}

    def each(items: list[str], do: Callable[[Ledger, Processor, str], bool]) -> list[bool]:
        return [_alone(ledger, processor, item, do, troubles) for item in items]

    each(_requests(ledger), _take_request)
    calls = each(_due_calls(ledger), attempt)
    each(pages_to_ask(ledger), _ask_about_page)
    each(cards_to_forget(ledger), forget)
    return Worked(sum(calls), len(calls) - sum(calls), troubles)


def _alone(
    ledger: Ledger,
    processor: Processor,
    item: str,
    do: Callable[[Ledger, Processor, str], bool],
    troubles: dict[str, Exception],
) -> bool:
    try:
        done = do(ledger, processor, item)
    except OutcomeUnknown as error:
        _log.warning("what became of %s is not known yet: %s", item, error)
    except ProcessorUnusable as error:
        if note_trouble(ledger, processor.name, str(error)):
            _log.error("%s takes no orders, calls wait: %s", processor.name, error)
    except Exception as error:  # noqa: BLE001 - the caller says it, once
        troubles[item] = error
    else:
        return done
    return False


def _due_calls(ledger: Ledger) -> list[str]:
    with reading(ledger.engine) as session:
        due = session.execute(
            select(col(ProcessorCallRow.call_id))
            .where(UNSETTLED, col(ProcessorCallRow.next_at) <= ledger.clock())
            .order_by(col(ProcessorCallRow.next_at), col(ProcessorCallRow.call_id))
            .limit(AT_ONCE)
        )
        return list(due.scalars())


def _requests(ledger: Ledger) -> list[str]:
    with reading(ledger.engine) as session:
        return [row.request_id for row in unanswered(session)]


def _take_request(ledger: Ledger, processor: Processor, request_id: str) -> bool:
    """Make a call of an automatic top-up that was asked for; without a card it failed."""
    del processor  # the call is made with the others
    with writing(ledger.engine) as session:
        request = session.get(TopUpRequestRow, request_id)
        if request is None or session.get(ProcessorCallRow, request_id) is not None:
            return False
        amount = Money(request.amount_minor, request.currency)
        try:
            add_charge(ledger, session, request.account_id, amount, request_id, automatic=True)
        except EntryRefused:
            answer(session, request_id, NO_CARD, ledger.clock())
            pause_auto_top_up(session, request.account_id, NO_CARD)
            return False
    return True


def _ask_about_page(ledger: Ledger, processor: Processor, page_id: str) -> bool:
    put_off_page(ledger, page_id)
    return ask_about_page(ledger, processor, page_id)


def attempt(ledger: Ledger, processor: Processor, call_id: str) -> bool:
    """Make or ask about one call now; return whether it is settled.

    Raises ``OutcomeUnknown`` and ``ProcessorUnusable``; the call rests until its next time.
    """
    with writing(ledger.engine) as session:
        call = _take(session, call_id, ledger.clock())
        if call is None:
            return False
        was_sent = call.attempts > 1
    with reading(ledger.engine) as session:  # after the commit, so that it rests whatever happens
        order = _order(session, session.get_one(ProcessorCallRow, call_id))
    outcome = _ask(processor, order) if was_sent else NotThere()
    if isinstance(outcome, NotThere):
        refusal = _no_longer(ledger, call_id)
        outcome = _send(processor, order) if refusal is None else Failed(refusal)
    note_answer(ledger, processor.name)
    if isinstance(outcome, Pending):
        return False
    settle(ledger, processor.name, call_id, outcome)
    return True


def _no_longer(ledger: Ledger, call_id: str) -> str | None:
    """Why a charge must not be sent now after all; None where it must, and for a refund."""
    with reading(ledger.engine) as session:
        call = session.get_one(ProcessorCallRow, call_id)
        if call.kind != "charge":
            return None
        if call.account_id is None:
            return "erased"
        card = session.get(CardRow, call.account_id)
        if card is None or card.method != call.method:
            return "card_removed"
        return not_wanted(session, call.account_id) if call.automatic else None


def ask_about(ledger: Ledger, processor: Processor, our_id: str) -> None:
    """Learn what became of a call or a card's page; a webhook is only a hint to ask.

    Raises ``OutcomeUnknown`` where the processor does not tell.
    """
    with reading(ledger.engine) as session:
        call = session.get(ProcessorCallRow, our_id)
        if call is None:
            order = None
        elif call.state == "due":
            return
        else:
            order = _order(session, call)
    if order is None:
        ask_about_page(ledger, processor, our_id)
        return
    outcome = _ask(processor, order)
    if not isinstance(outcome, NotThere | Pending):
        settle(ledger, processor.name, our_id, outcome)


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
    assert charge is not None and charge.reference is not None  # find_charge has seen to it
    return RefundOrder(call.call_id, amount, charge.reference)


def _ask(processor: Processor, order: Order) -> Outcome | NotThere:
    if isinstance(order, ChargeOrder):
        return processor.find_charge(order)
    return processor.find_refund(order)


def _send(processor: Processor, order: Order) -> Outcome:
    return processor.charge(order) if isinstance(order, ChargeOrder) else processor.refund(order)
