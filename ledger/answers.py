"""What a gate hears about each tap: three types, and their JSON.

accepted      the ride is in the log; heard again as "replayed" when the tap is sent again
quarantined   the tap contradicts the gate's own chain: kept, shown to staff, not charged
refused       this can not be charged; the problem says why

{"status":"accepted","tap_id":"019…","entry":5,"chain":"ok",
 "charge":{"amount":{"currency":"CNY","minor":200},"rule":"flat","words":"Flat fare …"}}
{"status":"refused","tap_id":"019…","problem":{"type":"urn:facefare:tap-conflict",
 "title":"This tap id was used before","detail":"…"}}
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Literal

from ledger.fares.price import Charge
from models.money import Money

ChainState = Literal["ok", "gap", "fork"]


@dataclass(frozen=True, slots=True)
class Problem:
    """Why not, as in RFC 9457: a type for programs, a title and a detail for people."""

    type: str
    title: str
    detail: str


@dataclass(frozen=True, slots=True)
class Accepted:
    """The tap is charged by the entry numbered ``entry``."""

    tap_id: str
    entry: int
    charge: Charge
    chain: ChainState
    replayed: bool = False


@dataclass(frozen=True, slots=True)
class Quarantined:
    """The tap is kept as evidence and not charged."""

    tap_id: str
    problem: Problem


@dataclass(frozen=True, slots=True)
class Refused:
    """Nothing is charged. ``tap_id`` is None where it could not even be read."""

    tap_id: str | None
    problem: Problem


Answer = Accepted | Quarantined | Refused


def problem(code: str, title: str, detail: str) -> Problem:
    """A problem of this project: ``code`` becomes ``urn:facefare:<code>``."""
    return Problem(f"urn:facefare:{code}", title, detail)


def answer_json(answer: Answer) -> dict[str, Any]:
    """The answer as it travels."""
    if isinstance(answer, Accepted):
        charge = answer.charge
        amount = {"currency": charge.amount.currency, "minor": charge.amount.minor}
        return {
            "status": "replayed" if answer.replayed else "accepted",
            "tap_id": answer.tap_id,
            "entry": answer.entry,
            "chain": answer.chain,
            "charge": {"amount": amount, "rule": charge.rule, "words": charge.words},
        }
    kept = answer.problem
    return {
        "status": "quarantined" if isinstance(answer, Quarantined) else "refused",
        "tap_id": answer.tap_id,
        "problem": {"type": kept.type, "title": kept.title, "detail": kept.detail},
    }


def keep_answer(answer: Answer) -> str:
    """The first answer to a tap, as the text that is kept beside it."""
    return json.dumps(answer_json(answer), ensure_ascii=False)


def replay_answer(kept: str) -> Answer:
    """The first answer again, from what ``keep_answer`` wrote."""
    value = json.loads(kept)
    tap_id = value["tap_id"]
    if value["status"] == "accepted":
        charge = value["charge"]
        amount = Money(charge["amount"]["minor"], charge["amount"]["currency"])
        paid = Charge(amount, charge["rule"], charge["words"])
        return Accepted(tap_id, value["entry"], paid, value["chain"], replayed=True)
    kind = Quarantined if value["status"] == "quarantined" else Refused
    return kind(tap_id, Problem(**value["problem"]))
