"""Credits that no ride caused: goodwill, disputes and debts we no longer expect.

    goodwill 2.00         expenses:goodwill    +200    our expense; the income stays
                          liabilities:rider    -200

    write-off 5.00        expenses:bad_debt    +500    the rider owed it and will not pay
                          liabilities:rider    -500

    dispute credit 2.00   assets:suspense      +200    while the charge is looked into
                          liabilities:rider    -200
    … upheld              income:fares:metro   +200    the rider was right
                          assets:suspense      -200
    … rejected            liabilities:rider    +200    the rider was wrong
                          assets:suspense      -200

A dispute credit is a refund for as long as it lasts: refunds and dispute credits of a ride
together never exceed its charge. It is settled at most once, like a hold: the settling
entry's id is made from the credit's.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from types import MappingProxyType
from typing import Any
from uuid import UUID, uuid5

from sqlalchemy import select
from sqlmodel import Session, col

from ledger.accounts import find_account, key_name
from ledger.entries import Draft
from ledger.given_back import check_given_back, find_fare, income_of
from ledger.giving import Credit, checked_reason, find_ride, give
from ledger.ledger import Ledger
from ledger.limits import NO_LIMIT, Limit
from ledger.once import EntryRefused, Recorded, check_entry_id, record, recorded_before
from ledger.postings import BAD_DEBT, GOODWILL, RIDER, UNCLAIMED, transfer
from ledger.store import LogWriter
from ledger.topups import staff_key_name
from models.database import writing
from models.money import Money
from models.tables.ledger import AccountRow, EntryRow

SUSPENSE = "assets:suspense"
DISPUTE = "dispute_credit"
_DISPUTED = {DISPUTE: "Credited while the charge is looked into."}

GOODWILL_REASONS = {
    "apology": "An apology for trouble on the way.",
    "promotion": "A promotion.",
}
WRITE_OFF_REASONS = {
    "uncollectable": "The debt cannot be collected.",
    "small_balance": "The debt is smaller than what it costs to collect it.",
}
CREDITS = {
    "goodwill": (GOODWILL, GOODWILL_REASONS),
    "write_off": (BAD_DEBT, WRITE_OFF_REASONS),
}
"""What an account is credited with, without a ride: who pays, and why."""


def credit_account(
    ledger: Ledger,
    kind: str,
    account_id: str,
    amount: Money,
    reason: str,
    entry_id: str,
    made_by: str,
    limit: Limit | None = NO_LIMIT,
    facts: Mapping[str, Any] = MappingProxyType({}),
) -> Recorded:
    """Give the account ``amount`` as ``goodwill``, or as a ``write_off`` of what it owes.

    Raises ``EntryRefused`` for a reason that is not one of the kind's, and where more would be
    written off than is owed; else as ``give`` does.
    """
    debit, reasons = CREDITS[kind]
    rule = checked_reason(reason, reasons)

    def look(session: Session) -> Credit:
        account = find_account(session, account_id, amount.currency)
        check = partial(_check_owed, account, amount) if kind == "write_off" else _anything
        return Credit(kind, account_id, debit, {**facts, "rule": rule}, check)

    return give(ledger, entry_id, amount, made_by, limit, look)


def _anything() -> None:
    """Goodwill may be given to anybody."""


def _check_owed(account: AccountRow, amount: Money) -> None:
    if account.balance_minor + amount.minor > 0:
        owed = Money(max(0, -account.balance_minor), account.currency)
        raise EntryRefused(f"{amount.text()} cannot be written off: {owed.text()} are owed")


def dispute_credit(
    ledger: Ledger,
    ride_id: str,
    amount: Money,
    entry_id: str,
    made_by: str,
    limit: Limit | None = NO_LIMIT,
    facts: Mapping[str, Any] = MappingProxyType({}),
) -> Recorded:
    """Credit ``amount`` of a disputed ride until the dispute is settled."""
    rule = checked_reason(DISPUTE, _DISPUTED)

    def look(session: Session) -> Credit:
        ride, account_id = find_ride(session, ride_id)
        check = partial(check_given_back, ledger, session, ride, amount)
        return Credit(
            "refund", account_id, SUSPENSE, {**facts, "corrects": ride_id, "rule": rule}, check
        )

    return give(ledger, entry_id, amount, made_by, limit, look)


def settle_dispute(ledger: Ledger, credit_id: str, *, upheld: bool, made_by: str) -> Recorded:
    """Settle a dispute credit once and for all: the rider was right (``upheld``), or was not.

    Raises ``EntryRefused`` where there is no such credit, ``EntryConflict`` where it was
    settled the other way.
    """
    check_entry_id(credit_id)
    made_by_key = ledger.vault.create(staff_key_name(made_by))
    kind = "dispute_upheld" if upheld else "dispute_rejected"
    words = "The charge was wrong." if upheld else "The charge was right; the credit is taken back."
    with writing(ledger.engine) as session:
        now = ledger.clock()
        writer = LogWriter(session, now)
        credit = _credit(session, credit_id)
        amount, account_id = Money(credit.amount_minor, credit.currency), credit.account_id
        if upheld:
            bears, account_id = income_of(find_fare(session, credit.corrects or "")), None
        else:
            bears = UNCLAIMED if account_id is None else RIDER
        draft = Draft(
            kind=kind,
            entry_id=str(uuid5(UUID(credit_id), "settlement")),
            occurred_at=now,
            amount=amount,
            postings=transfer(amount, debit=bears, credit=SUSPENSE),
            facts={"corrects": credit_id, "rule": {"code": kind, "words": words}},
            account_id=account_id,
            account_key=None if account_id is None else ledger.vault.key(key_name(account_id)),
            made_by=made_by,
            made_by_key=made_by_key,
        )
        return recorded_before(session, draft) or record(writer, draft)


def _credit(session: Session, credit_id: str) -> EntryRow:
    query = select(EntryRow).where(col(EntryRow.entry_id) == credit_id)
    row: EntryRow | None = session.execute(query).scalar()
    if row is None or row.kind != "refund" or row.rule != DISPUTE:
        raise EntryRefused(f"there is no dispute credit with the id {credit_id!r}")
    return row
