"""Riders who have not ridden for the operator's retention time are erased, all of them alike.

The time is ``retention_months`` of the settings and is named in the public policy. What
counts is the last ride, or, where there was none since, the day of the last consent.
Enrollment does not know rides: whoever runs this hands in ``last_ride(account_id)``.

Riders whose erasure was interrupted are erased too, however long ago they rode.
"""

from __future__ import annotations

import calendar
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime

from sqlmodel import col, func, select

from enrollment.erase import erase_rider
from enrollment.form import EnrollmentRefused
from enrollment.store import Enrollment
from models.database import reading
from models.tables.riders import Consent, Rider

LastRide = Callable[[str], datetime | None]
"""The time of an account's last ride, or None where there was none."""


def riders_to_forget(enrollment: Enrollment, last_ride: LastRide, now: datetime) -> list[str]:
    """The references of riders whose retention time is over, in no order that means anything."""
    limit = months_before(now, enrollment.settings.retention_months)
    newest = func.max(col(Consent.given_at))
    query = (
        select(Rider.rider_id, Rider.account_id, Rider.created_at, newest)
        .join(Consent, col(Consent.rider_id) == col(Rider.rider_id), isouter=True)
        .where(Rider.created_at < limit, Rider.status != "left")
        .group_by(col(Rider.rider_id))
        .order_by(Rider.rider_id)
    )
    with reading(enrollment.riders) as session:
        rows = session.exec(query).all()
    return [
        rider_id
        for rider_id, account_id, created_at, consent_at in rows
        if max(created_at, consent_at or created_at) < limit
        and (last_ride(account_id) or created_at) < limit
    ]


def expire_riders(enrollment: Enrollment, last_ride: LastRide, now: datetime) -> int:
    """Erase them and return how many there were; safe to repeat after a crash."""
    for rider_id in _half_erased(enrollment):
        with suppress(EnrollmentRefused):  # finished meanwhile by whoever began it
            erase_rider(enrollment, rider_id)
    due = riders_to_forget(enrollment, last_ride, now)
    for rider_id in due:
        erase_rider(enrollment, rider_id)
    return len(due)


def _half_erased(enrollment: Enrollment) -> list[str]:
    with reading(enrollment.riders) as session:
        return list(session.exec(select(Rider.rider_id).where(Rider.status == "left")))


def months_before(now: datetime, months: int) -> datetime:
    """The same day ``months`` earlier, or the last of a shorter month."""
    year, month = divmod(now.year * 12 + now.month - 1 - months, 12)
    last = calendar.monthrange(year, month + 1)[1]
    return now.replace(year=year, month=month + 1, day=min(now.day, last))
