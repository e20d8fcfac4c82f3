"""Which days of the books are closed, and where a correction may still be booked.

A day is closed with its own report or with its month's. What belongs to a closed day is
booked on the day it is recorded: closed books are corrected in the open period.
"""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import func, select
from sqlmodel import Session, col

from ledger.rollups import books_zone
from models.tables.reconcile import PeriodCloseRow, PeriodReopeningRow


def closings(session: Session, period: str) -> tuple[int, bool]:
    """How often a day or month was closed, and whether it is closed now."""
    closed = _newest(session, PeriodCloseRow, period)
    return closed, closed > _newest(session, PeriodReopeningRow, period)


def _newest(session: Session, row: type, period: str) -> int:
    query = select(func.coalesce(func.max(col(row.revision)), 0)).where(col(row.period) == period)  # type: ignore[attr-defined]
    return int(session.execute(query).scalar_one())


def is_closed(session: Session, day: str) -> bool:
    """Whether nothing may be booked on ``day`` any more."""
    return any(closings(session, period)[1] for period in (day, day[:7]))


def today(session: Session, now: datetime) -> str:
    """The day of the books at ``now``."""
    return now.astimezone(books_zone(session)).date().isoformat()


def booking_day(session: Session, day: str, now: datetime) -> str:
    """``day`` while it is open and not in the future; otherwise the day at ``now``."""
    current = today(session, now)
    return current if day > current or is_closed(session, day) else day
