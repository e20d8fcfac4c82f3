"""Taps joined into legs: who went in where, and came out where.

``step`` takes the taps of one rider in the order of their times and keeps, per network, what
is open. The result depends only on the set of taps, never on the order they arrived in.

    tap_on       every tap in is a leg whose arrival is unknown; taps out say nothing
    tap_on_off   a tap in opens, the next tap out closes; what never closes, or never
                 opened, is a *loose end*: maximum fare, held until the service day closes

Two gates' clocks may differ by ``clock_skew_s``. Two taps of a network that close together
are taken in the other order where only that leaves no loose end:

    out B, in A            is  in A, out B            nothing open before, nothing closes after
    in A, in B, out C, out D  is  in A, out C, in B, out D
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Literal

from ledger.fares.book import FareBook
from ledger.fares.rates import Rates
from ledger.fares.tables import Policy
from ledger.fares.taps import Concession, FareTap, category_on

LooseKind = Literal["no_exit", "no_entry"]


@dataclass(frozen=True, slots=True)
class Seen:
    """A tap with the service day, category and rates that hold for it."""

    tap: FareTap
    day: int
    category: str
    rates: Rates

    @property
    def policy(self) -> Policy:
        """How the tap's network is ridden."""
        return self.rates.tables.policy(self.tap.network)

    @property
    def station(self) -> str:
        """The station of the tap's stop."""
        return self.rates.stop(self.tap.stop).station

    def within(self, seconds: int, earlier: Seen) -> bool:
        """Is this at most ``seconds`` after ``earlier``?"""
        return self.tap.at - earlier.tap.at <= timedelta(seconds=seconds)


@dataclass(frozen=True, slots=True)
class Leg:
    """A ride between two taps, or from one tap where the network has no tap-off."""

    first: Seen
    last: Seen | None
    start: str
    end: str  # empty: unknown
    departs: datetime
    arrives: datetime

    @property
    def order(self) -> tuple[datetime, str]:
        """Legs stand in the order of their departures."""
        return self.departs, self.first.tap.tap_id

    @property
    def network(self) -> str:
        """The network of the ride."""
        return self.first.tap.network


@dataclass(frozen=True, slots=True)
class LooseEnd:
    """A tap without its other half."""

    seen: Seen
    kind: LooseKind


@dataclass(frozen=True, slots=True)
class SameStation:
    """In and out at one station: free as a mistake, or for the same-station fare."""

    first: Seen
    last: Seen
    amount: int
    mistake: bool


@dataclass(frozen=True, slots=True)
class Open:
    """A tap in that waits for its tap out.

    ``undo`` is a leg that stands unless the tap out comes: the leg of a rider who came
    straight back in, or one made with ``orphan``, an earlier tap out.
    """

    seen: Seen
    undo: Leg | None = None
    orphan: LooseEnd | None = None


@dataclass(frozen=True, slots=True)
class Crossed:
    """In A, in B, out C close together: what to take back if an out D follows."""

    left_open: LooseEnd
    second: Seen
    out: Seen


@dataclass(frozen=True, slots=True)
class NetworkState:
    """What the last taps on one network left behind."""

    last: Seen | None = None
    open: Open | None = None
    leg: Leg | None = None  # closed by the last tap
    left_open: LooseEnd | None = None  # left by the last tap in
    orphan: LooseEnd | None = None  # made by the last tap
    crossed: Crossed | None = None


