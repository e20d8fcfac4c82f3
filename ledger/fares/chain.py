"""The chain of a rider's legs, each with the ways to have paid for everything up to it.

A link knows its leg (several legs where fare_leg_join_rules.txt makes them one), the paths
that lead to it, and the fares that are settled because no later leg can reach back to them.
A new leg to which no transfer is possible settles the fares before it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import NamedTuple

from ledger.fares.calendars import week_of
from ledger.fares.paths import Path, begin, best, options_of, prune, transfer
from ledger.fares.rates import Rates
from ledger.fares.rides import Leg
from ledger.fares.tables import Coverage, JoinRule

WeekSums = dict[tuple[int, Coverage], int]
Settled = Mapping[int, WeekSums]


class Link(NamedTuple):
    """One leg in the chain; without ``paths`` the fare of its leg is unknown."""

    leg: Leg
    paths: tuple[Path, ...]
    path: Path | None  # the best of them: how everything connected up to here is paid
    previous: Link | None
    settled: Settled
    begins: bool  # does a new group of connected fares begin here?
    since: int  # the service day of that group's first leg


class Fare(NamedTuple):
    """One leg or several joined by transfers, and what they cost together."""

    amount: int
    end: Path

    @property
    def day(self) -> int:
        """The service day of the first leg: the whole fare belongs to it."""
        return self.end.first.first.day

    @property
    def coverage(self) -> Coverage:
        """The caps this fare counts toward."""
        first = self.end.first.first
        return first.rates.coverage(first.category, self.end.networks)

    def paths(self) -> tuple[Path, ...]:
        """The fare's steps, first leg first."""
        found: list[Path] = []
        path: Path | None = self.end
        while path is not None and path is not self.end.fare_before:
            found.append(path)
            path = path.before
        return tuple(reversed(found))


def fares_of(path: Path | None) -> Iterator[Fare]:
    """The fares of a path, last first."""
    while path is not None:
        yield Fare(path.amount, path)
        path = path.fare_before


def extend(link: Link | None, leg: Leg) -> Link:
    """The link of one more ``leg``, joined to the last one where a join rule says so."""
    if link is not None and _joins(link.leg, leg):
        whole = link.leg._replace(last=leg.last, end=leg.end, arrives=leg.arrives)
        return _link(link.previous, whole)
    return _link(link, leg)


def _link(previous: Link | None, leg: Leg) -> Link:
    options = options_of(leg)
    rates = leg.first.rates
    if previous is not None and previous.paths and previous.leg.first.rates is rates:
        # Where the feed has no transfer rules, no path can lead on.
        reached = rates.tables.transfer_rules and transfer(leg, options, previous.paths)
        if reached:
            paths = prune(begin(leg, options, previous.path) + reached)
            return Link(leg, paths, best(paths), previous, previous.settled, False, previous.since)
    paths = prune(begin(leg, options, None))
    return Link(leg, paths, best(paths), previous, _settle(previous), True, leg.first.day)


def _settle(link: Link | None) -> Settled:
    if link is None:
        return {}
    settled = dict(link.settled)
    for fare in fares_of(link.path):
        week = week_of(fare.day)
        sums: WeekSums = dict(settled.get(week, {}))
        key = (fare.day, fare.coverage)
        sums[key] = sums.get(key, 0) + fare.amount
        settled[week] = sums
    return settled


def _joins(first: Leg, second: Leg) -> bool:
    rules = first.first.rates.tables.join_rules
    if not rules or not first.end or first.first.rates is not second.first.rates:
        return False
    limit = timedelta(seconds=second.first.policy.transfer_limit_s)
    if second.departs - first.arrives > limit:
        return False
    return any(_join_matches(rule, first, second) for rule in rules)


def _join_matches(rule: JoinRule, first: Leg, second: Leg) -> bool:
    if (first.network, second.network) != (rule.from_network, rule.to_network):
        return False
    rates: Rates = first.first.rates
    ends, starts = rates.stop(first.end), rates.stop(second.start)
    if not rule.from_stop:
        return ends.station == starts.station
    return rule.from_stop in (ends.stop_id, ends.station) and rule.to_stop in (
        starts.stop_id,
        starts.station,
    )
