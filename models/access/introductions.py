"""Who gave whom access: remembered, so that two persons are two.

Whoever invites a member of staff, or resets an account, holds its one-time link, and could be
the one who opens it. Each time is written down here; what two persons have to decide together
is refused for a while where one of them let the other in (``ledger.two_persons``).

An account that was made at the machine itself (``facefare staff add``) was let in by nobody
with a name: who has the machine has everything.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from sqlalchemy import Engine
from sqlmodel import Session, col, or_, select

from models.database import open_sqlite, reading
from models.tables.access import AccessTable, Introduction

AT_THE_MACHINE = ""
"""Who acts from the command line; no member of staff has this name."""


def record_introduction(session: Session, staff: str, by: str, what: str, now: datetime) -> None:
    """Write down that ``by`` let ``staff`` in; in the transaction that does it."""
    session.add(Introduction(staff=staff, by=by, what=what, at=now))


def newest_introductions(database: Engine) -> dict[str, Introduction]:
    """How each member of staff was let in the last time."""
    with reading(database) as session:
        rows = session.exec(select(Introduction).order_by(col(Introduction.number)))
        return {row.staff: row for row in rows}


@dataclass(frozen=True, slots=True)
class Introductions:
    """The access database as the ledger asks it, opened for each of the rare questions."""

    access_db: Path

    def between(self, one: str, other: str, since: datetime) -> bool:
        """Whether one of the two let the other in, ``since`` or later.

        Raises ``DatabaseUnusable`` where nobody can tell: then nothing is decided.
        """
        engine = open_sqlite(self.access_db, AccessTable.metadata)
        row = Introduction
        either = or_(
            (col(row.staff) == one) & (col(row.by) == other),
            (col(row.staff) == other) & (col(row.by) == one),
        )
        try:
            with reading(engine) as session:
                query = select(row.number).where(either, col(row.at) >= since).limit(1)
                return session.exec(query).first() is not None
        finally:
            engine.dispose()
