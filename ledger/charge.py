"""Charge taps: each exactly once, none spoiled by its neighbours.

A batch is read and its signatures are checked before the write lock is taken; then one
transaction decides about every tap and writes what became of it. A tap seen before gets
its first answer again; the same id with another body is refused.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import jwt
from sqlmodel import Session, col, select

from ledger.accounts import key_name
from ledger.answers import (
    Accepted,
    Answer,
    ChainState,
    Quarantined,
    Refused,
    keep_answer,
    problem,
    replay_answer,
)
from ledger.chains import Link, judge
from ledger.entries import Draft
from ledger.fares.price import Charge, Passage, price
from ledger.ledger import Ledger
from ledger.postings import RIDER, fare_income, transfer
from ledger.store import LogWriter
from models.access.gates import RegisteredGate
from models.database import writing
from models.errors import FacefareError
from models.tables.ledger import AccountRow, EntryRow, GateChainRow, RefusalRow, TapRow
from models.vault import KeyErased
from models.wire.tap import Tap, TapRefused, check_tap, tap_hash

TAPS_MAX = 512
SIGNED_TAP_CHARS_MAX = 4096

_UNVERIFIED: Any = {"verify_signature": False}

FindGate = Callable[[str], RegisteredGate | None]


class BatchRefused(FacefareError):
    """A request that carries no taps, or too many."""


@dataclass(frozen=True, slots=True)
class _ReadTap:
    """A tap whose signature and form are good."""

    tap: Tap
    signed: str
    hash: str

    @property
    def link(self) -> Link:
        return Link(self.hash, self.tap.prev)


@dataclass(frozen=True, slots=True)
class _Unreadable:
    """What was sent as a tap and is none this gate may send."""

    hash: str
    answer: Refused


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
    arrivals = [_read(signed, gate, registered) for signed in signed_taps]
    read = [arrival for arrival in arrivals if isinstance(arrival, _ReadTap)]
    keys = _account_keys(ledger, {arrival.tap.account for arrival in read})
    # No autoflush: a tap's row points at an entry that is written before it, in save().
    with writing(ledger.engine) as session, session.no_autoflush:
        batch = _Batch(ledger, session, gate, read, keys)
        answers = [batch.decide(arrival) for arrival in arrivals]
        batch.save()
    return answers


def _read(signed: str, gate: str, registered: RegisteredGate | None) -> _ReadTap | _Unreadable:
    if len(signed) > SIGNED_TAP_CHARS_MAX or not signed.isascii():
        return _unreadable(signed, "it is not a signed tap of at most 4096 ASCII characters")
    if registered is None or registered.revoked:
        return _unreadable(signed, f"the gate {gate} is not registered or was revoked")
    try:
        tap = check_tap(signed, registered.key)
    except TapRefused as error:
        return _unreadable(signed, str(error))
    if tap.gate != gate or registered.name != gate:
        return _unreadable(signed, f"the gate {gate} sent a tap of the gate {tap.gate}")
    if (tap.station, tap.direction) != (registered.station, registered.direction):
        return _unreadable(
            signed,
            f"the tap says {tap.station}/{tap.direction}, but the gate {gate} is registered at "
            f"{registered.station}/{registered.direction}",
        )
    return _ReadTap(tap, signed, tap_hash(signed))


def _unreadable(signed: str, detail: str) -> _Unreadable:
    digest = hashlib.sha256(signed.encode("utf-8", "surrogatepass")).hexdigest()
    told = problem("tap-refused", "This tap cannot be charged", detail)
    return _Unreadable(digest, Refused(_claimed_id(signed), told))


def _claimed_id(signed: str) -> str | None:
    """The id a refused tap claims, so that its gate knows which one is meant; not trusted."""
    try:
        claimed = json.loads(jwt.PyJWS().decode_complete(signed, options=_UNVERIFIED)["payload"])
        return str(UUID(claimed["tap_id"]))
    except (jwt.InvalidTokenError, ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return None


def _account_keys(ledger: Ledger, accounts: set[str]) -> dict[str, bytes]:
    keys = {}
    for account in accounts:
        try:
            keys[account] = ledger.vault.key(key_name(account))
        except KeyErased:
            continue  # the tap is then refused like that of any unknown account
    return keys


class _Batch:
    """What one transaction knows and is going to write about the taps of one gate."""

    def __init__(
        self,
        ledger: Ledger,
        session: Session,
        gate: str,
        taps: Sequence[_ReadTap],
        keys: dict[str, bytes],
    ) -> None:
        self._ledger, self._session, self._gate = ledger, session, gate
        self._tables = ledger.tables
        self._writer = LogWriter(session, ledger.clock())
        self._now: datetime = self._writer.recorded_at
        ids = [arrival.tap.tap_id for arrival in taps]
        self._rows = {
            row.tap_id: row
            for row in session.exec(select(TapRow).where(col(TapRow.tap_id).in_(ids)))
        }
        self._entry_ids = set(
            session.exec(select(EntryRow.entry_id).where(col(EntryRow.entry_id).in_(ids)))
        )
        self._known = self._neighbours(taps)
        open_accounts = select(AccountRow.account_id).where(
            col(AccountRow.account_id).in_(keys), AccountRow.currency == ledger.settings.currency
        )
        self._keys = {account: keys[account] for account in session.exec(open_accounts)}
        self._head: tuple[int, str] | None = None
        self._refusals: dict[str, RefusalRow] = {}

    def _neighbours(self, taps: Sequence[_ReadTap]) -> dict[int, Link]:
        numbers = {a.tap.seq + step for a in taps for step in (-1, 0, 1)}
        query = select(TapRow.gate_seq, TapRow.hash, TapRow.prev).where(
            TapRow.gate == self._gate, TapRow.chain != "fork", col(TapRow.gate_seq).in_(numbers)
        )
        return {seq: Link(own, prev) for seq, own, prev in self._session.exec(query)}

    def decide(self, arrival: _ReadTap | _Unreadable) -> Answer:
        """What becomes of one arrival, given all that came before it."""
        if isinstance(arrival, _Unreadable):
            return self._refuse(arrival.hash, arrival.answer)
        tap_id = arrival.tap.tap_id
        earlier = self._rows.get(tap_id)
        if earlier is None:
            if tap_id in self._entry_ids:
                return self._conflict(arrival)
            return self._decide_new(arrival)
        if earlier.hash != arrival.hash:
            return self._conflict(arrival)
        if earlier.outcome != "refused":
            return replay_answer(earlier.answer)
        # Only a missing account refuses a well-signed tap, and accounts may be opened late.
        return self._charge(arrival, earlier)

    def _decide_new(self, arrival: _ReadTap) -> Answer:
        tap = arrival.tap
        verdict = judge(tap.seq, arrival.link, self._known)
        row = TapRow(
            tap_id=tap.tap_id,
            signed=arrival.signed,
            hash=arrival.hash,
            prev=tap.prev,
            gate=tap.gate,
            gate_seq=tap.seq,
            chain=verdict.state,
            outcome="quarantined",
            answer="",
            account_id=tap.account,
            received_at=self._now,
        )
        self._rows[tap.tap_id] = row
        self._session.add(row)
        if verdict.state == "fork":
            kept = Quarantined(
                tap.tap_id,
                problem("tap-fork", "This tap contradicts the gate's own record", verdict.words),
            )
            row.answer = keep_answer(kept)
            return kept
        self._known[tap.seq] = arrival.link
        self._head = max(self._head or (tap.seq, arrival.hash), (tap.seq, arrival.hash))
        return self._charge(arrival, row)

    def _charge(self, arrival: _ReadTap, row: TapRow) -> Answer:
        tap = arrival.tap
        answer: Answer
        key = self._keys.get(tap.account)
        if key is None:
            row.outcome = "refused"
            answer = Refused(
                tap.tap_id,
                problem("unknown-account", "There is no such account",
                        "the tap's account was never opened here, or was erased"),
            )  # fmt: skip
        else:
            passage = Passage(tap.station, tap.direction, tap.moment)
            charge = price((), passage, self._tables)  # a flat fare looks at no earlier ride
            row.outcome = "accepted"
            row.entry_seq = self._writer.append(self._draft(arrival, charge, key))
            chain: ChainState = "gap" if row.chain == "gap" else "ok"
            answer = Accepted(tap.tap_id, row.entry_seq, charge, chain)
        row.answer = keep_answer(answer)
        return answer

    def _draft(self, arrival: _ReadTap, charge: Charge, key: bytes) -> Draft:
        tap = arrival.tap
        facts: dict[str, Any] = {
            "gate": tap.gate,
            "station": tap.station,
            "direction": tap.direction,
            "medium": tap.medium,
            "rule": {"code": charge.rule, "words": charge.words},
            "tap": arrival.hash,
        }
        income = fare_income(self._tables.network)
        return Draft(
            kind="ride",
            entry_id=tap.tap_id,
            occurred_at=tap.moment,
            amount=charge.amount,
            postings=transfer(charge.amount, debit=RIDER, credit=income),
            facts=facts,
            account_id=tap.account,
            account_key=key,
        )

    def _conflict(self, arrival: _ReadTap) -> Refused:
        answer = Refused(
            arrival.tap.tap_id,
            problem("tap-conflict", "This tap id was used before",
                    "the id belongs to something else that is recorded; "
                    "a gate makes a new id for every passage"),
        )  # fmt: skip
        return self._refuse(arrival.hash, answer)

    def _refuse(self, digest: str, answer: Refused) -> Refused:
        """Keep the refusal for staff to see; the same thing sent again is only counted."""
        row = self._refusals.get(digest) or self._session.get(RefusalRow, digest)
        if row is None:
            row = RefusalRow(
                hash=digest,
                gate=self._gate,
                tap_id=answer.tap_id,
                problem=answer.problem.type,
                detail=answer.problem.detail,
                times=0,
                first_at=self._now,
                last_at=self._now,
            )
            self._session.add(row)
        self._refusals[digest] = row
        row.times += 1
        row.last_at = self._now
        return answer

    def save(self) -> None:
        """Write the entries, then the taps that point at them, then the gate's head."""
        self._writer.save()
        self._session.flush()
        if self._head is None:
            return
        seq, digest = self._head
        head = self._session.get(GateChainRow, self._gate)
        if head is None or seq > head.seq:
            row = GateChainRow(gate=self._gate, seq=seq, hash=digest, seen_at=self._now)
            self._session.merge(row)