@dataclass(frozen=True, slots=True)
class Rides:
    """Everything made of the taps so far; ``note`` tells what the last tap, ``seen``, did."""

    legs: tuple[Leg, ...] = ()
    loose: tuple[LooseEnd, ...] = ()
    same_station: tuple[SameStation, ...] = ()
    networks: Mapping[str, NetworkState] = field(default_factory=dict)
    seen: Seen | None = None
    note: str = ""

    def open_ends(self) -> tuple[LooseEnd, ...]:
        """The taps in that are loose ends if no tap out comes any more."""
        opens = (state.open for state in self.networks.values())
        return tuple(LooseEnd(o.seen, "no_exit") for o in opens if o and o.undo is None)

    def now(self, state: NetworkState, note: str) -> Rides:
        """These rides with the network of ``state.last`` in that state."""
        assert state.last is not None
        networks = {**self.networks, state.last.tap.network: state}
        return Rides(self.legs, self.loose, self.same_station, networks, state.last, note)

    def ignoring(self, seen: Seen, note: str) -> Rides:
        """These rides after a tap that changes nothing."""
        return Rides(self.legs, self.loose, self.same_station, self.networks, seen, note)

    def _with_legs(self, legs: tuple[Leg, ...]) -> Rides:
        return Rides(legs, self.loose, self.same_station, self.networks, self.seen, self.note)

    def with_leg(self, leg: Leg) -> Rides:
        """These rides and one more leg, at its place in time."""
        if not self.legs or self.legs[-1].order < leg.order:
            return self._with_legs((*self.legs, leg))
        index = bisect_right(self.legs, leg.order, key=lambda other: other.order)
        return self._with_legs((*self.legs[:index], leg, *self.legs[index:]))

    def without_leg(self, leg: Leg) -> Rides:
        """These rides without a leg."""
        return self._with_legs(tuple(other for other in self.legs if other is not leg))

    def with_loose(self, *ends: LooseEnd) -> Rides:
        """These rides and more loose ends."""
        return replace(self, loose=(*self.loose, *ends))

    def without_loose(self, end: LooseEnd) -> Rides:
        """These rides without a loose end."""
        return replace(self, loose=tuple(other for other in self.loose if other is not end))


def see(tap: FareTap, book: FareBook, concessions: tuple[Concession, ...]) -> Seen:
    """The tap with what holds on its service day; raise ``NoFares`` or ``UnknownPlace``."""
    day, rates = book.at(tap.at)
    rates.check_network(tap.network)
    rates.stop(tap.stop)
    return Seen(tap, day, category_on(concessions, day), rates)


def step(rides: Rides, seen: Seen) -> Rides:
    """The rides after one more tap, which is later than all before."""
    state = rides.networks.get(seen.tap.network) or NetworkState()
    if _repeats(seen, state.last):
        return rides.ignoring(seen, "repeat")
    if not seen.policy.tap_off:
        return _tap_on(rides, seen)
    if seen.tap.direction == "in":
        return _enter(rides, state, seen)
    return _leave(rides, state, seen)


def _repeats(seen: Seen, last: Seen | None) -> bool:
    """Is this the same passage seen twice, say by face and by pass?"""
    return (
        last is not None
        and last.tap.direction == seen.tap.direction
        and seen.within(seen.policy.repeat_s, last)
        and seen.station == last.station
    )


def _tap_on(rides: Rides, seen: Seen) -> Rides:
    tap = seen.tap
    if tap.direction == "out":
        return rides.ignoring(seen, "exit_free")
    leg = Leg(seen, None, tap.stop, "", tap.at, tap.at)
    return rides.with_leg(leg).now(NetworkState(last=seen), "rode")


def ride(first: Seen, last: Seen) -> Leg:
    """The leg between two taps; where clocks differ it takes no time."""
    arrives = max(first.tap.at, last.tap.at)
    return Leg(first, last, first.tap.stop, last.tap.stop, first.tap.at, arrives)


def _enter(rides: Rides, state: NetworkState, seen: Seen) -> Rides:
    policy, last = seen.policy, state.last
    back = last is not None and last.station == seen.station
    if state.leg is not None and last is not None and back and seen.within(policy.reentry_s, last):
        return rides.now(NetworkState(seen, Open(seen, undo=state.leg)), "reentry")
    left_open = None
    if state.open is not None and state.open.undo is None:
        left_open = LooseEnd(state.open.seen, "no_exit")
        rides = rides.with_loose(left_open)
    orphan = state.orphan
    if orphan is None or back or not seen.within(policy.clock_skew_s, orphan.seen):
        return rides.now(NetworkState(seen, Open(seen), left_open=left_open), "opened")
    leg = ride(seen, orphan.seen)
    opened = Open(seen, undo=leg, orphan=orphan)
    return rides.without_loose(orphan).with_leg(leg).now(NetworkState(seen, opened), "clocks")


