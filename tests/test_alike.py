"""The quick comparison of a tap with its entry decodes the ends only, and misses nothing."""

from __future__ import annotations

import pytest

from ledger.alike import Forms, begins_and_ends
from models.wire.keys import base64url

HEAD = b'{"account":"5f0c","at":"2026-11-22T18:49:07.250Z","direction":"in","evidence":{'
TAIL = b'},"gate":"south-1","medium":"face","prev":"00","seq":7,"station":"south","v":1}'


def jws(payload: bytes) -> bytes:
    return f"{base64url(b'header')}.{base64url(payload)}.{base64url(b'signature')}".encode()


@pytest.mark.parametrize("longer", range(3))
@pytest.mark.parametrize("between", range(7))
def test_both_ends_are_compared_wherever_they_fall_in_base64(between: int, longer: int) -> None:
    head, tail = HEAD + b"x" * longer, b"y" * longer + TAIL
    payload = head + b"e" * between + tail
    assert begins_and_ends(jws(payload), head, tail)
    for position in range(len(payload)):
        changed = bytearray(payload)
        changed[position] ^= 1
        within = len(head) <= position < len(head) + between
        assert begins_and_ends(jws(bytes(changed)), head, tail) == within, position


def test_ends_that_would_overlap_do_not_fit() -> None:
    whole = HEAD + TAIL
    assert begins_and_ends(jws(whole), HEAD, TAIL)
    assert not begins_and_ends(jws(whole[:-1]), HEAD, TAIL)
    assert not begins_and_ends(jws(HEAD), HEAD, HEAD[-5:])
    assert not begins_and_ends(jws(b""), HEAD, TAIL)


def test_forms_are_found_by_what_rides_have_in_common_and_by_their_rule() -> None:
    forms = Forms()
    own = {name: name for name in
           ("id", "occurred_at", "prev", "recorded_at", "rider", "seq", "tap")}  # fmt: skip
    value = {
        **own, "kind": "ride", "direction": "in", "gate": "g", "medium": "face",
        "station": "s", "postings": [], "amount": {"currency": "CNY", "minor": 200},
    }  # fmt: skip
    bodies = [b'{"rider":"","rule":{"words":"%d"},"seq":1}' % number for number in range(2)]
    for number, body in enumerate(bodies):
        forms.learn(("same",), body, {**value, "rule": {"code": "r", "words": str(number)}})
    newest = forms.find(("same",))
    assert newest is not None
    assert newest == forms.find_by_rule(("same",), bodies[1])
    assert newest != forms.find_by_rule(("same",), bodies[0])
    assert forms.find(("other",)) is None
    forms.learn(("top-up",), b"", {**value, "kind": "top_up"})
    assert forms.find(("top-up",)) is None
