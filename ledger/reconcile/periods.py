"""Close a day or a month of the books, make its report again, and open it again.

Closing pins the newest signed checkpoint in the report, keeps the report's bytes, and
records their SHA-256 in an entry of its own: the log vouches for what was closed. From then
on nothing is booked in the period; corrections go to the day they are made.

The ledger's part of a report can be counted again from the entries under the pinned
checkpoint, and must come out the same, byte for byte. What no log can tell later (who owed
how much, which taps were missing, which differences were open) is kept as it was.

A closed period can be opened again by two persons (``reopening``).
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from datetime import date
from typing import Any
from uuid import UUID, uuid5

from sqlalchemy import func, select
from sqlmodel import Session, col

from ledger.checkpoints import publish
from ledger.entries import Draft, decode
from ledger.ledger import Ledger
from ledger.reconcile.closed import closings, first_open_before, today
from ledger.reconcile.figures import days_of, from_entries, from_roll_ups
from ledger.reconcile.gate_taps import open_forks, open_gaps
from ledger.reconcile.report import reconciliation
from ledger.rollups import books_zone, day_of
from ledger.store import LogWriter, total
from ledger.topups import staff_key_name
from models.database import reading, writing
from models.errors import FacefareError
from models.log.notes import Checkpoint
from models.money import Money
from models.tables.ledger import AccountRow, EntryRow
from models.tables.reconcile import PeriodCloseRow
from models.wire.canonical import canonical_bytes, parse_canonical
from models.wire.times import format_utc

_PERIOD = re.compile(r"[0-9]{4}-[0-9]{2}(-[0-9]{2})?")
_NAMESPACE = UUID("0b1b9f0e-3a3b-5f6c-9f2e-8f6f9b1e7d55")


class PeriodRefused(FacefareError):
    """A period that cannot be closed or opened as asked."""


class PeriodBroken(FacefareError):
    """A closed report that the log does not bear out."""


@dataclass(frozen=True, slots=True)
class Closed:
    """A closed period: its revision, its report and the report's SHA-256."""

    period: str
    revision: int
    report: bytes
    sha256: str


def check_period(period: str) -> str:
    """The period as it is written, ``2026-11-22`` or ``2026-11``; raise ``PeriodRefused``."""
    try:
        if _PERIOD.fullmatch(period):
            date.fromisoformat(period if len(period) == 10 else f"{period}-01")
            return period
    except ValueError:
        pass  # the sentence below says it
    raise PeriodRefused(f"{period!r} is no day or month; write it like 2026-11-22 or 2026-11")


def close_period(ledger: Ledger, period: str, made_by: str) -> Closed:
    """Close the period; one that is closed already is answered with its report again.

    Raises ``PeriodRefused`` where it is not over yet, where an earlier day with postings is open,
    where the clearing accounts hold money that nothing explains, and where something was booked
    in it this moment.
    """
    check_period(period)
    made_by_key = ledger.vault.create(staff_key_name(made_by))
    checkpoint = publish(ledger)
    with writing(ledger.engine) as session:
        writer = LogWriter(session, ledger.clock())
        revision, closed = closings(session, period)
        if closed:
            return _closed(session, period, revision)
        if today(session, writer.recorded_at)[: len(period)] <= period:
            raise PeriodRefused(f"{period} is not over yet; it can be closed afterwards")
        _check_earlier(session, period)
        _check_covered(session, period, checkpoint)
        report = _report(session, period, revision + 1, checkpoint)
        draft = period_draft(ledger, writer, "period_close", period, revision + 1, {
            "report": hashlib.sha256(report).hexdigest(),
            "size": checkpoint.size,
            "root": checkpoint.root.hex(),
        }, made_by, made_by_key)  # fmt: skip
        writer.append(draft)
        writer.save()
        session.add(
            PeriodCloseRow(
                period=period,
                revision=revision + 1,
                entry_id=draft.entry_id,
                size=checkpoint.size,
                report=report,
                closed_at=writer.recorded_at,
            )
        )
        session.flush()
        return _closed(session, period, revision + 1)


def _closed(session: Session, period: str, revision: int) -> Closed:
    row = session.get(PeriodCloseRow, (period, revision))
    if row is None:
        raise PeriodRefused(f"{period} was not closed")
    return Closed(period, revision, row.report, hashlib.sha256(row.report).hexdigest())


def _check_earlier(session: Session, period: str) -> None:
    """What is booked before a period changes its balances, so all of that is closed first."""
    earlier = first_open_before(session, days_of(period)[0])
    if earlier is not None:
        raise PeriodRefused(
            f"{earlier} is before {period}, has postings and is open; close that day or its month "
            "first, so that nothing is booked in it afterwards"
        )


