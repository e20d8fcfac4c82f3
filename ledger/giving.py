"""Give a rider something: the one way in which staff credit an account.

A refund, a dispute credit, goodwill and a write-off differ in who pays (``debit``), in what
they are about and in what must hold when the money moves. That is a ``Credit``, which is
looked up in the transaction that gives it; everything else is the same and stands here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from sqlmodel import Session

from ledger.accounts import find_account, key_name
from ledger.entries import Draft
from ledger.given_back import find_fare
from ledger.ledger import Ledger
from ledger.limits import Limit
from ledger.once import EntryRefused, Recorded, check_entry_id, record, recorded_before
from ledger.postings import RIDER, transfer
from ledger.store import LogWriter
from ledger.topups import staff_key_name
from models.database import writing
from models.money import Money
from models.tables.ledger import EntryRow


@dataclass(frozen=True, slots=True)
class Credit:
    """What is given to whom: ``facts`` are members of the entry, ``check`` what must hold."""

    kind: str
    account_id: str
    debit: str
    facts: Mapping[str, Any]
    check: Callable[[], None]


def give(
    ledger: Ledger,
    entry_id: str,
    amount: Money,
    made_by: str,
    limit: Limit | None,
    look: Callable[[Session], Credit],
) -> Recorded:
    """Record the credit that ``look`` finds, once, within what ``made_by`` may give alone.

    Raises ``AboveLimit`` above it; ``EntryRefused`` for a bad id or amount and for what
    ``look`` and its check refuse; ``EntryConflict`` where the id was used for anything else.
    """
    check_entry_id(entry_id)
    if amount.minor <= 0:
        raise EntryRefused("what is given back is more than zero")
    made_by_key = ledger.vault.create(staff_key_name(made_by))
    with writing(ledger.engine) as session:
        now = ledger.clock()
        writer = LogWriter(session, now)
        credit = look(session)
        find_account(session, credit.account_id, amount.currency)
        draft = Draft(
            kind=credit.kind,
            entry_id=entry_id,
            occurred_at=now,
            amount=amount,
            postings=transfer(amount, debit=credit.debit, credit=RIDER),
            facts=credit.facts,
            account_id=credit.account_id,
            account_key=ledger.vault.key(key_name(credit.account_id)),
            made_by=made_by,
            made_by_key=made_by_key,
        )
        earlier = recorded_before(session, draft)
        if earlier is not None:
            return earlier
        credit.check()
        if limit is not None:
            limit.check(session, draft)
        return record(writer, draft)


def find_ride(session: Session, ride_id: str) -> tuple[EntryRow, str]:
    """The fare's entry and its account; ``EntryRefused`` where either is not there (any more)."""
    ride = find_fare(session, ride_id)
    if ride.account_id is None:
        raise EntryRefused("the ride's rider was erased; nobody can be given anything back")
    return ride, ride.account_id


def checked_reason(reason: str, known: Mapping[str, str]) -> dict[str, str]:
    """The entry's rule for one of the ``known`` reasons; raise ``EntryRefused`` for another."""
    if reason not in known:
        raise EntryRefused(f"the reason is one of {', '.join(known)}, not {reason!r}")
    return {"code": reason, "words": known[reason]}
