"""What a pass or four digits open, with which face beside them, and what they do not."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import jwt
import numpy as np
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from gate.decision import AskSecondFactor, Decision, Open, Refuse, Wait
from gate.liveness.check import Finding, LivenessScore
from gate.presented import PresentedDigits, PresentedPass, SeenFace
from gate.recognition import Measured
from gate.second_factor import (
    PATIENCE_S,
    PRESENTED_S,
    WRONG_DIGITS_PAUSE_S,
    Claims,
    PassAndDigits,
    decide_digits,
    decide_pass,
)
from gate.words import Word
from models.faces.operating_points import FORMAT, Table
from models.faces.quantise import quantise
from models.faces.scoring import Vectors
from models.wire.gallery import GalleryRider, GallerySnapshot, PassRules
from models.wire.keys import base64url, key_id, raw_public
from models.wire.pass_text import pack_pass
from models.wire.passes import CarriedTemplate, Pass, sign_pass
from models.wire.tap import Evidence, FaceAndPassEvidence, PassEvidence, pass_hash
from tests.galleries import DIMENSIONS, ENGINE, claim_point, cohort, gallery, people, pictures_of

KEY = Ed25519PrivateKey.generate()
ISSUER = "fares.example/metro"
NOW = datetime(2026, 11, 22, 18, 49, 7, tzinfo=UTC)
LIVE = LivenessScore(Finding.LIVE, pair=0.9)
RIDERS = people(30, seed=1)
STRANGER = people(40, seed=1)[35]
ACCOUNTS = gallery(RIDERS).accounts
DIGITS = {0: "0815", 1: "4711", 2: "4711", **dict.fromkeys(range(3, 10), "1234")}


def claims(**changes: Any) -> Claims:
    riders = tuple(
        GalleryRider(
            account=account, template=RIDERS[row].astype("<f4").tobytes(), images=3,
            digits=DIGITS.get(row),
        )
        for row, account in enumerate(ACCOUNTS)
    )  # fmt: skip
    rules = PassRules(
        issuer=ISSUER, keys=(base64url(raw_public(KEY.public_key())),), valid_days_max=366,
        **changes,
    )  # fmt: skip
    snapshot = GallerySnapshot(
        engine_id=ENGINE, dimensions=DIMENSIONS, version=3, gate="south-1",
        issued_at="2026-11-22T18:49:07.250Z", riders=riders, passes=rules,
    )  # fmt: skip
    table = Table(format=FORMAT, measured={}, points=(), claims=(claim_point(threshold=0.4),))
    return Claims.of(snapshot, gallery(RIDERS), Measured(ENGINE, table, cohort()))


CLAIMS = claims()


def issued(row: int, medium: Any = "pass", **changes: Any) -> Pass:
    template = None
    if medium == "face+pass":
        template = CarriedTemplate(ENGINE, 3, quantise(RIDERS[row : row + 1]).tobytes())
    made = Pass("r4nD0m-12bytes_A", ACCOUNTS[row], medium, NOW, NOW + timedelta(days=365), template)
    return replace(made, **changes)


def text(shown: Pass, key: Ed25519PrivateKey = KEY, issuer: str = ISSUER) -> str:
    return pack_pass(sign_pass(shown, issuer, key))


def face(person: Vectors, frames: int = 3, liveness: LivenessScore | None = LIVE) -> SeenFace:
    probe = pictures_of(person, 1, seed=5)[0]
    return SeenFace(probe, frames, ENGINE, None, liveness)


def shown(
    what: Pass, seen: SeenFace | None = None, now: datetime = NOW, waited_s: float = 0.0
) -> Decision:
    return decide_pass(text(what), seen, CLAIMS, now, waited_s)


PASS_HASH = pass_hash("r4nD0m-12bytes_A")


def test_a_pass_opens_without_a_face() -> None:
    assert shown(issued(0)) == Open(ACCOUNTS[0], PassEvidence(pass_hash=PASS_HASH), "pass")


def test_a_pass_with_the_face_of_the_same_account_is_both() -> None:
    decision = shown(issued(0), face(RIDERS[0]))
    assert isinstance(decision, Open)
    assert (decision.account, decision.medium) == (ACCOUNTS[0], "face+pass")
    evidence = decision.evidence
    assert isinstance(evidence, FaceAndPassEvidence)
    assert (evidence.pass_hash, evidence.frames, evidence.liveness) == (PASS_HASH, 3, 0.9)
    assert evidence.score >= 0.4


@pytest.mark.parametrize(
    "seen",
    [
        face(STRANGER),
        face(RIDERS[1]),
        face(RIDERS[0], frames=2),
        face(RIDERS[0], liveness=None),
        face(RIDERS[0], liveness=LivenessScore(Finding.LOOKING)),
        face(RIDERS[0], liveness=LivenessScore(Finding.PICTURE)),
        SeenFace(RIDERS[0], 3, "onnx:sface", None, LIVE),
    ],
)
def test_a_pass_with_another_face_is_a_pass(seen: SeenFace) -> None:
    decision = shown(issued(0), seen)
    assert isinstance(decision, Open)
    assert (decision.account, decision.medium) == (ACCOUNTS[0], "pass")


def test_a_pass_of_a_rider_who_is_not_in_this_gallery_opens() -> None:
    elsewhere = issued(0, account="e" * 32)
    decision = shown(elsewhere, face(STRANGER))
    assert isinstance(decision, Open)
    assert (decision.account, decision.medium) == ("e" * 32, "pass")


def test_a_carried_template_opens_for_its_own_face() -> None:
    elsewhere = issued(0, "face+pass", account="e" * 32)
    decision = shown(elsewhere, face(RIDERS[0]))
    assert isinstance(decision, Open)
    assert (decision.account, decision.medium) == ("e" * 32, "face+pass")
    assert isinstance(decision.evidence, FaceAndPassEvidence)


def test_a_carried_template_opens_for_nobody_else() -> None:
    for other in (STRANGER, *RIDERS[1:]):
        assert shown(issued(0, "face+pass"), face(other)) == Wait(Word.PASS_WITH_FACE)
        late = shown(issued(0, "face+pass"), face(other), waited_s=PATIENCE_S)
        assert late == Refuse(Word.PASS_OTHER_FACE)


@pytest.mark.parametrize(
    ("seen", "decision"),
    [
        (None, Wait(Word.PASS_WITH_FACE)),
        (face(RIDERS[0], frames=2), Wait(Word.PASS_WITH_FACE)),
        (face(RIDERS[0], liveness=None), Wait(Word.PASS_WITH_FACE)),
        (face(RIDERS[0], liveness=LivenessScore(Finding.LOOKING)), Wait(Word.HOLD_STILL)),
        (face(RIDERS[0], liveness=LivenessScore(Finding.PICTURE)), AskSecondFactor(Word.NOT_LIVE)),
        (face(RIDERS[0], liveness=LivenessScore(Finding.STILL)), AskSecondFactor(Word.NO_MOVEMENT)),
    ],
)
def test_a_carried_template_waits_for_a_living_face(
    seen: SeenFace | None, decision: Decision
) -> None:
    assert shown(issued(0, "face+pass"), seen) == decision


def test_a_template_of_another_engine_or_size_opens_nothing() -> None:
    for carried in (
        CarriedTemplate("onnx:sface", 3, b"\x05" * DIMENSIONS),
        CarriedTemplate(ENGINE, 3, b"\x05" * 7),
        CarriedTemplate(ENGINE, 3, bytes(DIMENSIONS)),
        CarriedTemplate(ENGINE, 1, b"\x05" * DIMENSIONS),  # nothing was measured for one photo
    ):
        decision = shown(issued(0, "face+pass", template=carried), face(RIDERS[0]))
        assert decision == Refuse(Word.NO_GALLERY)


def test_an_expired_pass_says_so() -> None:
    late = NOW + timedelta(days=366)
    assert shown(issued(0), now=late) == Refuse(Word.PASS_EXPIRED)


def test_a_pass_from_the_future_says_so() -> None:
    early = NOW - timedelta(hours=1)
    assert shown(issued(0), now=early) == Refuse("This pass is not valid yet.")


def test_a_revoked_pass_opens_nothing() -> None:
    revoked = claims(revoked=("r4nD0m-12bytes_A",))
    for medium in ("pass", "face+pass"):
        decision = decide_pass(text(issued(0, medium)), face(RIDERS[0]), revoked, NOW, 0.0)
        assert decision == Refuse(Word.PASS_WITHDRAWN)


def test_a_pass_of_another_key_or_operator_opens_nothing() -> None:
    for forged in (
        text(issued(0), key=Ed25519PrivateKey.generate()),
        text(issued(0), issuer="fares.example/bus"),
    ):
        decision = decide_pass(forged, face(RIDERS[0]), CLAIMS, NOW, 0.0)
        assert isinstance(decision, Refuse)
        assert decision.reason.startswith("This pass ")


def test_another_token_of_the_same_key_opens_nothing() -> None:
    token = sign_pass(issued(0), ISSUER, KEY)
    body = jwt.decode(token, options={"verify_signature": False})
    for typ in ("facefare-gate+jwt", "facefare-tap+jws", "JWT"):
        other = jwt.encode(body, KEY, algorithm="EdDSA",
                           headers={"typ": typ, "kid": key_id(KEY.public_key())})  # fmt: skip
        decision = decide_pass(pack_pass(other), None, CLAIMS, NOW, 0.0)
        assert decision == Refuse(Word.PASS_UNREADABLE)


@pytest.mark.parametrize("damaged", ["FF1:", "FF1:ABCDEF", "something else"])
def test_a_damaged_pass_says_so(damaged: str) -> None:
    assert decide_pass(damaged, None, CLAIMS, NOW, 0.0) == Refuse(Word.PASS_UNREADABLE)


def test_without_keys_no_pass_opens() -> None:
    keyless = replace(CLAIMS, rules=None, keys={})
    assert decide_pass(text(issued(0)), None, keyless, NOW, 0.0) == Refuse(Word.PASS_UNREADABLE)


def test_digits_and_the_right_face_open() -> None:
    for row, digits in ((0, "0815"), (1, "4711"), (2, "4711")):
        decision = decide_digits(digits, face(RIDERS[row]), CLAIMS, 0.0)
        assert isinstance(decision, Open)
        assert (decision.account, decision.medium) == (ACCOUNTS[row], "face")
        assert type(decision.evidence) is Evidence


def test_wrong_digits_unknown_digits_and_too_common_digits_sound_alike() -> None:
    for digits, person in (("4711", RIDERS[0]), ("9999", RIDERS[0]), ("1234", RIDERS[3])):
        assert decide_digits(digits, face(person), CLAIMS, 0.0) == Wait(Word.HOLD_STILL)
        late = decide_digits(digits, face(person), CLAIMS, PATIENCE_S)
        assert late == AskSecondFactor(Word.DIGITS_WRONG)


def test_digits_without_a_living_face_open_nothing() -> None:
    assert decide_digits("0815", None, CLAIMS, 9.0) == Wait(Word.HOLD_STILL)
    for finding, decision in (
        (Finding.LOOKING, Wait(Word.HOLD_STILL)),
        (Finding.PICTURE, AskSecondFactor(Word.NOT_LIVE)),
    ):
        seen = face(RIDERS[0], liveness=LivenessScore(finding))
        assert decide_digits("0815", seen, CLAIMS, 9.0) == decision


class Shown:
    """A reader that sees what the test says; reading pictures has its own tests."""

    text: str | None = None

    def read(self, frame: object) -> str | None:
        return self.text


FRAME = np.zeros((4, 4, 3), np.uint8)


def second_factor(**changes: Any) -> tuple[PassAndDigits, Shown]:
    reader = Shown()
    made = PassAndDigits(lambda: CLAIMS, lambda: NOW, **{"reader": reader, **changes})
    return made, reader


def test_a_pass_counts_for_some_seconds_after_it_was_lowered() -> None:
    factor, reader = second_factor()
    assert factor.look(FRAME, 0.0) is None
    reader.text = text(issued(0))
    assert factor.look(FRAME, 1.0) == PresentedPass(reader.text)
    reader.text = None
    assert factor.look(FRAME, 1.0 + PRESENTED_S - 0.1) is not None
    assert factor.look(FRAME, 1.0 + PRESENTED_S) is None


def test_the_patience_counts_from_when_the_pass_was_first_shown() -> None:
    factor, reader = second_factor()
    reader.text = text(issued(0, "face+pass"))
    for now_s in (0.0, 2.0, PATIENCE_S - 0.1, PATIENCE_S):
        presented = factor.look(FRAME, now_s)
        assert presented is not None
        decision = factor.decide(presented, face(STRANGER))
    assert decision == Refuse(Word.PASS_OTHER_FACE)


def test_after_the_passage_nothing_is_presented() -> None:
    factor, reader = second_factor()
    reader.text = text(issued(0))
    factor.look(FRAME, 0.0)
    factor.typed("0815")
    factor.clear()
    reader.text = None
    assert factor.look(FRAME, 0.1) is None


def test_typed_digits_are_presented_and_each_number_is_tried_once() -> None:
    factor, _ = second_factor()
    factor.typed("0815")
    presented = factor.look(FRAME, 0.0)
    assert presented == PresentedDigits("0815")
    assert isinstance(factor.decide(presented, face(RIDERS[0])), Open)
    factor.typed("4711")
    assert factor.look(FRAME, 1.0) == PresentedDigits("4711")
    assert factor.look(FRAME, 1.0 + PATIENCE_S) is not None
    late = factor.decide(PresentedDigits("4711"), face(RIDERS[0]))
    assert late == AskSecondFactor(Word.DIGITS_WRONG)
    assert factor.look(FRAME, 1.1 + PATIENCE_S) is None


def test_after_three_wrong_numbers_digits_are_not_tried_for_a_while() -> None:
    factor, _ = second_factor()
    now_s = 0.0
    for digits in ("1111", "2222", "3333"):
        factor.typed(digits)
        for _ in range(2):
            presented = factor.look(FRAME, now_s)
            assert presented is not None
            factor.decide(presented, face(RIDERS[0]))
            now_s += PATIENCE_S
    blocked_at = now_s - PATIENCE_S
    factor.typed("0815")
    presented = factor.look(FRAME, now_s)
    assert presented is not None
    assert factor.decide(presented, face(RIDERS[0])) == AskSecondFactor(Word.SHOW_PASS)
    factor.typed("0815")
    presented = factor.look(FRAME, blocked_at + WRONG_DIGITS_PAUSE_S)
    assert presented is not None
    assert isinstance(factor.decide(presented, face(RIDERS[0])), Open)


def test_without_a_gallery_nothing_is_decided() -> None:
    factor = PassAndDigits(lambda: None, lambda: NOW)
    assert factor.decide(PresentedDigits("0815"), face(RIDERS[0])) == Refuse(Word.NO_GALLERY)
