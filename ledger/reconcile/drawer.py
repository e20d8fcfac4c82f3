"""The cash desk: a clerk's drawer from its opening count to its closing count.

What must be in the drawer is the opening count and whatever the clerk's entries moved
through ``assets:cash_desk`` since. What is over or short is booked, not argued away:

    short by 1.00     expenses:cash_over_short   +100
                      assets:cash_desk           -100

A clerk has one open drawer at a time. Closing it again under the same id changes nothing.

Cash leaves the desk for the bank out of a clerk's own drawer, in a bag with a slip whose
number the bank will name. Until the bank's statement has it, it is on its way:

    60.00 to the bank assets:payouts_in_transit +6000
                      assets:cash_desk          -6000
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid5

from sqlalchemy import func, select
from sqlmodel import Session, col

from ledger.checkpoints import log_size
from ledger.entries import Draft, decode
from ledger.ledger import Ledger
from ledger.once import EntryRefused, Recorded, check_entry_id, record, recorded_before
from ledger.postings import CASH_DESK, transfer
from ledger.rollups import PAYOUTS
from ledger.store import LogWriter, total
from ledger.topups import drawer_of, own_drawer, staff_key_name
from models.database import writing
from models.money import Money
from models.tables.ledger import EntryRow, PostingRow
from models.tables.reconcile import OPEN, DrawerRow, MovementRow

OVER_SHORT = "expenses:cash_over_short"
DEPOSIT = "cash_deposit"

_SLIP = re.compile(r"[A-Z0-9][A-Z0-9-]{5,39}")


@dataclass(frozen=True, slots=True)
class ClosedDrawer:
    """What was expected in a drawer and what was counted."""

    expected: Money
    counted: Money

    @property
    def over(self) -> Money:
        """Positive where there was more than expected, negative where there was less."""
        return self.counted - self.expected


def open_drawer(ledger: Ledger, drawer_id: str, counted: Money, clerk: str) -> None:
    """Begin the clerk's turn with ``counted`` cash; raise ``EntryRefused`` if one is open."""
    check_entry_id(drawer_id)
    if counted.minor < 0 or counted.currency != ledger.settings.currency:
        raise EntryRefused(f"count the drawer in {ledger.settings.currency}, nothing below zero")
    with writing(ledger.engine) as session:
        writer = LogWriter(session, ledger.clock())
        kept = session.get(DrawerRow, drawer_id)
        if kept is not None:
            if (kept.clerk, kept.opening_minor) != (clerk, counted.minor):
                raise EntryRefused("the id was used for another drawer; start again")
            return
        if drawer_of(session, clerk) is not None:
            raise EntryRefused("close the drawer that is open before opening another")
        session.add(
            DrawerRow(
                drawer_id=drawer_id,
                clerk=clerk,
                currency=counted.currency,
                opened_at=writer.recorded_at,
                opened_size=log_size(session),
                opening_minor=counted.minor,
            )
        )


def close_drawer(ledger: Ledger, drawer_id: str, counted: Money, made_by: str) -> ClosedDrawer:
    """End the turn with ``counted`` cash and book what is over or short.

    Raises ``EntryRefused`` where there is no such drawer, or it was closed with another count.
    """
    check_entry_id(drawer_id)
    made_by_key = ledger.vault.create(staff_key_name(made_by))
    with writing(ledger.engine) as session:
        writer = LogWriter(session, ledger.clock())
        drawer = session.get(DrawerRow, drawer_id)
        if drawer is None or counted.minor < 0 or counted.currency != drawer.currency:
            raise EntryRefused("there is no such drawer in this currency")
        if drawer.closed_at is not None:
            return _closed_before(drawer, counted)
        expected = Money(drawer.opening_minor + _taken(session, drawer), drawer.currency)
        closed = ClosedDrawer(expected, counted)
        drawer.closed_at, drawer.counted_minor = writer.recorded_at, counted.minor
        drawer.expected_minor = expected.minor
        if closed.over.minor:
            draft = _draft(writer, drawer, closed.over, made_by, made_by_key)
            drawer.entry_id = draft.entry_id
            writer.append(draft)
            writer.save()
        session.add(drawer)
        return closed


def _closed_before(drawer: DrawerRow, counted: Money) -> ClosedDrawer:
    assert drawer.expected_minor is not None  # written with closed_at
    if drawer.counted_minor != counted.minor:
        raise EntryRefused("the drawer was closed with another count; nothing was changed")
    return ClosedDrawer(Money(drawer.expected_minor, drawer.currency), counted)


