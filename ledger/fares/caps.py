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
from typing import NamedTuple

from ledger.fares.tables import Cap, Coverage

Sums = Mapping[tuple[int, Coverage], int]  # fares by service day and the caps that cover them
DayFares = tuple[tuple[Coverage, int], ...]


class WeekCost(NamedTuple):
    """What a week of fares costs, and the caps reached: (service day, cap), day 0 for the week."""

    total: int
    caps: tuple[tuple[int, Cap], ...]


@dataclass(frozen=True, slots=True)
class Bought:
    """A combination of caps: what it costs, and the bits of the caps in it."""

    price: int
    bits: int
    caps: tuple[Cap, ...]


NOTHING = Bought(0, 0, ())


@dataclass(frozen=True, slots=True, eq=False)
class Choices:
    """All combinations of the caps that some fares count toward, fewest caps first.

    ``bits`` are the caps that cover a fare, ``lowest`` the price of the cheapest cap.
    """

    weekly: tuple[Bought, ...]
    daily: tuple[Bought, ...]
    bits: Mapping[Coverage, int]
    lowest: int | None


@lru_cache(maxsize=1024)
def _choices(coverages: frozenset[Coverage]) -> Choices:
    caps = sorted({cap for c in coverages for cap in c.caps}, key=lambda cap: cap.cap_id)
    bit = {cap: 1 << number for number, cap in enumerate(caps)}
    return Choices(
        tuple(_combinations([cap for cap in caps if cap.weekly], bit)),
        tuple(_combinations([cap for cap in caps if not cap.weekly], bit)),
        {coverage: sum(bit[cap] for cap in coverage.caps) for coverage in coverages},
        min((cap.amount for cap in caps), default=None),
    )


def _combinations(caps: list[Cap], bit: Mapping[Cap, int]) -> Iterator[Bought]:
    for size in range(len(caps) + 1):
        for some in combinations(caps, size):
            yield Bought(sum(cap.amount for cap in some), sum(bit[cap] for cap in some), some)


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
    for index, week in enumerate(choices.weekly):
        cost = week.price
        for _, options in costs:
            cost += options[index][0]
        if best is None or cost <= best.total:
            reached = [(0, cap) for cap in week.caps]
            reached += [(day, cap) for day, options in costs for cap in options[index][1].caps]
            if best is None or (cost, len(reached)) < (best.total, len(best.caps)):
                best = WeekCost(cost, tuple(reached))
    assert best is not None
    return best


@lru_cache(maxsize=4096)
def _day_costs(fares: DayFares, choices: Choices) -> tuple[tuple[int, Bought], ...]:
    """What a day costs on top of each combination of weekly caps, in their order."""
    coded = [(choices.bits[coverage], amount) for coverage, amount in fares]
    return tuple(
        _day_cost([fare for fare in coded if not fare[0] & week.bits], choices.daily)
        for week in choices.weekly
    )


def _day_cost(fares: list[tuple[int, int]], daily: Iterable[Bought]) -> tuple[int, Bought]:
    """The cheapest daily caps for the fares that no weekly cap covers."""
    lowest = sum([amount for _, amount in fares])
    best = NOTHING
    for bought in daily:
        cost = bought.price
        if cost < lowest:
            for bits, amount in fares:
                if not bits & bought.bits:
                    cost += amount
            if cost < lowest:
                lowest, best = cost, bought
    return lowest, best
