"""Roll-ups: what a day's entries come to, kept up with the entries in the same transaction.

Whoever numbers entries calls ``roll_up`` with them, so a page or a report never adds up
the log:

    posting_total   what was posted to an account on a day: the trial balance
    taking          entries and amounts of a day by kind, network, route, station, gate,
                    product, category, medium and rule: the takings
    movement        each claim on the processor, and cash on its way to the bank: what
                    reconciliation must pair

An entry belongs to the day it was recorded on, in the time zone of the books. Only an
adjustment may say another day (``"day"`` among its facts), and only while that day is open.
The sums can be counted again from the entries' bytes (``recount``), for all days or for the
entries below a size: that is how they are checked, and how an old report is made again.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from functools import cache, lru_cache
from itertools import zip_longest
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import orjson
from sqlalchemy import String, Table, TextClause, select, text, type_coerce
from sqlmodel import Session, col

from models.bulk import insert_rows
from models.errors import FacefareError
from models.tables.ledger import EntryRow
from models.tables.reconcile import BooksRow, MovementRow, PostingTotalRow, TakingRow

PSP_CLEARING = "assets:psp_clearing"
PSP_BALANCE = "assets:psp_balance"
PAYOUTS = "assets:payouts_in_transit"
CLEARING = (PSP_CLEARING, PSP_BALANCE, PAYOUTS)
"""Accounts that must come back to zero: claimed, confirmed by the processor, on its way to the
bank (``PAYOUTS``: the processor's payouts, and cash that was carried there)."""
_WAITING = (PSP_CLEARING, PAYOUTS)
"""Where an entry of ours, and not a statement's, waits for its counterpart."""

SETTLEMENT = "settlement"
RESOLUTION = "resolution"
_COUNTERPARTS = (SETTLEMENT, RESOLUTION)
"""Kinds of entries that clear claims and are none themselves."""

OFFLINE_AFTER = timedelta(minutes=2)
"""A tap that took longer than this to arrive was made offline."""

Key = tuple[str, ...]

_TAKING_KEY = ("day", "kind", "network", "route", "station", "gate", "product", "category",
               "medium", "rule", "currency")  # fmt: skip
_TAKING_SUMS = ("entries", "minor", "capped_minor", "offline", "late")
_TOTAL_KEY = ("account", "currency", "day")
_TOTAL_SUMS = ("lines", "minor")
_MOVEMENT = ("entry_seq", "line", "entry_id", "kind", "account", "minor", "currency", "day",
             "occurred_at", "corrects", "open")  # fmt: skip
_READ_AT_ONCE = 5_000


class ZoneUnknown(FacefareError):
    """A time zone that is not in the IANA database."""


def find_zone(name: str) -> ZoneInfo:
    """The IANA time zone ``name``; raise ``ZoneUnknown`` where there is none."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise ZoneUnknown(f"{name!r} is no time zone; write it like Asia/Shanghai") from error


# Columns of the table, not of the row class: asked for that way they take half the time.
_ZONE = select(BooksRow.__table__.c.zone)  # type: ignore[attr-defined]


def books_zone(session: Session) -> ZoneInfo:
    """The time zone the books count their days in."""
    return find_zone(session.execute(_ZONE).scalar_one())


@lru_cache(maxsize=4096)  # a batch has one recorded_at, and its taps few minutes
def _day(minute: str, zone: ZoneInfo) -> str:
    moment = datetime.fromisoformat(f"{minute}:00+00:00")
    return moment.astimezone(zone).date().isoformat()


def day_of(moment: str, zone: ZoneInfo) -> str:
    """The day in ``zone`` of a time as it is written in entries."""
    return _day(moment[:16], zone)


class Sums:
    """What entries come to, added up in memory."""

    def __init__(self, zone: ZoneInfo) -> None:
        self._zone = zone
        self.takings: dict[Key, list[int]] = defaultdict(lambda: [0, 0, 0, 0, 0])
        self.totals: dict[Key, list[int]] = defaultdict(lambda: [0, 0])
        self.movements: list[tuple[Any, ...]] = []

    def count(self, value: Mapping[str, Any]) -> None:
        """Add one entry, as its bytes say it."""
        day = value.get("day") or day_of(value["recorded_at"], self._zone)
        network, taken = self._post(day, value)
        sums = self.takings[_taking_key(day, network, value)]
        sums[0] += 1
        sums[1] += taken
        sums[2] += value.get("capped_minor", 0)
        if value["kind"] == "ride" and value["occurred_at"][:16] != value["recorded_at"][:16]:
            sums[3] += _is_offline(value["occurred_at"], value["recorded_at"])
            sums[4] += day_of(value["occurred_at"], self._zone) < day

    def _post(self, day: str, value: Mapping[str, Any]) -> tuple[str, int]:
        """Add the postings; say whose fares they are and what was earned.

        What gave fares back earned less than nothing; an entry that is not about fares counts
        by its amount, and a ride that is only held for has earned nothing yet.
        """
        network, earned = "", 0 if value["kind"] == "ride" else None
        for line, posting in enumerate(value["postings"]):
            account, minor, currency = posting["account"], posting["minor"], posting["currency"]
            total = self.totals[account, currency, day]
            total[0] += 1
            total[1] += minor
            if account.startswith("income:"):
                earned = (earned or 0) - minor
                network = account.removeprefix("income:fares:")
            elif account in _WAITING and value["kind"] not in _COUNTERPARTS:
                self.movements.append(
                    (value["seq"], line, value["id"], value["kind"], account, minor, currency,
                     day, value["occurred_at"], value.get("corrects"), 1)
                )  # fmt: skip
        return network, value["amount"]["minor"] if earned is None else earned


def _taking_key(day: str, network: str, value: Mapping[str, Any]) -> Key:
    said = value.get
    rule = value["rule"]["code"] if "rule" in value else ""
    return (day, value["kind"], network, said("route") or "", said("station") or "",
            said("gate") or "", said("product") or "", said("category") or "",
            said("medium") or "", rule, value["amount"]["currency"])  # fmt: skip


def _is_offline(occurred: str, recorded: str) -> bool:
    return datetime.fromisoformat(recorded) - datetime.fromisoformat(occurred) > OFFLINE_AFTER


def roll_up(session: Session, entries: Sequence[Mapping[str, Any]]) -> None:
    """Add new ``entries`` to the roll-ups: the one call of whoever numbers them."""
    if not entries:
        return
    sums = Sums(books_zone(session))
    for value in entries:
        sums.count(value)
    write_sums(session, sums)


def write_sums(session: Session, sums: Sums) -> None:
    """Add the sums to the tables, in the order of their keys."""
    _add(session, "taking", _TAKING_KEY, _TAKING_SUMS, sums.takings)
    _add(session, "posting_total", _TOTAL_KEY, _TOTAL_SUMS, sums.totals)
    movements: Table = MovementRow.__table__  # type: ignore[attr-defined]
    insert_rows(session, movements, _MOVEMENT, sums.movements)


def _add(session: Session, name: str, key: Key, sums: Key, rows: Mapping[Key, list[int]]) -> None:
    if not rows:
        return
    columns = (*key, *sums)
    session.connection().execute(
        _adding(name, key, sums),
        [dict(zip(columns, (*at, *rows[at]), strict=True)) for at in sorted(rows)],
    )


@cache
def _adding(name: str, key: Key, sums: Key) -> TextClause:
    columns = (*key, *sums)
    values = ", ".join(f":{column}" for column in columns)
    more = ", ".join(f"{column} = {name}.{column} + excluded.{column}" for column in sums)
    return text(
        f"INSERT INTO {name} ({', '.join(columns)}) VALUES ({values}) "  # noqa: S608 - our names
        f"ON CONFLICT ({', '.join(key)}) DO UPDATE SET {more}"
    )


def recount(session: Session, size: int | None = None) -> Sums:
    """Add up the entries' bytes again, those numbered below ``size`` or all."""
    sums = Sums(books_zone(session))
    for value in _values(session, size):
        sums.count(value)
    return sums


def _values(session: Session, size: int | None) -> Iterator[dict[str, Any]]:
    seq, start = col(EntryRow.seq), 0
    while True:
        query = select(seq, col(EntryRow.body)).where(seq >= start).order_by(seq)
        if size is not None:
            query = query.where(seq < size)
        rows = session.execute(query.limit(_READ_AT_ONCE)).all()
        if not rows:
            return
        for _, body in rows:
            yield orjson.loads(body)
        start = rows[-1].seq + 1


class RollUpsWrong(FacefareError):
    """The roll-ups do not say what the entries say."""


def check_roll_ups(session: Session) -> int:
    """Count everything again; return how many rows were compared.

    Raises ``RollUpsWrong`` with the first row that differs.
    """
    again, compared, checked = Sums(books_zone(session)), 0, -1
    for value in _values(session, None):
        again.count(value)
        if len(again.movements) >= _READ_AT_ONCE:
            compared += _compare_movements(session, again.movements, checked, value["seq"])
            again.movements, checked = [], value["seq"]
    compared += _compare_movements(session, again.movements, checked, None)
    compared += _compare(session, "taking", TakingRow, _TAKING_KEY, _TAKING_SUMS, again.takings)
    compared += _compare(
        session, "posting_total", PostingTotalRow, _TOTAL_KEY, _TOTAL_SUMS, again.totals
    )
    return compared


def _compare_movements(
    session: Session, made: Sequence[tuple[Any, ...]], after: int, upto: int | None
) -> int:
    """Compare what the entries after ``after`` and up to ``upto`` made with what is kept of them.

    Whether a movement was paired is no matter of the entries.
    """
    seq, at = col(MovementRow.entry_seq), type_coerce(col(MovementRow.occurred_at), String)
    names = [getattr(MovementRow, name) for name in _MOVEMENT[:-1]]
    columns = [at if name.key == "occurred_at" else name for name in names]
    query = select(*columns).where(seq > after).order_by(seq, col(MovementRow.line))
    if upto is not None:
        query = query.where(seq <= upto)
    rows = session.execute(query.limit(len(made) + 1))
    for row, movement in zip_longest(rows, made):
        kept, again = row and tuple(row), movement and movement[:-1]
        if kept != again:
            raise RollUpsWrong(
                f"the movement of entry {(again or kept)[0]} is {kept}, but the entries come to "
                f"{again}; run 'facefare reconcile recount'"
            )
    return len(made)


def _compare(
    session: Session, name: str, row: Any, key: Key, sums: Key, again: Mapping[Key, list[int]]
) -> int:
    columns = [getattr(row, column) for column in (*key, *sums)]
    kept = {tuple(r[: len(key)]): list(r[len(key) :]) for r in session.execute(select(*columns))}
    for at in sorted(kept.keys() | again.keys()):
        if kept.get(at) != (list(again[at]) if at in again else None):
            raise RollUpsWrong(
                f"the roll-up {name} of {' '.join(filter(None, at))} is {kept.get(at)}, but the "
                f"entries come to {again.get(at)}; run 'facefare reconcile recount'"
            )
    return len(kept)


def rebuild(session: Session) -> None:
    """Make the roll-ups again from the entries; which movements were paired is kept."""
    paired = select(col(MovementRow.entry_seq), col(MovementRow.line)).where(
        col(MovementRow.open) == 0
    )
    done = {(row.entry_seq, row.line) for row in session.execute(paired)}
    for name in ("taking", "posting_total", "movement"):
        session.connection().execute(text(f"DELETE FROM {name}"))  # noqa: S608 - our names
    sums = recount(session)
    sums.movements = [
        (*movement[:-1], int((movement[0], movement[1]) not in done)) for movement in sums.movements
    ]
    write_sums(session, sums)
