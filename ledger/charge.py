"""Charge taps: each exactly once, none spoiled by its neighbours.

A batch is read and its signatures are checked before any lock is taken; then one
transaction decides about every tap and writes what became of it. A tap seen before gets
its first answer again; the same id with another body is refused.

Taps of one gate are decided one batch after another: on SQLite because there is one
writer, on PostgreSQL under a lock of that gate. Two gates that use the same tap id at the
same moment meet in the schema: the later one is decided again and finds the earlier.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from typing import Any

from sqlalchemy import bindparam, select, text, update
from sqlalchemy.exc import IntegrityError
from sqlmodel import Session, col

from ledger.accounts import account_keys
from ledger.answers import (
    Accepted,
    Answer,
    Quarantined,
    Refused,
    keep_answer,
    problem,
    replay_answer,
)
from ledger.arrivals import ReadTap, Unreadable, read_tap
from ledger.chains import Link, judge
from ledger.entries import Draft
from ledger.fares.price import Charge, Passage, price
from ledger.ledger import Ledger
from ledger.postings import RIDER, fare_income, transfer
from ledger.sequencer import accept_into
from ledger.store import table
from models.access.gates import RegisteredGate
from models.bulk import among, insert_rows
from models.database import is_postgres, lock, sharing
from models.errors import FacefareError
from models.tables.ledger import (
    NOT_A_FORK,
    AccountRow,
    EntryRow,
    RefusalRow,
    TapRow,
)
from models.wire.times import format_utc

TAPS_MAX = 512
ATTEMPTS_MAX = 3

_GATE_LOCKS = 0x0FAC  # the first half of the advisory locks of single gates

FindGate = Callable[[str], RegisteredGate | None]
Row = dict[str, Any]

_TAP = (
    "tap_id", "signed", "hash", "prev", "gate", "gate_seq", "chain", "outcome", "entry_seq",
    "answer", "account_id", "received_at",
)  # fmt: skip
_UNKNOWN_ACCOUNT = problem(
    "unknown-account",
    "There is no such account",
    "the tap's account was never opened here, or was erased",
)
_CONFLICT = problem(
    "tap-conflict",
    "This tap id was used before",
    "the id belongs to something else that is recorded; a gate makes a new id for every passage",
    status=409,
)


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
    for attempt in range(1, ATTEMPTS_MAX + 1):
        try:
            with sharing(ledger.engine) as session:
                _lock_gate(session, gate)
                batch = _Batch(ledger, session, gate, taps, keys)
                answers = [batch.decide(arrival) for arrival in arrivals]
                batch.save()
            return answers
        except IntegrityError:
            # Another gate recorded one of these ids meanwhile; now it can be seen.
            if attempt == ATTEMPTS_MAX:
                raise
    raise AssertionError("unreachable")


def _lock_gate(session: Session, gate: str) -> None:
    if is_postgres(session.connection()):
        digest = hashlib.sha256(gate.encode()).digest()
        lock(session, _GATE_LOCKS, int.from_bytes(digest[:4], signed=True))


class _Batch:
    """What one transaction knows and is going to write about the taps of one gate."""

    def __init__(
        self,
        ledger: Ledger,
        session: Session,
        gate: str,
        taps: Sequence[ReadTap],
        keys: dict[str, bytes],
    ) -> None:
        self._session, self._gate, self._tables = session, gate, ledger.tables
        self._income = fare_income(ledger.settings.network)
        self._log = accept_into(session, ledger.clock())
        self._now = self._log.recorded_at
        self._received_at = format_utc(self._now)
        ids = [arrival.tap.tap_id for arrival in taps]
        self._rows = self._earlier(ids)
        entry_id, account = col(EntryRow.entry_id), col(AccountRow.account_id)
        taken = select(entry_id).where(among(session, entry_id, ids))
        self._entry_ids = set(session.execute(taken).scalars())
        self._known = self._neighbours(taps)
        mine = select(account).where(
            among(session, account, list(keys)),
            col(AccountRow.currency) == ledger.settings.currency,
        )
        self._keys = {name: keys[name] for name in session.execute(mine).scalars()}
        self._new: list[Row] = []
        self._late: list[Row] = []
        self._refused: dict[str, tuple[Refused, int]] = {}

    def _earlier(self, ids: Sequence[str]) -> dict[str, Row]:
        """The taps with these ids that were recorded before, by id."""
        taps = table(TapRow)
        query = select(*taps.c["tap_id", "hash", "chain", "outcome", "entry_seq", "answer"])
        found = self._session.execute(
            query.where(among(self._session, taps.c.tap_id, ids))
        ).mappings()
        return {row["tap_id"]: dict(row) for row in found}

    def _neighbours(self, taps: Sequence[ReadTap]) -> dict[int, Link]:
        numbers = list({arrival.tap.seq + step for arrival in taps for step in (-1, 0, 1)})
        rows = table(TapRow)
        query = select(*rows.c["gate_seq", "hash", "prev"]).where(
            rows.c.gate == self._gate, NOT_A_FORK, among(self._session, rows.c.gate_seq, numbers)
        )
        return {row.gate_seq: Link(row.hash, row.prev) for row in self._session.execute(query)}

    def decide(self, arrival: ReadTap | Unreadable) -> Answer:
        """What becomes of one arrival, given all that came before it."""
        if isinstance(arrival, Unreadable):
            return self._refuse(arrival.hash, arrival.answer)
        tap_id = arrival.tap.tap_id
        earlier = self._rows.get(tap_id)
        if earlier is None:
            if tap_id in self._entry_ids:
                return self._refuse(arrival.hash, Refused(tap_id, _CONFLICT))
            return self._decide_new(arrival)
        if earlier["hash"] != arrival.hash:
            return self._refuse(arrival.hash, Refused(tap_id, _CONFLICT))
        if earlier["outcome"] != "refused":
            return replay_answer(earlier["answer"], tap_id, earlier["entry_seq"])
        return self._decide_late(arrival, earlier)

    def _decide_new(self, arrival: ReadTap) -> Answer:
        tap = arrival.tap
        verdict = judge(tap.seq, arrival.link, self._known)
        row: Row = {
            "tap_id": tap.tap_id,
            "signed": arrival.signed,
            "hash": arrival.hash,
            "prev": tap.prev,
            "gate": tap.gate,
            "gate_seq": tap.seq,
            "chain": verdict.state,
            "outcome": "quarantined",
            "entry_seq": None,
            "account_id": tap.account,
            "received_at": self._received_at,
        }
        self._rows[tap.tap_id] = row
        self._new.append(row)
        if verdict.state != "fork":
            self._known[tap.seq] = arrival.link
            return self._charge(arrival, row)
        title = "This tap contradicts the gate's own record"
        kept = Quarantined(tap.tap_id, problem("tap-fork", title, verdict.words, status=409))
        row["answer"] = keep_answer(kept)
        return kept

    def _decide_late(self, arrival: ReadTap, row: Row) -> Answer:
        """A well-signed tap is only refused for its account, and that may be opened late."""
        answer = self._charge(arrival, row)
        if isinstance(answer, Accepted):
            self._late.append({"late": arrival.tap.tap_id, **row})
        return answer

    def _charge(self, arrival: ReadTap, row: Row) -> Answer:
        tap = arrival.tap
        key = self._keys.get(tap.account)
        if key is None:
            row["outcome"] = "refused"
            refused = Refused(tap.tap_id, _UNKNOWN_ACCOUNT)
            row["answer"] = keep_answer(refused)
            return refused
        # A flat fare looks at no earlier ride.
        charge = price((), Passage(tap.station, tap.direction, tap.moment), self._tables)
        number = self._log.append(self._draft(arrival, charge, key))
        row["outcome"] = "waiting" if number is None else "accepted"
        row["entry_seq"] = number
        answer = Accepted(tap.tap_id, number, charge, row["chain"])
        row["answer"] = keep_answer(answer)
        return answer

    def _draft(self, arrival: ReadTap, charge: Charge, key: bytes) -> Draft:
        tap = arrival.tap
        return Draft(
            kind="ride",
            entry_id=tap.tap_id,
            occurred_at=tap.moment,
            amount=charge.amount,
            postings=transfer(charge.amount, debit=RIDER, credit=self._income),
            facts={
                "gate": tap.gate,
                "station": tap.station,
                "direction": tap.direction,
                "medium": tap.medium,
                "rule": {"code": charge.rule, "words": charge.words},
                "tap": arrival.hash,
            },
            account_id=tap.account,
            account_key=key,
        )

    def _refuse(self, digest: str, answer: Refused) -> Refused:
        _, times = self._refused.get(digest, (answer, 0))
        self._refused[digest] = answer, times + 1
        return answer

    def save(self) -> None:
        """Write the entries, then the taps that point at them, then the rest.

        In the order of ids, so that two gates that use the same ones wait and do not deadlock.
        """
        self._log.save()
        taps = table(TapRow)
        rows = sorted([row[name] for name in _TAP] for row in self._new)
        insert_rows(self._session, taps, _TAP, rows)
        if self._late:
            self._session.execute(
                update(taps)
                .where(taps.c.tap_id == bindparam("late"))
                .values({name: bindparam(name) for name in ("outcome", "entry_seq", "answer")}),
                self._late,
            )
        self._save_refusals()
        self._save_head()

    def _save_refusals(self) -> None:
        """Keep each refused thing for staff to see; sent again, it is only counted."""
        for digest, (answer, times) in sorted(self._refused.items()):
            row = self._session.get(RefusalRow, digest) or RefusalRow(
                hash=digest,
                gate=self._gate,
                tap_id=answer.tap_id,
                problem=answer.problem.type,
                detail=answer.problem.detail,
                times=0,
                first_at=self._now,
                last_at=self._now,
            )
            row.times += times
            row.last_at = self._now
            self._session.add(row)

    def _save_head(self) -> None:
        """Move the gate's head if a higher tap has come."""
        seen = [(row["gate_seq"], row["hash"]) for row in self._new if row["chain"] != "fork"]
        if seen:
            seq, digest = max(seen)
            self._session.execute(
                _MOVE_HEAD,
                {"gate": self._gate, "seq": seq, "hash": digest, "at": self._received_at},
            )


_MOVE_HEAD = text(
    "INSERT INTO gate_chain (gate, seq, hash, seen_at) VALUES (:gate, :seq, :hash, :at) "
    "ON CONFLICT (gate) DO UPDATE SET seq = excluded.seq, hash = excluded.hash, "
    "seen_at = excluded.seen_at WHERE excluded.seq > gate_chain.seq"
)
