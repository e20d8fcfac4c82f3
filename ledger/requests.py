"""Refunds and other credits at the service desk: small ones alone, larger ones by two persons.

    wanted within the limit    refund, goodwill, … recorded at once, made by who asked
    wanted above the limit     adjustment_request  recorded, no money moves
    … approved by another      refund, goodwill, … recorded, made by who approved
    … declined by another      adjustment_declined recorded, no money moves

All of it is in the log: who asked, for what and why, and who decided. A request names the
id its decision will have (``corrects``), and ids are unique in the schema: it is decided at
most once, and the same form sent twice is one request. What an approval may not exceed (the
ride's charge, the rider's debt) is checked when the money moves, not when it was asked for.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID, uuid5

from sqlalchemy import select
from sqlalchemy.orm import aliased
from sqlmodel import Session, col

from ledger.accounts import find_account, key_name
from ledger.adjustments import credit_account, dispute_credit
from ledger.entries import Draft, decode
from ledger.giving import find_ride
from ledger.ledger import Ledger
from ledger.limits import NO_LIMIT, AboveLimit, Limit
from ledger.once import EntryRefused, Recorded, check_entry_id, record, recorded_before
from ledger.processors.cards import find_charge, refund_to_card
from ledger.refunds import refund
from ledger.store import LogWriter
from ledger.topups import staff_key_name
from ledger.two_persons import check_two_persons
from ledger.wanted import (
    CARD_REASONS,
    OF_A_RIDE,
    TO_THE_CARD,
    Wanted,
    check_wanted,
    reasons_of,
)
from models.database import reading, writing
from models.money import Money
from models.tables.ledger import EntryRow

REQUEST, DECLINED = "adjustment_request", "adjustment_declined"


@dataclass(frozen=True, slots=True)
class Done:
    """The credit is recorded."""

    entry: Recorded


@dataclass(frozen=True, slots=True)
class Asked:
    """Nothing moved yet: the request is recorded, and another person decides."""

    entry: Recorded


@dataclass(frozen=True, slots=True)
class OpenRequest:
    """A request that nobody has decided."""

    seq: int
    wanted: Wanted
    made_by: str | None
    at: datetime


def adjust(ledger: Ledger, wanted: Wanted, made_by: str) -> Done | Asked:
    """Give the credit, or ask for it where it is above what ``made_by`` may give alone.

    Raises ``EntryRefused`` for what cannot be given at all, ``EntryConflict`` where the id
    belongs to anything else, ``AccountError`` where there is no such account.
    """
    check_wanted(wanted)
    limit = Limit(ledger.settings.refund_limit_amount)
    try:
        return Done(_give(ledger, wanted, made_by, limit))
    except AboveLimit:
        return Asked(_ask(ledger, wanted, made_by))


def approve(ledger: Ledger, entry_id: str, decided_by: str) -> Recorded:
    """Give the credit that was asked for under ``entry_id``; not by who asked for it.

    Raises ``EntryRefused`` for the same person, ``NotIndependent`` for one who let the other
    in a short while ago.
    """
    wanted = _to_decide(ledger, entry_id, decided_by)
    return _give(ledger, wanted, decided_by, NO_LIMIT)


def decline(ledger: Ledger, entry_id: str, decided_by: str) -> Recorded:
    """Record that the credit is not given; not by who asked for it."""
    wanted = _to_decide(ledger, entry_id, decided_by)
    rule = {"code": "declined", "words": "The credit that was asked for is not given."}
    with writing(ledger.engine) as session:
        writer = LogWriter(session, ledger.clock())
        facts = {"corrects": request_id(entry_id), "rule": rule}
        account = _request(session, entry_id).account_id
        draft = _without_postings(ledger, DECLINED, entry_id, wanted, facts, account, decided_by)
        return recorded_before(session, draft) or record(writer, draft)


def open_requests(session: Session) -> Sequence[OpenRequest]:
    """The requests nobody has decided, the oldest first."""
    decision = aliased(EntryRow)
    decided = select(col(decision.seq)).where(col(decision.entry_id) == col(EntryRow.corrects))
    query = select(EntryRow).where(
        col(EntryRow.corrects).is_not(None), col(EntryRow.kind) == REQUEST, ~decided.exists()
    )
    rows = session.execute(query.order_by(col(EntryRow.seq))).scalars()
    return [OpenRequest(row.seq, _wanted(row), row.made_by, row.recorded_at) for row in rows]


def request_id(entry_id: str) -> str:
    """The id of the request for the entry ``entry_id``."""
    return str(uuid5(UUID(entry_id), "request"))


def _give(ledger: Ledger, wanted: Wanted, made_by: str, limit: Limit | None) -> Recorded:
    about, amount, reason, entry_id = wanted.about, wanted.amount, wanted.reason, wanted.entry_id
    facts: dict[str, Any] = {"case": wanted.case} if wanted.case else {}
    if wanted.kind == "refund":
        return refund(ledger, about, amount, reason, entry_id, made_by, limit, facts)
    if wanted.kind == "dispute_credit":
        return dispute_credit(ledger, about, amount, entry_id, made_by, limit, facts)
    if wanted.kind == TO_THE_CARD:
        facts["rule"] = {"code": reason, "words": CARD_REASONS[reason]}
        return refund_to_card(ledger, about, amount, entry_id, made_by, limit, facts)
    return credit_account(
        ledger, wanted.kind, about, amount, reason, entry_id, made_by, limit, facts
    )


def _ask(ledger: Ledger, wanted: Wanted, made_by: str) -> Recorded:
    asks: dict[str, Any] = {"kind": wanted.kind}
    if wanted.kind in (*OF_A_RIDE, TO_THE_CARD):
        asks["ride" if wanted.kind in OF_A_RIDE else "top_up"] = wanted.about
    words = reasons_of(wanted.kind)
    assert words is not None  # check_wanted has seen to it
    facts: dict[str, Any] = {
        "asks": asks,
        "corrects": wanted.entry_id,
        "rule": {"code": wanted.reason, "words": words[wanted.reason]},
    }
    if wanted.case:
        facts["case"] = wanted.case
    with writing(ledger.engine) as session:
        writer = LogWriter(session, ledger.clock())
        account = _account(session, wanted)
        name = request_id(wanted.entry_id)
        draft = _without_postings(ledger, REQUEST, name, wanted, facts, account, made_by)
        return recorded_before(session, draft) or record(writer, draft)


def _account(session: Session, wanted: Wanted) -> str:
    if wanted.kind == TO_THE_CARD:
        return find_charge(session, wanted.about, wanted.amount).account_id or ""
    if wanted.kind not in OF_A_RIDE:
        return find_account(session, wanted.about, wanted.amount.currency).account_id
    return find_ride(session, wanted.about)[1]


def _without_postings(
    ledger: Ledger,
    kind: str,
    entry_id: str,
    wanted: Wanted,
    facts: dict[str, Any],
    account: str | None,
    made_by: str,
) -> Draft:
    return Draft(
        kind=kind,
        entry_id=entry_id,
        occurred_at=ledger.clock(),
        amount=wanted.amount,
        postings=(),
        facts=facts,
        account_id=account,
        account_key=None if account is None else ledger.vault.key(key_name(account)),
        made_by=made_by,
        made_by_key=ledger.vault.create(staff_key_name(made_by)),
    )


def _to_decide(ledger: Ledger, entry_id: str, decided_by: str) -> Wanted:
    check_entry_id(entry_id)
    with reading(ledger.engine) as session:
        row = _request(session, entry_id)
        asked_by, wanted = row.made_by or "", _wanted(row)
    check_two_persons(ledger, asked_by, decided_by, request_id(entry_id))
    return wanted


def _request(session: Session, entry_id: str) -> EntryRow:
    query = select(EntryRow).where(col(EntryRow.entry_id) == request_id(entry_id))
    row: EntryRow | None = session.execute(query).scalar()
    if row is None or row.kind != REQUEST:
        raise EntryRefused(f"nobody asked for a credit with the id {entry_id!r}")
    return row


def _wanted(row: EntryRow) -> Wanted:
    value = decode(row.body)
    asks = value["asks"]
    return Wanted(
        entry_id=value["corrects"],
        kind=asks["kind"],
        about=asks.get("ride") or asks.get("top_up") or row.account_id or "",
        amount=Money(row.amount_minor, row.currency),
        reason=value["rule"]["code"],
        case=value.get("case", ""),
    )
