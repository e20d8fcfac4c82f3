"""Refunds: what a ride cost goes back to the rider's account, never more than it cost.

The ride's entry stays as it is. A refund is a new entry that names it (``corrects``) and
gives a reason code; the ride's refunds together never exceed its charge, and all refunds of
a week never exceed what the week cost the rider after caps and corrections: what a fare
adjustment gave back already is not given back once more.

    a refund of 2.00      income:fares:metro  +200    we earned less
                          liabilities:rider   -200    we owe the rider more

Out of goodwill it is our expense instead: ``expenses:goodwill``, and the income stays.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from types import MappingProxyType
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import func, select
from sqlmodel import Session, col

from ledger.accounts import find_account, key_name
from ledger.entries import Draft, decode
from ledger.fares.calendars import monday_of, service_day, week_of
from ledger.ledger import Ledger
from ledger.limits import NO_LIMIT, Limit
from ledger.once import EntryRefused, Recorded, check_entry_id, record, recorded_before
from ledger.postings import GOODWILL, RIDER, transfer
from ledger.store import LogWriter, total
from ledger.topups import staff_key_name
from models.bulk import among
from models.database import writing
from models.money import Money
from models.tables.ledger import EntryRow, PostingRow

REASONS = {
    "wrong_charge": "The ride was charged wrongly.",
    "not_travelled": "The rider did not travel.",
    "disruption": "The service was disrupted.",
    "goodwill": "A gesture of goodwill.",
}


def refund(
    ledger: Ledger,
    ride_id: str,
    amount: Money,
    reason: str,
    refund_id: str,
    made_by: str,
    limit: Limit | None = NO_LIMIT,
    facts: Mapping[str, Any] = MappingProxyType({}),
) -> Recorded:
    """Give back ``amount`` of the ride with the entry id ``ride_id``.

    ``facts`` are further members of the entry. Raises ``AboveLimit`` where one person may
    not give that much alone; ``EntryRefused`` where there is no such ride, its rider was
    erased, the reason is unknown or more would be given back than was charged;
    ``EntryConflict`` where the id was used for anything else.
    """
    check_entry_id(refund_id)
    if reason not in REASONS:
        raise EntryRefused(f"a refund's reason is one of {', '.join(REASONS)}, not {reason!r}")
    made_by_key = ledger.vault.create(staff_key_name(made_by))
    with writing(ledger.engine) as session:
        now = ledger.clock()
        writer = LogWriter(session, now)
        ride, account_id = _ride(session, ride_id)
        find_account(session, account_id, amount.currency)
        paid_by = GOODWILL if reason == "goodwill" else _income_of(session, ride)
        draft = Draft(
            kind="refund",
            entry_id=refund_id,
            occurred_at=now,
            amount=amount,
            postings=transfer(amount, debit=paid_by, credit=RIDER),
            facts={
                **facts,
                "corrects": ride_id,
                "rule": {"code": reason, "words": REASONS[reason]},
            },
            account_id=account_id,
            account_key=ledger.vault.key(key_name(account_id)),
            made_by=made_by,
            made_by_key=made_by_key,
        )
        earlier = recorded_before(session, draft)
        if earlier is not None:
            return earlier
        _check_amount(session, ride, amount)
        _check_week(ledger, session, ride, account_id, amount)
        if limit is not None:
            limit.check(session, draft)
        return record(writer, draft)


def _ride(session: Session, ride_id: str) -> tuple[EntryRow, str]:
    """The ride and its account."""
    ride = session.execute(select(EntryRow).where(col(EntryRow.entry_id) == ride_id)).scalar()
    if ride is None or ride.kind != "ride":
        raise EntryRefused(f"there is no ride with the id {ride_id!r}")
    if ride.account_id is None:
        raise EntryRefused("the ride's rider was erased; nobody can be refunded")
    return ride, ride.account_id


def _check_amount(session: Session, ride: EntryRow, amount: Money) -> None:
    given = session.execute(
        select(func.coalesce(total(col(EntryRow.amount_minor)), 0)).where(
            col(EntryRow.kind) == "refund", col(EntryRow.corrects) == ride.entry_id
        )
    ).scalar_one()
    left = Money(ride.amount_minor - given, ride.currency)
    if amount.minor <= 0:
        raise EntryRefused("a refund is more than zero")
    if (left - amount).minor < 0:
        raise EntryRefused(
            f"{amount.text()} cannot be refunded: of the ride's charge {left.text()} is left"
        )


_INCOME = "income:fares:"
_FARES = ("ride", "fare_adjustment", "day_close")


def _income_of(session: Session, ride: EntryRow) -> str:
    """The account of the network that earned the ride."""
    account = col(PostingRow.account)
    found = session.execute(
        select(account).where(col(PostingRow.entry_seq) == ride.seq, account.startswith(_INCOME))
    ).scalar()
    if found is None:
        raise EntryRefused("the ride was not charged itself; refund the entry that was")
    return str(found)


def _check_week(
    ledger: Ledger, session: Session, ride: EntryRow, account_id: str, amount: Money
) -> None:
    """Raise ``EntryRefused`` where the ride's week did not cost so much after all."""
    zone = ledger.fares.book(session).zone
    monday = monday_of(week_of(service_day(ride.occurred_at, zone)))
    a_week = timedelta(days=8)
    entries = session.execute(
        select(EntryRow)
        .where(
            col(EntryRow.account_id) == account_id,
            col(EntryRow.kind).in_((*_FARES, "refund")),
            col(EntryRow.occurred_at) >= ride.occurred_at - a_week,
        )
        .order_by(col(EntryRow.seq))
    ).scalars()
    week, back = {}, 0
    for entry in entries:
        if entry.kind == "refund":
            back += entry.amount_minor if entry.corrects in week else 0
        elif _week_of(entry, zone) == monday.isoformat():
            week[entry.entry_id] = entry.seq
    earned = session.execute(
        select(func.coalesce(total(col(PostingRow.minor)), 0)).where(
            among(session, col(PostingRow.entry_seq), list(week.values())),
            col(PostingRow.account).startswith(_INCOME),
        )
    ).scalar_one()
    left = Money(-earned - back, ride.currency)
    if (left - amount).minor < 0:
        raise EntryRefused(
            f"{amount.text()} cannot be refunded: after caps and corrections the week of "
            f"{monday.isoformat()} cost the rider {left.text()} more than was given back"
        )


def _week_of(entry: EntryRow, zone: ZoneInfo) -> str:
    """The Monday of the week that an entry charges: written in it, or the ride's own."""
    if entry.kind != "ride":
        return str(decode(entry.body)["week"])
    return monday_of(week_of(service_day(entry.occurred_at, zone))).isoformat()
