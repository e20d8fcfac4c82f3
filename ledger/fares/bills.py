"""What a week comes to: fares under their caps, and maximum fares for loose ends.

A loose end is held, not charged, until its service day has closed. Then it is completed
from the rider's own history where that shows a usual trip, and charged the maximum fare
otherwise. A maximum fare counts toward no cap; a completed trip does.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import NamedTuple

from ledger.fares.calendars import day_starts, week_of
from ledger.fares.caps import WeekCost, week_cost
from ledger.fares.chain import WeekSums, fares_of
from ledger.fares.history import History
from ledger.fares.paths import options_of
from ledger.fares.rates import Option, cheapest
from ledger.fares.rides import Leg, LooseEnd

USUAL_WITHIN = timedelta(days=28)
USUAL_TRIPS_MIN = 3


class Completed(NamedTuple):
    """A loose end made a trip, because the rider usually makes it."""

    end: LooseEnd
    leg: Leg
    option: Option
    trips: int


class WeekBill(NamedTuple):
    """A week's ``total`` and what is only ``held``, in minor units, with what made them."""

    week: int
    total: int
    held: int
    fares: WeekCost
    completed: tuple[Completed, ...]
    maximum: tuple[LooseEnd, ...]
    holding: tuple[LooseEnd, ...]
    refund_only: bool = False


def bill(history: History, week: int, as_of: datetime) -> WeekBill:
    """The bill of ``week`` at ``as_of``, where late taps can only lower it."""
    known = history.known.get(week)
    if isinstance(known, WeekBill):
        return known
    made = _lower_bill(history, week, as_of)
    if not (made.completed or made.maximum or made.holding or history.on_time):
        history.known[week] = made  # without loose ends time changes nothing
    return made


def _lower_bill(history: History, week: int, as_of: datetime) -> WeekBill:
    whole = _bill(history, week, as_of)
    if history.on_time is None:
        return whole
    on_time = _bill(history.on_time, week, as_of)
    if on_time.total >= whole.total:
        return whole
    parts = (on_time.fares, on_time.completed, on_time.maximum, on_time.holding)
    return WeekBill(week, on_time.total, on_time.held, *parts, refund_only=True)


def loose_ends(history: History) -> tuple[LooseEnd, ...]:
    """All loose ends, those included that a tap out may still close."""
    return history.ends


def closes_at(end: LooseEnd, history: History) -> datetime:
    """When a loose end is charged: its service day is over, and its journey cannot go on."""
    limit = timedelta(seconds=end.seen.policy.journey_limit_s)
    return max(day_starts(end.seen.day + 1, history.book.zone), end.seen.tap.at + limit)


def maximum_fare(end: LooseEnd) -> int:
    """The maximum fare of the loose end's network; for a concession its dearest fare, if less."""
    return end.seen.at_most(end.seen.policy.maximum_fare)


def _bill(history: History, week: int, as_of: datetime) -> WeekBill:
    sums = week_sums(history, week)
    if not history.ends:
        cost = week_cost(sums)
        return WeekBill(week, cost.total, 0, cost, (), (), ())
    held = total = 0
    completed: list[Completed] = []
    maximum: list[LooseEnd] = []
    holding: list[LooseEnd] = []
    for end in loose_ends(history):
        if week_of(end.seen.day) != week:
            continue
        if as_of < closes_at(end, history):
            holding.append(end)
            held += maximum_fare(end)
            continue
        trip = usual_trip(history, end)
        if trip is None:
            maximum.append(end)
            total += maximum_fare(end)
        else:
            completed.append(trip)
            networks = frozenset((trip.leg.network,))
            covered = end.seen.rates.coverage(end.seen.category, networks)
            key = (end.seen.day, covered)
            sums[key] = sums.get(key, 0) + trip.option.price
    cost = week_cost(sums)
    parts = (tuple(completed), tuple(maximum), tuple(holding))
    return WeekBill(week, total + cost.total, held, cost, *parts)


def week_sums(history: History, week: int) -> WeekSums:
    """The fares of a week by service day and covering caps, loose ends left out."""
    sums: WeekSums = {}
    if history.last is not None:
        sums = dict(history.last.settled.get(week, {}))
        for fare in fares_of(history.last.path):
            if week_of(fare.day) == week:
                key = (fare.day, fare.coverage)
                sums[key] = sums.get(key, 0) + fare.amount
    for visit in history.rides.same_station:
        if visit.amount and week_of(visit.first.day) == week:
            seen = visit.first
            covered = seen.rates.coverage(seen.category, frozenset((seen.tap.network,)))
            key = (seen.day, covered)
            sums[key] = sums.get(key, 0) + visit.amount
    return sums


def usual_trip(history: History, end: LooseEnd) -> Completed | None:
    """The trip the rider usually makes from (or to) here: most of the last four weeks' trips."""
    ways = [leg for leg in _earlier(history, end) if _same_side(leg, end)]
    others = Counter(_other_station(leg, end) for leg in ways)
    if not others:
        return None
    station, trips = others.most_common(1)[0]
    if trips < USUAL_TRIPS_MIN or 2 * trips <= len(ways):
        return None
    usual = next(leg for leg in reversed(ways) if _other_station(leg, end) == station)
    start, stop = (
        (end.seen.tap.stop, usual.end)
        if end.kind == "no_exit"
        else (
            usual.start,
            end.seen.tap.stop,
        )
    )
    at = end.seen.tap.at
    leg = Leg(end.seen, None, start, stop, at, at)
    if not {start, stop} <= leg.first.rates.tables.stops.keys():
        return None
    option = cheapest(options_of(leg))
    if option is None or option.price > maximum_fare(end):
        return None
    return Completed(end, leg, option, trips)


def _earlier(history: History, end: LooseEnd) -> Iterator[Leg]:
    """The complete legs of the four weeks before a loose end, in order."""
    at = end.seen.tap.at
    for leg in history.rides.legs:
        complete = leg.end and leg.network == end.seen.tap.network
        if complete and at - USUAL_WITHIN <= leg.departs and leg.arrives < at:
            yield leg


def _same_side(leg: Leg, end: LooseEnd) -> bool:
    seen = leg.first if end.kind == "no_exit" else leg.last
    return seen is not None and seen.station == end.seen.station


def _other_station(leg: Leg, end: LooseEnd) -> str:
    seen = leg.last if end.kind == "no_exit" else leg.first
    return seen.station if seen is not None else ""
