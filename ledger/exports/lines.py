"""What is exported: the postings of the entries of some days, in the log's order.

A line is read from the entry's bytes, not from the tables beside them, so it holds what the
log vouches for and nothing else: no rider, no member of staff. Entries are read some hundred
at a time, so memory does not grow with the log.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date, datetime, time
from functools import lru_cache
from typing import Any, NamedTuple

import orjson
from babel.numbers import get_currency_precision
from sqlalchemy import func, select
from sqlmodel import Session, col

from ledger.rollups import books_zone, day_of
from models.errors import FacefareError
from models.tables.ledger import EntryRow

READ_AT_ONCE = 500
"""Entries of at most 64 KiB each: 32 MiB of bytes at the very most."""

Entry = dict[str, Any]
ShowProgress = Callable[[int, int], None]
"""Called with the entries that were read, and all there are to read."""


class ExportRefused(FacefareError):
    """What was asked for cannot be exported."""


@dataclass(frozen=True, slots=True)
class Span:
    """The days of the books from ``first`` to ``last``, both included; '' is no limit."""

    first: str = ""
    last: str = ""

    def __post_init__(self) -> None:
        for day in filter(None, (self.first, self.last)):
            _check_day(day)
        if self.last and self.first > self.last:
            raise ExportRefused(f"{self.first} is after {self.last}; name the earlier day first")

    def has(self, day: str) -> bool:
        """Whether ``day`` is one of the days."""
        return self.first <= day and (not self.last or day <= self.last)


def _check_day(text: str) -> None:
    try:
        if date.fromisoformat(text).isoformat() == text:
            return
    except ValueError:
        pass  # the sentence below says it
    raise ExportRefused(f"{text!r} is no day; write it like 2026-11-22")


class Line(NamedTuple):
    """One posting and what caused it; amounts in minor units, debit positive."""

    seq: int
    line: int
    entry_id: str
    kind: str
    day: str
    recorded_at: str
    occurred_at: str
    account: str
    minor: int
    currency: str
    gate: str
    station: str
    medium: str
    rule: str
    corrects: str


@lru_cache(maxsize=256)
def decimals(currency: str) -> int:
    """How many decimals a currency has."""
    return int(get_currency_precision(currency))


def plain_amount(minor: int, currency: str) -> str:
    """The amount in major units as plain digits: ``-7.25``."""
    places, sign = decimals(currency), "-" if minor < 0 else ""
    digits = str(abs(minor)).rjust(places + 1, "0")
    return f"{sign}{digits[:-places]}.{digits[-places:]}" if places else f"{sign}{digits}"


def read_entries(session: Session, span: Span, progress: ShowProgress) -> Iterator[Entry]:
    """The entries that belong to a day of ``span``, each with that day as ``"day"``."""
    zone = books_zone(session)
    first, size = _first_seq(session, span), _size(session)
    seq, start = col(EntryRow.seq), first
    progress(0, size - first)
    while True:
        query = select(seq, col(EntryRow.body)).where(seq >= start, seq < size)
        rows = session.execute(query.order_by(seq).limit(READ_AT_ONCE)).all()
        if not rows:
            return
        for row in rows:
            value: Entry = orjson.loads(row.body)
            day = value.get("day") or day_of(value["recorded_at"], zone)
            if span.has(day):
                yield {**value, "day": day}
        start = rows[-1].seq + 1
        progress(start - first, size - first)


def _size(session: Session) -> int:
    last = session.execute(select(func.max(col(EntryRow.seq)))).scalar_one()
    return 0 if last is None else int(last) + 1


def _first_seq(session: Session, span: Span) -> int:
    """Where to begin: nothing recorded before a day belongs to it."""
    if not span.first:
        return 0
    midnight = datetime.combine(date.fromisoformat(span.first), time(), books_zone(session))
    newer = select(col(EntryRow.seq)).where(col(EntryRow.recorded_at) >= midnight)
    found = session.execute(newer.order_by(col(EntryRow.recorded_at)).limit(1)).scalar()
    if found is None:
        return _size(session)
    same_moment = select(func.min(col(EntryRow.seq))).where(
        col(EntryRow.recorded_at)
        == select(col(EntryRow.recorded_at)).where(col(EntryRow.seq) == found).scalar_subquery()
    )
    return int(session.execute(same_moment).scalar_one())


def read_lines(session: Session, span: Span, progress: ShowProgress) -> Iterator[Line]:
    """The postings of the entries of ``span``; an entry without postings has none."""
    for entry in read_entries(session, span, progress):
        said = entry.get
        rule = entry["rule"]["code"] if "rule" in entry else ""
        for number, posting in enumerate(entry["postings"]):
            yield Line(
                entry["seq"], number, entry["id"], entry["kind"], entry["day"],
                entry["recorded_at"], entry["occurred_at"], posting["account"],
                posting["minor"], posting["currency"], said("gate") or "",
                said("station") or "", said("medium") or "", rule, said("corrects") or "",
            )  # fmt: skip
