"""What stands beside an entry's bytes: its columns, postings and tap, compared with care.

Part of ``ledger.verify``. These checks read the bytes as JSON and name what is wrong. Rows
are as they are stored, times as text.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from ledger.postings import RIDER
from models.errors import FacefareError

Row = Mapping[str, Any]


class LogBroken(FacefareError):
    """The log is not what was recorded.

    ``index`` is the first bad entry, or None where a checkpoint shows that something among
    the entries it covers was changed, but not which.
    """

    def __init__(self, index: int | None, reason: str) -> None:
        where = "the log" if index is None else f"entry {index}"
        super().__init__(f"{where} is broken: {reason}")
        self.index, self.reason = index, reason


class Line(NamedTuple):
    """A row of the posting table."""

    entry_seq: int
    line: int
    account: str
    minor: int
    currency: str
    account_id: str | None


def check_columns(seq: int, entry: Row, said: Row) -> None:
    """Compare the columns of entry ``seq`` with what its bytes ``said``."""
    for name, value in said.items():
        if entry[name] != value:
            raise LogBroken(seq, f"its column {name} is {entry[name]!r}, its bytes say {value!r}")


def check_postings(seq: int, entry: Row, value: Row, rows: Sequence[Line]) -> None:
    """Compare the posting ``rows`` of entry ``seq`` with its bytes, read as ``value``."""
    said = [(p["account"], p["minor"], p["currency"]) for p in value["postings"]]
    kept = [(row.account, row.minor, row.currency) for row in rows]
    if said != kept or [row.line for row in rows] != list(range(len(rows))):
        raise LogBroken(seq, f"its postings are {kept}, its bytes say {said}")
    sums: dict[str, int] = defaultdict(int)
    for row in rows:
        sums[row.currency] += row.minor
        if row.account_id != (entry["account_id"] if row.account == RIDER else None):
            raise LogBroken(seq, f"its posting {row.line} is of another account")
    if any(sums.values()):
        raise LogBroken(seq, "its postings do not sum to zero")


def check_tap(seq: int, entry: Row, value: Row, tap: Row | None) -> None:
    """Compare the record of the tap that caused entry ``seq`` with the entry."""
    if value["kind"] != "ride":
        if tap is not None:
            raise LogBroken(seq, "a tap claims this entry, which is no ride")
        return
    if tap is None or (tap["tap_id"], tap["hash"]) != (value["id"], value.get("tap")):
        raise LogBroken(seq, "the tap that caused it is missing or another one")
    if tap["outcome"] != "accepted" or tap["account_id"] != entry["account_id"]:
        raise LogBroken(seq, "its tap's record says something else became of it")
    if tap["signed"] is None:
        if entry["account_id"] is not None:
            raise LogBroken(seq, "its tap was taken away although its rider is known")
        return
    if hashlib.sha256(tap["signed"].encode()).hexdigest() != tap["hash"]:
        raise LogBroken(seq, "its tap is not the one that was recorded")
    # The hash has vouched for these bytes; now they must agree with the entry and the row.
    signed = _payload(tap["signed"])
    for name, recorded in (
        ("gate", value["gate"]),
        ("gate", tap["gate"]),
        ("station", value["station"]),
        ("direction", value["direction"]),
        ("medium", value["medium"]),
        ("at", value["occurred_at"]),
        ("account", tap["account_id"]),
        ("seq", tap["gate_seq"]),
        ("prev", tap["prev"]),
    ):
        if signed[name] != recorded:
            raise LogBroken(seq, f"its tap says {name} {signed[name]!r}, not {recorded!r}")


def charge_of(value: Row) -> dict[str, Any]:
    """What the answer to a tap says that its ride cost, if it changed no other ride's fare."""
    rule = value["rule"]
    return {"amount": value["amount"], "rule": rule["code"], "words": rule["words"]}


def check_answer(seq: int, value: Row, tap: Row) -> int:
    """Compare the answer kept beside the tap of ride ``seq`` with what the ride's bytes say.

    Returns by how much more the answer says that fares rose: so much must the tap's
    adjustments come to.
    """
    answer = json.loads(tap["answer"])
    minor = answer["charge"]["amount"]["minor"]
    charge = charge_of(value)
    charge["amount"] = {**charge["amount"], "minor": minor}
    said = {"status": "accepted", "chain": tap["chain"], "charge": charge}
    if type(minor) is not int or tap["chain"] not in ("ok", "gap", "fork") or answer != said:
        raise LogBroken(seq, f"the answer kept beside its tap is {answer}, its bytes say {said}")
    return minor - int(value["amount"]["minor"])


def adjustment_of(value: Row) -> int:
    """How much more a rider paid by a fare adjustment; negative where money came back."""
    return sum(p["minor"] for p in value["postings"] if p["account"] == RIDER)


def _payload(signed: str) -> dict[str, Any]:
    encoded = signed.split(".")[1]
    value = json.loads(base64.urlsafe_b64decode(encoded + "=" * (-len(encoded) % 4)))
    assert isinstance(value, dict)
    return value
