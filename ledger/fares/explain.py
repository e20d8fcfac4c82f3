"""Why a fare is what it is: the rules of legs, transfers, caps and loose ends."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from functools import lru_cache

from ledger.fares.bills import Completed, WeekBill
from ledger.fares.calendars import monday_of
from ledger.fares.chain import Fare, Link
from ledger.fares.paths import Path
from ledger.fares.rates import Option, distance_m
from ledger.fares.rides import Leg, LooseEnd, Rides, Seen
from ledger.fares.words import Rule, Value
from models.money import Money

LEG_RULES, TRANSFER_RULES = "fare_leg_rules.txt", "fare_transfer_rules.txt"
PAYS_BOTH_LEGS = 1  # the fare_transfer_type A + AB + B
CAPS, POLICIES = "fare_caps.txt", "fare_policies.txt"


@lru_cache(maxsize=4096)
def amount_of(minor: int, currency: str) -> Money:
    """An amount; the same few amounts are said over and over."""
    return Money(minor, currency)


def money(minor: int, seen: Seen) -> Money:
    """An amount in the currency of the tables."""
    return amount_of(minor, seen.rates.tables.currency)


def name(seen: Seen, stop: str) -> str:
    """The name of a stop as riders know it."""
    return seen.rates.stop(stop).name if stop else "?"


def leg_rule(leg: Leg, option: Option) -> Rule:
    """What one leg costs and by which row."""
    seen = leg.first
    product = seen.rates.tables.products[option.product]
    values: list[tuple[str, Value]] = [
        ("product", product.name),
        ("start", name(seen, leg.start)),
        ("amount", money(option.price, seen)),
    ]
    if not leg.end:
        return Rule("leg_from", tuple(values), LEG_RULES, option.line)
    values.append(("end", name(seen, leg.end)))
    if not product.bands:
        return Rule("leg", tuple(values), LEG_RULES, option.line)
    metres = distance_m(seen.rates.stop(leg.start), seen.rates.stop(leg.end))
    return Rule("distance", (*values, ("metres", metres)), LEG_RULES, option.line)


def path_rules(path: Path) -> Iterator[Rule]:
    """The rules of one step of a fare."""
    seen = path.leg.first
    leg = leg_rule(path.leg, path.option)
    if path.rule is not None:
        values = (("start", name(seen, path.leg.start)), ("amount", money(path.amount, seen)))
        yield Rule("transfer", values, TRANSFER_RULES, path.rule.line)
        if path.rule.kind != PAYS_BOTH_LEGS:
            leg = Rule("included", leg.values, leg.file, leg.line)
    yield leg
    yield from concession_rule(seen)


def concession_rule(seen: Seen) -> Iterator[Rule]:
    """The category the rider proved, where there is one."""
    category = seen.rates.tables.categories.get(seen.category)
    if category is not None and not category.default:
        yield Rule("concession", (("category", category.name),))


def fare_rules(fare: Fare) -> tuple[Rule, ...]:
    """The rules of a whole fare."""
    return tuple(rule for path in fare.paths() for rule in path_rules(path))


def unknown_fare(link: Link) -> Rule:
    """No rule prices the leg."""
    leg = link.leg
    values = (("start", name(leg.first, leg.start)), ("end", name(leg.first, leg.end)))
    return Rule("unknown_fare", values)


def cap_rules(week: WeekBill, currency: str) -> tuple[Rule, ...]:
    """The caps a week has reached."""
    found = []
    for day, cap in week.fares.caps:
        code = "cap_day" if day else "cap_week"
        when = date.fromordinal(day) if day else monday_of(week.week)
        values = (
            ("cap", cap.name),
            ("amount", amount_of(cap.amount, currency)),
            ("day", when.isoformat()),
        )
        found.append(Rule(code, values, CAPS, cap.line))
    return tuple(found)


def loose_rules(code: str, end: LooseEnd) -> Iterator[Rule]:
    """A loose end that is held (``held``) or charged (``maximum``)."""
    rule = _limit_rule(code, end.seen, end.seen.policy.maximum_fare)
    yield rule
    if rule.file != POLICIES:
        yield from concession_rule(end.seen)


def _limit_rule(code: str, seen: Seen, amount: int) -> Rule:
    """An amount of the network's policy, or the leg rule that allows a concession less."""
    here, dearest = name(seen, seen.tap.stop), seen.dearest
    values = (("start", here), ("end", here), ("amount", money(seen.at_most(amount), seen)))
    if dearest is not None and dearest.price < amount:
        return Rule(code, values, LEG_RULES, dearest.line)
    return Rule(code, values, POLICIES, seen.policy.line)


def completed_rule(trip: Completed) -> Rule:
    """A loose end completed as a usual trip."""
    seen = trip.end.seen
    values = (
        ("start", name(seen, trip.leg.start)),
        ("end", name(seen, trip.leg.end)),
        ("amount", money(trip.option.price, seen)),
    )
    return Rule("completed", values, LEG_RULES, trip.option.line)


def note_rule(rides: Rides, seen: Seen) -> Rule | None:
    """What the last tap did, where that is not said by the fare itself."""
    if rides.note in ("", "rode", "closed"):
        return None
    if rides.note == "same_station":
        visit = rides.same_station[-1]
        return _limit_rule(rides.note, visit.first, visit.first.policy.same_station_fare or 0)
    if rides.note in ("opened", "no_entry"):
        return _limit_rule(rides.note, seen, seen.policy.maximum_fare)
    here = name(seen, seen.tap.stop)
    return Rule(rides.note, (("start", here), ("end", here)), POLICIES, seen.policy.line)
