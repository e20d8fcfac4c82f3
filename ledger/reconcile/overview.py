"""What finance sees first: one snapshot, from roll-ups and indexes, however long the log is."""

from __future__ import annotations

from typing import Any

from sqlalchemy import func, select
from sqlmodel import Session, col

from ledger.checkpoints import log_size
from ledger.reconcile.clearing import clearing_balances
from ledger.reconcile.differences import BUCKETS, bucket
from ledger.reconcile.figures import from_roll_ups
from ledger.reconcile.gate_taps import open_forks, open_gaps
from ledger.reconcile.matching import days_between
from models.tables.ledger import AccountRow
from models.tables.reconcile import (
    UNRESOLVED,
    UNSETTLED,
    DifferenceRow,
    PeriodCloseRow,
    ProcessorCallRow,
)

Json = dict[str, Any]


def overview(session: Session, day: str) -> Json:
    """The day and its month, what is open by age, the clearing accounts and the closings."""
    return {
        "day": day,
        "entries": log_size(session),
        "today": from_roll_ups(session, day),
        "month": from_roll_ups(session, day[:7]),
        "clearing": [
            {"account": account, "currency": currency, "minor": minor}
            for (account, currency), minor in sorted(clearing_balances(session, day).items())
        ],
        "differences": _open(session, day),
        "accounts_in_debt": session.execute(
            select(func.count()).where(col(AccountRow.balance_minor) < 0)
        ).scalar_one(),
        "gaps": open_gaps(session, day),
        "forks": open_forks(session, day),
        "calls_waiting": session.execute(
            select(func.count()).select_from(ProcessorCallRow).where(UNSETTLED)
        ).scalar_one(),
        "closed": _closed(session),
    }


def _open(session: Session, day: str) -> list[Json]:
    """Open differences by kind and age."""
    kind, since = col(DifferenceRow.kind), col(DifferenceRow.day)
    rows = session.execute(
        select(kind, since, func.count().label("number")).where(UNRESOLVED).group_by(kind, since)
    )
    counts: dict[tuple[str, str], int] = {}
    for row in rows:
        key = (row.kind, bucket(days_between(row.day, day)))
        counts[key] = counts.get(key, 0) + row.number
    order = [name for _, name in BUCKETS] + [">30"]
    return [
        {"kind": name, "bucket": age, "count": counts[name, age]}
        for name, age in sorted(counts, key=lambda key: (key[0], order.index(key[1])))
    ]


def _closed(session: Session) -> list[Json]:
    """The periods closed last."""
    query = select(col(PeriodCloseRow.period), col(PeriodCloseRow.revision))
    rows = session.execute(query.order_by(col(PeriodCloseRow.closed_at).desc()).limit(10))
    return [{"period": row.period, "revision": row.revision} for row in rows]
