"""What a tap says of each medium: a face, a pass, or both; and old taps stay what they were."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError

from models.wire.canonical import canonical_bytes
from models.wire.tap import (
    AnyEvidence,
    Evidence,
    FaceAndPassEvidence,
    PassEvidence,
    Tap,
    TapRefused,
    check_tap,
    pass_hash,
    sign_tap,
)
from tests.test_wire import KEY, TAP, signed_as

HASH = pass_hash("r4nD0m-12bytes_A")
FACE = TAP.evidence
PASS = PassEvidence(pass_hash=HASH)
BOTH = FaceAndPassEvidence(**TAP.evidence.model_dump(), pass_hash=HASH)


def tap(medium: str, evidence: BaseModel) -> Tap:
    return Tap.model_validate({**TAP.model_dump(), "medium": medium, "evidence": evidence})


@pytest.mark.parametrize(
    ("medium", "evidence"), [("face", FACE), ("pass", PASS), ("face+pass", BOTH)]
)
def test_the_evidence_of_every_medium_comes_back_as_it_was(
    medium: str, evidence: AnyEvidence
) -> None:
    made = tap(medium, evidence)
    signed = sign_tap(made, KEY)
    read = check_tap(signed, KEY.public_key())
    assert read == made
    assert type(read.evidence) is type(evidence)
    assert canonical_bytes(read.model_dump()) == canonical_bytes(made.model_dump())


def test_a_tap_by_pass_is_spelled_as_the_documentation_says() -> None:
    payload = canonical_bytes(tap("pass", PASS).model_dump())
    assert f'"evidence":{{"pass_hash":"{HASH}"}}'.encode() in payload


@given(st.floats(allow_nan=False, allow_infinity=False), st.none() | st.floats(0, 1))
def test_both_together_are_spelled_as_rfc_8785_spells_them(
    score: float, liveness: float | None
) -> None:
    body = {**TAP.model_dump(), "medium": "face+pass"}
    body["evidence"] = {**BOTH.model_dump(), "score": score, "liveness": liveness}
    payload = canonical_bytes(body)
    read = check_tap(signed_as(payload), KEY.public_key())
    assert canonical_bytes(read.model_dump()) == payload


@pytest.mark.parametrize("medium", ["face", "pass", "face+pass"])
def test_a_tap_with_a_faces_evidence_is_valid_as_it_always_was(medium: str) -> None:
    assert type(check_tap(sign_tap(tap(medium, FACE), KEY), KEY.public_key()).evidence) is Evidence


@pytest.mark.parametrize(
    ("medium", "evidence"),
    [("face", PASS), ("face+pass", PASS), ("face", BOTH), ("pass", BOTH)],
)
def test_evidence_of_another_medium_is_refused(medium: str, evidence: AnyEvidence) -> None:
    with pytest.raises(ValidationError, match="has other evidence"):
        tap(medium, evidence)
    body = {**TAP.model_dump(), "medium": medium, "evidence": evidence.model_dump()}
    with pytest.raises(TapRefused):
        check_tap(signed_as(canonical_bytes(body)), KEY.public_key())


@pytest.mark.parametrize(
    "evidence",
    [
        None,
        {},
        {"pass_hash": "r4nD0m-12bytes_A"},
        {"pass_hash": HASH.upper()},
        {"pass_hash": HASH, "score": 0.5},
        {**FACE.model_dump(), "pass_hash": None},
    ],
)
def test_evidence_of_another_shape_is_refused(evidence: Any) -> None:
    for medium in ("pass", "face+pass"):
        body = {**TAP.model_dump(), "medium": medium, "evidence": evidence}
        with pytest.raises(TapRefused, match="field evidence"):
            check_tap(signed_as(canonical_bytes(body)), KEY.public_key())
