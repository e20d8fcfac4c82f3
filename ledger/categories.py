"""Rider categories of accounts, by service days: a journey has the category of its own time.

Enrollment proves a category and says so when the account is opened. A change is a new row
from a later day on; the rows before stay, so what was ridden under them is never re-rated.
A proven category ends after ``concession_valid_days`` of the fares in force.
"""

from __future__ import annotations

from datetime import date, datetime

from sqlalchemy import select, update
from sqlmodel import Session, col

from ledger.fares.book import FareBook
from ledger.ledger import Ledger
from models.database import writing
from models.errors import FacefareError
from models.tables.ledger import AccountCategoryRow, FareStateRow

ADULT = "adult"
"""The category of whoever proved no other; it needs no row and does not end."""


class CategoryRefused(FacefareError):
    """A change of category that cannot be made."""


def record_category(
    session: Session,
    book: FareBook,
    account_id: str,
    category: str,
    now: datetime,
    *,
    first: date | None = None,
    made_by: str | None = None,
) -> None:
    """Add the category from the service day ``first`` (today's where not given) on."""
    today, rates = book.at(now)
    start = (first or date.fromordinal(today)).toordinal()
    days = rates.tables.policy("").concession_valid_days
    last = date.max if category == ADULT else date.fromordinal(start + days - 1)
    session.merge(
        AccountCategoryRow(
            account_id=account_id,
            first_day=date.fromordinal(start).isoformat(),
            last_day=last.isoformat(),
            category=category,
            recorded_at=now,
            made_by=made_by,
        )
    )


def change_category(ledger: Ledger, account_id: str, category: str, made_by: str) -> date:
    """Give the account another category from tomorrow's service day on; return that day.

    Raises ``CategoryRefused`` where there is no such account.
    """
    now = ledger.clock()
    with writing(ledger.engine) as session:
        book = ledger.fares.book(session)
        first = date.fromordinal(book.at(now)[0] + 1)
        state = col(FareStateRow.account_id) == account_id
        # A higher version makes every server read the rider anew.
        moved = session.execute(
            update(FareStateRow).where(state).values(version=FareStateRow.version + 1)
        )
        if not moved.rowcount:  # type: ignore[attr-defined]
            raise CategoryRefused(f"there is no account {account_id}; look its number up again")
        record_category(session, book, account_id, category, now, first=first, made_by=made_by)
    return first


def category_now(session: Session, account_id: str, day: int) -> str:
    """The category that holds on a service day."""
    shown = date.fromordinal(day).isoformat()
    query = select(col(AccountCategoryRow.category)).where(
        col(AccountCategoryRow.account_id) == account_id,
        col(AccountCategoryRow.first_day) <= shown,
        col(AccountCategoryRow.last_day) >= shown,
    )
    newest = query.order_by(col(AccountCategoryRow.first_day).desc()).limit(1)
    return str(session.execute(newest).scalar() or ADULT)
