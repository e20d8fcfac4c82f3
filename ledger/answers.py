"""What a gate hears about each tap: three types, and their JSON.

accepted      the ride is in the log; heard again as "replayed" when the tap is sent again
quarantined   the tap contradicts the gate's own chain: kept, shown to staff, not charged
refused       this can not be charged; the problem says why

An accepted tap's "entry" is null until the entry has its number (PostgreSQL: moments later);
sending the tap again tells it. Either way the answer is given after the commit.

{"status":"accepted","tap_id":"019…","entry":5,"chain":"ok",
 "charge":{"amount":{"currency":"CNY","minor":200},"rule":"flat","words":"Flat fare …"}}
{"status":"refused","tap_id":"019…","problem":{"type":"urn:facefare:tap-conflict",
 "status":409,"title":"This tap id was used before","detail":"…"}}
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from typing import Any, Literal

import orjson

from models.money import Money

ChainState = Literal["ok", "gap", "fork"]


@dataclass(frozen=True, slots=True)
class Problem:
    """Why not, as in RFC 9457: a type for programs, a title and a detail for people.

    ``status`` is what HTTP would say of this tap alone; its batch is answered with 200.
    """

    type: str
    title: str
    detail: str
    status: int = 422


@dataclass(frozen=True, slots=True)
class Charge:
    """What a tap changed of the rider's fares, the first rule's code, and the rules in words.

    Negative where a tap showed that earlier rides cost less.
    """

    amount: Money
    rule: str
    words: str


@dataclass(frozen=True, slots=True)
class Accepted:
    """The tap is charged by the entry numbered ``entry``, and that will survive anything.

    ``entry`` is None where the sequencer has not numbered the entry yet: it follows within
    moments. Its id is known in any case, because a ride's entry has the tap's id.
    """

    tap_id: str
    entry: int | None
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


def problem(code: str, title: str, detail: str, status: int = 422) -> Problem:
    """A problem of this project: ``code`` becomes ``urn:facefare:<code>``."""
    return Problem(f"urn:facefare:{code}", title, detail, status)


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
        "problem": asdict(kept),
    }


def answers_json(answers: Sequence[Answer]) -> bytes:
    """The body of the response to a batch."""
    return orjson.dumps({"answers": [answer_json(answer) for answer in answers]})


def keep_answer(answer: Answer) -> str:
    """The first answer to a tap, as the text that is kept beside it, without the tap's id.

    Of an accepted tap's entry neither: its number stands in a column, once it is known.
    """
    if isinstance(answer, Accepted):
        return _keep_accepted(answer.charge, answer.chain)
    value = answer_json(answer)
    del value["tap_id"]
    return json.dumps(value, ensure_ascii=False)


@lru_cache(maxsize=1024)  # most rides of a day are charged one of a few amounts
def _keep_accepted(charge: Charge, chain: ChainState) -> str:
    return accepted_text(chain, answer_json(Accepted("", None, charge, chain))["charge"])


def accepted_text(chain: ChainState, charge: Mapping[str, Any]) -> str:
    """What ``keep_answer`` writes of an accepted tap whose charge travels as ``charge``."""
    value = {"status": "accepted", "chain": chain, "charge": charge}
    return json.dumps(value, ensure_ascii=False)


def replay_answer(kept: str, tap_id: str, entry: int | None) -> Answer:
    """The first answer again, from what ``keep_answer`` wrote and the entry's number by now."""
    value = json.loads(kept)
    if value["status"] == "accepted":
        charge = value["charge"]
        amount = Money(charge["amount"]["minor"], charge["amount"]["currency"])
        paid = Charge(amount, charge["rule"], charge["words"])
        return Accepted(tap_id, entry, paid, value["chain"], replayed=True)
    kind = Quarantined if value["status"] == "quarantined" else Refused
    return kind(tap_id, Problem(**value["problem"]))