def _leave(rides: Rides, state: NetworkState, seen: Seen) -> Rides:
    opened = state.open
    if opened is None:
        return _leave_unopened(rides, state, seen)
    if opened.undo is not None:
        if opened.orphan is not None:
            rides = rides.without_leg(opened.undo).with_loose(opened.orphan)
        elif _continues(opened.undo, seen):
            leg = ride(opened.undo.first, seen)
            rides = rides.without_leg(opened.undo).with_leg(leg)
            return rides.now(NetworkState(seen, leg=leg), "closed")
    closed = _close(rides, opened.seen, seen)
    left_open = state.left_open
    if left_open is None or not seen.within(seen.policy.clock_skew_s, opened.seen):
        return closed
    crossed = Crossed(left_open, opened.seen, seen)
    return closed.now(replace(closed.networks[seen.tap.network], crossed=crossed), closed.note)


def _continues(leg: Leg, seen: Seen) -> bool:
    """Can the journey of ``leg``, interrupted by coming straight back in, end here?"""
    return seen.within(seen.policy.journey_limit_s, leg.first) and leg.first.station != seen.station


def _close(rides: Rides, first: Seen, last: Seen) -> Rides:
    """Close an entry with an exit: a leg, a same-station ride, or two loose ends."""
    policy = first.policy
    same = first.station == last.station
    limit_s = policy.same_station_limit_s if same else policy.journey_limit_s
    if same and last.within(policy.mistake_s, first):
        free = SameStation(first, last, 0, mistake=True)
        rides = replace(rides, same_station=(*rides.same_station, free))
        return rides.now(NetworkState(last), "mistake")
    if not last.within(limit_s, first):
        orphan = LooseEnd(last, "no_entry")
        rides = rides.with_loose(LooseEnd(first, "no_exit"), orphan)
        return rides.now(NetworkState(last, orphan=orphan), "over_long")
    if same and policy.same_station_fare is not None:
        paid = SameStation(first, last, policy.same_station_fare, mistake=False)
        rides = replace(rides, same_station=(*rides.same_station, paid))
        return rides.now(NetworkState(last), "same_station")
    leg = ride(first, last)
    return rides.with_leg(leg).now(NetworkState(last, leg=leg), "closed")


def _leave_unopened(rides: Rides, state: NetworkState, seen: Seen) -> Rides:
    crossed = state.crossed
    if crossed is not None and _uncrosses(crossed, seen):
        return _uncross(rides, crossed, seen)
    orphan = LooseEnd(seen, "no_entry")
    return rides.with_loose(orphan).now(NetworkState(seen, orphan=orphan), "no_entry")


def _uncrosses(crossed: Crossed, seen: Seen) -> bool:
    limit_s = seen.policy.journey_limit_s
    first = crossed.left_open.seen
    return (
        first.station != crossed.out.station
        and crossed.second.station != seen.station
        and crossed.out.within(limit_s, first)
        and seen.within(limit_s, crossed.second)
    )


def _uncross(rides: Rides, crossed: Crossed, seen: Seen) -> Rides:
    """Two rides, with the exit of the first after the entry of the second by the clocks."""
    taken_back = [leg for leg in rides.legs if leg.last is crossed.out]
    for leg in taken_back:
        rides = rides.without_leg(leg)
    for end in rides.loose:
        if end is crossed.left_open or end.seen in (crossed.second, crossed.out):
            rides = rides.without_loose(end)
    kept = tuple(s for s in rides.same_station if s.last is not crossed.out)
    leg = ride(crossed.second, seen)
    rides = replace(rides, same_station=kept)
    rides = rides.with_leg(ride(crossed.left_open.seen, crossed.out)).with_leg(leg)
    return rides.now(NetworkState(seen, leg=leg), "clocks")
