"""A rider's statement: every fare with its rules, and what the weeks come to."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime

from ledger.fares.bills import WeekBill, bill, loose_ends
from ledger.fares.calendars import week_of
from ledger.fares.chain import Link, fares_of
from ledger.fares.explain import (
    amount_of,
    cap_rules,
    completed_rule,
    fare_rules,
    loose_rules,
    unknown_fare,
)
from ledger.fares.history import History
from ledger.fares.legs import ride
from ledger.fares.rides import Leg
from ledger.fares.words import Rule
from models.money import Money


@dataclass(frozen=True, slots=True)
class Item:
    """A line of a statement: the legs, what they cost before caps, and why."""

    day: date
    legs: tuple[Leg, ...]
    amount: Money
    rules: tuple[Rule, ...]


@dataclass(frozen=True, slots=True)
class Statement:
    """Everything a rider rode: fares, then what the weeks came to."""

    items: tuple[Item, ...]
    weeks: tuple[WeekBill, ...]
    total: Money
    held: Money


def statement(history: History, as_of: datetime) -> Statement:
    """All fares of a history and its weeks as they stand ``as_of``."""
    currency = history.book.currency
    items = sorted(_items(history), key=lambda item: (item.legs[0].order, item.amount.minor))
    days = {leg.first.day for leg in history.rides.legs}
    days |= {end.seen.day for end in loose_ends(history)}
    days |= {visit.first.day for visit in history.rides.same_station}
    if history.on_time is not None:
        days |= {end.seen.day for end in loose_ends(history.on_time)}
    weeks = tuple(bill(history, week, as_of) for week in sorted({week_of(day) for day in days}))
    return Statement(
        tuple(items),
        weeks,
        Money(sum(week.total for week in weeks), currency),
        Money(sum(week.held for week in weeks), currency),
    )


def _items(history: History) -> Iterator[Item]:
    currency = history.book.currency
    links = history.links
    for index, link in enumerate(links):
        if index + 1 < len(links) and _same_group(links[index + 1], link):
            continue
        if link.path is None:
            day = date.fromordinal(link.leg.first.day)
            yield Item(day, (link.leg,), amount_of(0, currency), (unknown_fare(link),))
        for fare in fares_of(link.path):
            legs = tuple(path.leg for path in fare.paths())
            amount = amount_of(fare.amount, currency)
            yield Item(date.fromordinal(fare.day), legs, amount, fare_rules(fare))
    for visit in history.rides.same_station:
        code = "mistake" if visit.mistake else "same_station"
        amount = amount_of(visit.amount, currency)
        place = visit.first.rates.stop(visit.first.tap.stop).name
        rule = Rule(code, (("start", place), ("amount", amount)))
        leg = ride(visit.first, visit.last)
        yield Item(date.fromordinal(visit.first.day), (leg,), amount, (rule,))


def _same_group(following: Link, link: Link) -> bool:
    """Does the next link go on with this one's fares, or replace it by a longer, joined leg?"""
    joined = following.previous is not link and following.leg.first is link.leg.first
    return joined or not following.begins


def week_rules(week: WeekBill, currency: str) -> tuple[Rule, ...]:
    """The rules of a week: caps, completed trips, maximum fares, what is held."""
    rules = list(cap_rules(week, currency))
    rules += (completed_rule(trip) for trip in week.completed)
    for code, ends in (("maximum", week.maximum), ("held", week.holding)):
        rules += (rule for end in ends for rule in loose_rules(code, end))
    if week.refund_only:
        rules.append(Rule("refund_only"))
    return tuple(rules)