def _check_covered(session: Session, period: str, checkpoint: Checkpoint) -> None:
    """Everything of the period must lie under the checkpoint that its report names."""
    newer = select(col(EntryRow.body)).where(col(EntryRow.seq) >= checkpoint.size)
    first, last = days_of(period)
    zone = books_zone(session)
    for body in session.execute(newer).scalars():
        value = decode(body)
        if first <= (value.get("day") or day_of(value["recorded_at"], zone)) <= last:
            raise PeriodRefused(f"something was booked in {period} this moment; close it again")


def _report(session: Session, period: str, revision: int, checkpoint: Checkpoint) -> bytes:
    found = reconciliation(session, last_day(period))
    if found["unexplained"]:
        raise PeriodRefused(
            f"the clearing accounts hold {found['unexplained']} minor units that nothing "
            "explains; run 'facefare reconcile recount' and look into it before closing"
        )
    return canonical_bytes(
        {
            "v": 1,
            "period": period,
            "revision": revision,
            "zone": books_zone(session).key,
            "checkpoint": {"origin": checkpoint.origin, "size": checkpoint.size,
                           "root": checkpoint.root.hex()},
            "ledger": from_roll_ups(session, period),
            "at_close": {
                "unpaid": _unpaid(session),
                "gaps": _gaps(session, last_day(period)),
                "forks": _forks(session, last_day(period)),
                "reconciliation": found,
            },
        }
    )  # fmt: skip


def last_day(period: str) -> str:
    """The last day of a period by the calendar."""
    if len(period) == 10:
        return period
    year, month = int(period[:4]), int(period[5:])
    following = date(year + month // 12, month % 12 + 1, 1)
    return date.fromordinal(following.toordinal() - 1).isoformat()


def _unpaid(session: Session) -> list[dict[str, Any]]:
    """What riders owe us, by currency."""
    currency = col(AccountRow.currency)
    rows = session.execute(
        select(currency, func.count().label("accounts"),
               total(col(AccountRow.balance_minor)).label("minor"))
        .where(col(AccountRow.balance_minor) < 0)
        .group_by(currency)
        .order_by(currency)
    )  # fmt: skip
    return [{"currency": r.currency, "accounts": r.accounts, "minor": -r.minor} for r in rows]


def _gaps(session: Session, day: str) -> list[dict[str, Any]]:
    """The numbers of gates' taps that did not arrive."""
    return [
        {"gate": gap.gate, "first": gap.first, "last": gap.last,
         "since": format_utc(gap.received_at)}
        for gap in open_gaps(session, day)
    ]  # fmt: skip


def _forks(session: Session, day: str) -> list[dict[str, Any]]:
    """The taps that contradict their gates' chains and were not decided about."""
    return [
        {"gate": fork.gate, "number": fork.number, "tap": fork.tap_id,
         "since": format_utc(fork.received_at)}
        for fork in open_forks(session, day)
    ]  # fmt: skip


def period_draft(
    ledger: Ledger,
    writer: LogWriter,
    kind: str,
    period: str,
    revision: int,
    facts: dict[str, Any],
    made_by: str,
    made_by_key: bytes,
) -> Draft:
    """An entry about a period: it moves no money, and there is one of each kind a revision."""
    return Draft(
        kind=kind,
        entry_id=period_entry_id(kind, period, revision),
        occurred_at=writer.recorded_at,
        amount=Money(0, ledger.settings.currency),
        postings=(),
        facts={"period": period, "revision": revision, **facts},
        made_by=made_by,
        made_by_key=made_by_key,
    )


def period_entry_id(kind: str, period: str, revision: int) -> str:
    """The id that the entry of this kind about this revision has."""
    return str(uuid5(_NAMESPACE, f"{kind} {period} {revision}"))


def closed_report(ledger: Ledger, period: str, revision: int | None = None) -> Closed:
    """The report of a closed period, the newest revision unless another is named."""
    check_period(period)
    with reading(ledger.engine) as session:
        return _closed(session, period, revision or closings(session, period)[0])


def reproduce(ledger: Ledger, period: str, revision: int | None = None) -> Closed:
    """Make a closed report again from the log and return it.

    Raises ``PeriodBroken`` unless it comes out the same, byte for byte, and is the one the
    closing entry vouches for.
    """
    kept = closed_report(ledger, period, revision)
    value = parse_canonical(kept.report)
    with reading(ledger.engine) as session:
        again = from_entries(session, period, value["checkpoint"]["size"])
        row = session.get(PeriodCloseRow, (period, kept.revision))
        assert row is not None  # closed_report found it
        entry = session.execute(select(EntryRow).where(col(EntryRow.entry_id) == row.entry_id))
        found = entry.scalar()
    if found is None or decode(found.body).get("report") != kept.sha256:
        raise PeriodBroken(f"the log vouches for another report of {period} than is kept here")
    if canonical_bytes({**value, "ledger": again}) != kept.report:
        raise PeriodBroken(f"the entries of {period} do not come to what its report says")
    return kept
