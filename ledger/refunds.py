"""Refunds: what a ride cost goes back to the rider's account, never more than it cost.

The ride's entry stays as it is. A refund is a new entry that names it (``corrects``) and
gives a reason code; the ride's refunds together never exceed its charge, and all refunds of
a week never exceed what the week cost the rider after caps and corrections: what a fare
adjustment gave back already is not given back once more.

    a refund of 2.00      income:fares:metro  +200    we earned less
                          liabilities:rider   -200    we owe the rider more

Out of goodwill it is our expense instead: ``expenses:goodwill``, and the income stays.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from sqlalchemy import select
from sqlmodel import Session, col

from ledger.accounts import find_account, key_name
from ledger.entries import Draft
from ledger.given_back import check_given_back, income_of
from ledger.ledger import Ledger
from ledger.limits import NO_LIMIT, Limit
from ledger.once import EntryRefused, Recorded, check_entry_id, record, recorded_before
from ledger.postings import GOODWILL, RIDER, transfer
from ledger.store import LogWriter
from ledger.topups import staff_key_name
from models.database import writing
from models.money import Money
from models.tables.ledger import EntryRow

REASONS = {
    "wrong_charge": "The ride was charged wrongly.",
    "not_travelled": "The rider did not travel.",
    "disruption": "The service was disrupted.",
    "goodwill": "A gesture of goodwill.",
}


def refund(
    ledger: Ledger,
    ride_id: str,
    amount: Money,
    reason: str,
    refund_id: str,
    made_by: str,
    limit: Limit | None = NO_LIMIT,
    facts: Mapping[str, Any] = MappingProxyType({}),
) -> Recorded:
    """Give back ``amount`` of the ride with the entry id ``ride_id``.

    ``facts`` are further members of the entry. Raises ``AboveLimit`` where one person may
    not give that much alone; ``EntryRefused`` where there is no such ride, its rider was
    erased, the reason is unknown or more would be given back than was charged;
    ``EntryConflict`` where the id was used for anything else.
    """
    check_entry_id(refund_id)
    if reason not in REASONS:
        raise EntryRefused(f"a refund's reason is one of {', '.join(REASONS)}, not {reason!r}")
    made_by_key = ledger.vault.create(staff_key_name(made_by))
    with writing(ledger.engine) as session:
        now = ledger.clock()
        writer = LogWriter(session, now)
        ride, account_id = _ride(session, ride_id)
        find_account(session, account_id, amount.currency)
        paid_by = GOODWILL if reason == "goodwill" else income_of(session, ride)
        draft = Draft(
            kind="refund",
            entry_id=refund_id,
            occurred_at=now,
            amount=amount,
            postings=transfer(amount, debit=paid_by, credit=RIDER),
            facts={
                **facts,
                "corrects": ride_id,
                "rule": {"code": reason, "words": REASONS[reason]},
            },
            account_id=account_id,
            account_key=ledger.vault.key(key_name(account_id)),
            made_by=made_by,
            made_by_key=made_by_key,
        )
        earlier = recorded_before(session, draft)
        if earlier is not None:
            return earlier
        check_given_back(ledger, session, ride, amount)
        if limit is not None:
            limit.check(session, draft)
        return record(writer, draft)


def _ride(session: Session, ride_id: str) -> tuple[EntryRow, str]:
    """The ride and its account."""
    ride = session.execute(select(EntryRow).where(col(EntryRow.entry_id) == ride_id)).scalar()
    if ride is None or ride.kind != "ride":
        raise EntryRefused(f"there is no ride with the id {ride_id!r}")
    if ride.account_id is None:
        raise EntryRefused("the ride's rider was erased; nobody can be refunded")
    return ride, ride.account_id
