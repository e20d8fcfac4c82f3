"""What taps are made into: legs, loose ends, same-station visits, and what is still open.

Values only; ``ledger.fares.legs`` says how one tap leads from one to the next. They are named
tuples, here and wherever a tap makes some on its way to a price: one of six fields is made in
0.2 µs, a frozen dataclass in 0.7, and a tap makes twenty.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Literal, NamedTuple

from ledger.fares.rates import Option, Rates
from ledger.fares.tables import Policy
from ledger.fares.taps import FareTap

LooseKind = Literal["no_exit", "no_entry"]


class Seen(NamedTuple):
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

    @property
    def dearest(self) -> Option | None:
        """The dearest fare of a concession from the stop (to it, for a tap out) at this time.

        ``None`` for who has no concession, and where no fare is known.
        """
        tables, tap = self.rates.tables, self.tap
        category = tables.categories.get(self.category)
        if category is None or category.default:
            return None
        bits = tables.timeframes.at(tap.at, self.rates.stop(tap.stop).zone)
        leaving = tap.direction == "out"
        return self.rates.dearest(tap.network, tap.stop, self.category, bits, leaving)

    def at_most(self, amount: int) -> int:
        """``amount``, or what a concession could have paid at the dearest where that is less."""
        dearest = self.dearest
        return amount if dearest is None else min(amount, dearest.price)

    def within(self, seconds: int, earlier: Seen) -> bool:
        """Is this at most ``seconds`` after ``earlier``?"""
        return self.tap.at - earlier.tap.at <= timedelta(seconds=seconds)


class Leg(NamedTuple):
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


class LooseEnd(NamedTuple):
    """A tap without its other half."""

    seen: Seen
    kind: LooseKind


class SameStation(NamedTuple):
    """In and out at one station: free as a mistake, or for the same-station fare."""

    first: Seen
    last: Seen
    amount: int
    mistake: bool


class Open(NamedTuple):
    """A tap in that waits for its tap out.

    ``undo`` is a leg that stands unless the tap out comes: the leg of a rider who came
    straight back in, or one made with ``orphan``, an earlier tap out.
    """

    seen: Seen
    undo: Leg | None = None
    orphan: LooseEnd | None = None


class Crossed(NamedTuple):
    """In A, in B, out C close together: what to take back if an out D follows."""

    left_open: LooseEnd
    second: Seen
    out: Seen


class NetworkState(NamedTuple):
    """What the last taps on one network left behind."""

    last: Seen | None = None
    open: Open | None = None
    leg: Leg | None = None  # closed by the last tap
    left_open: LooseEnd | None = None  # left by the last tap in
    orphan: LooseEnd | None = None  # made by the last tap
    crossed: Crossed | None = None


class Rides(NamedTuple):
    """Everything made of the taps so far; ``note`` tells what the last tap, ``seen``, did."""

    legs: tuple[Leg, ...] = ()
    loose: tuple[LooseEnd, ...] = ()
    same_station: tuple[SameStation, ...] = ()
    networks: Mapping[str, NetworkState] = MappingProxyType({})
    seen: Seen | None = None
    note: str = ""

    def open_ends(self) -> tuple[LooseEnd, ...]:
        """The taps in that are loose ends if no tap out comes any more."""
        found: list[LooseEnd] = []
        for state in self.networks.values():
            if state.open is not None and state.open.undo is None:
                found.append(LooseEnd(state.open.seen, "no_exit"))
        return tuple(found)

    def now(self, state: NetworkState, note: str) -> Rides:
        """These rides with the network of ``state.last`` in that state."""
        assert state.last is not None
        networks = {**self.networks, state.last.tap.network: state}
        return Rides(self.legs, self.loose, self.same_station, networks, state.last, note)

    def with_leg_now(self, leg: Leg, state: NetworkState, note: str) -> Rides:
        """``with_leg`` and ``now`` in one step, for the ride that nothing interrupts."""
        assert state.last is not None
        if self.legs and self.legs[-1].order >= leg.order:
            return self.with_leg(leg).now(state, note)
        networks = {**self.networks, state.last.tap.network: state}
        legs = (*self.legs, leg)
        return Rides(legs, self.loose, self.same_station, networks, state.last, note)

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
        return self._replace(loose=(*self.loose, *ends))

    def without_loose(self, end: LooseEnd) -> Rides:
        """These rides without a loose end."""
        return self._replace(loose=tuple(other for other in self.loose if other is not end))
