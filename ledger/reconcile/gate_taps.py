"""What is wrong with the gates' chains of taps, for finance: what is missing, what contradicts.

    tap_gap    south-1 8   its tap 9 came and tap 8 did not; closes by itself when it comes
    tap_fork   019…        a tap that was kept and not charged, until somebody decides about it

Neither leaves anything on an account. The overview, the report of a period and the daily run
ask the same two questions, always for the end of a day: a tap that came later was missing then.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from sqlalchemy import String, cast, func, select, text
from sqlmodel import Session

from ledger.postings import RIDER
from ledger.reconcile.differences import Finding
from ledger.reconcile.said import said
from ledger.rollups import books_zone, day_of
from ledger.store import table
from models.tables.ledger import AFTER_A_GAP, NOT_CHARGED, TapRow
from models.tables.reconcile import DifferenceRow
from models.wire.times import format_utc

_TAPS, _DIFFERENCES = table(TapRow), table(DifferenceRow)
_EARLIER = _TAPS.alias("earlier")
_IN_ITS_CHAIN = text("earlier.chain <> 'fork'")
_QUARANTINED = text("outcome = 'quarantined'")


@dataclass(frozen=True, slots=True)
class Gap:
    """Numbers of a gate, ``first`` to ``last``, that are missing before the tap ``tap_id``."""

    gate: str
    first: int
    last: int
    tap_id: str
    received_at: datetime


@dataclass(frozen=True, slots=True)
class Fork:
    """A tap that contradicts its gate's chain and was not charged."""

    gate: str
    number: int
    tap_id: str
    received_at: datetime


def open_gaps(session: Session, day: str) -> list[Gap]:
    """The numbers that had not arrived at the end of ``day``, the longest missing first."""
    until = _end_of(session, day)
    earlier = (_EARLIER.c.gate == _TAPS.c.gate, _IN_ITS_CHAIN, _EARLIER.c.received_at < until)
    number = _TAPS.c.gate_seq
    last = select(func.max(_EARLIER.c.gate_seq)).where(*earlier, _EARLIER.c.gate_seq < number)
    arrived = select(_EARLIER.c.tap_id).where(*earlier, _EARLIER.c.gate_seq == number - 1)
    subject = _TAPS.c.gate + " " + cast(number - 1, String)
    query = (
        select(*_TAPS.c["gate", "gate_seq", "tap_id", "received_at"],
               func.coalesce(last.scalar_subquery(), 0).label("last"))
        .where(AFTER_A_GAP, _TAPS.c.received_at < until, ~arrived.exists(),
               ~_closed(subject, "tap_gap", day).exists())
        .order_by(_TAPS.c.received_at, _TAPS.c.gate, number)
    )  # fmt: skip
    return [
        Gap(row.gate, row.last + 1, row.gate_seq - 1, row.tap_id, row.received_at)
        for row in session.execute(query)
    ]


def open_forks(session: Session, day: str) -> list[Fork]:
    """The taps that were not charged and not decided about at the end of ``day``, oldest first."""
    until, tap_id = _end_of(session, day), _TAPS.c.tap_id
    waiting = ~_closed(tap_id, "tap_fork", day).exists()
    charged_later = select(_DIFFERENCES.c.subject).where(
        _DIFFERENCES.c.kind == "tap_fork", _DIFFERENCES.c.closed_day > day
    )
    query = select(*_TAPS.c["gate", "gate_seq", "tap_id", "received_at"]).where(
        _TAPS.c.received_at < until
    )
    found = {
        row.tap_id: Fork(row.gate, row.gate_seq, row.tap_id, row.received_at)
        for where in ((NOT_CHARGED, _QUARANTINED, waiting), (tap_id.in_(charged_later),))
        for row in session.execute(query.where(*where))
    }
    return sorted(found.values(), key=lambda fork: (fork.received_at, fork.tap_id))


def _closed(subject: Any, kind: str, day: str) -> Any:
    """The differences about ``subject`` that were closed by the end of ``day``."""
    return select(_DIFFERENCES.c.difference_id).where(
        _DIFFERENCES.c.subject == subject,
        _DIFFERENCES.c.kind == kind,
        _DIFFERENCES.c.closed_day <= day,
    )


def _end_of(session: Session, day: str) -> datetime:
    after = date.fromisoformat(day) + timedelta(days=1)
    return datetime.combine(after, time(), books_zone(session)).astimezone(UTC)


def tap_findings(session: Session, day: str, currency: str) -> Iterator[Finding]:
    """All of it at the end of ``day`` as differences, each of the day its tap was received."""
    zone = books_zone(session)
    for gap in open_gaps(session, day):
        on = day_of(format_utc(gap.received_at), zone)
        why = said("tap_missing", gate=gap.gate, number=gap.last, next=gap.last + 1)
        yield Finding("tap_gap", f"{gap.gate} {gap.last}", RIDER, 0, currency, on, why, gap.tap_id)
    for fork in open_forks(session, day):
        on = day_of(format_utc(fork.received_at), zone)
        why = said("tap_contradicts", gate=fork.gate, number=fork.number)
        yield Finding("tap_fork", fork.tap_id, RIDER, 0, currency, on, why)


def is_still_so(session: Session, row: DifferenceRow) -> bool:
    """Whether the number of a gap is still missing, or the tap of a fork still not charged."""
    tap = session.get(TapRow, row.other if row.kind == "tap_gap" else row.subject)
    if tap is None:
        return False
    if row.kind == "tap_fork":
        return tap.outcome == "quarantined"
    arrived = select(_EARLIER.c.tap_id).where(
        _EARLIER.c.gate == tap.gate, _IN_ITS_CHAIN, _EARLIER.c.gate_seq == tap.gate_seq - 1
    )
    return session.execute(arrived).first() is None
