"""Caps, found afterwards: the cheapest combination of caps for a week of fares.

A cap is like a pass bought in hindsight: its price replaces every fare it covers. A fare is
covered where all networks it paid for belong to the cap. Weekly caps cover their week, daily
caps one day; every combination is tried, and the cheapest (of equals the one with the fewest
caps, then the first by id) is charged. Maximum fares are no fares and are not in here.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from itertools import combinations

from ledger.fares.tables import Cap, Coverage

Sums = Mapping[tuple[int, Coverage], int]  # fares by service day and the caps that cover them
DayFares = tuple[tuple[Coverage, int], ...]
DayCost = tuple[int, tuple[Cap, ...]]


@dataclass(frozen=True, slots=True)
class WeekCost:
    """What a week of fares costs, and the caps reached: (service day, cap), day 0 for the week."""

    total: int
    caps: tuple[tuple[int, Cap], ...]


def subsets(caps: tuple[Cap, ...]) -> Iterator[tuple[Cap, ...]]:
    """Every combination, fewest caps first."""
    for size in range(len(caps) + 1):
        yield from combinations(caps, size)


def in_order(caps: Iterable[Cap], *, weekly: bool) -> tuple[Cap, ...]:
    """The caps of one period, by id."""
    return tuple(sorted({c for c in caps if c.weekly == weekly}, key=lambda cap: cap.cap_id))


@dataclass(frozen=True, slots=True, eq=False)
class Choices:
    """The combinations of weekly caps to choose from, with their prices, and the lowest cap."""

    weekly: tuple[tuple[Cap, ...], ...]
    prices: tuple[int, ...]
    lowest: int | None


@lru_cache(maxsize=1024)
def _choices(coverages: frozenset[Coverage]) -> Choices:
    caps = {cap for coverage in coverages for cap in coverage.caps}
    weekly = tuple(subsets(in_order(caps, weekly=True)))
    prices = tuple(sum(cap.amount for cap in bought) for bought in weekly)
    return Choices(weekly, prices, min((cap.amount for cap in caps), default=None))


def week_cost(sums: Sums) -> WeekCost:
    """The cheapest combination of caps for the fares of one week."""
    total = sum(sums.values())
    choices = _choices(frozenset([coverage for _, coverage in sums]))
    if choices.lowest is None or total <= choices.lowest:
        return WeekCost(total, ())
    days: dict[int, list[tuple[Coverage, int]]] = {}
    for (day, coverage), amount in sums.items():
        days.setdefault(day, []).append((coverage, amount))
    costs = [(day, _day_costs(tuple(fares), choices)) for day, fares in sorted(days.items())]
    best: WeekCost | None = None
    for index, bought in enumerate(choices.weekly):
        cost = choices.prices[index]
        for _, options in costs:
            cost += options[index][0]
        if best is None or cost <= best.total:
            reached = [(0, cap) for cap in bought]
            reached += [(day, cap) for day, options in costs for cap in options[index][1]]
            if best is None or (cost, len(reached)) < (best.total, len(best.caps)):
                best = WeekCost(cost, tuple(reached))
    assert best is not None
    return best


@lru_cache(maxsize=4096)
def _day_costs(fares: DayFares, choices: Choices) -> tuple[DayCost, ...]:
    """What a day costs on top of each combination of weekly caps, in their order."""
    return tuple(_day_cost(fares, bought) for bought in choices.weekly)


def _day_cost(fares: DayFares, weekly: tuple[Cap, ...]) -> DayCost:
    """The cheapest daily caps for the fares no weekly cap covers."""
    left = [
        (coverage.caps, amount)
        for coverage, amount in fares
        if not any(cap in weekly for cap in coverage.caps)
    ]
    best: DayCost = (sum(amount for _, amount in left), ())
    daily = in_order((cap for caps, _ in left for cap in caps), weekly=False)
    if not daily or best[0] <= min(cap.amount for cap in daily):
        return best
    for bought in subsets(daily):
        cost = sum(cap.amount for cap in bought)
        cost += sum(amount for caps, amount in left if not any(cap in bought for cap in caps))
        if cost < best[0]:
            best = (cost, bought)
    return best
