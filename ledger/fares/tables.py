"""Fare tables as immutable values: what a feed says, checked, with its date and its hash.

Amounts are integer minor units of the one ``currency`` of the tables. ``line`` is where a
rule stands in its file, so that a receipt and a finance page can point at it. An empty
text means what an empty cell means in GTFS; docs/fares.md tells what that is per field.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from zoneinfo import ZoneInfo

from ledger.fares.calendars import Timeframes
from ledger.fares.problems import Problem

TAP_ON, TAP_ON_OFF = "tap_on", "tap_on_off"


@dataclass(frozen=True, slots=True)
class Stop:
    """A stop or station; ``areas`` already includes what it inherits from its station."""

    stop_id: str
    name: str
    station: str  # the parent station, or the stop itself
    areas: frozenset[str]
    zone: ZoneInfo
    lat: float | None
    lon: float | None


@dataclass(frozen=True, slots=True)
class Category:
    """A rider category. Its price rows are added to those of the default category."""

    category_id: str
    name: str
    default: bool


@dataclass(frozen=True, slots=True)
class Product:
    """A fare product: amounts by (category, medium), or by distance band where it has bands."""

    product_id: str
    name: str
    prices: Mapping[tuple[str, str], int]
    bands: tuple[Band, ...] = ()


@dataclass(frozen=True, slots=True)
class Band:
    """``amount`` for a ride of up to ``up_to_m`` metres (``None``: however far)."""

    category: str
    up_to_m: int | None
    amount: int
    line: int


@dataclass(frozen=True, slots=True)
class LegRule:
    """A row of fare_leg_rules.txt."""

    line: int
    group: str
    network: str
    from_area: str
    to_area: str
    from_bit: int  # bit of the timeframe group, 0 for none
    to_bit: int
    product: str
    priority: int
    transfer_only: bool


@dataclass(frozen=True, slots=True)
class TransferRule:
    """A row of fare_transfer_rules.txt; ``count`` -1 is no limit, ``None`` not given."""

    line: int
    from_group: str
    to_group: str
    count: int | None
    limit_s: int | None
    limit_type: int
    kind: int
    product: str
    filter_product: str
    same_product: bool


@dataclass(frozen=True, slots=True)
class JoinRule:
    """A row of fare_leg_join_rules.txt."""

    line: int
    from_network: str
    to_network: str
    from_stop: str
    to_stop: str


@dataclass(frozen=True, slots=True)
class Cap:
    """A row of fare_caps.txt: rides on ``networks`` (``None``: all) never cost more in a period."""

    cap_id: str
    name: str
    category: str
    networks: frozenset[str] | None
    weekly: bool
    amount: int
    line: int = field(compare=False)  # the same cap of two feeds is one cap

    def __hash__(self) -> int:
        return hash(self.cap_id)

    def covers(self, networks: frozenset[str]) -> bool:
        """Do fares paid for these networks count toward the cap?"""
        return self.networks is None or networks <= self.networks


@dataclass(frozen=True, slots=True, eq=False)
class Coverage:
    """The caps that some fares count toward, in the order of their ids."""

    caps: tuple[Cap, ...]


@dataclass(frozen=True, slots=True)
class Policy:
    """A row of fare_policies.txt: how a network is ridden and what its limits are."""

    network: str
    validation: str
    maximum_fare: int
    journey_limit_s: int = 4 * 3600
    transfer_limit_s: int = 2 * 3600
    repeat_s: int = 60
    mistake_s: int = 120
    same_station_limit_s: int = 1800
    same_station_fare: int | None = None
    reentry_s: int = 0
    clock_skew_s: int = 600
    overdraft: int = 0
    first_ride_risk: int = 0
    concession_valid_days: int = 365
    media: frozenset[str] = frozenset()
    line: int = 0

    @property
    def tap_off(self) -> bool:
        """Do riders tap on the way out as well?"""
        return self.validation == TAP_ON_OFF


@dataclass(frozen=True, slots=True)
class Place:
    """A row of fare_stations.txt: which stop and network a station's gate stands for.

    ``route`` is the line, where the gate belongs to one; fares do not ask for it.
    """

    stop: str
    network: str
    route: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class FareTables:
    """Everything one feed says about fares. Made by ``ledger.fares.gtfs.import_feed``."""

    name: str
    effective: date
    sha256: str
    currency: str
    zone: ZoneInfo
    stops: Mapping[str, Stop]
    networks: frozenset[str]
    route_networks: Mapping[str, str]
    categories: Mapping[str, Category]
    products: Mapping[str, Product]
    leg_rules: tuple[LegRule, ...]
    by_priority: bool
    transfer_rules: tuple[TransferRule, ...]
    join_rules: tuple[JoinRule, ...]
    timeframes: Timeframes
    caps: tuple[Cap, ...]
    policies: Mapping[str, Policy]
    places: Mapping[tuple[str, str], Place]
    warnings: tuple[Problem, ...]

    @property
    def default_category(self) -> str:
        """The id of the category everybody belongs to, empty where the feed has none."""
        return next((c.category_id for c in self.categories.values() if c.default), "")

    def eligible(self, category: str) -> tuple[str, ...]:
        """The categories whose prices a rider of ``category`` may have: never only the dearer."""
        return tuple(dict.fromkeys((category, self.default_category, "")))

    def policy(self, network: str) -> Policy:
        """The policy of ``network``: its own row, or the row for all others."""
        return self.policies.get(network) or self.policies[""]
