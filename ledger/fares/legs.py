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

from ledger.fares.book import FareBook
from ledger.fares.rides import (
    Crossed,
    Leg,
    LooseEnd,
    NetworkState,
    Open,
    Rides,
    SameStation,
    Seen,
)
from ledger.fares.taps import Concession, FareTap, category_on


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
    return rides.with_leg_now(leg, NetworkState(last=seen), "rode")


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
    return closed.now(closed.networks[seen.tap.network]._replace(crossed=crossed), closed.note)


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
        rides = rides._replace(same_station=(*rides.same_station, free))
        return rides.now(NetworkState(last), "mistake")
    if not last.within(limit_s, first):
        orphan = LooseEnd(last, "no_entry")
        rides = rides.with_loose(LooseEnd(first, "no_exit"), orphan)
        return rides.now(NetworkState(last, orphan=orphan), "over_long")
    if same and policy.same_station_fare is not None:
        fare = first.at_most(policy.same_station_fare)
        paid = SameStation(first, last, fare, mistake=False)
        rides = rides._replace(same_station=(*rides.same_station, paid))
        return rides.now(NetworkState(last), "same_station")
    leg = ride(first, last)
    return rides.with_leg_now(leg, NetworkState(last, leg=leg), "closed")


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
    rides = rides._replace(same_station=kept)
    rides = rides.with_leg(ride(crossed.left_open.seen, crossed.out)).with_leg(leg)
    return rides.now(NetworkState(seen, leg=leg), "clocks")
