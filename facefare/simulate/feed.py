"""The fares of the city: a small feed with two networks, and the one that follows it.

    metro   tap on and off between Alder and Birch; held until the tap out
    bus     tap on; free within an hour after the metro

Two rider categories, a limit for the day and one for the week. The summer feed has the same
places and rules at other prices, so that whoever prices by the wrong one is found out.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from functools import lru_cache

from ledger.fares.feedfiles import FeedFiles
from ledger.fares.gtfs import read_tables
from ledger.fares.tables import FareTables
from models.wire.tap import Direction

ZONE = "Europe/Berlin"
CURRENCY = "EUR"
SPRING_FROM = date(2026, 3, 1)


@dataclass(frozen=True, slots=True)
class Prices:
    """What a feed says, in minor units. A child pays half of a fare and of a limit."""

    name: str
    two_zones: int
    one_zone: int
    bus: int
    maximum: int
    day: int
    week: int
    overdraft: int = 500
    first_ride_risk: int = 300

    @property
    def cheapest(self) -> int:
        """The cheapest ride, which a balance is measured by."""
        return min(self.two_zones, self.one_zone, self.bus)


SPRING = Prices("spring", 300, 200, 150, 500, 500, 900)
SUMMER = Prices("summer", 420, 280, 190, 600, 700, 1100)


@dataclass(frozen=True, slots=True)
class Place:
    """Where a gate stands: the stop and network its taps are for, and which way it opens."""

    station: str
    stop: str
    network: str
    direction: Direction


PLACES = (
    Place("alder", "a1", "metro", "in"),
    Place("birch", "b1", "metro", "out"),
    Place("birch-bus", "b1", "bus", "in"),
    Place("birch", "b1", "metro", "in"),
    Place("alder", "a1", "metro", "out"),
)
STATIONS = tuple(sorted({place.station for place in PLACES}))


def place_of(number: int) -> Place:
    """Where the gate with this number stands."""
    return PLACES[number % len(PLACES)]


def feed_files(prices: Prices) -> FeedFiles:
    """The feed's files."""
    return FeedFiles(prices.name, {name: text.encode() for name, text in _texts(prices).items()})


@lru_cache(maxsize=8)
def tables(prices: Prices, effective: date) -> FareTables:
    """The feed read, in force from ``effective``."""
    return read_tables(feed_files(prices), effective)


def _euros(minor: int) -> str:
    return f"{minor // 100}.{minor % 100:02}"


def _texts(prices: Prices) -> dict[str, str]:
    fares = {"two": prices.two_zones, "one": prices.one_zone, "bus": prices.bus}
    products = "".join(
        f"{name},{name},adult,{_euros(minor)},EUR\n{name},{name},child,{_euros(minor // 2)},EUR\n"
        for name, minor in fares.items()
    )
    stations = {(p.station, p.stop, p.network) for p in PLACES}
    return {
        "agency.txt": "agency_id,agency_name,agency_url,agency_timezone\n"
        f"C,City,https://city.example,{ZONE}\n",
        "stops.txt": "stop_id,stop_name,stop_lat,stop_lon\na1,Alder,52.00,13.00\n"
        "b1,Birch,52.10,13.00\n",
        "areas.txt": "area_id,area_name\nA,Inner\nB,Outer\n",
        "stop_areas.txt": "area_id,stop_id\nA,a1\nB,b1\n",
        "routes.txt": "route_id,route_short_name,route_type\nM,M,1\nB,B,3\n",
        "networks.txt": "network_id,network_name\nmetro,Metro\nbus,Bus\n",
        "route_networks.txt": "network_id,route_id\nmetro,M\nbus,B\n",
        "rider_categories.txt": "rider_category_id,rider_category_name,"
        "is_default_fare_category\nadult,Adult,1\nchild,Child,0\n",
        "fare_products.txt": "fare_product_id,fare_product_name,rider_category_id,amount,"
        f"currency\n{products}",
        "fare_leg_rules.txt": "leg_group_id,network_id,from_area_id,to_area_id,fare_product_id\n"
        "metro,metro,A,A,one\nmetro,metro,B,B,one\nmetro,metro,A,B,two\nmetro,metro,B,A,two\n"
        "bus,bus,A,,bus\nbus,bus,B,,bus\n",
        "fare_transfer_rules.txt": "from_leg_group_id,to_leg_group_id,transfer_count,"
        "duration_limit,duration_limit_type,fare_transfer_type,fare_product_id\n"
        "metro,bus,,3600,1,0,\n",
        "fare_policies.txt": "network_id,validation,maximum_fare,currency,journey_limit_s,"
        "reentry_s,overdraft,first_ride_risk\n"
        + "".join(
            f"{network},{way},{maximum},EUR,{limit},{back},{_euros(prices.overdraft)},"
            f"{_euros(prices.first_ride_risk)}\n"
            for network, way, maximum, limit, back in (
                ("metro", "tap_on_off", _euros(prices.maximum), "5400", "600"),
                ("bus", "tap_on", "", "", ""),
            )
        ),
        "fare_caps.txt": "fare_cap_id,fare_cap_name,rider_category_id,network_ids,period,"
        f"amount,currency\nday,Day,,,day,{_euros(prices.day)},EUR\n"
        f"child-day,Child's day,child,,day,{_euros(prices.day // 2)},EUR\n"
        f"week,Week,,,week,{_euros(prices.week)},EUR\n"
        f"child-week,Child's week,child,,week,{_euros(prices.week // 2)},EUR\n",
        "fare_stations.txt": "station_id,gate_id,stop_id,network_id\n"
        + "".join(f"{station},,{stop},{network}\n" for station, stop, network in sorted(stations)),
    }
