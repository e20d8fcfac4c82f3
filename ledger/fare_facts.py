"""What a fare's rules say that finance counts by: product, rider category, what a cap saved.

    rules   transfer, leg "Single" 2.00, concession "Child", cap_day 5.00;  own part 0.50
    facts   {"product": "Single", "category": "Child", "capped_minor": 150}

What the last step of the journey would have cost is said by its own rule; where a cap was
reached, the part of it that the tap did not add is what the cap saved. Pure.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ledger.fares.words import Rule
from models.money import Money

_LEGS = ("leg", "leg_from", "distance", "included")
_CAPS = ("cap_day", "cap_week")


def fare_facts(rules: Sequence[Rule], own: Money) -> dict[str, Any]:
    """The members of a ride's entry that its roll-ups count by; what is unknown is left out."""
    facts: dict[str, Any] = {}
    for name, codes in (("product", _LEGS), ("category", ("concession",))):
        said = [dict(rule.values).get(name) for rule in rules if rule.code in codes]
        if said and said[-1]:
            facts[name] = str(said[-1])
    saved = _step(rules) - own.minor
    if saved > 0 and any(rule.code in _CAPS for rule in rules):
        facts["capped_minor"] = saved
    return facts


def _step(rules: Sequence[Rule]) -> int:
    """What the last step of the journey costs by itself: its transfer, or else its leg."""
    cost, before = 0, ""
    for rule in rules:
        amount = dict(rule.values).get("amount")
        priced = rule.code == "transfer" or (rule.code in _LEGS and before != "transfer")
        if priced and isinstance(amount, Money):
            cost = amount.minor
        before = rule.code
    return cost
