"""What the ledger knew of a batch's taps before it came: read at once, under the batch's locks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import select
from sqlmodel import Session

from ledger.arrivals import ReadTap
from ledger.chains import Link
from ledger.store import table
from models.bulk import Prepared
from models.tables.ledger import NOT_A_FORK, EntryRow, TapRow

Row = dict[str, Any]

_taps, _entries = table(TapRow), table(EntryRow)
_RECORDED = Prepared(
    lambda one_of: select(
        *_taps.c["tap_id", "hash", "chain", "outcome", "entry_seq", "answer"]
    ).where(one_of(_taps.c.tap_id, "ids"))
)
_USED = Prepared(
    lambda one_of: select(_entries.c.entry_id).where(one_of(_entries.c.entry_id, "ids"))
)
_AROUND = Prepared(
    lambda one_of: select(*_taps.c["gate", "gate_seq", "hash", "prev"]).where(
        one_of(_taps.c.gate, "gates"), NOT_A_FORK, one_of(_taps.c.gate_seq, "numbers")
    )
)


def recorded_taps(session: Session, ids: Sequence[str]) -> dict[str, Row]:
    """The taps with these ids that were recorded before, by id."""
    found = _RECORDED.run(session, ids=list(ids)).mappings()
    return {row["tap_id"]: dict(row) for row in found}


def used_ids(session: Session, ids: Sequence[str]) -> set[str]:
    """Those of the ids that belong to entries."""
    return set(_USED.run(session, ids=list(ids)).scalars())


def neighbours(session: Session, taps: Sequence[ReadTap]) -> dict[str, dict[int, Link]]:
    """The recorded taps around these, by gate and number."""
    gates = list({arrival.tap.gate for arrival in taps})
    numbers = list({arrival.tap.seq + step for arrival in taps for step in (-1, 0, 1)})
    known: dict[str, dict[int, Link]] = {gate: {} for gate in gates}
    for row in _AROUND.run(session, gates=gates, numbers=numbers):
        known[row.gate][row.gate_seq] = Link(row.hash, row.prev)
    return known
