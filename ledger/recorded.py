"""What the ledger knew of a batch's taps before it came: read at once, under the batch's locks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import select
from sqlmodel import Session, col

from ledger.arrivals import ReadTap
from ledger.chains import Link
from ledger.store import table
from models.bulk import among
from models.tables.ledger import NOT_A_FORK, EntryRow, TapRow

Row = dict[str, Any]


def recorded_taps(session: Session, ids: Sequence[str]) -> dict[str, Row]:
    """The taps with these ids that were recorded before, by id."""
    taps = table(TapRow)
    query = select(*taps.c["tap_id", "hash", "chain", "outcome", "entry_seq", "answer"])
    found = session.execute(query.where(among(session, taps.c.tap_id, ids))).mappings()
    return {row["tap_id"]: dict(row) for row in found}


def used_ids(session: Session, ids: Sequence[str]) -> set[str]:
    """Those of the ids that belong to entries."""
    entry_id = col(EntryRow.entry_id)
    return set(session.execute(select(entry_id).where(among(session, entry_id, ids))).scalars())


def neighbours(session: Session, taps: Sequence[ReadTap]) -> dict[str, dict[int, Link]]:
    """The recorded taps around these, by gate and number."""
    gates = list({arrival.tap.gate for arrival in taps})
    numbers = list({arrival.tap.seq + step for arrival in taps for step in (-1, 0, 1)})
    rows = table(TapRow)
    query = select(*rows.c["gate", "gate_seq", "hash", "prev"]).where(
        among(session, rows.c.gate, gates), NOT_A_FORK, among(session, rows.c.gate_seq, numbers)
    )
    known: dict[str, dict[int, Link]] = {gate: {} for gate in gates}
    for row in session.execute(query):
        known[row.gate][row.gate_seq] = Link(row.hash, row.prev)
    return known
