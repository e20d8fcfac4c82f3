"""How much of a fare may still be given back, whoever gives it: a refund or a dispute credit.

A fare is charged by the ride's own entry, by the closing of a day (the maximum fare of a
journey without its other tap) or by an adjustment that made fares dearer; each of them can be
given back. Not more than the entry charged, and all that is given back of a week not more than
the week cost the rider after caps and corrections: what a fare adjustment gave back already is
not given back once more. A dispute credit that was taken back again does not count.
"""

from __future__ import annotations

from datetime import date
from zoneinfo import ZoneInfo

from sqlalchemy import ColumnElement, and_, func, or_, select
from sqlalchemy.orm import aliased
from sqlmodel import Session, col

from ledger.entries import decode
from ledger.fares.calendars import day_starts, monday_of, service_day, week_of
from ledger.ledger import Ledger
from ledger.once import EntryRefused
from ledger.store import total
from models.bulk import among
from models.money import Money
from models.tables.ledger import EntryRow, PostingRow

_INCOME = "income:fares:"
FARES = ("ride", "fare_adjustment", "day_close")
"""The kinds of entry that charge a fare."""


def still_given() -> ColumnElement[bool]:
    """Entries that gave money back and were not taken back."""
    taken = aliased(EntryRow)
    taken_back = select(col(taken.seq)).where(
        col(taken.corrects) == col(EntryRow.entry_id), col(taken.kind) == "dispute_rejected"
    )
    return and_(col(EntryRow.kind) == "refund", ~taken_back.exists())


def given_back(session: Session, ride_id: str) -> int:
    """Minor units of the ride that were given back so far."""
    query = select(func.coalesce(total(col(EntryRow.amount_minor)), 0)).where(
        still_given(), col(EntryRow.corrects) == ride_id
    )
    return int(session.execute(query).scalar_one())


def find_fare(session: Session, entry_id: str) -> EntryRow:
    """The entry that charged a fare; raise ``EntryRefused`` where there is none."""
    query = select(EntryRow).where(col(EntryRow.entry_id) == entry_id)
    row: EntryRow | None = session.execute(query).scalar()
    if row is None or row.kind not in FARES:
        raise EntryRefused(f"there is no ride with the id {entry_id!r}")
    return row


def charge_of(fare: EntryRow) -> int:
    """Minor units that the entry itself charged: nothing where it made fares cheaper."""
    return max(0, -sum(minor for _, minor in _income(fare)))


def _income(fare: EntryRow) -> list[tuple[str, int]]:
    postings = decode(fare.body)["postings"]
    return [(p["account"], p["minor"]) for p in postings if p["account"].startswith(_INCOME)]


def check_given_back(ledger: Ledger, session: Session, ride: EntryRow, amount: Money) -> None:
    """Raise ``EntryRefused`` unless ``amount`` of the ride can still be given back."""
    left = Money(charge_of(ride) - given_back(session, ride.entry_id), ride.currency)
    if amount.minor <= 0:
        raise EntryRefused("what is given back is more than zero")
    if (left - amount).minor < 0:
        raise EntryRefused(
            f"{amount.text()} cannot be given back: of the ride's charge {left.text()} is left"
        )
    _check_week(ledger, session, ride, amount)


def income_of(ride: EntryRow) -> str:
    """The account of the network that earned the ride."""
    earned = [account for account, minor in _income(ride) if minor < 0]
    if not earned:
        raise EntryRefused("the ride was not charged itself; give back the entry that was")
    return earned[0]


def _check_week(ledger: Ledger, session: Session, ride: EntryRow, amount: Money) -> None:
    """Raise ``EntryRefused`` where the ride's week did not cost so much after all."""
    zone = ledger.fares.book(session).zone
    monday = _week_of(ride, zone)
    entries = session.execute(
        select(EntryRow)
        .where(
            col(EntryRow.account_id) == ride.account_id,
            or_(col(EntryRow.kind).in_(FARES), still_given()),
            col(EntryRow.occurred_at) >= day_starts(date.fromisoformat(monday).toordinal(), zone),
        )
        .order_by(col(EntryRow.seq))
    ).scalars()
    week: dict[str, int] = {}
    back = 0
    for entry in entries:
        if entry.kind == "refund":
            back += entry.amount_minor if entry.corrects in week else 0
        elif _week_of(entry, zone) == monday:
            week[entry.entry_id] = entry.seq
    earned = session.execute(
        select(func.coalesce(total(col(PostingRow.minor)), 0)).where(
            among(session, col(PostingRow.entry_seq), list(week.values())),
            col(PostingRow.account).startswith(_INCOME),
        )
    ).scalar_one()
    left = Money(-int(earned) - back, ride.currency)
    if (left - amount).minor < 0:
        raise EntryRefused(
            f"{amount.text()} cannot be given back: after caps and corrections the week of "
            f"{monday} cost the rider {left.text()} more than was given back"
        )


def _week_of(entry: EntryRow, zone: ZoneInfo) -> str:
    """The Monday of the week that an entry charges: written in it, or the ride's own."""
    if entry.kind != "ride":
        return str(decode(entry.body)["week"])
    return monday_of(week_of(service_day(entry.occurred_at, zone))).isoformat()
