"""Write what was decided: taps, what was refused, and the gates' newest taps.

In the order of ids, so that two gates that use the same ones wait and do not deadlock.
"""

from __future__ import annotations

from datetime import datetime
from operator import itemgetter

from sqlalchemy import bindparam, text, update
from sqlmodel import Session

from ledger.deciding import Decisions
from ledger.store import table
from models.bulk import insert_rows
from models.tables.ledger import RefusalRow, TapRow
from models.wire.times import format_utc

_TAP = (
    "tap_id", "signed", "hash", "prev", "gate", "gate_seq", "chain", "outcome", "entry_seq",
    "answer", "account_id", "received_at",
)  # fmt: skip
_LATE = ("outcome", "entry_seq", "answer", "account_id", "signed")
_MOVE_HEAD = text(
    "INSERT INTO gate_chain (gate, seq, hash, seen_at) VALUES (:gate, :seq, :hash, :at) "
    "ON CONFLICT (gate) DO UPDATE SET seq = excluded.seq, hash = excluded.hash, "
    "seen_at = excluded.seen_at WHERE excluded.seq > gate_chain.seq"
)


def save_decisions(session: Session, decisions: Decisions, now: datetime) -> None:
    """Write the rows into the transaction; the entries they point at are written before."""
    taps = table(TapRow)
    insert_rows(session, taps, _TAP, sorted(map(itemgetter(*_TAP), decisions.new)))
    if decisions.late:
        session.execute(
            update(taps)
            .where(taps.c.tap_id == bindparam("late"))
            .values({name: bindparam(name) for name in _LATE}),
            decisions.late,
        )
    _save_refusals(session, decisions, now)
    _save_heads(session, decisions, now)


def _save_refusals(session: Session, decisions: Decisions, now: datetime) -> None:
    """Keep each refused thing for staff to see; sent again, it is only counted."""
    for digest, (gate, answer, times) in sorted(decisions.refused.items()):
        row = session.get(RefusalRow, digest) or RefusalRow(
            hash=digest,
            gate=gate,
            tap_id=answer.tap_id,
            problem=answer.problem.type,
            detail=answer.problem.detail,
            times=0,
            first_at=now,
            last_at=now,
        )
        row.times += times
        row.last_at = now
        session.add(row)


def _save_heads(session: Session, decisions: Decisions, now: datetime) -> None:
    """Move each gate's head if a higher tap has come."""
    heads: dict[str, tuple[int, str]] = {}
    for row in decisions.new:
        if row["chain"] != "fork":
            newest = row["gate_seq"], row["hash"]
            heads[row["gate"]] = max(newest, heads.get(row["gate"], newest))
    at = format_utc(now)
    rows = [
        {"gate": gate, "seq": seq, "hash": digest, "at": at}
        for gate, (seq, digest) in sorted(heads.items())
    ]
    if rows:
        session.execute(_MOVE_HEAD, rows)
