"""Which days of the books are closed, and where a correction may still be booked.

A day is closed with its own report or with its month's; a day before it, on which nothing was
posted, is closed with it. What belongs to a closed day is booked on the day it is recorded:
closed books are corrected in the open period.
"""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import func, select
from sqlmodel import Session, col

from ledger.rollups import books_zone
from models.tables.reconcile import PeriodCloseRow, PeriodReopeningRow, PostingTotalRow


def closings(session: Session, period: str) -> tuple[int, bool]:
    """How often a day or month was closed, and whether it is closed now."""
    closed = _newest(session, PeriodCloseRow, period)
    return closed, closed > _newest(session, PeriodReopeningRow, period)


def _newest(session: Session, row: type, period: str) -> int:
    query = select(func.coalesce(func.max(col(row.revision)), 0)).where(col(row.period) == period)  # type: ignore[attr-defined]
    return int(session.execute(query).scalar_one())


def is_closed(session: Session, day: str) -> bool:
    """Whether nothing may be booked on ``day`` any more."""
    own = [closings(session, period) for period in (day, day[:7])]
    if any(revision for revision, _ in own):
        return any(closed for _, closed in own)
    return any(period > day for period in _closed_now(session))


def first_open_before(session: Session, day: str) -> str | None:
    """The first day before ``day`` that has postings and is not closed."""
    closed, posted = _closed_now(session), col(PostingTotalRow.day)
    days = session.execute(select(posted).where(posted < day).distinct().order_by(posted)).scalars()
    return next((one for one in days if not closed & {one, one[:7]}), None)


def _closed_now(session: Session) -> set[str]:
    """The periods that are closed."""
    reopened = _revisions(session, PeriodReopeningRow)
    closed = _revisions(session, PeriodCloseRow)
    return {period for period, revision in closed.items() if revision > reopened.get(period, 0)}


def _revisions(session: Session, row: type[PeriodCloseRow | PeriodReopeningRow]) -> dict[str, int]:
    newest = select(col(row.period), func.max(col(row.revision))).group_by(col(row.period))
    return {period: int(revision) for period, revision in session.execute(newest)}


def today(session: Session, now: datetime) -> str:
    """The day of the books at ``now``."""
    return now.astimezone(books_zone(session)).date().isoformat()


def booking_day(session: Session, day: str, now: datetime) -> str:
    """``day`` while it is open and not in the future; otherwise the day at ``now``."""
    current = today(session, now)
    return current if day > current or is_closed(session, day) else day
