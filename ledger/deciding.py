"""Decide what becomes of each tap of a batch, given all that came before it.

A tap seen before gets its first answer again. The same id with another body is refused. A
tap that contradicts its gate's chain is kept and not charged. All others are charged; one
whose account was not open is charged when it comes again and the account is.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlmodel import Session

from ledger.answers import (
    Accepted,
    Answer,
    Quarantined,
    Refused,
    keep_answer,
    problem,
    replay_answer,
)
from ledger.arrivals import ReadTap, Unreadable
from ledger.chains import judge
from ledger.pricing import Pricing
from ledger.recorded import Row, neighbours, recorded_taps, used_ids
from models.wire.times import format_utc

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


class Decisions:
    """What one transaction knows and decides about the taps of some gates.

    ``new`` are rows to insert, ``late`` changed ones, ``refused`` things that are no taps,
    each with the gate that sent it and how often it came.
    """

    def __init__(self, session: Session, taps: Sequence[ReadTap], pricing: Pricing) -> None:
        ids = [arrival.tap.tap_id for arrival in taps]
        self._pricing = pricing
        self._rows = recorded_taps(session, ids)
        self._entry_ids = used_ids(session, ids)
        self._known = neighbours(session, taps)
        self.new: list[Row] = []
        self.late: list[Row] = []
        self.refused: dict[str, tuple[str, Refused, int]] = {}

    def decide(self, arrival: ReadTap | Unreadable, gate: str, received_at: datetime) -> Answer:
        """What becomes of one arrival that ``gate`` sent and that came at ``received_at``."""
        if isinstance(arrival, Unreadable):
            return self._refuse(gate, arrival.hash, arrival.answer)
        tap_id = arrival.tap.tap_id
        earlier = self._rows.get(tap_id)
        if earlier is None:
            if tap_id in self._entry_ids:
                return self._refuse(gate, arrival.hash, Refused(tap_id, _CONFLICT))
            return self._decide_new(arrival, received_at)
        if earlier["hash"] != arrival.hash:
            return self._refuse(gate, arrival.hash, Refused(tap_id, _CONFLICT))
        if earlier["outcome"] != "refused":
            return replay_answer(earlier["answer"], tap_id, earlier["entry_seq"])
        return self._decide_late(arrival, earlier, received_at)

    def _decide_new(self, arrival: ReadTap, received_at: datetime) -> Answer:
        tap = arrival.tap
        link = arrival.link
        known = self._known[tap.gate]
        verdict = judge(tap.seq, link, known)
        # Of an account that was erased, or never was, only the tap's hash is kept.
        there = self._pricing.knows(tap.account)
        row: Row = {
            "tap_id": tap.tap_id,
            "signed": arrival.signed if there else None,
            "hash": arrival.hash,
            "prev": tap.prev,
            "gate": tap.gate,
            "gate_seq": tap.seq,
            "chain": verdict.state,
            "outcome": "quarantined",
            "entry_seq": None,
            "account_id": tap.account if there else None,
            "received_at": format_utc(received_at),
        }
        self._rows[tap.tap_id] = row
        self.new.append(row)
        if verdict.state != "fork":
            known[tap.seq] = link
            return self._charge(arrival, row, received_at)
        title = "This tap contradicts the gate's own record"
        kept = Quarantined(tap.tap_id, problem("tap-fork", title, verdict.words, status=409))
        row["answer"] = keep_answer(kept)
        return kept

    def decide_kept(self, arrival: ReadTap, now: datetime) -> Answer:
        """Charge a recorded tap that contradicts its gate's chain: two persons decided so."""
        return self._decide_late(arrival, self._rows[arrival.tap.tap_id], now)

    def _decide_late(self, arrival: ReadTap, row: Row, received_at: datetime) -> Answer:
        """A well-signed tap is only refused for its account, and that may be opened late."""
        answer = self._charge(arrival, row, received_at)
        if isinstance(answer, Accepted):
            row |= {"account_id": arrival.tap.account, "signed": arrival.signed}
            self.late.append({"late": arrival.tap.tap_id, **row})
        return answer

    def _charge(self, arrival: ReadTap, row: Row, received_at: datetime) -> Answer:
        tap_id = arrival.tap.tap_id
        charged = self._pricing.charge(arrival, received_at)
        answer: Accepted | Refused
        if charged is None:
            row["outcome"] = "refused"
            answer = Refused(tap_id, _UNKNOWN_ACCOUNT)
        else:
            number, charge = charged
            row["outcome"] = "waiting" if number is None else "accepted"
            row["entry_seq"] = number
            answer = Accepted(tap_id, number, charge, row["chain"])
        row["answer"] = keep_answer(answer)
        return answer

    def _refuse(self, gate: str, digest: str, answer: Refused) -> Refused:
        _, _, times = self.refused.get(digest, (gate, answer, 0))
        self.refused[digest] = gate, answer, times + 1
        return answer
