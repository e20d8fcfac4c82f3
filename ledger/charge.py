"""Charge taps: each exactly once, none spoiled by its neighbours.

    arrivals.py    read a batch and check its signatures, before any lock is taken
    recorded.py    what was recorded of its taps before
    deciding.py    what becomes of each tap
    pricing.py     what it costs the rider (histories.py, fares/position.py, fare_entries.py)
    saving.py      write it all

One transaction decides about every tap of a batch and writes what became of it.

Taps of one gate are decided one batch after another: on SQLite because there is one
writer, on PostgreSQL under a lock of that gate. Taps of one rider are priced one after
another, whichever gates they came through, because the rider's row is held. Two gates that
use the same tap id at the same moment meet in the schema: the later one is decided again
and finds the earlier.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
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
from models.database import is_postgres, lock, sharing
from models.errors import FacefareError

TAPS_MAX = 512
ATTEMPTS_MAX = 3

_GATE_LOCKS = 0x0FAC  # the first half of the advisory locks of single gates

FindGate = Callable[[str], RegisteredGate | None]


class BatchRefused(FacefareError):
    """A request that carries no taps, or too many."""


def charge_taps(
    ledger: Ledger, gate: str, signed_taps: Sequence[str], find_gate: FindGate
) -> list[Answer]:
    """Charge the taps the authenticated ``gate`` sent; one answer per tap, in order.

    Raises ``BatchRefused`` for none or more than 512 of them. All other trouble is an
    answer of its tap. When this returns, the answers survive a power failure.
    """
    if not 1 <= len(signed_taps) <= TAPS_MAX:
        raise BatchRefused(f"send 1 to {TAPS_MAX} taps at a time, not {len(signed_taps)}")
    registered = find_gate(gate)
    arrivals = [read_tap(signed, gate, registered) for signed in signed_taps]
    taps = [arrival for arrival in arrivals if isinstance(arrival, ReadTap)]
    keys = account_keys(ledger.vault, {arrival.tap.account for arrival in taps})
    earliest = earliest_taps(taps, keys)
    for attempt in range(1, ATTEMPTS_MAX + 1):
        try:
            return _charge(ledger, gate, arrivals, taps, keys, earliest)
        except IntegrityError:
            # Another gate recorded one of these ids meanwhile; now it can be seen.
            if attempt == ATTEMPTS_MAX:
                raise
    raise AssertionError("unreachable")


def _charge(
    ledger: Ledger,
    gate: str,
    arrivals: Sequence[ReadTap | Unreadable],
    taps: Sequence[ReadTap],
    keys: dict[str, bytes],
    earliest: dict[str, datetime],
) -> list[Answer]:
    with sharing(ledger.engine) as session:
        _lock_gate(session, gate)
        log = accept_into(session, ledger.clock())
        pricing = Pricing(ledger, session, log, earliest, keys)
        decisions = Decisions(session, gate, taps, pricing, log.recorded_at)
        answers = [decisions.decide(arrival) for arrival in arrivals]
        log.save()
        save_decisions(session, gate, decisions, log.recorded_at)
        pricing.save()
    pricing.remember()
    return answers


def _lock_gate(session: Session, gate: str) -> None:
    if is_postgres(session.connection()):
        digest = hashlib.sha256(gate.encode()).digest()
        lock(session, _GATE_LOCKS, int.from_bytes(digest[:4], signed=True))
