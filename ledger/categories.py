"""Rider categories of accounts, by service days: a journey has the category of its own time.

Enrollment proves a category and says so when the account is opened. A change is a new row
from a later day on; the rows before stay, so what was ridden under them is never re-rated.
A proven category ends after ``concession_valid_days`` of the fares in force.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, timedelta

from sqlalchemy import select, update
from sqlmodel import Session, col

from ledger.fares.book import FareBook
from ledger.ledger import Ledger
from models.database import reading, writing
from models.errors import FacefareError
from models.tables.ledger import AccountCategoryRow, FareStateRow

ADULT = "adult"
"""The category of whoever proved no other; it needs no row and does not end."""


class CategoryRefused(FacefareError):
    """A change of category that cannot be made."""


@dataclass(frozen=True, slots=True)
class CategoryDays:
    """A category and the service days on which it holds; ``last`` is None where it does not end."""

    category: str
    first: date
    last: date | None


def record_category(
    session: Session,
    book: FareBook,
    account_id: str,
    category: str,
    now: datetime,
    *,
    first: date | None = None,
    until: date | None = None,
    made_by: str | None = None,
) -> None:
    """Add the category from the service day ``first`` (today's where not given) on.

    A proven one holds as long as the fares say, or only to ``until`` where its proof ends sooner.
    """
    today, rates = book.at(now)
    start = (first or date.fromordinal(today)).toordinal()
    days = rates.tables.policy("").concession_valid_days
    proven = min(date.fromordinal(start + days - 1), until or date.max)
    last = date.max if category == ADULT else proven
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


def change_category(
    ledger: Ledger, account_id: str, category: str, made_by: str, until: date | None = None
) -> date:
    """Give the account another category from tomorrow's service day on; return that day.

    ``until`` is the last day of the proof, where it has one. Raises ``CategoryRefused`` where
    there is no such account, or the proof ends before the change begins.
    """
    now = ledger.clock()
    with writing(ledger.engine) as session:
        book = ledger.fares.book(session)
        first = date.fromordinal(book.at(now)[0] + 1)
        if until is not None and until < first:
            raise CategoryRefused(f"the proof ends before {first}, when the change would begin")
        state = col(FareStateRow.account_id) == account_id
        # A higher version makes every server read the rider anew.
        moved = session.execute(
            update(FareStateRow).where(state).values(version=FareStateRow.version + 1)
        )
        if not moved.rowcount:  # type: ignore[attr-defined]
            raise CategoryRefused(f"there is no account {account_id}; look its number up again")
        record_category(
            session, book, account_id, category, now, first=first, until=until, made_by=made_by
        )
    return first


def categories_ahead(ledger: Ledger, account_id: str) -> list[CategoryDays]:
    """What holds from today's service day on, in order; the last of them does not end."""
    with reading(ledger.engine) as session:
        today = date.fromordinal(ledger.fares.book(session).at(ledger.clock())[0])
        mine = col(AccountCategoryRow.account_id) == account_id
        rows = session.execute(select(AccountCategoryRow).where(mine)).scalars().all()
    spans = [(_day(row.first_day), _day(row.last_day), row.category) for row in rows]
    turns = {first for first, _, _ in spans} | {_after(last) for _, last, _ in spans}
    days = [today, *sorted(day for day in turns if today < day < date.max)]
    found: list[CategoryDays] = []
    for day, following in zip(days, [*days[1:], None], strict=True):
        held = max((span for span in spans if span[0] <= day <= span[1]), default=None)
        category = ADULT if held is None else held[2]
        last = None if following is None else following - timedelta(days=1)
        if found and found[-1].category == category:
            day = found.pop().first  # noqa: PLW2901 - one span, proved twice
        found.append(CategoryDays(category, day, last))
    return found


def _day(text: str) -> date:
    return date.fromisoformat(text)


def _after(day: date) -> date:
    return date.max if day == date.max else day + timedelta(days=1)


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
