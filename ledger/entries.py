"""An entry's exact bytes: canonical JSON that carries everything the log vouches for.

    {"amount":{"currency":"CNY","minor":200},"direction":"in","gate":"south-1",
     "id":"019…","kind":"ride","medium":"face","occurred_at":"2026-11-22T18:49:07.250Z",
     "postings":[{"account":"liabilities:rider","currency":"CNY","minor":200},
                 {"account":"income:fares:metro","currency":"CNY","minor":-200}],
     "prev":"<64 hex>","recorded_at":"2026-11-22T18:49:08.101Z","rider":"<64 hex>",
     "rule":{"code":"flat","words":"Flat fare …"},"seq":0,"station":"south",
     "tap":"<64 hex>","v":1}

``prev`` is the leaf hash of the entry before (64 zeros in the first). ``rider`` is
HMAC-SHA256(the account's own key, id): with the key, anyone can show whose ride it was;
once the key is erased, nobody can. No account id, name, score or template is in here.

The bytes hold text and whole numbers under ASCII keys only. For those, compact sorted JSON
is RFC 8785 canonical JSON; a test holds the two equal.
"""

from __future__ import annotations

import hmac
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import orjson

from ledger.kinds import KINDS
from ledger.postings import Posting, check_balanced
from models.errors import FacefareError
from models.money import Money
from models.wire.times import format_utc

FIRST_PREV = bytes(32)
ENTRY_BYTES_MAX = 65_535  # an entry bundle of C2SP tlog-tiles has 16-bit lengths


class EntryUnreadable(FacefareError):
    """Stored bytes that are not an entry."""


class EntryUnknown(FacefareError):
    """A kind of entry that is not described."""


def _no_fraction(text: str) -> None:
    raise EntryUnreadable(f"the entry's bytes hold {text}: entries have whole numbers only")


_decoder = json.JSONDecoder(parse_float=_no_fraction, parse_constant=_no_fraction)
_encoder = json.JSONEncoder(ensure_ascii=False, sort_keys=True, separators=(",", ":"))


@dataclass(frozen=True, slots=True)
class Draft:
    """What is to be recorded, before it has a number.

    ``facts`` are the members of this kind of entry (gate, rule, …). ``account_id`` and
    ``made_by`` go into columns; the bytes get commitments made with the two keys.
    """

    kind: str
    entry_id: str
    occurred_at: datetime
    amount: Money
    postings: tuple[Posting, ...]
    facts: Mapping[str, Any] = field(default_factory=dict)
    account_id: str | None = None
    account_key: bytes | None = None
    made_by: str | None = None
    made_by_key: bytes | None = None


def commitment(key: bytes, entry_id: str) -> str:
    """HMAC-SHA256 of the entry's id under a key that can be erased; hex."""
    return hmac.digest(key, entry_id.encode(), "sha256").hex()


@dataclass(frozen=True, slots=True)
class Composed:
    """A checked draft, ready for its number: the entry's ``contents`` and what stands beside."""

    contents: Mapping[str, Any]
    account_id: str | None
    made_by: str | None

    @property
    def entry_id(self) -> str:
        """The entry's id."""
        entry_id: str = self.contents["id"]
        return entry_id


def compose(draft: Draft) -> Composed:
    """Check a draft and write it out, all but its place in the log.

    Raises ``Unbalanced`` for postings that do not sum to zero, and what ``contents`` raises.
    """
    check_balanced(draft.postings)
    return Composed(contents(draft), draft.account_id, draft.made_by)


def contents(draft: Draft) -> dict[str, Any]:
    """All of the entry that does not depend on its place in the log.

    Raises ``EntryUnknown`` for a kind that nobody who reads the log could look up.
    """
    if draft.kind not in KINDS:
        raise EntryUnknown(
            f"{draft.kind!r} is no kind of entry; describe it in ledger/kinds.py and "
            "docs/ledger-format.md first"
        )
    value: dict[str, Any] = {
        **draft.facts,
        "v": 1,
        "kind": draft.kind,
        "id": draft.entry_id,
        "occurred_at": format_utc(draft.occurred_at),
        "amount": _money(draft.amount),
        "postings": [{"account": p.account, **_money(p.amount)} for p in draft.postings],
    }
    if draft.account_key is not None:
        value["rider"] = commitment(draft.account_key, draft.entry_id)
    if draft.made_by_key is not None:
        value["by"] = commitment(draft.made_by_key, draft.entry_id)
    return value


def place(contents: Mapping[str, Any], seq: int, prev: bytes, recorded_at: str) -> dict[str, Any]:
    """``contents`` as entry number ``seq`` after the entry with leaf hash ``prev``."""
    return {**contents, "seq": seq, "prev": prev.hex(), "recorded_at": recorded_at}


def encode(value: Mapping[str, Any]) -> bytes:
    """The canonical bytes of a composed entry: what is hashed and what is stored."""
    body = orjson.dumps(value, option=orjson.OPT_SORT_KEYS)
    if len(body) > ENTRY_BYTES_MAX:
        raise EntryUnreadable(f"an entry has at most {ENTRY_BYTES_MAX} bytes, not {len(body)}")
    return body


def _money(amount: Money) -> dict[str, str | int]:
    return {"currency": amount.currency, "minor": amount.minor}


def decode(body: bytes) -> dict[str, Any]:
    """Read an entry's bytes; raise ``EntryUnreadable`` if they are not in canonical form."""
    try:
        value = _decoder.decode(body.decode())
        again = _encoder.encode(value).encode()
    except (ValueError, RecursionError) as error:
        raise EntryUnreadable("the entry's bytes are not JSON") from error
    if again != body:
        raise EntryUnreadable("the entry's bytes are not canonical JSON")
    if not isinstance(value, dict) or type(value.get("v")) is not int or value["v"] != 1:
        raise EntryUnreadable("the entry's bytes are not an entry of version 1")
    return value


def searchable(value: Mapping[str, Any]) -> dict[str, Any]:
    """The columns that repeat what the bytes of an entry say, times as text."""
    try:
        return {
            "entry_id": value["id"],
            "kind": value["kind"],
            "recorded_at": value["recorded_at"],
            "occurred_at": value["occurred_at"],
            "amount_minor": value["amount"]["minor"],
            "currency": value["amount"]["currency"],
            "gate": value.get("gate"),
            "station": value.get("station"),
            "direction": value.get("direction"),
            "medium": value.get("medium"),
            "rule": value["rule"]["code"] if "rule" in value else None,
            "tap_hash": value.get("tap"),
            "corrects": value.get("corrects"),
        }
    except (KeyError, TypeError) as error:
        raise EntryUnreadable(f"the entry's bytes lack a member: {error}") from error
