"""The decision: when a face is enough to open a door and charge an account."""

from __future__ import annotations

import pytest

from gate.decision import (
    LOOKS_TO_REFUSE,
    NOT_LIVE,
    NOT_RECOGNISED,
    TWO_RIDERS,
    AskSecondFactor,
    Liveness,
    Open,
    Refuse,
    Wait,
    decide,
)
from models.faces.matching import Ambiguous, Match, Unknown

ANNA, BORIS = "a" * 32, "b" * 32
OFF = Liveness(score=None, threshold=1.0)


def match(frames: int = 3) -> Match:
    return Match(ANNA, 0.51234, 0.2, frames, "dlib-resnet-1", 7)


def test_a_clear_match_over_three_frames_opens_with_its_evidence() -> None:
    decision = decide(match(), 3, OFF, {})
    assert isinstance(decision, Open)
    assert decision.account == ANNA
    assert decision.evidence.model_dump() == {
        "engine": "dlib-resnet-1",
        "score": 0.5123,
        "margin": 0.2,
        "frames": 3,
        "liveness": None,
        "gallery_version": 7,
    }


@pytest.mark.parametrize("frames", [1, 2])
def test_fewer_frames_never_open_whatever_the_score(frames: int) -> None:
    assert isinstance(decide(match(frames), frames, OFF, {}), Wait)


def test_a_blocked_account_is_told_why() -> None:
    reason = "Your balance is below zero; top up to ride again."
    assert decide(match(), 3, OFF, {ANNA: reason}) == Refuse(reason)


def test_a_face_that_does_not_look_alive_is_asked_for_another_medium() -> None:
    assert decide(match(), 3, Liveness(0.05, threshold=0.1), {}) == AskSecondFactor(NOT_LIVE)
    assert isinstance(decide(match(), 3, Liveness(0.1, threshold=0.1), {}), Open)


def test_an_unknown_face_is_looked_at_a_few_times_and_then_refused() -> None:
    unknown = Unknown(0.2, 0.01, 3, "dlib-resnet-1", 7)
    assert isinstance(decide(unknown, LOOKS_TO_REFUSE - 1, OFF, {}), Wait)
    assert decide(unknown, LOOKS_TO_REFUSE, OFF, {}) == Refuse(NOT_RECOGNISED)


def test_two_riders_too_close_to_tell_apart_are_never_guessed() -> None:
    twins = Ambiguous((ANNA, BORIS), 0.6, 0.001, 3, "dlib-resnet-1", 7)
    assert isinstance(decide(twins, 3, OFF, {}), Wait)
    assert decide(twins, LOOKS_TO_REFUSE, OFF, {}) == AskSecondFactor(TWO_RIDERS)
