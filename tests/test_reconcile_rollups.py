"""Roll-ups say what the entries say, by what finance counts by."""

from __future__ import annotations

from typing import Any
from zoneinfo import ZoneInfo

import pytest

from ledger.fare_facts import fare_facts
from ledger.fares.words import Rule
from ledger.rollups import PSP_CLEARING, Sums, day_of
from models.money import Money


def cny(minor: int) -> Money:
    return Money(minor, "CNY")


def leg(amount: int, code: str = "leg") -> Rule:
    return Rule(code, (("product", "Single"), ("start", "A"), ("amount", cny(amount))))


CAP = Rule("cap_day", (("cap", "Day"), ("amount", cny(500)), ("day", "2026-11-22")))
CHILD = Rule("concession", (("category", "Child"),))
TRANSFER = Rule("transfer", (("start", "B"), ("amount", cny(50))))


@pytest.mark.parametrize(
    ("rules", "own", "facts"),
    [
        ([leg(200)], 200, {"product": "Single"}),
        ([leg(200), CHILD], 200, {"product": "Single", "category": "Child"}),
        ([leg(200), CAP], 50, {"product": "Single", "capped_minor": 150}),
        ([leg(200), CAP], 200, {"product": "Single"}),
        ([leg(200)], 50, {"product": "Single"}),
        ([leg(200), TRANSFER, leg(200, "included"), CAP], 20,
         {"product": "Single", "capped_minor": 30}),
        ([Rule("unknown_place")], 0, {}),
    ],
)  # fmt: skip
def test_what_a_fares_rules_say_to_finance(
    rules: list[Rule], own: int, facts: dict[str, Any]
) -> None:
    assert fare_facts(rules, cny(own)) == facts


def entry(**more: Any) -> dict[str, Any]:
    return {
        "seq": 0, "id": "x", "kind": "ride", "amount": {"currency": "CNY", "minor": 500},
        "recorded_at": "2026-11-22T12:00:00.000Z", "occurred_at": "2026-11-22T12:00:00.000Z",
        "postings": [], **more,
    }  # fmt: skip


def lines(*moves: tuple[str, int]) -> list[dict[str, Any]]:
    return [{"account": name, "currency": "CNY", "minor": minor} for name, minor in moves]


def counted(*values: dict[str, Any]) -> Sums:
    sums = Sums(ZoneInfo("UTC"))
    for value in values:
        sums.count(value)
    return sums


@pytest.mark.parametrize(
    ("value", "taken"),
    [
        (entry(postings=lines(("liabilities:rider", 500), ("liabilities:held", -500))), 0),
        (entry(postings=lines(("liabilities:held", 500), ("liabilities:rider", -200),
                              ("income:fares:metro", -300))), 300),
        (entry(kind="refund", postings=lines(("income:fares:metro", 100),
                                             ("liabilities:rider", -100))), -100),
        (entry(kind="goodwill", postings=lines(("expenses:goodwill", 500),
                                               ("liabilities:rider", -500))), 500),
    ],
)  # fmt: skip
def test_takings_are_what_fares_earned(value: dict[str, Any], taken: int) -> None:
    ((key, sums),) = counted(value).takings.items()
    assert (sums[0], sums[1]) == (1, taken)
    assert key[2] == ("metro" if "income" in str(value) else "")


def test_only_claims_are_movements() -> None:
    claim = lines((PSP_CLEARING, 500), ("liabilities:rider", -500))
    sums = counted(*(entry(kind=kind, postings=claim)
                     for kind in ("top_up", "settlement", "resolution")))  # fmt: skip
    assert [movement[3] for movement in sums.movements] == ["top_up"]


@pytest.mark.parametrize(
    ("zone", "day"),
    [("UTC", "2026-11-22"), ("Asia/Shanghai", "2026-11-23"), ("America/New_York", "2026-11-22"),
     ("Asia/Kathmandu", "2026-11-23")],
)  # fmt: skip
def test_a_day_is_a_day_of_the_zone(zone: str, day: str) -> None:
    assert day_of("2026-11-22T18:15:00.000Z", ZoneInfo(zone)) == day
