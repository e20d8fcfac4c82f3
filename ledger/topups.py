"""Top-ups: money a rider hands over the counter, recorded exactly once.

The id is made by whoever takes the money, before it is sent: a form that is posted twice,
or again after a crash, finds the entry that is there and records nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from sqlmodel import select

from ledger.accounts import find_account, key_name
from ledger.entries import Draft
from ledger.ledger import Ledger
from ledger.postings import CASH_DESK, RIDER, transfer
from ledger.store import LogWriter
from models.database import writing
from models.errors import FacefareError
from models.money import Money
from models.tables.ledger import EntryRow


class TopUpRefused(FacefareError):
    """A top-up that cannot be recorded."""


class TopUpConflict(TopUpRefused):
    """The id belongs to something else that was recorded before."""


@dataclass(frozen=True, slots=True)
class ToppedUp:
    """The top-up's entry number; ``replayed`` when it was there already."""

    entry: int
    replayed: bool


def staff_key_name(name: str) -> str:
    """The name in the vault of the key that commits entries to a member of staff."""
    return f"staff:{name}"


def top_up(
    ledger: Ledger, account_id: str, amount: Money, top_up_id: str, made_by: str
) -> ToppedUp:
    """Record cash of a rider taken by the member of staff ``made_by``.

    Raises ``TopUpRefused`` for a bad id or amount, ``TopUpConflict`` where the id was used
    for anything else, ``AccountError`` where there is no such account.
    """
    _check(ledger, amount, top_up_id)
    made_by_key = ledger.vault.create(staff_key_name(made_by))
    with writing(ledger.engine) as session:
        find_account(session, account_id, ledger.settings.currency)
        earlier = session.exec(select(EntryRow).where(EntryRow.entry_id == top_up_id)).first()
        if earlier is not None:
            return _replayed(earlier, account_id, amount)
        now = ledger.clock()
        draft = Draft(
            kind="top_up",
            entry_id=top_up_id,
            occurred_at=now,
            amount=amount,
            postings=transfer(amount, debit=CASH_DESK, credit=RIDER),
            facts={"method": "cash"},
            account_id=account_id,
            account_key=ledger.vault.key(key_name(account_id)),
            made_by=made_by,
            made_by_key=made_by_key,
        )
        writer = LogWriter(session, now)
        seq = writer.append(draft)
        writer.save()
    return ToppedUp(seq, replayed=False)


def _check(ledger: Ledger, amount: Money, top_up_id: str) -> None:
    try:
        canonical = str(UUID(top_up_id))
    except ValueError as error:
        raise TopUpRefused(f"a top-up's id is a UUID, not {top_up_id!r}") from error
    if canonical != top_up_id:
        raise TopUpRefused(f"a top-up's id is a UUID in lower case, not {top_up_id!r}")
    if amount.currency != ledger.settings.currency:
        raise TopUpRefused(f"this ledger keeps accounts in {ledger.settings.currency}")
    if amount.minor <= 0:
        raise TopUpRefused("a top-up is more than zero")


def _replayed(earlier: EntryRow, account_id: str, amount: Money) -> ToppedUp:
    same = (earlier.kind, earlier.account_id, earlier.amount_minor, earlier.currency)
    if same != ("top_up", account_id, amount.minor, amount.currency):
        raise TopUpConflict(
            f"the id {earlier.entry_id} was used for another entry; nothing was recorded. "
            "Start a new top-up"
        )
    return ToppedUp(earlier.seq, replayed=True)
