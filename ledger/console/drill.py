"""From a total to the receipt: account, day, line, entry. Read from roll-ups and indexes.

A day's lines were recorded on that day, but for corrections and settlements that were booked
back to it; those are looked for only where the roll-up says that lines are missing.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from itertools import islice
from typing import Any

import orjson
from sqlalchemy import func, select
from sqlmodel import Session, col

from ledger.rollups import RESOLUTION, SETTLEMENT, books_zone
from ledger.store import total
from models.tables.ledger import EntryRow, PostingRow
from models.tables.reconcile import PostingTotalRow, TakingRow

DAYS = 60
LINES = 100
_BOOKED_BACK = (SETTLEMENT, RESOLUTION)
_RIDES = ("ride", "fare_adjustment", "day_close")


@dataclass(frozen=True, slots=True)
class DayTotal:
    """What was posted to an account on a day, and what it held at the day's end."""

    day: str
    lines: int
    moved: int
    held: int


@dataclass(frozen=True, slots=True)
class DayLine:
    """One posting of a day and the entry it is part of."""

    seq: int
    line: int
    kind: str
    recorded_at: datetime
    station: str | None
    minor: int


def days_of_account(
    session: Session, account: str, currency: str, before: str = ""
) -> list[DayTotal]:
    """The account's days, newest first, before the day ``before`` or all; a page of them."""
    row = PostingTotalRow
    mine = (col(row.account) == account, col(row.currency) == currency)
    query = select(col(row.day), col(row.lines), col(row.minor)).where(*mine)
    if before:
        query = query.where(col(row.day) < before)
    found = session.execute(query.order_by(col(row.day).desc()).limit(DAYS)).all()
    if not found:
        return []
    upto = select(func.coalesce(total(col(row.minor)), 0)).where(*mine, col(row.day) <= found[0][0])
    held = int(session.execute(upto).scalar_one())
    days = []
    for day, lines, minor in found:
        days.append(DayTotal(day, lines, minor, held))
        held -= minor
    return days


def lines_of_day(
    session: Session, account: str, currency: str, day: str, after: int = -1
) -> list[DayLine]:
    """The postings to an account on ``day`` in the log's order, after entry ``after``; a page."""
    zone = books_zone(session)
    start = datetime.combine(date.fromisoformat(day), time(), zone)
    end = start + timedelta(days=1)
    end = datetime.combine(end.date(), time(), zone)  # a day may have 23 or 25 hours
    at = col(EntryRow.recorded_at)
    same_day = _lines(session, account, currency, after, (at >= start, at < end))
    found = list(islice((line for line, said in same_day if said in ("", day)), LINES))
    whole = after < 0 and _expected(session, account, currency, day) == len(found)
    if whole or len(found) == LINES:
        return found
    kinds = col(EntryRow.kind).in_(_BOOKED_BACK)
    later = _lines(session, account, currency, after, (at >= end, kinds))
    return found + list(islice((line for line, said in later if said == day), LINES - len(found)))


def _lines(
    session: Session, account: str, currency: str, after: int, where: tuple[Any, ...]
) -> Iterator[tuple[DayLine, str]]:
    """Lines as they are needed, each with the day that its entry names for itself, if any."""
    query = (
        select(col(EntryRow.seq), col(PostingRow.line), col(EntryRow.kind),
               col(EntryRow.recorded_at), col(EntryRow.station), col(PostingRow.minor),
               col(EntryRow.body))
        .join(PostingRow, col(PostingRow.entry_seq) == col(EntryRow.seq))
        .where(*where, col(PostingRow.account) == account, col(PostingRow.currency) == currency,
               col(EntryRow.seq) > after)
        .order_by(col(EntryRow.seq), col(PostingRow.line))
        .execution_options(yield_per=LINES)
    )  # fmt: skip
    with closing(session.execute(query)) as rows:
        for row in rows:
            yield DayLine(*row[:6]), orjson.loads(row[6]).get("day", "")


def _expected(session: Session, account: str, currency: str, day: str) -> int:
    row = session.get(PostingTotalRow, (account, currency, day))
    return 0 if row is None else row.lines


def takings_by_day(session: Session, first: str, last: str) -> dict[str, dict[str, list[int]]]:
    """Rides and fares of each day by currency: ``{"CNY": {"2026-11-22": [120, 24000]}}``."""
    row = TakingRow
    query = (
        select(col(row.currency), col(row.day), col(row.kind), col(row.network) != "",
               total(col(row.entries)), total(col(row.minor)))
        .where(col(row.day) >= first, col(row.day) <= last)
        .group_by(col(row.currency), col(row.day), col(row.kind), col(row.network) != "")
        .order_by(col(row.day))
    )  # fmt: skip
    found: dict[str, dict[str, list[int]]] = {}
    for currency, day, kind, of_fares, entries, minor in session.execute(query):
        if of_fares or kind in _RIDES:
            sums = found.setdefault(currency, {}).setdefault(day, [0, 0])
            sums[0] += entries if kind == "ride" else 0
            sums[1] += minor
    return found
