"""Whether the processor takes our orders, for the people who have to mend it.

A wrong key or an account that is not ready stops every call at once, and no call is lost: they
wait. What the processor said is kept until it answers again, and stands on every finance page.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import func, select

from ledger.ledger import Ledger
from models.database import reading, writing
from models.tables.reconcile import UNSETTLED, ProcessorCallRow, ProcessorTroubleRow

WORDS_MAX = 300


@dataclass(frozen=True, slots=True)
class ProcessorTrouble:
    """Why a processor refuses us, since when, and how many calls wait for it."""

    processor: str
    words: str
    since: datetime
    waiting: int


def note_trouble(ledger: Ledger, processor: str, words: str) -> bool:
    """Keep why the processor refuses us; return whether that is news."""
    words = words[:WORDS_MAX]
    with writing(ledger.engine) as session:
        row = session.get(ProcessorTroubleRow, processor)
        if row is None:
            row = ProcessorTroubleRow(processor=processor, words="", since=ledger.clock())
        news, row.words = row.words != words, words
        session.add(row)
    return news


def note_answer(ledger: Ledger, processor: str) -> None:
    """The processor answered us: whatever was wrong is mended."""
    with reading(ledger.engine) as session:
        if session.get(ProcessorTroubleRow, processor) is None:
            return
    with writing(ledger.engine) as session:
        row = session.get(ProcessorTroubleRow, processor)
        if row is not None:
            session.delete(row)


def troubles(ledger: Ledger) -> list[ProcessorTrouble]:
    """What is wrong now; empty where everything is well."""
    with reading(ledger.engine) as session:
        rows = session.execute(select(ProcessorTroubleRow)).scalars().all()
        if not rows:
            return []
        count = select(func.count()).select_from(ProcessorCallRow)
        waiting = session.execute(count.where(UNSETTLED)).scalar_one()
    return [ProcessorTrouble(row.processor, row.words, row.since, waiting) for row in rows]
