"""Open a closed period again: one person asks with a reason, and another one agrees.

Both acts are entries. The old report stays, and closing again makes a new revision.
"""

from __future__ import annotations

from sqlalchemy import select
from sqlmodel import Session, col

from ledger.entries import decode
from ledger.ledger import Ledger
from ledger.once import recorded_before
from ledger.reconcile.closed import closings
from ledger.reconcile.periods import (
    PeriodRefused,
    check_period,
    period_draft,
    period_entry_id,
)
from ledger.store import LogWriter
from ledger.topups import staff_key_name
from ledger.two_persons import check_two_persons
from models.database import reading, writing
from models.tables.ledger import EntryRow
from models.tables.reconcile import PeriodReopeningRow

_REASON_MAX = 500


def ask_to_reopen(ledger: Ledger, period: str, reason: str, asked_by: str) -> None:
    """The first person's part: ask, with a reason. Asking again changes nothing."""
    check_period(period)
    if not 1 <= len(reason.strip()) <= _REASON_MAX:
        raise PeriodRefused(f"give a reason of 1 to {_REASON_MAX} characters")
    key = ledger.vault.create(staff_key_name(asked_by))
    with writing(ledger.engine) as session:
        writer = LogWriter(session, ledger.clock())
        revision = _must_be_closed(session, period)
        draft = period_draft(ledger, writer, "period_reopen_asked", period, revision,
                       {"reason": reason.strip()}, asked_by, key)  # fmt: skip
        if recorded_before(session, draft) is None:
            writer.append(draft)
            writer.save()


def reopen_period(ledger: Ledger, period: str, approved_by: str) -> int:
    """The second person's part: agree, and the period is open. Returns the revision undone.

    Raises ``PeriodRefused`` where nobody asked, ``EntryRefused`` where it was the same person
    or one who let the other in a short while ago.
    """
    check_period(period)
    key = ledger.vault.create(staff_key_name(approved_by))
    _check_two(ledger, period, approved_by)
    with writing(ledger.engine) as session:
        writer = LogWriter(session, ledger.clock())
        revision = _must_be_closed(session, period)
        asked_id = period_entry_id("period_reopen_asked", period, revision)
        asked = session.execute(select(EntryRow).where(col(EntryRow.entry_id) == asked_id)).scalar()
        if asked is None:
            raise PeriodRefused(f"nobody has asked to open {period} again; ask with a reason first")
        draft = period_draft(ledger, writer, "period_reopened", period, revision,
                       {"corrects": asked_id}, approved_by, key)  # fmt: skip
        writer.append(draft)
        writer.save()
        session.add(
            PeriodReopeningRow(
                period=period,
                revision=revision,
                entry_id=draft.entry_id,
                reason=decode(asked.body)["reason"],
                asked_by=asked.made_by or "",
                approved_by=approved_by,
                reopened_at=writer.recorded_at,
            )
        )
    return revision


def _check_two(ledger: Ledger, period: str, approved_by: str) -> None:
    """Raise unless the request was somebody else's, who is independent."""
    with reading(ledger.engine) as session:
        revision = _must_be_closed(session, period)
        asked = reopen_asked(session, period, revision)
    if asked is not None:
        about = period_entry_id("period_reopen_asked", period, revision)
        check_two_persons(ledger, asked[0], approved_by, about)


def reopen_asked(session: Session, period: str, revision: int) -> tuple[str, str] | None:
    """Who asked to open a closed revision again, and why; None where nobody did."""
    asked_id = period_entry_id("period_reopen_asked", period, revision)
    asked = session.execute(select(EntryRow).where(col(EntryRow.entry_id) == asked_id)).scalar()
    return None if asked is None else (asked.made_by or "", decode(asked.body)["reason"])


def _must_be_closed(session: Session, period: str) -> int:
    revision, closed = closings(session, period)
    if not closed:
        raise PeriodRefused(f"{period} is not closed")
    return revision
