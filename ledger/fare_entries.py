"""What pricing decided, as entries: rides, corrections of other rides, and closed journeys.

    ride                  liabilities:rider    +500    a tap in: 5.00 may be needed
                          liabilities:held     -500
    ride                  liabilities:held     +500    the tap out: it was 3.00
                          liabilities:rider    -200
                          income:fares:metro   -300
    fare_adjustment       income:fares:metro   +100    a late tap made a transfer of two rides
                          liabilities:rider    -100
    day_close             liabilities:held     +500    the tap out never came
                          income:fares:metro   -500

A ride's amount is what its tap added to its own week and never negative; whatever else a tap
changes is an adjustment, one per week, whose ``cause`` is the tap. The ids of adjustments
and closings are made from the tap's, so there is at most one of each.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from functools import lru_cache
from typing import Any
from uuid import UUID, uuid5

from ledger.entries import Draft
from ledger.fare_facts import fare_facts
from ledger.fares.book import FareBook
from ledger.fares.engine import Adjustment
from ledger.fares.position import Closing, Rated
from ledger.fares.words import Rule
from ledger.holds import HELD
from ledger.postings import RIDER, Posting, fare_income, transfer
from models.money import Money
from models.wire.tap import Tap

UNPRICED = ("unknown_fare", "unknown_place")
"""Codes of rides that cost nothing because the tables say nothing about them."""


def rated_drafts(
    tap: Tap,
    tap_hash: str,
    rated: Rated,
    at: datetime,
    feed: str,
    key: bytes,
    now: datetime,
    route: str = "",
) -> Iterator[Draft]:
    """The entry of a tap made ``at``, then one adjustment for each week it changed otherwise.

    ``route`` is the gate's line, for those who count takings by it.
    """
    income = fare_income(rated.charge.network)
    postings = moved(rated.own, rated.held, income)
    said = _said(rated.rules, rated.own, feed)
    if route:
        said = {**said, "route": route}
    yield _ride(tap, tap_hash, rated.own, said, postings, key, at)
    for adjustment in rated.adjustments:
        yield _adjustment(tap, adjustment, rated.rules, feed, income, key, now)


def unpriced_draft(tap: Tap, tap_hash: str, currency: str, rule: Rule, key: bytes) -> Draft:
    """The entry of a tap at a place without fares: nothing is charged, and it says so."""
    nothing = Money(0, currency)
    said = {"rule": rule_fact((rule,), "")}
    return _ride(tap, tap_hash, nothing, said, (), key, tap.moment)


def _ride(
    tap: Tap,
    tap_hash: str,
    amount: Money,
    said: dict[str, Any],
    postings: tuple[Posting, ...],
    key: bytes,
    at: datetime,
) -> Draft:
    return Draft(
        kind="ride",
        entry_id=tap.tap_id,
        occurred_at=at,
        amount=amount,
        postings=postings,
        facts={
            "gate": tap.gate,
            "station": tap.station,
            "direction": tap.direction,
            "medium": tap.medium,
            "tap": tap_hash,
            **said,
        },
        account_id=tap.account,
        account_key=key,
    )


def _adjustment(
    tap: Tap,
    adjustment: Adjustment,
    rules: tuple[Rule, ...],
    feed: str,
    income: str,
    key: bytes,
    now: datetime,
) -> Draft:
    change, week = adjustment.amount, adjustment.monday.isoformat()
    said = Rule("rerated", (("day", week), ("amount", change)))
    return Draft(
        kind="fare_adjustment",
        entry_id=str(uuid5(UUID(tap.tap_id), f"adjustment {week}")),
        occurred_at=now,
        amount=_size(change),
        postings=moved(change, Money(0, change.currency), income),
        facts={"cause": tap.tap_id, "week": week, "rule": rule_fact((said, *rules), feed)},
        account_id=tap.account,
        account_key=key,
    )


def closing_draft(
    account_id: str, closing: Closing, book: FareBook, key: bytes, now: datetime
) -> Draft:
    """The entry of journeys whose service day closed without their other tap."""
    first = closing.first
    return Draft(
        kind="day_close",
        entry_id=str(uuid5(UUID(first.tap_id), f"close {closing.monday.isoformat()}")),
        occurred_at=now,
        amount=_size(closing.amount),
        postings=moved(closing.amount, -closing.freed, fare_income(first.network)),
        facts={
            "cause": first.tap_id,
            "week": closing.monday.isoformat(),
            "rule": rule_fact(closing.rules, feed_name(book, first.at)),
        },
        account_id=account_id,
        account_key=key,
    )


def moved(amount: Money, held: Money, income: str) -> tuple[Posting, ...]:
    """Postings of a fare of ``amount``, with ``held`` more set aside; negative goes back."""
    if held.minor == 0 and amount.minor >= 0:
        return transfer(amount, debit=RIDER, credit=income)
    lines = ((RIDER, amount + held), (HELD, -held), (income, -amount))
    postings = [Posting(account, part) for account, part in lines if part.minor]
    return tuple(sorted(postings, key=lambda p: p.amount.minor < 0))  # debits first


@lru_cache(maxsize=4096)  # most rides of a day are said alike
def _said(rules: tuple[Rule, ...], own: Money, feed: str) -> dict[str, Any]:
    """What the rules of a ride say, for people and for the roll-ups; only ever written out."""
    return {"rule": rule_fact(rules, feed), **fare_facts(rules, own)}


@lru_cache(maxsize=4096)
def rule_fact(rules: tuple[Rule, ...], feed: str) -> dict[str, Any]:
    """The rules as an entry states them: sentences, and the rows of the feed that say so.

    The same dictionary for the same rules: it is only ever written out.
    """
    return {
        "code": rules[0].code,
        "words": " ".join(rule.words() for rule in rules),
        "rows": [rule.row for rule in rules if rule.row],
        "feed": feed,
    }


def feed_name(book: FareBook, at: datetime) -> str:
    """The feed in force at a moment, by the beginning of its hash."""
    return book.at(at)[1].tables.sha256[:16]


def _size(amount: Money) -> Money:
    return -amount if amount.minor < 0 else amount
