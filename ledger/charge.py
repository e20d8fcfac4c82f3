"""Charge taps: each exactly once, none spoiled by its neighbours.

    arrivals.py    read a batch and check its signatures, before any lock is taken
    recorded.py    what was recorded of its taps before
    deciding.py    what becomes of each tap
    pricing.py     what it costs the rider (histories.py, fares/position.py, fare_entries.py)
    saving.py      write it all

One transaction decides about every tap of a batch and writes what became of it; batches
that come at the same moment may share one (``charge_batches``).

Taps of one gate are decided one batch after another: on SQLite because there is one
writer, on PostgreSQL under a lock of that gate. Taps of one rider are priced one after
another, whichever gates they came through, because the rider's row is held. Two gates that
use the same tap id at the same moment meet in the schema: the later one is decided again
and finds the earlier.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy.exc import IntegrityError
from sqlmodel import Session

from ledger.accounts import account_keys
from ledger.answers import Answer
from ledger.arrivals import ReadTap, Unreadable, read_tap
from ledger.deciding import Decisions
from ledger.ledger import Ledger
from ledger.pricing import Pricing, earliest_taps
from ledger.saving import save_decisions
from ledger.sequencer import accept_into
from models.access.gates import RegisteredGate
from models.database import is_postgres, sharing
from models.errors import FacefareError

TAPS_MAX = 512
TAPS_TOGETHER_MAX = 64
"""How many taps of several requests are charged in one transaction: none of them waits long."""

ATTEMPTS_MAX = 3

_GATE_LOCKS = 0x0FAC  # the first half of the advisory locks of single gates

FindGate = Callable[[str], RegisteredGate | None]


class BatchRefused(FacefareError):
    """A request that carries no taps, or too many."""


@dataclass(frozen=True, slots=True)
class Batch:
    """What an authenticated gate sent in one request, its signatures checked."""

    gate: str
    arrivals: Sequence[ReadTap | Unreadable]

    @property
    def taps(self) -> list[ReadTap]:
        """Those of the arrivals that are taps."""
        return [arrival for arrival in self.arrivals if isinstance(arrival, ReadTap)]


def charge_taps(
    ledger: Ledger, gate: str, signed_taps: Sequence[str], find_gate: FindGate
) -> list[Answer]:
    """Charge the taps the authenticated ``gate`` sent; one answer per tap, in order.

    Raises ``BatchRefused`` for none or more than 512 of them. All other trouble is an
    answer of its tap. When this returns, the answers survive a power failure.
    """
    (answers,) = charge_batches(ledger, [read_batch(gate, signed_taps, find_gate)])
    return answers


def read_batch(gate: str, signed_taps: Sequence[str], find_gate: FindGate) -> Batch:
    """Check what the authenticated ``gate`` sent, before anyone waits for a lock.

    Raises ``BatchRefused`` for no taps or more than 512.
    """
    if not 1 <= len(signed_taps) <= TAPS_MAX:
        raise BatchRefused(f"send 1 to {TAPS_MAX} taps at a time, not {len(signed_taps)}")
    registered = find_gate(gate)
    return Batch(gate, [read_tap(signed, gate, registered) for signed in signed_taps])


def charge_batches(ledger: Ledger, batches: Sequence[Batch]) -> list[list[Answer]]:
    """Charge several batches in one transaction, as ``charge_taps`` does; their answers."""
    taps = [tap for batch in batches for tap in batch.taps]
    keys = account_keys(ledger.vault, {arrival.tap.account for arrival in taps})
    earliest = earliest_taps(taps, keys)
    for attempt in range(1, ATTEMPTS_MAX + 1):
        try:
            return _decide(ledger, batches, taps, keys, earliest)
        except IntegrityError:
            # Another gate recorded one of these ids meanwhile; now it can be seen.
            if attempt == ATTEMPTS_MAX:
                raise
    raise AssertionError("unreachable")


def _decide(
    ledger: Ledger,
    batches: Sequence[Batch],
    taps: Sequence[ReadTap],
    keys: dict[str, bytes],
    earliest: dict[str, datetime],
) -> list[list[Answer]]:
    with sharing(ledger.engine) as session:
        _lock_gates(session, {batch.gate for batch in batches})
        log = accept_into(session, ledger.clock())
        pricing = Pricing(ledger, session, log, earliest, keys)
        decisions = Decisions(session, taps, pricing, log.recorded_at)
        answers = [
            [decisions.decide(arrival, batch.gate) for arrival in batch.arrivals]
            for batch in batches
        ]
        log.save()
        save_decisions(session, decisions, log.recorded_at)
        pricing.save()
    pricing.remember()
    ledger.accepted.set()
    return answers


def _lock_gates(session: Session, gates: Iterable[str]) -> None:
    """On PostgreSQL, hold the gates, in one order so that two transactions do not deadlock."""
    connection = session.connection()
    if not is_postgres(connection):
        return
    digests = {hashlib.sha256(gate.encode()).digest()[:4] for gate in gates}
    numbers = sorted(int.from_bytes(digest, signed=True) for digest in digests)
    connection.exec_driver_sql(
        "SELECT pg_advisory_xact_lock(%s, gate) FROM unnest(%s::int[]) AS gates (gate)",
        (_GATE_LOCKS, numbers),
    )
