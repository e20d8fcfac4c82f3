"""Money by card: what is booked when.

    a top-up succeeded             assets:psp_clearing        +2000
                                   liabilities:rider          -2000
    a refund to the card is asked  liabilities:rider           +500    no longer the rider's
                                   liabilities:card_refunds    -500
    … it was made                  liabilities:card_refunds    +500
                                   assets:psp_clearing         -500
    … it failed                    liabilities:card_refunds    +500
                                   liabilities:rider           -500
    … it failed after it was made  assets:psp_clearing         +500
                                   liabilities:rider           -500
    a chargeback                   liabilities:rider          +2000    the rider owes it again
                                   assets:psp_clearing        -2000

A top-up's entry has the id of its call, and so has the entry of a refund that was made:
what the processor's report says under that id is the same money. A rider who was erased
meanwhile is stood in for by ``liabilities:unclaimed`` and ``expenses:bad_debt``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any
from uuid import UUID, uuid5

from sqlalchemy import case, func, select
from sqlmodel import Session, col

from ledger.accounts import find_account, key_name
from ledger.entries import Draft
from ledger.ledger import Ledger
from ledger.limits import CREDITING_RULES, NO_LIMIT, Limit
from ledger.once import (
    EntryConflict,
    EntryRefused,
    Recorded,
    check_entry_id,
    record,
    recorded_before,
)
from ledger.postings import RIDER, transfer
from ledger.rollups import RESOLUTION
from ledger.store import LogWriter, total
from ledger.topups import staff_key_name
from models.database import writing
from models.money import Money
from models.tables.ledger import EntryRow
from models.tables.reconcile import CardRow, ProcessorCallRow
from models.vault import KeyErased

CARD_REFUNDS = "liabilities:card_refunds"
WORDS = {
    "card_refund_asked": "Asked to be paid back to the card.",
    "card_refund": "Paid back to the card.",
    "card_refund_failed": "Could not be paid back to the card.",
    "chargeback": "The cardholder's bank took the payment back.",
    "chargeback_won": "The cardholder's bank gave the payment back again.",
}
_TAKEN = ("chargeback", "charged_back", "refunded_outside", "not_paid")
_RETURNED = ("chargeback_won", *CREDITING_RULES)
"""Rules of chargebacks and resolutions of a top-up: what of it is not with us, and is again."""


def top_up_by_card(ledger: Ledger, account_id: str, amount: Money, call_id: str) -> None:
    """Write down a call that tops the account up; ``outbox.work`` makes it.

    Raises ``EntryRefused`` for a bad id or amount or without a card, ``EntryConflict`` where
    the id was used for anything else, ``AccountError`` where there is no such account.
    """
    check_entry_id(call_id)
    if amount.minor <= 0:
        raise EntryRefused("a top-up is more than zero")
    with writing(ledger.engine) as session:
        find_account(session, account_id, amount.currency)
        add_charge(ledger, session, account_id, amount, call_id, automatic=False)


def add_charge(
    ledger: Ledger,
    session: Session,
    account_id: str,
    amount: Money,
    call_id: str,
    *,
    automatic: bool,
) -> None:
    """Add the call for a top-up to the outbox, unless it lies there already."""
    card = session.get(CardRow, account_id)
    if card is None:
        raise EntryRefused("no card is kept for this account; the rider must add one first")
    call = _call(ledger, "charge", account_id, amount, call_id)
    call.customer, call.method, call.automatic = card.customer, card.method, int(automatic)
    _add(session, call)


def _call(
    ledger: Ledger, kind: str, account_id: str | None, amount: Money, call_id: str
) -> ProcessorCallRow:
    now = ledger.clock()
    return ProcessorCallRow(
        call_id=call_id,
        kind=kind,
        account_id=account_id,
        minor=amount.minor,
        currency=amount.currency,
        customer="",
        method="",
        automatic=0,
        state="due",
        attempts=0,
        made_at=now,
        next_at=now,
    )


def _add(session: Session, call: ProcessorCallRow) -> bool:
    """Whether the call is new; raise ``EntryConflict`` where its id means something else."""
    kept = session.get(ProcessorCallRow, call.call_id)
    if kept is None:
        session.add(call)
        return True
    same = ("kind", "account_id", "minor", "currency", "corrects")
    if any(getattr(kept, name) != getattr(call, name) for name in same):
        raise EntryConflict(f"the id {call.call_id} was used for another call; start again")
    return False


def card_refund_call(entry_id: str) -> str:
    """The id of the call that pays out what the entry ``entry_id`` took off the account."""
    return str(uuid5(UUID(entry_id), "call"))


def failed_refund_id(call_id: str) -> str:
    """The id of the entry that gives the rider back what the call could not pay out."""
    return str(uuid5(UUID(call_id), "failed"))


def refund_to_card(
    ledger: Ledger,
    charge_id: str,
    amount: Money,
    entry_id: str,
    made_by: str,
    limit: Limit | None = NO_LIMIT,
    facts: Mapping[str, Any] = MappingProxyType({}),
) -> Recorded:
    """Take ``amount`` of a card top-up off the account and write down the call that returns it.

    Both stand in one transaction, and the call's id is made from the entry's: asked twice, at
    once or after a crash, the money is paid once. Raises ``AboveLimit`` where one person may
    not give that much alone; ``EntryRefused`` where the top-up did not succeed, its refunds
    together would be more than it was, or the rider has less left; ``EntryConflict`` where
    the id was used for anything else.
    """
    check_entry_id(entry_id)
    made_by_key = ledger.vault.create(staff_key_name(made_by))
    with writing(ledger.engine) as session:
        writer = LogWriter(session, ledger.clock())
        charge = find_charge(session, charge_id, amount)
        call = _call(ledger, "refund", charge.account_id, amount, card_refund_call(entry_id))
        call.corrects, call.customer, call.method = charge_id, charge.customer, charge.method
        draft = replace(
            call_draft(ledger, writer, call, "card_refund_asked", entry_id,
                       debit=RIDER, credit=CARD_REFUNDS, facts=facts),
            made_by=made_by,
            made_by_key=made_by_key,
        )  # fmt: skip
        earlier = recorded_before(session, draft)
        if earlier is not None:
            return earlier
        _check_refund(session, charge, amount)
        if limit is not None:
            limit.check(session, draft)
        _add(session, call)
        return record(writer, draft)


def find_charge(session: Session, charge_id: str, amount: Money) -> ProcessorCallRow:
    """The top-up of which ``amount`` is to be paid back; raise ``EntryRefused`` if it cannot."""
    charge = session.get(ProcessorCallRow, charge_id)
    if charge is None or charge.kind != "charge" or charge.state != "succeeded":
        raise EntryRefused(f"no card top-up with the id {charge_id!r} succeeded")
    if charge.reference is None:
        raise EntryRefused("the processor's name of this top-up is not known; refund it there")
    if charge.account_id is None:
        raise EntryRefused("the rider was erased; nothing is left to pay back")
    if amount.minor <= 0 or amount.currency != charge.currency:
        raise EntryRefused(f"a refund is more than zero, in {charge.currency}")
    return charge


def _check_refund(session: Session, charge: ProcessorCallRow, amount: Money) -> None:
    """What was asked for counts, whether the processor has done it yet or not."""
    asked = session.execute(
        select(func.coalesce(total(col(ProcessorCallRow.minor)), 0)).where(
            col(ProcessorCallRow.corrects) == charge.call_id,
            col(ProcessorCallRow.state) != "failed",
        )
    ).scalar_one()
    taken = _taken_back(session, charge.call_id)
    left = Money(charge.minor - int(asked) - taken, charge.currency)
    if (left - amount).minor < 0:
        raise EntryRefused(f"{amount.text()} cannot be refunded: of the top-up {left.text()} "
                           "is left")  # fmt: skip
    account = find_account(session, charge.account_id or "", charge.currency)
    if account.balance_minor < amount.minor:
        has = Money(account.balance_minor, account.currency)
        raise EntryRefused(f"{amount.text()} cannot be refunded: the balance is {has.text()}")


def _taken_back(session: Session, charge_id: str) -> int:
    """What went back of a top-up without a refund of ours and did not return, in minor units.

    The processor told us of it, or a person found it in the processor's report.
    """
    rule, amount = col(EntryRow.rule), col(EntryRow.amount_minor)
    kept = case((rule.in_(_TAKEN), amount), else_=-amount)
    query = select(func.coalesce(total(kept), 0)).where(
        col(EntryRow.corrects) == charge_id,
        col(EntryRow.kind).in_(("chargeback", RESOLUTION)),
        rule.in_((*_TAKEN, *_RETURNED)),
    )
    return max(0, int(session.execute(query).scalar_one()))


def call_draft(
    ledger: Ledger,
    writer: LogWriter,
    call: ProcessorCallRow,
    kind: str,
    entry_id: str,
    *,
    debit: str,
    credit: str,
    facts: Mapping[str, Any] = MappingProxyType({}),
) -> Draft:
    """The entry a call leads to; what is not about the rider does not name one."""
    told = dict(facts)
    if kind in WORDS and "rule" not in told:
        told["rule"] = {"code": kind, "words": WORDS[kind]}
    if call.corrects:
        told["corrects"] = call.corrects
    return Draft(
        kind=kind,
        entry_id=entry_id,
        occurred_at=writer.recorded_at,
        amount=Money(call.minor, call.currency),
        postings=transfer(Money(call.minor, call.currency), debit=debit, credit=credit),
        facts=told,
        account_id=call.account_id if RIDER in (debit, credit) else None,
        account_key=rider_key(ledger, call.account_id if RIDER in (debit, credit) else None),
    )


def rider_key(ledger: Ledger, account_id: str | None) -> bytes | None:
    """The key that commits entries to the rider, None for one who was erased."""
    try:
        return None if account_id is None else ledger.vault.key(key_name(account_id))
    except KeyErased:
        return None
