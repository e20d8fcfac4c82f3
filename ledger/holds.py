"""Holds: money set aside until it is known what something costs.

    hold of 8.00          liabilities:rider    +800    the rider can not spend it elsewhere
                          liabilities:held     -800    we still owe it, to be decided

    post 3.00 of it       liabilities:held     +800
                          income:fares:metro   -300    earned
                          liabilities:rider    -500    the rest goes back

    void, or expire       liabilities:held     +800
                          liabilities:rider    -800    all of it goes back

A hold is resolved **at most once**: the entry that resolves it has an id made from the
hold's own (UUIDv5), and ids are unique in the schema. Whoever comes second finds the first
resolution: the same one is replayed, another one is a conflict. So nobody has to hand an
id in, and two programs that resolve at once need no lock of ours to get it right.

Finance holds money for a case of its own (``ledger.console.holds_pages``); what a journey may
need is held by its ride's entry (``ledger.fare_entries``).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal
from uuid import UUID, uuid5

from sqlalchemy import select
from sqlalchemy.orm import aliased
from sqlmodel import Session, col

from ledger.accounts import find_account, key_name
from ledger.entries import Draft, decode
from ledger.ledger import Ledger
from ledger.limits import NO_LIMIT, AboveLimit, Limit
from ledger.once import EntryRefused, Recorded, check_entry_id, record, recorded_before
from ledger.postings import RIDER, UNCLAIMED, Posting, fare_income, transfer
from ledger.store import LogWriter
from ledger.topups import staff_key_name
from ledger.two_persons import check_two_persons
from ledger.wanted import check_case
from models.database import reading, writing
from models.money import Money
from models.tables.ledger import EntryRow
from models.wire.times import format_utc, parse_utc

HELD = "liabilities:held"

HOLD_REASONS = {
    "deposit": "A deposit until the journey ends.",
    "disputed": "Set aside while a charge is looked into.",
    "payment_pending": "Set aside until the payment is confirmed.",
}
RESOLUTIONS = {
    "hold_post": "The held amount was charged, as far as it was needed.",
    "hold_void": "The hold was given up.",
    "hold_expire": "The hold ran out.",
}
Resolution = Literal["hold_post", "hold_void", "hold_expire"]


@dataclass(frozen=True, slots=True)
class OpenHold:
    """A hold that nobody has resolved yet."""

    hold_id: str
    account_id: str | None
    amount: Money
    reason: str
    expires_at: datetime
    seq: int
    made_by: str | None
    case: str


def hold(
    ledger: Ledger,
    account_id: str,
    amount: Money,
    reason: str,
    expires_at: datetime,
    hold_id: str,
    made_by: str,
    case: str = "",
) -> Recorded:
    """Set ``amount`` of the account aside until ``expires_at`` at the latest.

    Raises ``EntryRefused`` for an unknown reason and where the balance does not cover it,
    ``EntryConflict`` where the id was used for anything else, ``AccountError`` where there
    is no such account.
    """
    check_entry_id(hold_id)
    if reason not in HOLD_REASONS:
        raise EntryRefused(f"a hold's reason is one of {', '.join(HOLD_REASONS)}, not {reason!r}")
    check_case(case)
    if amount.minor <= 0:
        raise EntryRefused("a hold is more than zero")
    made_by_key = ledger.vault.create(staff_key_name(made_by))
    now = ledger.clock()
    if expires_at <= now:
        raise EntryRefused("a hold ends in the future")
    with writing(ledger.engine) as session:
        writer = LogWriter(session, now)
        account = find_account(session, account_id, amount.currency)
        draft = Draft(
            kind="hold",
            entry_id=hold_id,
            occurred_at=now,
            amount=amount,
            postings=transfer(amount, debit=RIDER, credit=HELD),
            facts={
                **({"case": case} if case else {}),
                "expires_at": format_utc(expires_at),
                "rule": {"code": reason, "words": HOLD_REASONS[reason]},
            },
            account_id=account_id,
            account_key=ledger.vault.key(key_name(account_id)),
            made_by=made_by,
            made_by_key=made_by_key,
        )
        earlier = recorded_before(session, draft)
        if earlier is not None:
            return earlier
        if account.balance_minor < amount.minor:
            left = Money(account.balance_minor, account.currency)
            raise EntryRefused(f"{amount.text()} cannot be held: the balance is {left.text()}")
        return record(writer, draft)


def post_hold(ledger: Ledger, hold_id: str, amount: Money, made_by: str) -> Recorded:
    """Charge ``amount`` of the hold, at most all of it; the rest goes back to the rider.

    What one person charges one rider within a day is limited like what it gives: above that,
    raises ``EntryRefused`` for who set it aside, ``NotIndependent`` for somebody let in by them.
    """
    limit = Limit(ledger.settings.refund_limit_amount, kinds=("hold_post",), rules=())
    try:
        return _resolve(ledger, hold_id, "hold_post", amount, made_by, limit)
    except AboveLimit:
        with reading(ledger.engine) as session:
            held_by = _held(session, hold_id).made_by or ""
        check_two_persons(ledger, held_by, made_by, hold_id)
        return _resolve(ledger, hold_id, "hold_post", amount, made_by)


def void_hold(ledger: Ledger, hold_id: str, made_by: str) -> Recorded:
    """Give the whole hold back to the rider."""
    return _resolve(ledger, hold_id, "hold_void", None, made_by)


def expire_holds(ledger: Ledger) -> int:
    """Give back every hold whose time is over; return how many that were."""
    now, expired = ledger.clock(), 0
    with reading(ledger.engine) as session:
        over = [found for found in open_holds(session) if found.expires_at <= now]
    for found in over:
        try:
            expired += not _resolve(ledger, found.hold_id, "hold_expire", None, None).replayed
        except EntryRefused:
            continue  # somebody posted or voided it meanwhile, and that stands
    return expired


def open_holds(session: Session) -> Sequence[OpenHold]:
    """All holds without a resolution, the oldest first."""
    resolving = aliased(EntryRow)
    resolved = select(col(resolving.seq)).where(
        col(resolving.corrects) == col(EntryRow.entry_id),
        col(resolving.kind).in_(RESOLUTIONS),
    )
    query = select(EntryRow).where(col(EntryRow.kind) == "hold", ~resolved.exists())
    return [_open(row) for row in session.execute(query.order_by(col(EntryRow.seq))).scalars()]


def _open(row: EntryRow) -> OpenHold:
    value = decode(row.body)
    return OpenHold(
        row.entry_id,
        row.account_id,
        Money(row.amount_minor, row.currency),
        value["rule"]["code"],
        parse_utc(value["expires_at"]),
        row.seq,
        row.made_by,
        value.get("case", ""),
    )


def resolution_id(hold_id: str) -> str:
    """The id of the one entry that can resolve the hold."""
    return str(uuid5(UUID(hold_id), "resolution"))


def _resolve(
    ledger: Ledger,
    hold_id: str,
    kind: Resolution,
    amount: Money | None,
    made_by: str | None,
    limit: Limit | None = NO_LIMIT,
) -> Recorded:
    """Resolve a hold; ``amount`` is what is earned of it.

    Raises ``EntryRefused`` where there is no such hold, it is not over yet, or more is
    wanted than was held; ``EntryConflict`` where it was resolved in another way.
    """
    check_entry_id(hold_id)
    made_by_key = None if made_by is None else ledger.vault.create(staff_key_name(made_by))
    with writing(ledger.engine) as session:
        now = ledger.clock()
        writer = LogWriter(session, now)
        held = _held(session, hold_id)
        account_id = held.account_id
        earned = Money(0, held.amount.currency) if amount is None else amount
        if earned.minor < 0 or (held.amount - earned).minor < 0:
            raise EntryRefused(f"{earned.text()} cannot be charged: {held.amount.text()} are held")
        income = fare_income(ledger.settings.network)
        draft = Draft(
            kind=kind,
            entry_id=resolution_id(hold_id),
            occurred_at=now,
            amount=earned if kind == "hold_post" else held.amount,
            postings=_release(held.amount, earned, income, account_id is None),
            facts={"corrects": hold_id, "rule": {"code": kind, "words": RESOLUTIONS[kind]}},
            account_id=account_id,
            account_key=None if account_id is None else ledger.vault.key(key_name(account_id)),
            made_by=made_by,
            made_by_key=made_by_key,
        )
        earlier = recorded_before(session, draft)
        if earlier is not None:
            return earlier
        if kind == "hold_expire" and held.expires_at > now:
            raise EntryRefused(f"the hold lasts until {format_utc(held.expires_at)}")
        if limit is not None:
            limit.check(session, draft)
        return record(writer, draft)


def _held(session: Session, hold_id: str) -> OpenHold:
    """The hold, resolved or not; its account is None where the rider was erased."""
    row = session.execute(select(EntryRow).where(col(EntryRow.entry_id) == hold_id)).scalar()
    if row is None or row.kind != "hold":
        raise EntryRefused(f"there is no hold with the id {hold_id!r}")
    return _open(row)


def _release(held: Money, earned: Money, income: str, erased: bool) -> tuple[Posting, ...]:
    """What was held goes to ``income`` as far as it was ``earned``, and back otherwise."""
    back = held - earned
    to = ((income, earned), (UNCLAIMED if erased else RIDER, back))
    credits = tuple(Posting(account, -part) for account, part in to if part.minor)
    return (Posting(HELD, held), *credits)
