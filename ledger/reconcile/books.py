"""The roll-ups as a whole: made again from the entries, in the time zone of the books."""

from __future__ import annotations

from sqlalchemy import select
from sqlmodel import col

from ledger.ledger import Ledger
from ledger.rollups import find_zone, rebuild
from ledger.store import LogWriter
from models.database import writing
from models.errors import FacefareError
from models.tables.reconcile import BooksRow, PeriodCloseRow, StatementRow


class ZoneFixed(FacefareError):
    """The zone cannot change any more."""


def count_in(ledger: Ledger, zone: str) -> None:
    """Count days in ``zone`` from now on, and all entries so far again.

    Raises ``ZoneUnknown``, and ``ZoneFixed`` once a period was closed or a statement imported:
    their days are what others were told.
    """
    find_zone(zone)
    with writing(ledger.engine) as session:
        LogWriter(session, ledger.clock())
        for used in (PeriodCloseRow.period, StatementRow.digest):
            if session.execute(select(col(used)).limit(1)).first() is not None:
                raise ZoneFixed(
                    "days were already closed or statements imported in the zone the books have; "
                    "it stays"
                )
        books = session.get(BooksRow, 1)
        assert books is not None  # the schema's revision made it
        books.zone = zone
        session.add(books)
        session.flush()
        rebuild(session)


def repair(ledger: Ledger) -> None:
    """Make the roll-ups again from the entries; nothing is numbered meanwhile."""
    with writing(ledger.engine) as session:
        LogWriter(session, ledger.clock())
        rebuild(session)
