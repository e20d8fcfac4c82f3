"""The cash desk: a clerk's drawer from its opening count to its closing count.

What must be in the drawer is the opening count and whatever the clerk's entries moved
through ``assets:cash_desk`` since. What is over or short is booked, not argued away:

    short by 1.00     expenses:cash_over_short   +100
                      assets:cash_desk           -100

A clerk has one open drawer at a time. Closing it again under the same id changes nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID, uuid5

from sqlalchemy import func, select
from sqlmodel import Session, col

from ledger.checkpoints import log_size
from ledger.entries import Draft
from ledger.ledger import Ledger
from ledger.once import EntryRefused, check_entry_id
from ledger.postings import CASH_DESK, transfer
from ledger.store import LogWriter, total
from ledger.topups import staff_key_name
from models.database import writing
from models.money import Money
from models.tables.ledger import EntryRow, PostingRow
from models.tables.reconcile import NOT_CLOSED, DrawerRow

OVER_SHORT = "expenses:cash_over_short"


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
        if session.execute(
            select(DrawerRow).where(col(DrawerRow.clerk) == clerk, NOT_CLOSED)
        ).first():
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
