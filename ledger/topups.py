"""Top-ups: money a rider hands over the counter, recorded exactly once.

Cash goes into the open drawer of whoever takes it, so that it is counted when the drawer is
closed (``ledger.reconcile.drawer``). Without one nothing is taken.
"""

from __future__ import annotations

from flask_babel import gettext as _
from sqlalchemy import select
from sqlmodel import Session, col

from ledger.accounts import find_account, key_name
from ledger.entries import Draft
from ledger.ledger import Ledger
from ledger.once import EntryRefused, Recorded, check_entry_id, record, recorded_before
from ledger.postings import CASH_DESK, RIDER, transfer
from ledger.store import LogWriter
from models.database import writing
from models.money import Money
from models.tables.reconcile import NOT_CLOSED, DrawerRow


class NoOpenDrawer(EntryRefused):
    """Cash cannot be handled: whoever does it has no drawer that is open."""


def staff_key_name(name: str) -> str:
    """The name in the vault of the key that commits entries to a member of staff."""
    return f"staff:{name}"


def top_up(
    ledger: Ledger, account_id: str, amount: Money, top_up_id: str, made_by: str
) -> Recorded:
    """Record cash of a rider taken by the member of staff ``made_by``.

    Raises ``EntryRefused`` for a bad id or amount, ``EntryConflict`` where the id was used
    for anything else, ``AccountError`` where there is no such account, ``NoOpenDrawer`` where
    ``made_by`` has none.
    """
    check_entry_id(top_up_id)
    if amount.currency != ledger.settings.currency:
        raise EntryRefused(f"this ledger keeps accounts in {ledger.settings.currency}")
    if amount.minor <= 0:
        raise EntryRefused("a top-up is more than zero")
    made_by_key = ledger.vault.create(staff_key_name(made_by))
    with writing(ledger.engine) as session:
        now = ledger.clock()
        writer = LogWriter(session, now)
        find_account(session, account_id, ledger.settings.currency)
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
        earlier = recorded_before(session, draft)
        if earlier is not None:
            return earlier
        own_drawer(session, made_by)
        return record(writer, draft)


def drawer_of(session: Session, clerk: str) -> DrawerRow | None:
    """The clerk's open drawer, None where there is none; the schema has it that it is one."""
    query = select(DrawerRow).where(col(DrawerRow.clerk) == clerk, NOT_CLOSED)
    drawer: DrawerRow | None = session.execute(query).scalar()
    return drawer


def own_drawer(session: Session, clerk: str) -> DrawerRow:
    """The clerk's open drawer; raise ``NoOpenDrawer`` where there is none."""
    drawer = drawer_of(session, clerk)
    if drawer is None:
        raise NoOpenDrawer(_("Open your drawer first: cash is counted with the drawer it lies in."))
    return drawer
