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
from functools import partial
from types import MappingProxyType
from typing import Any

from sqlmodel import Session

from ledger.given_back import check_given_back, income_of
from ledger.giving import Credit, checked_reason, find_ride, give
from ledger.ledger import Ledger
from ledger.limits import NO_LIMIT, Limit
from ledger.once import Recorded
from ledger.postings import GOODWILL
from models.money import Money

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
    rule = checked_reason(reason, REASONS)

    def look(session: Session) -> Credit:
        ride, account_id = find_ride(session, ride_id)
        paid_by = GOODWILL if reason == "goodwill" else income_of(ride)
        check = partial(check_given_back, ledger, session, ride, amount)
        return Credit(
            "refund", account_id, paid_by, {**facts, "corrects": ride_id, "rule": rule}, check
        )

    return give(ledger, refund_id, amount, made_by, limit, look)
