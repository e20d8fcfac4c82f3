"""What stands beside an entry's bytes, in chunks: its columns, postings and tap.

Part of ``ledger.verify``: the readers hand out rows as they are stored, times as text, and
the checks compare them with what the bytes say.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from sqlalchemy import String, select, type_coerce
from sqlmodel import Session

from ledger.postings import RIDER
from ledger.store import table
from models.errors import FacefareError
from models.tables.ledger import EntryRow, PostingRow, TapRow

Row = Mapping[Any, Any]

_CHUNK = 1000
_TAP_COLUMNS = (
    "tap_id", "signed", "hash", "prev", "gate", "gate_seq", "outcome", "entry_seq", "account_id",
)  # fmt: skip


class LogBroken(FacefareError):
    """The log is not what was recorded.

    ``index`` is the first bad entry, or None where a checkpoint shows that something among
    the entries it covers was changed, but not which.
    """

    def __init__(self, index: int | None, reason: str) -> None:
        where = "the log" if index is None else f"entry {index}"
        super().__init__(f"{where} is broken: {reason}")
        self.index, self.reason = index, reason


Chunk = tuple[Sequence[Row], dict[int, list[Any]], dict[int, Row]]


def chunks(session: Session) -> Iterator[Chunk]:
    """All entries in order, with their postings and taps by entry number; times as text."""
    entries, last = table(EntryRow), None
    columns = [
        type_coerce(c, String).label(c.name) if c.name.endswith("_at") else c for c in entries.c
    ]
    while True:
        query = select(*columns).order_by(entries.c.seq).limit(_CHUNK)
        if last is not None:
            query = query.where(entries.c.seq > last)
        found = session.execute(query).mappings().all()
        if not found:
            return
        first, last = found[0]["seq"], found[-1]["seq"]
        yield found, _postings(session, first, last), _taps(session, first, last)


def _postings(session: Session, first: int, last: int) -> dict[int, list[Any]]:
    rows = table(PostingRow)
    found: dict[int, list[Any]] = defaultdict(list)
    query = select(rows).where(rows.c.entry_seq.between(first, last))
    for row in session.execute(query.order_by(rows.c.entry_seq, rows.c.line)):
        found[row.entry_seq].append(row)
    return found


def _taps(session: Session, first: int, last: int) -> dict[int, Row]:
    rows = table(TapRow)
    query = select(*rows.c[_TAP_COLUMNS]).where(rows.c.entry_seq.between(first, last))
    found: dict[int, Row] = {row["entry_seq"]: row for row in session.execute(query).mappings()}
    return found


def check_postings(seq: int, entry: Row, value: Row, rows: list[Any]) -> None:
    """Compare the posting ``rows`` of entry ``seq`` with its bytes, read as ``value``."""
    said = [(p["account"], p["minor"], p["currency"]) for p in value["postings"]]
    kept = [(row.account, row.minor, row.currency) for row in rows]
    if said != kept:
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


def _payload(signed: str) -> dict[str, Any]:
    encoded = signed.split(".")[1]
    value = json.loads(base64.urlsafe_b64decode(encoded + "=" * (-len(encoded) % 4)))
    assert isinstance(value, dict)
    return value
