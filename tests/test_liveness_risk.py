"""What a face alone may do: facts, liveness and limits in, the reason for the pass out."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gate.liveness.check import Finding, LivenessScore
from gate.liveness.risk import SAFE, Facts, Limits, reason_for_pass
from gate.words import Word
from models.money import Money, MoneyError

SURE = LivenessScore(Finding.LIVE, 0.98, 5.0)
WEAK = replace(SURE, weak=True)
FIRST = Facts(openings_today=0, openings_since_pass=0)


def yuan(amount: int) -> Money:
    return Money(amount * 100, "CNY")


PRICED = Limits(ride_max=yuan(10), day_max=yuan(20), account_max=yuan(100))


def test_a_live_rider_rides_by_face_alone() -> None:
    assert reason_for_pass(FIRST, SURE) is None
    assert reason_for_pass(FIRST, WEAK) is None


@pytest.mark.parametrize("finding", [Finding.LOOKING, Finding.PICTURE, Finding.STILL])
def test_what_was_not_found_live_needs_the_pass_whatever_the_limits(finding: Finding) -> None:
    boundless = Limits(openings_a_day=10**6, openings_since_pass=10**6, weak_part=1.0)
    score = LivenessScore(finding, 0.98, 5.0)
    assert reason_for_pass(FIRST, score, boundless) == score.reason != ""


def test_after_a_dispute_only_the_pass_opens() -> None:
    assert reason_for_pass(replace(FIRST, disputed=True), SURE) == Word.DISPUTED


def test_a_picture_is_not_tried_until_it_gets_in() -> None:
    assert reason_for_pass(replace(FIRST, not_live_today=2), SURE) is None
    assert reason_for_pass(replace(FIRST, not_live_today=3), SURE) == Word.NOT_CONFIRMED


@pytest.mark.parametrize(
    ("score", "rides", "reason"),
    [
        (SURE, SAFE.openings_a_day - 1, None),
        (SURE, SAFE.openings_a_day, Word.ENOUGH_TODAY),
        (WEAK, 1, None),
        (WEAK, 2, Word.ENOUGH_TODAY),
    ],
)
def test_openings_in_a_day_are_limited_and_weak_liveness_gets_two(
    score: LivenessScore, rides: int, reason: str | None
) -> None:
    assert reason_for_pass(replace(FIRST, openings_today=rides), score) == reason


def test_the_pass_is_due_again_after_so_many_openings() -> None:
    assert reason_for_pass(replace(FIRST, openings_since_pass=39), SURE) is None
    assert reason_for_pass(replace(FIRST, openings_since_pass=40), SURE) == Word.SHOW_AGAIN
    assert reason_for_pass(replace(FIRST, openings_since_pass=10), WEAK) == Word.SHOW_AGAIN


@pytest.mark.parametrize(
    ("cost", "today", "since_pass", "reason"),
    [
        (10, 10, 90, None),
        (11, 0, 0, Word.TOO_MUCH),
        (10, 11, 0, Word.TOO_MUCH_TODAY),
        (10, 10, 91, Word.SHOW_AGAIN),
    ],
)
def test_money_is_limited_per_ride_day_and_account(
    cost: int, today: int, since_pass: int, reason: str | None
) -> None:
    facts = replace(
        FIRST, ride_cost=yuan(cost), spent_today=yuan(today), spent_since_pass=yuan(since_pass)
    )
    assert reason_for_pass(facts, SURE, PRICED) == reason


def test_weak_liveness_gets_a_quarter_of_the_money() -> None:
    facts = replace(FIRST, ride_cost=yuan(2), spent_today=yuan(0), spent_since_pass=yuan(0))
    assert reason_for_pass(facts, WEAK, PRICED) is None
    assert reason_for_pass(replace(facts, ride_cost=yuan(3)), WEAK, PRICED) == Word.TOO_MUCH


def test_an_amount_nobody_knows_exceeds_a_limit_that_is_set() -> None:
    assert reason_for_pass(FIRST, SURE, PRICED) == Word.TOO_MUCH
    known = replace(FIRST, ride_cost=yuan(2))
    assert reason_for_pass(known, SURE, PRICED) == Word.TOO_MUCH_TODAY


def test_amounts_of_two_currencies_are_never_compared() -> None:
    facts = replace(FIRST, ride_cost=Money(100, "EUR"))
    with pytest.raises(MoneyError):
        reason_for_pass(facts, SURE, PRICED)


def test_an_operator_may_allow_no_ride_by_face_at_all() -> None:
    assert reason_for_pass(FIRST, SURE, Limits(openings_a_day=0)) == Word.ENOUGH_TODAY
    assert reason_for_pass(FIRST, WEAK, Limits(openings_a_day=0)) == Word.ENOUGH_TODAY


def test_the_policy_is_told_in_words() -> None:
    text = " ".join(PRICED.lines())
    assert "8 times a day" in text and "25%" in text and "CN¥10.00 a ride" in text


def test_without_a_connection_a_face_opens_a_few_times_and_then_not_at_all() -> None:
    assert reason_for_pass(replace(FIRST, waiting=3), SURE) is None
    assert reason_for_pass(replace(FIRST, waiting=4), SURE) == Word.OFFLINE_LIMIT
    assert reason_for_pass(replace(FIRST, deny_list_h=23.9), SURE) is None
    assert reason_for_pass(replace(FIRST, deny_list_h=24.1), SURE) == Word.PASS_ONLY


def test_a_look_alikes_face_is_never_enough() -> None:
    assert reason_for_pass(replace(FIRST, look_alike=True), SURE) == Word.ENTER_DIGITS
