"""Charge taps: each exactly once, none spoiled by its neighbours.

    arrivals.py    read a batch and check its signatures, before any lock is taken
    foresight.py   what its taps will cost, as far as that can be said without the lock
    recorded.py    what was recorded of its taps before
    deciding.py    what becomes of each tap
    pricing.py     what it costs the rider (histories.py, priced.py)
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
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy.exc import IntegrityError
from sqlmodel import Session

from ledger.accounts import account_keys
from ledger.answers import Answer
from ledger.arrivals import ReadTap, Unreadable, read_tap
from ledger.deciding import Decisions
from ledger.foresight import Foreseen, foresee
from ledger.histories import earliest_taps
from ledger.ledger import Ledger
from ledger.pricing import Pricing
from ledger.saving import save_decisions
from ledger.sequencer import accept_into
from models.access.gates import RegisteredGate
from models.database import is_postgres, sharing
from models.errors import FacefareError
from models.wire.times import format_utc, parse_utc

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
    """What an authenticated gate sent in one request: checked, and priced as far as foreseen.

    ``keys`` are those of the taps' accounts that have one.
    """

    gate: str
    received_at: datetime
    arrivals: Sequence[ReadTap | Unreadable]
    keys: Mapping[str, bytes]
    foreseen: Foreseen

    @property
    def taps(self) -> list[ReadTap]:
        """Those of the arrivals that are taps."""
        return _taps(self.arrivals)


def charge_taps(
    ledger: Ledger, gate: str, signed_taps: Sequence[str], find_gate: FindGate
) -> list[Answer]:
    """Charge the taps the authenticated ``gate`` sent; one answer per tap, in order.

    Raises ``BatchRefused`` for none or more than 512 of them. All other trouble is an
    answer of its tap. When this returns, the answers survive a power failure.
    """
    (answers,) = charge_batches(ledger, [read_batch(ledger, gate, signed_taps, find_gate)])
    return answers


def read_batch(ledger: Ledger, gate: str, signed_taps: Sequence[str], find_gate: FindGate) -> Batch:
    """Check what the authenticated ``gate`` sent, before anyone waits for a lock.

    Raises ``BatchRefused`` for no taps or more than 512.
    """
    refuse_wrong_size(signed_taps)
    registered = find_gate(gate)
    received_at = parse_utc(format_utc(ledger.clock()))
    arrivals = [read_tap(signed, gate, registered, received_at) for signed in signed_taps]
    taps = _taps(arrivals)
    keys = account_keys(ledger.vault, {arrival.tap.account for arrival in taps})
    foreseen = foresee(ledger, taps, keys, received_at)
    return Batch(gate, received_at, arrivals, keys, foreseen)


def refuse_wrong_size(signed_taps: Sequence[str]) -> None:
    """Raise ``BatchRefused`` for no taps or more than 512."""
    if not 1 <= len(signed_taps) <= TAPS_MAX:
        raise BatchRefused(f"send 1 to {TAPS_MAX} taps at a time, not {len(signed_taps)}")


def _taps(arrivals: Sequence[ReadTap | Unreadable]) -> list[ReadTap]:
    return [arrival for arrival in arrivals if isinstance(arrival, ReadTap)]


def charge_batches(ledger: Ledger, batches: Sequence[Batch]) -> list[list[Answer]]:
    """Charge several batches in one transaction, as ``charge_taps`` does; their answers."""
    for attempt in range(1, ATTEMPTS_MAX + 1):
        try:
            return _decide(ledger, batches)
        except IntegrityError:
            # Another gate recorded one of these ids meanwhile; now it can be seen.
            if attempt == ATTEMPTS_MAX:
                raise
    raise AssertionError("unreachable")


def _decide(ledger: Ledger, batches: Sequence[Batch]) -> list[list[Answer]]:
    taps = [tap for batch in batches for tap in batch.taps]
    keys = {account: key for batch in batches for account, key in batch.keys.items()}
    foreseen = {tap: priced for batch in batches for tap, priced in batch.foreseen.items()}
    earliest = earliest_taps(taps, keys)
    with sharing(ledger.engine) as session:
        _lock_gates(session, {batch.gate for batch in batches})
        log = accept_into(session, ledger.clock())
        pricing = Pricing(ledger, session, log, earliest, keys, foreseen)
        decisions = Decisions(session, taps, pricing)
        answers = [
            [decisions.decide(arrival, batch.gate, batch.received_at) for arrival in batch.arrivals]
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
