"""The decision: when a face is enough to open a door and charge an account."""

from __future__ import annotations

import pytest

from gate.decision import (
    LOOKS_TO_REFUSE,
    AskSecondFactor,
    Decision,
    Open,
    Refuse,
    Wait,
    decide,
)
from gate.liveness.check import Finding, LivenessScore
from gate.liveness.risk import SAFE, Facts
from gate.words import Word
from models.faces.matching import Ambiguous, Match, Unknown

ANNA, BORIS = "a" * 32, "b" * 32
LIVE = LivenessScore(Finding.LIVE, 0.98, 4.0)
FIRST = Facts(openings_today=0, openings_since_pass=0)


def decided(
    verdict: Match | Ambiguous | Unknown,
    looks: int,
    liveness: LivenessScore = LIVE,
    blocked: dict[str, str] | None = None,
    facts: Facts = FIRST,
) -> Decision:
    return decide(verdict, looks, liveness, blocked or {}, facts, SAFE)


def match(frames: int = 3) -> Match:
    return Match(ANNA, 0.51234, 0.2, frames, "dlib-resnet-1", 7)


def test_a_clear_match_over_three_frames_opens_with_its_evidence() -> None:
    decision = decided(match(), 3)
    assert isinstance(decision, Open)
    assert decision.account == ANNA
    assert decision.evidence.model_dump() == {
        "engine": "dlib-resnet-1",
        "score": 0.5123,
        "margin": 0.2,
        "frames": 3,
        "liveness": 0.98,
        "gallery_version": 7,
    }


@pytest.mark.parametrize("frames", [1, 2])
def test_fewer_frames_never_open_whatever_the_score(frames: int) -> None:
    assert isinstance(decided(match(frames), frames), Wait)


def test_a_blocked_account_is_told_why() -> None:
    reason = "Your balance is below zero; top up to ride again."
    assert decided(match(), 3, blocked={ANNA: reason}) == Refuse(reason)


@pytest.mark.parametrize(
    ("finding", "reason"),
    [(Finding.PICTURE, Word.NOT_LIVE), (Finding.STILL, Word.NO_MOVEMENT)],
)
def test_a_face_that_is_not_found_live_is_asked_for_another_medium(
    finding: Finding, reason: Word
) -> None:
    not_live = LivenessScore(finding, 0.98, 0.1)
    assert decided(match(), 3, not_live) == AskSecondFactor(reason)
    assert decided(match(), 3, not_live, {ANNA: "blocked"}) == AskSecondFactor(reason), (
        "a picture learns nothing of the account"
    )


def test_while_liveness_is_looking_nothing_is_decided() -> None:
    assert decided(match(), 3, LivenessScore(Finding.LOOKING)) == Wait(Word.HOLD_STILL)
    moving = LivenessScore(Finding.LOOKING, 0.98, 0.4)
    assert decided(match(), 3, moving) == Wait(Word.MOVE_A_LITTLE)


def test_beyond_its_limits_a_face_alone_is_not_enough() -> None:
    tired = Facts(openings_today=SAFE.openings_a_day, openings_since_pass=0)
    assert decided(match(), 3, facts=tired) == AskSecondFactor(Word.ENOUGH_TODAY)
    twin = Facts(openings_today=0, openings_since_pass=0, look_alike=True)
    assert decided(match(), 3, facts=twin) == AskSecondFactor(Word.ENTER_DIGITS)


def test_an_unknown_face_is_looked_at_a_few_times_and_then_refused() -> None:
    unknown = Unknown(0.2, 0.01, 3, "dlib-resnet-1", 7)
    assert isinstance(decided(unknown, LOOKS_TO_REFUSE - 1), Wait)
    assert decided(unknown, LOOKS_TO_REFUSE) == Refuse(Word.NOT_RECOGNISED)


def test_two_riders_too_close_to_tell_apart_are_never_guessed() -> None:
    twins = Ambiguous((ANNA, BORIS), 0.6, 0.001, 3, "dlib-resnet-1", 7)
    assert isinstance(decided(twins, 3), Wait)
    assert decided(twins, LOOKS_TO_REFUSE) == AskSecondFactor(Word.TWO_RIDERS)
