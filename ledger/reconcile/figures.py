"""What a day or a month comes to, from the roll-ups or counted again from the entries.

Both ways end in the same function, so a closed report can be made again from the log alone.
Amounts are minor units; in the trial balance debit is positive, credit negative; takings
are what fares earned.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import select
from sqlmodel import Session

from ledger.rollups import Key, recount
from ledger.store import table, total
from models.tables.reconcile import PostingTotalRow, TakingRow

Json = dict[str, Any]

DIMENSIONS = ("network", "route", "station", "gate", "product", "category", "medium")
_TAKING_KEY = ("day", "kind", *DIMENSIONS, "rule", "currency")
_TAKING_SUMS = ("entries", "minor", "capped_minor", "offline", "late")
_RIDES = ("ride", "fare_adjustment", "day_close")
_GIVEN = {
    "refunds": ("refund", "dispute_rejected"),
    "goodwill": ("goodwill",),
    "written_off": ("write_off",),
    "paid_back_to_cards": ("card_refund",),
    "chargebacks": ("chargeback",),
}
"""What was given, by kinds. A dispute credit is a refund from the first; upheld, it stays one."""

_UNDONE = {
    "refunds": "dispute_rejected",
    "paid_back_to_cards": "card_refund_failed",
    "chargebacks": "chargeback_won",
}
"""The rule of those entries that take away again what others of the same sort gave."""

Taking = tuple[Key, Sequence[int]]
Total = tuple[str, str, str, int]


def from_roll_ups(session: Session, period: str) -> Json:
    """The figures of a period as the roll-ups have them."""
    takings, totals = table(TakingRow), table(PostingTotalRow)
    first, last = days_of(period)
    key = [takings.c[name] for name in _TAKING_KEY[1:]]  # days are added up by the database
    query = select(*key, *(total(takings.c[name]) for name in _TAKING_SUMS))
    found = session.execute(
        query.where(takings.c.day >= first, takings.c.day <= last).group_by(*key)
    )
    rows = [((period, *row[: len(key)]), tuple(map(int, row[len(key) :]))) for row in found]
    sums = select(totals.c.account, totals.c.currency, totals.c.day, totals.c.minor)
    moved = session.execute(sums.where(totals.c.day >= first, totals.c.day <= last))
    before = session.execute(
        select(totals.c.account, totals.c.currency, total(totals.c.minor))
        .where(totals.c.day < first)
        .group_by(totals.c.account, totals.c.currency)
    )
    opening = [(account, currency, "", int(minor)) for account, currency, minor in before]
    return figures(period, rows, [*opening, *(tuple(row) for row in moved)])


def from_entries(session: Session, period: str, size: int) -> Json:
    """The figures of a period counted from the bytes of the first ``size`` entries."""
    sums = recount(session, size)
    first, last = days_of(period)
    takings = [(key, row) for key, row in sums.takings.items() if first <= key[0] <= last]
    totals = [(account, currency, day, row[1])
              for (account, currency, day), row in sums.totals.items() if day <= last]  # fmt: skip
    return figures(period, takings, totals)


def days_of(period: str) -> tuple[str, str]:
    """The first and last day of a period; a month's last is beyond any of its days."""
    return (period, period) if len(period) == 10 else (f"{period}-01", f"{period}-31")


def figures(period: str, takings: Iterable[Taking], totals: Iterable[Total]) -> Json:
    """Put the sums of a period into the report's form, everything in a fixed order."""
    rows = sorted(takings)
    return {
        "trial_balance": _trial_balance(period, totals),
        "takings": {name: _by(rows, _TAKING_KEY.index(name)) for name in DIMENSIONS},
        "kinds": _kinds(rows),
        "given": {
            name: _given(rows, kinds, _UNDONE.get(name, "")) for name, kinds in _GIVEN.items()
        },
        "caps": _summed(rows, 2),
        "rides": sum(sums[0] for key, sums in rows if key[1] == "ride"),
        "offline": sum(sums[3] for _, sums in rows),
        "late": sum(sums[4] for _, sums in rows),
    }


def _trial_balance(period: str, totals: Iterable[Total]) -> list[Json]:
    first, _ = days_of(period)
    opening: dict[tuple[str, str], int] = defaultdict(int)
    moved: dict[tuple[str, str], int] = defaultdict(int)
    for account, currency, day, minor in totals:
        (opening if day < first else moved)[account, currency] += minor
    return [
        {
            "account": account,
            "currency": currency,
            "opening": opening[account, currency],
            "moved": moved[account, currency],
            "closing": opening[account, currency] + moved[account, currency],
        }
        for account, currency in sorted(opening.keys() | moved.keys())
    ]


def _by(rows: Iterable[Taking], place: int) -> list[Json]:
    """Rides and fares by one dimension."""
    sums: dict[tuple[str, str], list[int]] = defaultdict(lambda: [0, 0])
    for key, row in rows:
        if key[1] in _RIDES or key[2]:
            found = sums[key[place], key[-1]]
            found[0] += row[0] if key[1] == "ride" else 0
            found[1] += row[1]
    return [{"name": name, "currency": currency, "rides": rides, "minor": minor}
            for (name, currency), (rides, minor) in sorted(sums.items())]  # fmt: skip


def _kinds(rows: Iterable[Taking]) -> list[Json]:
    sums: dict[tuple[str, str, str], list[int]] = defaultdict(lambda: [0, 0])
    for key, row in rows:
        found = sums[key[1], key[-2], key[-1]]
        found[0] += row[0]
        found[1] += row[1]
    return [{"kind": kind, "rule": rule, "currency": currency, "entries": count, "minor": minor}
            for (kind, rule, currency), (count, minor) in sorted(sums.items())]  # fmt: skip


def _given(rows: Iterable[Taking], kinds: Sequence[str], undone: str) -> list[Json]:
    """What was given back: refunds lower the takings, so they count by their size.

    What the rule ``undone`` took away again is less; it may have been given on a day before.
    """
    sums: dict[str, list[int]] = defaultdict(lambda: [0, 0])
    for key, row in rows:
        if key[1] in kinds:
            sums[key[-1]][0] += row[0]
            sums[key[-1]][1] += -abs(row[1]) if key[-2] == undone else abs(row[1])
    return [{"currency": currency, "entries": count, "minor": minor}
            for currency, (count, minor) in sorted(sums.items())]  # fmt: skip


def _summed(rows: Iterable[Taking], place: int) -> list[Json]:
    sums: dict[str, int] = defaultdict(int)
    for key, row in rows:
        sums[key[-1]] += row[place]
    return [{"currency": name, "minor": minor} for name, minor in sorted(sums.items()) if minor]
