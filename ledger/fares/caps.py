"""Caps, found afterwards: the cheapest combination of caps for a week of fares.

A cap is like a pass bought in hindsight: its price replaces every fare it covers. A fare is
covered where all networks it paid for belong to the cap. Weekly caps cover their week, daily
caps one day; every combination is tried, and the cheapest (of equals the one with the fewest
caps, then the first by id) is charged. Maximum fares are no fares and are not in here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from itertools import combinations

from ledger.fares.tables import Cap

Covered = tuple[Cap, ...]
Sums = Mapping[tuple[int, Covered], int]  # fares by service day and the caps that cover them


@dataclass(frozen=True, slots=True)
class WeekCost:
    """What a week of fares costs, and the caps reached: (service day, cap), day 0 for the week."""

    total: int
    caps: tuple[tuple[int, Cap], ...]


def subsets(caps: tuple[Cap, ...]) -> Iterator[tuple[Cap, ...]]:
    """Every combination, fewest caps first."""
    for size in range(len(caps) + 1):
        yield from combinations(caps, size)


def week_cost(sums: Sums) -> WeekCost:
    """The cheapest combination of caps for the fares of one week."""
    total = sum(sums.values())
    caps = {cap for _, covered in sums for cap in covered}
    if not caps or total <= min(cap.amount for cap in caps):
        return WeekCost(total, ())
    weekly = tuple(sorted((cap for cap in caps if cap.weekly), key=lambda cap: cap.cap_id))
    days: dict[int, list[tuple[Covered, int]]] = {}
    for (day, covered), amount in sums.items():
        days.setdefault(day, []).append((covered, amount))
    best: WeekCost | None = None
    for bought in subsets(weekly):
        cost = sum(cap.amount for cap in bought)
        reached = [(0, cap) for cap in bought]
        for day, fares in sorted(days.items()):
            day_total, day_caps = _day_cost(tuple(fares), bought)
            cost += day_total
            reached += ((day, cap) for cap in day_caps)
        if best is None or (cost, len(reached)) < (best.total, len(best.caps)):
            best = WeekCost(cost, tuple(reached))
    assert best is not None
    return best


@lru_cache(maxsize=8192)
def _day_cost(
    fares: tuple[tuple[Covered, int], ...], weekly: tuple[Cap, ...]
) -> tuple[int, tuple[Cap, ...]]:
    """The cheapest daily caps for the fares no weekly cap covers."""
    left = [(covered, amount) for covered, amount in fares if not any(c in weekly for c in covered)]
    total = sum(amount for _, amount in left)
    caps = {cap for covered, _ in left for cap in covered if not cap.weekly}
    best: tuple[int, tuple[Cap, ...]] = (total, ())
    if not caps or total <= min(cap.amount for cap in caps):
        return best
    for bought in subsets(tuple(sorted(caps, key=lambda cap: cap.cap_id))):
        cost = sum(cap.amount for cap in bought)
        cost += sum(amount for covered, amount in left if not any(c in bought for c in covered))
        if cost < best[0]:
            best = (cost, bought)
    return best
