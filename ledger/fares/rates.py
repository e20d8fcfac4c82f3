"""Which leg rules price a ride: the matching of fare_leg_rules.txt, word for word as GTFS has it.

Without a ``rule_priority`` field an empty cell means "all that no row of the file names":
a rule for the area *airport* takes the airport away from every rule whose area is empty.
With the field an empty cell means "whichever", and of the rules that match only those of
the highest priority count. Several rules may remain; they are the rider's *options*, and the
cheapest way through a journey is chosen among them later.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from math import asin, cos, radians, sin, sqrt

from ledger.fares.problems import FareError
from ledger.fares.tables import Coverage, FareTables, LegRule, Stop
from ledger.fares.transfers import Transfers

EARTH_M = 6_371_008.8  # mean radius (IUGG)


class UnknownPlace(FareError):
    """A tap names a stop or a network that the fare tables in force do not have."""


@dataclass(frozen=True, slots=True)
class Option:
    """One way to pay for a leg: the rule, its product and what that costs in minor units."""

    line: int
    group: str
    product: str
    price: int
    transfer_only: bool


def cheapest(options: Iterable[Option]) -> Option | None:
    """The cheapest option by itself; ``None`` where all need a transfer, or there is none."""
    alone = [option for option in options if not option.transfer_only]
    return min(alone, key=lambda option: (option.price, option.line), default=None)


def distance_m(start: Stop, end: Stop) -> int:
    """The distance between two stops on the sphere, in whole metres (haversine)."""
    if None in (start.lat, start.lon, end.lat, end.lon):
        raise UnknownPlace(f"{start.name} or {end.name} has no position; correct stops.txt")
    lat1, lon1, lat2, lon2 = (radians(v or 0.0) for v in (start.lat, start.lon, end.lat, end.lon))
    half = sin((lat2 - lat1) / 2) ** 2 + cos(lat1) * cos(lat2) * sin((lon2 - lon1) / 2) ** 2
    return round(2 * EARTH_M * asin(min(1.0, sqrt(half))))


class Rates:
    """Fare tables ready for pricing: rules by network, and a memory of answered questions."""

    def __init__(self, tables: FareTables) -> None:
        self.tables = tables
        self.transfers = Transfers(tables)
        rules = tables.leg_rules
        self._listed_networks = frozenset(r.network for r in rules) - {""}
        self._listed_from = frozenset(r.from_area for r in rules) - {""}
        self._listed_to = frozenset(r.to_area for r in rules) - {""}
        self._by_network: dict[str, tuple[LegRule, ...]] = {}
        self._options: dict[tuple[str, str, str, str, int, int], tuple[Option, ...]] = {}
        self._coverages: dict[tuple[str, frozenset[str]], Coverage] = {}
        self._dearest: dict[tuple[str, str, str, int, bool], Option | None] = {}
        self._alike: dict[frozenset[str], str] = {}  # one stop for each set of areas
        for stop in tables.stops.values():
            self._alike.setdefault(stop.areas, stop.stop_id)

    def stop(self, stop: str) -> Stop:
        """The stop with this id; raise ``UnknownPlace`` where the feed has none."""
        found = self.tables.stops.get(stop)
        if found is None:
            raise UnknownPlace(
                f"the fare tables {self.tables.name} know no stop {stop!r}; "
                "import a feed that has it, or correct fare_stations.txt"
            )
        return found

    def check_network(self, network: str) -> None:
        """Raise ``UnknownPlace`` unless ``network`` is one of the feed's."""
        if network and network not in self.tables.networks:
            raise UnknownPlace(
                f"the fare tables {self.tables.name} know no network {network!r}; "
                "import a feed that has it, or correct fare_stations.txt"
            )

    def options(
        self, network: str, start: str, end: str, category: str, from_bits: int, to_bits: int
    ) -> tuple[Option, ...]:
        """The options for a ride from ``start`` to ``end`` (empty: unknown, any arrival will do).

        ``from_bits`` and ``to_bits`` are the timeframes that hold at departure and arrival.
        Empty where no rule matches: the fare is unknown.
        """
        key = (network, start, end, category, from_bits, to_bits)
        found = self._options.get(key)
        if found is None:
            found = self._options[key] = self._find_options(*key)
        return found

    def _find_options(
        self, network: str, start: str, end: str, category: str, from_bits: int, to_bits: int
    ) -> tuple[Option, ...]:
        ride = _Ride(
            self.stop(start).areas,
            self.stop(end).areas if end else None,
            from_bits,
            to_bits,
        )
        rules = [rule for rule in self._rules(network) if self._matches(rule, ride)]
        if self.tables.by_priority and rules:
            highest = max(rule.priority for rule in rules)
            rules = [rule for rule in rules if rule.priority == highest]
        metres = -1
        if end and any(self.tables.products[r.product].bands for r in rules):
            metres = distance_m(self.stop(start), self.stop(end))
        if not end:
            rules.sort(key=lambda rule: rule.to_area != "")  # "any arrival" says it best
        options: dict[tuple[str, str, bool], Option] = {}
        for rule in rules:  # of rules alike the first is named
            price = self.price(rule.product, network, category, metres)
            if price is not None:
                option = Option(rule.line, rule.group, rule.product, price, rule.transfer_only)
                options.setdefault((rule.group, rule.product, rule.transfer_only), option)
        return tuple(options.values())

    def dearest(
        self, network: str, stop: str, category: str, bits: int, leaving: bool
    ) -> Option | None:
        """The dearest fare a rider of ``category`` can come to from ``stop``, or ``leaving`` there.

        Of each ride the cheapest option counts. ``None`` where no ride has a known fare.
        """
        key = (network, stop, category, bits, leaving)
        if key not in self._dearest:
            here = self.stop(stop)
            by_distance = any(self.tables.products[r.product].bands for r in self._rules(network))
            alike = stop if by_distance else self._alike[here.areas]
            if alike != stop:
                self._dearest[key] = self.dearest(network, alike, category, bits, leaving)
            else:
                others = self._measured(here) if by_distance else self._alike.values()
                rides = ((other, stop) if leaving else (stop, other) for other in others)
                found = (self._find_options(network, *ends, category, bits, bits) for ends in rides)
                fares = filter(None, map(cheapest, found))
                self._dearest[key] = max(fares, key=lambda o: (o.price, -o.line), default=None)
        return self._dearest[key]

    def _measured(self, here: Stop) -> list[str]:
        """The stops whose distance from ``here`` is known."""
        return [
            stop.stop_id
            for stop in self.tables.stops.values()
            if None not in (here.lat, here.lon, stop.lat, stop.lon)
        ]

    def _rules(self, network: str) -> tuple[LegRule, ...]:
        if network not in self._by_network:
            whichever = self.tables.by_priority or network not in self._listed_networks
            names = {network, ""} if whichever else {network}
            rules = tuple(r for r in self.tables.leg_rules if r.network in names)
            self._by_network[network] = rules
        return self._by_network[network]

    def _matches(self, rule: LegRule, ride: _Ride) -> bool:
        return (
            self._area_matches(rule.from_area, ride.from_areas, self._listed_from)
            and (
                ride.to_areas is None
                or self._area_matches(rule.to_area, ride.to_areas, self._listed_to)
            )
            and rule.from_bit & ride.from_bits == rule.from_bit
            and rule.to_bit & ride.to_bits == rule.to_bit
        )

    def _area_matches(self, area: str, areas: frozenset[str], listed: frozenset[str]) -> bool:
        if area:
            return area in areas
        return self.tables.by_priority or areas.isdisjoint(listed)

    def price(self, product: str, network: str, category: str, metres: int = -1) -> int | None:
        """The cheapest price of ``product`` a rider of ``category`` may have on ``network``.

        ``None`` where the product is not sold to the category on the network's media.
        """
        found = self.tables.products[product]
        eligible = self.tables.eligible(category)
        if found.bands and metres >= 0:
            return min(self._band_prices(product, eligible, metres), default=None)
        media = self.tables.policy(network).media
        return min(
            (
                amount
                for (whose, medium), amount in found.prices.items()
                if whose in eligible and (not media or not medium or medium in media)
            ),
            default=None,
        )

    def _band_prices(self, product: str, eligible: tuple[str, ...], metres: int) -> Iterator[int]:
        for category in eligible:
            for band in self.tables.products[product].bands:  # in rising order
                if band.category == category and (band.up_to_m is None or metres <= band.up_to_m):
                    yield band.amount
                    break

    def coverage(self, category: str, networks: frozenset[str]) -> Coverage:
        """The caps that a fare paid for ``networks`` by a rider of ``category`` counts toward."""
        key = (category, networks)
        found = self._coverages.get(key)
        if found is None:
            eligible = self.tables.eligible(category)
            caps = (c for c in self.tables.caps if c.category in eligible and c.covers(networks))
            found = Coverage(tuple(sorted(caps, key=lambda cap: cap.cap_id)))
            self._coverages[key] = found
        return found


@dataclass(frozen=True, slots=True)
class _Ride:
    """What a leg rule is compared with; ``to_areas`` is ``None`` where the arrival is unknown."""

    from_areas: frozenset[str]
    to_areas: frozenset[str] | None
    from_bits: int
    to_bits: int