def _taken(session: Session, drawer: DrawerRow) -> int:
    """What the clerk's entries moved through the desk since the drawer was opened."""
    query = (
        select(func.coalesce(total(col(PostingRow.minor)), 0))
        .join(EntryRow, col(EntryRow.seq) == col(PostingRow.entry_seq))
        .where(
            col(EntryRow.seq) >= drawer.opened_size,
            col(EntryRow.made_by) == drawer.clerk,
            col(PostingRow.account) == CASH_DESK,
            col(PostingRow.currency) == drawer.currency,
        )
    )
    return int(session.execute(query).scalar_one())


def deposit_cash(
    ledger: Ledger, deposit_id: str, amount: Money, slip: str, made_by: str
) -> Recorded:
    """Record that ``amount`` of the clerk's own drawer goes to the bank with the slip ``slip``.

    Raises ``NoOpenDrawer`` without one; ``EntryRefused`` for a bad id, amount or slip, for more
    than should be in the drawer, and while another bag with this slip is on its way;
    ``EntryConflict`` where the id was used for anything else.
    """
    check_entry_id(deposit_id)
    slip = slip.strip().upper()
    if not _SLIP.fullmatch(slip):
        raise EntryRefused(
            "write the number of the slip or bag as the bank has it: 6 to 40 letters, digits and "
            "dashes"
        )
    if amount.minor <= 0 or amount.currency != ledger.settings.currency:
        raise EntryRefused(f"carry more than zero to the bank, in {ledger.settings.currency}")
    made_by_key = ledger.vault.create(staff_key_name(made_by))
    with writing(ledger.engine) as session:
        writer = LogWriter(session, ledger.clock())
        rule = {"code": DEPOSIT, "words": "Carried to the bank."}
        draft = Draft(
            kind=DEPOSIT,
            entry_id=deposit_id,
            occurred_at=writer.recorded_at,
            amount=amount,
            postings=transfer(amount, debit=PAYOUTS, credit=CASH_DESK),
            facts={"slip": slip, "rule": rule},
            made_by=made_by,
            made_by_key=made_by_key,
        )
        earlier = recorded_before(session, draft)
        if earlier is not None:
            return earlier
        drawer = own_drawer(session, made_by)
        if drawer.opening_minor + _taken(session, drawer) < amount.minor:
            raise EntryRefused("there should not be that much in your drawer; count it again")
        if slip in (waiting.slip for waiting in deposits_under_way(session)):
            raise EntryRefused(f"a bag with the slip {slip} is on its way already")
        return record(writer, draft)


@dataclass(frozen=True, slots=True)
class Deposit:
    """Cash on its way to the bank."""

    seq: int
    entry_id: str
    amount: Money
    day: str
    slip: str


def deposits_under_way(session: Session) -> list[Deposit]:
    """The bags that no bank statement has had yet, the oldest first."""
    return deposits(session, OPEN)


def deposits(session: Session, *where: Any) -> list[Deposit]:
    """The bags that ``where`` says of their movements, the oldest first."""
    query = (
        select(MovementRow, col(EntryRow.body))
        .join(EntryRow, col(EntryRow.seq) == col(MovementRow.entry_seq))
        .where(*where, col(MovementRow.account) == PAYOUTS)
        .order_by(col(MovementRow.day), col(MovementRow.entry_id))
    )
    return [
        Deposit(row.entry_seq, row.entry_id, Money(row.minor, row.currency), row.day,
                decode(body)["slip"])
        for row, body in session.execute(query)
    ]  # fmt: skip


def _draft(
    writer: LogWriter, drawer: DrawerRow, over: Money, made_by: str, made_by_key: bytes
) -> Draft:
    short = over.minor < 0
    amount = -over if short else over
    sides = (OVER_SHORT, CASH_DESK) if short else (CASH_DESK, OVER_SHORT)
    code = "cash_short" if short else "cash_over"
    words = "The drawer held less than it should." if short else "The drawer held more."
    return Draft(
        kind="drawer_close",
        entry_id=str(uuid5(UUID(drawer.drawer_id), "close")),
        occurred_at=writer.recorded_at,
        amount=amount,
        postings=transfer(amount, debit=sides[0], credit=sides[1]),
        facts={"rule": {"code": code, "words": words}},
        made_by=made_by,
        made_by_key=made_by_key,
    )
