"""Both checks over one track: sequences of observations and what is found, and when."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from gate.liveness.check import Finding, LivenessScore, NoCheck
from gate.liveness.choices import CHOICES, make_check
from gate.liveness.fused import FORGET_S, PATIENCE_S, FusedCheck
from gate.liveness.rigid import Rigidity, View
from gate.liveness.thresholds import SHIPPED
from gate.words import Word
from models.faces.engine import Box, Face, Frame
from models.faces.errors import ModelFileError
from models.faces.quality import Quality, Reason, measure
from models.faces.tracking import Track

FRAME: Frame = np.zeros((120, 160, 3), np.uint8)
STEP_S = 0.1
STIRS, STILL = SHIPPED.stirring_min * 2, SHIPPED.stirring_min / 2


@dataclass
class ScriptedPair:
    """Says what it is told to, and counts."""

    share: float = 0.95
    asked: int = 0

    def live_share(self, frame: Frame, box: Box) -> float:
        self.asked += 1
        return self.share


@dataclass
class ScriptedRigidity(Rigidity):
    """Gives the values of a list, the last one for ever; None: not comparable."""

    values: Sequence[float | None] = (STIRS,)
    asked: int = 0

    def stirring(self, before: View, after: View) -> float | None:
        self.asked += 1
        value, self.values = self.values[0], self.values[1:] or self.values
        return value


def track(track_id: int = 1, usable: bool = True, far: bool = False) -> Track:
    points = np.random.default_rng(0).uniform(45, 85, (68, 2)).astype(np.float32)
    face = Face(Box(40, 40, 90, 90), points, 1.0)
    reasons = (Reason.FACE_TOO_SMALL,) if far else () if usable else (Reason.TOO_DARK,)
    quality = Quality(reasons, measure(FRAME, face))
    return Track(track_id, face, quality, last_seen_s=0.0)


def watched(
    check: FusedCheck, seconds: float, from_s: float = 0.0, of: Track | None = None
) -> list[LivenessScore]:
    """Ten looks a second; the score after each."""
    of = of or track()
    scores = []
    for number in range(round(seconds / STEP_S) + 1):
        check.observe(FRAME, of, from_s + number * STEP_S)
        score = check.score(of.track_id)
        assert score is not None
        scores.append(score)
    return scores


def test_a_face_that_stirs_and_looks_alive_is_live_in_less_than_a_second() -> None:
    scores = watched(FusedCheck(ScriptedPair(), ScriptedRigidity()), 0.7)
    assert [score.finding for score in scores[:-1]] == [Finding.LOOKING] * 7
    assert scores[-1] == LivenessScore(Finding.LIVE, 0.95, STIRS)
    assert scores[-1].reason == ""


def test_a_still_face_is_asked_for_the_pass_at_the_deadline_and_not_before() -> None:
    scores = watched(FusedCheck(ScriptedPair(), ScriptedRigidity([STILL])), PATIENCE_S)
    assert {score.finding for score in scores[:-1]} == {Finding.LOOKING}
    assert scores[-1].finding is Finding.STILL
    assert scores[-1].reason == Word.NO_MOVEMENT


def test_a_rider_who_stands_still_is_told_what_helps() -> None:
    scores = watched(FusedCheck(ScriptedPair(), ScriptedRigidity([STILL])), 1.2)
    assert scores[0].reason == Word.HOLD_STILL
    assert scores[-1].reason == Word.MOVE_A_LITTLE


def test_one_jolt_proves_nothing() -> None:
    jolted = ScriptedRigidity([STILL, 80.0, STILL, STILL, 90.0, *[STILL] * 20])
    assert watched(FusedCheck(ScriptedPair(), jolted), PATIENCE_S)[-1].finding is Finding.STILL


def test_a_face_that_begins_to_move_in_time_is_live() -> None:
    late = ScriptedRigidity([*[STILL] * 6, STIRS])
    assert watched(FusedCheck(ScriptedPair(), late), PATIENCE_S)[-1].finding is Finding.LIVE


def test_what_looks_like_a_print_is_no_living_face_however_it_stirs() -> None:
    scores = watched(FusedCheck(ScriptedPair(0.01), ScriptedRigidity()), PATIENCE_S)
    assert scores[-1].finding is Finding.PICTURE
    assert scores[-1].reason


def test_faces_that_cannot_be_compared_are_not_live() -> None:
    scores = watched(FusedCheck(ScriptedPair(), ScriptedRigidity([None])), PATIENCE_S)
    assert scores[-1] == LivenessScore(Finding.STILL, 0.95, None)


def test_a_finding_is_final_and_costs_nothing_more() -> None:
    pair, rigidity = ScriptedPair(), ScriptedRigidity([STILL])
    check = FusedCheck(pair, rigidity)
    watched(check, PATIENCE_S)
    spent = pair.asked, rigidity.asked
    rigidity.values = [STIRS]
    assert watched(check, 3.0, from_s=PATIENCE_S)[-1].finding is Finding.STILL
    assert (pair.asked, rigidity.asked) == spent


def test_only_usable_views_count() -> None:
    """A face kept in the dark cannot earn the finding that a picture then uses."""
    pair, rigidity = ScriptedPair(), ScriptedRigidity()
    check = FusedCheck(pair, rigidity)
    for number in range(50):
        check.observe(FRAME, track(usable=False), number * STEP_S)
    assert check.score(1) is None
    assert pair.asked == rigidity.asked == 0
    near = watched(check, 0.7, from_s=5.0)
    assert [score.finding for score in near] == [Finding.LOOKING] * 7 + [Finding.LIVE]


def test_a_face_that_walks_up_is_found_live_before_it_is_near_enough() -> None:
    check, far = FusedCheck(ScriptedPair(), ScriptedRigidity()), track(far=True)
    for number in range(8):
        check.observe(FRAME, far, number * STEP_S, waiting=False)
    assert check.score(1) == LivenessScore(Finding.LIVE, 0.95, STIRS)
    check.observe(FRAME, track(), 0.9)
    assert not check.looks_at(1, 1.0), "in the zone the finding is final"


def test_before_the_zone_a_finding_comes_and_goes() -> None:
    fading = ScriptedRigidity([*[STIRS] * 6, STILL])
    check = FusedCheck(ScriptedPair(), fading)
    found = []
    for number in range(20):
        check.observe(FRAME, track(), number * STEP_S, waiting=False)
        score = check.score(1)
        assert score is not None
        found.append(score.finding)
    assert Finding.LIVE in found
    assert found[-1] is Finding.LOOKING, "patience is counted from the zone on"


def test_a_face_that_suddenly_looks_different_begins_anew() -> None:
    swapped = ScriptedRigidity([*[STIRS] * 4, None, STIRS])
    check, found = FusedCheck(ScriptedPair(), swapped), []
    for number in range(16):
        check.observe(FRAME, track(), number * STEP_S, waiting=False)
        score = check.score(1)
        assert score is not None
        found.append(score.finding)
    assert found.index(Finding.LIVE) == 14, "seven looks for nothing, and seven more"


def test_in_the_zone_a_view_that_cannot_be_compared_is_passed_over() -> None:
    lively = ScriptedRigidity([*[STIRS] * 4, None, STIRS])
    found = [score.finding for score in watched(FusedCheck(ScriptedPair(), lively), 1.6)]
    assert found.index(Finding.LIVE) == 8


def test_what_was_watched_can_be_dropped() -> None:
    check = FusedCheck(ScriptedPair(), ScriptedRigidity())
    assert watched(check, 0.8)[-1].finding is Finding.LIVE
    check.drop(1)
    assert check.score(1) is None


def test_a_weak_finding_may_become_stronger_and_never_weaker() -> None:
    barely = SHIPPED.stirring_min * 1.1
    check = FusedCheck(ScriptedPair(), ScriptedRigidity([*[barely] * 6, *[STIRS] * 10, STILL]))
    scores = watched(check, 2.5)
    assert (scores[7].finding, scores[7].weak) == (Finding.LIVE, True)
    assert (scores[-1].finding, scores[-1].weak) == (Finding.LIVE, False)
    assert {score.finding for score in scores[7:]} == {Finding.LIVE}


def test_a_gap_in_sight_is_not_compared_across() -> None:
    rigidity = ScriptedRigidity()
    check = FusedCheck(ScriptedPair(), rigidity)
    check.observe(FRAME, track(), 0.0)
    check.observe(FRAME, track(), 1.5)
    assert rigidity.asked == 0


def test_two_tracks_share_nothing_and_old_ones_are_forgotten() -> None:
    check = FusedCheck(ScriptedPair(), ScriptedRigidity())
    assert watched(check, 1.0)[-1].finding is Finding.LIVE
    assert watched(check, 0.5, from_s=1.1, of=track(2))[-1].finding is Finding.LOOKING
    check.observe(FRAME, track(3), 1.1 + 0.5 + FORGET_S + 0.1)
    assert check.score(1) is check.score(2) is None


def test_the_pair_is_asked_five_times_a_second_at_most() -> None:
    pair = ScriptedPair()
    watched(FusedCheck(pair, ScriptedRigidity([STILL])), 1.9)
    assert 5 <= pair.asked <= 10


def test_one_check_alone_is_weak() -> None:
    alone = watched(FusedCheck(None, ScriptedRigidity()), 1.0)[-1]
    assert (alone.finding, alone.weak) == (Finding.LIVE, True)
    pair_only = watched(FusedCheck(ScriptedPair(), None), 1.0)[-1]
    assert (pair_only.finding, pair_only.weak) == (Finding.LIVE, True)
    print_only = watched(FusedCheck(ScriptedPair(0.01), None), PATIENCE_S)[-1]
    assert print_only.finding is Finding.PICTURE


def test_a_score_close_to_its_threshold_is_weak() -> None:
    barely = ScriptedRigidity([SHIPPED.stirring_min * 1.1])
    assert watched(FusedCheck(ScriptedPair(), barely), 1.0)[-1].weak
    assert watched(FusedCheck(ScriptedPair(0.2), ScriptedRigidity()), 1.0)[-1].weak


def test_no_view_of_a_face_outlives_its_second() -> None:
    check = FusedCheck(None, ScriptedRigidity([STILL]))
    watched(check, 0.9)
    (memory,) = check._memories.values()
    assert len(memory.views) == 7
    check.forget(1.55)
    assert not memory.views
    decided = FusedCheck(None, ScriptedRigidity())
    assert watched(decided, 1.0)[-1].finding is Finding.LIVE
    assert not next(iter(decided._memories.values())).views


def test_every_choice_makes_the_check_it_promises(data: Path) -> None:
    for choice in CHOICES:
        check = make_check(choice, data / "models", SHIPPED)
        check.observe(FRAME, track(), 0.0)
        score = check.score(1)
        assert score is not None
        assert (score.pair is not None) == (choice in ("full", "pair"))
        assert (score.finding is Finding.LIVE) == (choice == "off")


def test_a_gate_without_weights_never_falls_back_to_less(tmp_path: Path) -> None:
    for choice in ("full", "pair"):
        with pytest.raises(ModelFileError, match="are missing"):
            make_check(choice, tmp_path, SHIPPED)
    with pytest.raises(ValueError, match="there are full, pair, still, off"):
        make_check("of", tmp_path, SHIPPED)


def test_a_check_of_nothing_cannot_be_built() -> None:
    with pytest.raises(ValueError, match="at least one"):
        FusedCheck(None, None)


def test_without_a_check_every_face_is_live_without_evidence() -> None:
    check = NoCheck()
    check.observe(FRAME, track(), 0.0)
    score = check.score(1)
    assert score is not None
    assert (score.finding, score.evidence, score.weak) == (Finding.LIVE, None, True)


@pytest.mark.parametrize(
    ("score", "evidence"),
    [
        (LivenessScore(Finding.LIVE, 0.98765, 3.0), 0.9877),
        (LivenessScore(Finding.LIVE, None, 3.0), 0.3),
        (LivenessScore(Finding.LIVE, None, 300.0), 1.0),
        (LivenessScore(Finding.LOOKING), None),
    ],
)
def test_the_tap_carries_one_number(score: LivenessScore, evidence: float | None) -> None:
    assert score.evidence == evidence
