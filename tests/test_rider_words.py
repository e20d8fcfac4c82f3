"""The ledger's sentences in the rider's language."""

from __future__ import annotations

import re

import pytest

from facefare.rider_words import say
from ledger.fares.standing import StandingPolicy, standing
from ledger.fares.words import SENTENCES, Rule
from models.money import Money


@pytest.mark.parametrize("code", SENTENCES)
def test_every_rule_is_said_in_chinese_again(code: str) -> None:
    names = re.findall(r"\{(\w+)\}", SENTENCES[code][0])
    rule = Rule(code, tuple((name, f"{name.title()} St. 1") for name in dict.fromkeys(names)))
    assert say(rule.words(), "zh_Hans") == rule.words("zh")
    assert say(rule.words(), "en") == rule.words()
    leg = Rule("leg_from", (("product", "Flat"), ("start", "South"), ("amount", "2.00")))
    both = f"{leg.words()} {rule.words()}"
    assert say(both, "zh") == leg.words("zh") + rule.words("zh")


@pytest.mark.parametrize("minor", [-5000, -1, 0, 100, 5000])
def test_every_standing_is_said_in_chinese(minor: int) -> None:
    policy = StandingPolicy(Money(200, "CNY"), Money(500, "CNY"))
    words = standing(Money(minor, "CNY"), policy).words
    assert say(words, "zh").startswith("余额为 ")
    assert "balance" not in say(words, "zh")


def test_an_unknown_sentence_stays_as_it_is() -> None:
    assert say("Something new. The balance is 1.", "zh") == "Something new. The balance is 1."
