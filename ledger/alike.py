"""Rides that say the same as a ride before them, but for what is each one's own.

Reading an entry's JSON and writing it again costs more than all hashing. But of a million
rides most differ in seven members only (``OWN``). So the first ride of its kind is read
with care, and its bytes with seven blanks become a form:

    …,"id":"%s","kind":"ride",…,"prev":"%s",…,"seq":%s,"station":"south","tap":"%s","v":1}

The next ones are written from the form and their columns, and must come out as the very
bytes that are stored. Then all that was shown about the first is true of them: canonical
JSON, the same columns, the same postings. Whatever does not come out the same is no error
yet; it is read with care.

Filled-in values must be plain text without quotes, so that they cannot close a member and
open another.
"""

from __future__ import annotations

import binascii
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ledger.answers import ChainState, accepted_text
from ledger.beside import charge_of
from ledger.entries import encode
from ledger.postings import RIDER

OWN = ("id", "occurred_at", "prev", "recorded_at", "rider", "seq", "tap")
"""The members that are a ride's own, as canonical JSON orders them."""

_CHAINS: tuple[ChainState, ...] = ("ok", "gap")  # a charged fork is read with care
_FORMS_MAX = 4096
_BLANK = "\x00"
_WRITTEN_BLANK = '"\\u0000"'


@dataclass(frozen=True, slots=True)
class Form:
    """What all rides of one kind have in common."""

    entry: str
    tap_head: str
    tap_tail: str
    gate: str
    answers: Mapping[str, str]
    lines: tuple[tuple[int, str, int, str, bool], ...]


class Forms:
    """The forms learnt so far, by a ride's other columns and the text of its rule."""

    def __init__(self) -> None:
        self._forms: dict[Any, Form] = {}
        self._newest: dict[Any, Form] = {}

    def find(self, others: tuple[Any, ...]) -> Form | None:
        """The newest form for a ride with these ``others`` of its columns: nearly always it."""
        return self._newest.get(others)

    def find_by_rule(self, others: tuple[Any, ...], body: bytes) -> Form | None:
        """The form for a ride with these ``others`` and the rule in these bytes."""
        return self._forms.get((others, _rule(body)))

    def learn(self, others: tuple[Any, ...], body: bytes, value: Mapping[str, Any]) -> None:
        """Keep the form of a ride that was read with care and found good."""
        if value["kind"] != "ride" or not all(name in value for name in OWN):
            return
        if len(self._forms) >= _FORMS_MAX:
            self._forms.clear()
            self._newest.clear()
        form = _form(value)
        if form is not None:
            self._forms[others, _rule(body)] = self._newest[others] = form


def _rule(body: bytes) -> bytes:
    return body[body.find(b',"rule":') : body.find(b',"seq":')]


def _form(value: Mapping[str, Any]) -> Form | None:
    blanked = encode({**value, **dict.fromkeys(OWN, _BLANK)}).decode()
    parts = blanked.replace("%", "%%").split(_WRITTEN_BLANK)
    if len(parts) != len(OWN) + 1:
        return None  # a value holds the blank itself
    blanks = ["%s" if name == "seq" else '"%s"' for name in OWN]
    entry = parts[0] + "".join(a + b for a, b in zip(blanks, parts[1:], strict=True))
    said = {name: json.dumps(value[name], ensure_ascii=False).replace("%", "%%")
            for name in ("direction", "gate", "medium", "station")}  # fmt: skip
    return Form(
        entry=entry,
        tap_head=f'{{"account":"%s","at":"%s","direction":{said["direction"]},"evidence":{{',
        tap_tail=f'}},"gate":{said["gate"]},"medium":{said["medium"]},"prev":"%s","seq":%s,'
        f'"station":{said["station"]},"tap_id":"%s","v":1}}',
        gate=value["gate"],
        answers={chain: accepted_text(chain, charge_of(value)) for chain in _CHAINS},
        lines=tuple(
            (number, p["account"], p["minor"], p["currency"], p["account"] == RIDER)
            for number, p in enumerate(value["postings"])
        ),
    )


def is_plain(text: str) -> bool:
    """Whether ``text`` stands in JSON as it is."""
    return text.isprintable() and '"' not in text and "\\" not in text


def rider_of(body: bytes) -> str:
    """The commitment in a ride's bytes, if they are written as usual."""
    start = body.find(b'"rider":"') + 9
    return body[start : start + 64].decode("ascii", "replace")


class Committer:
    """``ledger.entries.commitment`` for many ids under one key of at most 64 bytes.

    HMAC is a hash within a hash (RFC 2104); both begin with a block made of the key alone,
    which is hashed once here. That takes a third of the time.
    """

    def __init__(self, key: bytes) -> None:
        block = key.ljust(hashlib.sha256().block_size, b"\x00")
        self._inner = hashlib.sha256(bytes(byte ^ 0x36 for byte in block))
        self._outer = hashlib.sha256(bytes(byte ^ 0x5C for byte in block))

    def commit(self, entry_id: str) -> str:
        """HMAC-SHA256 of the id; hex."""
        inner, outer = self._inner.copy(), self._outer.copy()
        inner.update(entry_id.encode())
        outer.update(inner.digest())
        return outer.hexdigest()


def fits_postings(form: Form, seq: int, account: str | None, rows: Sequence[Any]) -> bool:
    """Whether ``rows`` are exactly the postings of the ride ``seq``."""
    return rows == [
        (seq, number, name, minor, currency, account if is_riders else None)
        for number, name, minor, currency, is_riders in form.lines
    ]


def fits_tap(form: Form, entry: tuple[Any, ...], tap: tuple[Any, ...]) -> bool:
    """Whether ``tap`` is the record of the tap that caused the ride.

    ``entry`` is (id, occurred_at, tap hash, account); ``tap`` is a row of ``stretch.TAP``.
    """
    entry_id, occurred_at, tap_hash, account = entry
    _, tap_id, signed, digest, prev, gate, gate_seq, outcome, owner, chain, answer = tap
    if (tap_id, digest, gate, outcome, owner, answer) != (
        entry_id, tap_hash, form.gate, "accepted", account, form.answers.get(chain),
    ):  # fmt: skip
        return False
    if signed is None:
        return account is None and is_plain(tap_hash)
    raw = signed.encode()
    if hashlib.sha256(raw).hexdigest() != digest:
        return False
    head = (form.tap_head % (account, occurred_at)).encode()
    tail = (form.tap_tail % (prev, gate_seq, entry_id)).encode()
    return begins_and_ends(raw, head, tail)


def begins_and_ends(jws: bytes, head: bytes, tail: bytes) -> bool:
    """Whether the payload of a signed tap begins with ``head`` and ends with ``tail``.

    Only these ends are decoded, in whole groups of four characters; what is between them is
    the gate's evidence. In plain text neither ``-`` nor ``_`` occurs; where they do, the ends
    come out different, and the tap is read with care.
    """
    start, end = jws.find(b".") + 1, jws.rfind(b".")
    before = (end - start) * 3 // 4 - len(tail)
    if before < len(head):
        return False
    try:
        begins = binascii.a2b_base64(jws[start : start + -(-len(head) // 3) * 4] + b"==")
        ends = binascii.a2b_base64(jws[start + before // 3 * 4 : end] + b"==")
    except binascii.Error:
        return False
    return begins.startswith(head) and ends.endswith(tail)
