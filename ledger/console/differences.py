"""What the queue of differences shows, read from one snapshot."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

from sqlalchemy import case, literal, or_, select, tuple_
from sqlmodel import Session, col

from ledger.reconcile.differences import bucket
from ledger.reconcile.matching import days_between
from models.tables.ledger import EntryRow
from models.tables.reconcile import (
    DifferenceNoteRow,
    DifferenceRow,
    PairingRow,
    StatementLineRow,
    StatementRow,
)

QUEUE = 100
AGES = ("0-1", "2-7", "8-30", ">30")
STATES = ("open", "resolved", "cleared")
_DAYS_OF_AGE = {"0-1": (0, 1), "2-7": (2, 7), "8-30": (8, 30), ">30": (31, None)}
_SEVERITIES = ("high", "medium", "low")
_ORDER = (
    case({name: rank for rank, name in enumerate(_SEVERITIES)}, value=col(DifferenceRow.severity)),
    col(DifferenceRow.day),
    col(DifferenceRow.difference_id),
)


@dataclass(frozen=True, slots=True)
class Queued:
    """One row of the queue."""

    row: DifferenceRow
    age_days: int

    @property
    def bucket(self) -> str:
        return bucket(self.age_days)


@dataclass(frozen=True, slots=True)
class Evidence:
    """What a difference is about: our claims, the others' lines, and how they were paired."""

    entries: tuple[EntryRow, ...]
    lines: tuple[tuple[StatementLineRow, StatementRow], ...]
    pairings: tuple[PairingRow, ...]
    notes: tuple[DifferenceNoteRow, ...]


def queue(
    session: Session, asked: Mapping[str, str], day: str, *, after: str = "", before: str = ""
) -> list[Queued]:
    """The differences that were asked for, the most severe and oldest first; a page of them.

    It is the first page, the one ``after`` a difference, or the one ``before``, by their ids.
    """
    row = DifferenceRow
    query = select(row).where(*_conditions(asked, day))
    end = session.get(row, after or before)
    if end is not None:
        at = (_SEVERITIES.index(end.severity), end.day, end.difference_id)
        here, place = tuple_(*_ORDER), tuple_(*map(literal, at))
        query = query.where(here > place if after else here < place)
    back = end is not None and not after
    order = [column.desc() if back else column for column in _ORDER]
    found = list(session.execute(query.order_by(*order).limit(QUEUE)).scalars())
    return [Queued(one, days_between(one.day, day)) for one in (found[::-1] if back else found)]


def beside(
    session: Session, asked: Mapping[str, str], day: str, shown: Sequence[Queued]
) -> dict[str, str]:
    """Where the pages before and after the one shown begin: ``{"after": …, "before": …}``."""
    ends = {"before": shown[0], "after": shown[-1]} if shown else {}
    names = {side: one.row.difference_id for side, one in ends.items()}
    return {side: name for side, name in names.items()
            if queue(session, asked, day, **{side: name})}  # fmt: skip


def _conditions(asked: Mapping[str, str], day: str) -> list[Any]:
    row = DifferenceRow
    where = [
        col(getattr(row, name)) == asked[name]
        for name in ("state", "kind", "owner", "severity", "currency")
        if asked.get(name)
    ]
    if asked.get("age") in _DAYS_OF_AGE:
        young, old = _DAYS_OF_AGE[asked["age"]]
        where.append(col(row.day) <= _days_before(day, young))
        if old is not None:
            where.append(col(row.day) >= _days_before(day, old))
    if asked.get("q"):
        text = f"%{_plain(asked['q'])}%"
        where.append(
            or_(*(col(column).like(text, escape="\\") for column in
                  (row.subject, row.other, row.said, row.difference_id)))
        )  # fmt: skip
    return where


def _plain(text: str) -> str:
    return text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")


def _days_before(day: str, days: int) -> str:
    return (date.fromisoformat(day) - timedelta(days=days)).isoformat()


def choices(session: Session) -> dict[str, list[str]]:
    """The kinds, owners and currencies that there are."""
    return {
        name: sorted(
            session.execute(select(col(getattr(DifferenceRow, name))).distinct()).scalars()
        )
        for name in ("kind", "owner", "currency")
    }


def evidence(session: Session, row: DifferenceRow) -> Evidence:
    """Everything that is known of a difference."""
    names = [name for name in (row.subject, row.other) if name]
    lines = session.execute(
        select(StatementLineRow, StatementRow)
        .join(StatementRow, col(StatementRow.digest) == col(StatementLineRow.digest))
        .where(col(StatementLineRow.line_id).in_(names))
        .order_by(col(StatementLineRow.line_id))
    ).all()
    own = [line.own_id for line, _ in lines if line.own_id]
    entries = session.execute(
        select(EntryRow)
        .where(col(EntryRow.entry_id).in_([*names, *own, *filter(None, [row.entry_id])]))
        .order_by(col(EntryRow.seq))
    ).scalars()
    pairings = session.execute(
        select(PairingRow).where(
            or_(col(PairingRow.left_id).in_(names), col(PairingRow.right_id).in_(names))
        )
    ).scalars()
    notes = session.execute(
        select(DifferenceNoteRow)
        .where(col(DifferenceNoteRow.difference_id) == row.difference_id)
        .order_by(col(DifferenceNoteRow.version))
    ).scalars()
    pairs = tuple((line, statement) for line, statement in lines)
    return Evidence(tuple(entries), pairs, tuple(pairings), tuple(notes))
