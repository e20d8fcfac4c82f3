"""A small feed for the fare tests: two tapped networks and a bus, three zones, two categories.

metro  tap on and off; zones A, B (2.00 within a zone, 3.00 between), Z (unpriced)
bus    tap on; 1.50; transfer from metro pays nothing more within an hour
rail   tap on and off; by distance
"""

from __future__ import annotations

from datetime import UTC, date, datetime
from pathlib import Path

from ledger.fares.book import FareBook
from ledger.fares.gtfs import import_feed
from ledger.fares.history import History
from ledger.fares.taps import Concession, FareTap

FILES = {
    "agency.txt": "agency_id,agency_name,agency_url,agency_timezone\n"
    "T,Town,https://example.org,Europe/Berlin\n",
    "stops.txt": "stop_id,stop_name,stop_lat,stop_lon,location_type,parent_station\n"
    "a1,Alder,52.00,13.00,0,\n"
    "a2,Ash,52.00,13.01,0,\n"
    "b1,Birch,52.10,13.00,0,\n"
    "b2,Beech,52.20,13.00,0,\n"
    "z1,Zelkova,52.30,13.00,0,\n"
    "hub,Hub,52.00,13.02,1,\n"
    "hub-m,Hub metro,52.00,13.02,0,hub\n"
    "hub-b,Hub bus,52.00,13.02,0,hub\n",
    "areas.txt": "area_id,area_name\nA,Inner\nB,Outer\nZ,Beyond\n",
    "stop_areas.txt": "area_id,stop_id\nA,a1\nA,a2\nA,hub\nB,b1\nB,b2\nZ,z1\n",
    "routes.txt": "route_id,route_short_name,route_type\nM,M,1\nB,B,3\nR,R,2\n",
    "networks.txt": "network_id,network_name\nmetro,Metro\nbus,Bus\nrail,Rail\n",
    "route_networks.txt": "network_id,route_id\nmetro,M\nbus,B\nrail,R\n",
    "rider_categories.txt": "rider_category_id,rider_category_name,is_default_fare_category\n"
    "adult,Adult,1\nchild,Child,0\n",
    "fare_products.txt": "fare_product_id,fare_product_name,rider_category_id,amount,currency\n"
    "one,One zone,adult,2.00,EUR\n"
    "one,One zone,child,1.00,EUR\n"
    "two,Two zones,adult,3.00,EUR\n"
    "bus,Bus,adult,1.50,EUR\n"
    "bus,Bus,child,0.00,EUR\n"
    "rail,Rail,,9.00,EUR\n",
    "fare_leg_rules.txt": "leg_group_id,network_id,from_area_id,to_area_id,fare_product_id\n"
    "metro,metro,A,A,one\n"
    "metro,metro,B,B,one\n"
    "metro,metro,A,B,two\n"
    "metro,metro,B,A,two\n"
    "bus,bus,A,,bus\nbus,bus,B,,bus\n"
    "rail,rail,A,A,rail\nrail,rail,A,B,rail\nrail,rail,B,A,rail\nrail,rail,B,B,rail\n",
    "fare_transfer_rules.txt": "from_leg_group_id,to_leg_group_id,transfer_count,duration_limit,"
    "duration_limit_type,fare_transfer_type,fare_product_id\n"
    "metro,bus,,3600,1,0,\n",
    "fare_distances.txt": "fare_product_id,rider_category_id,up_to_m,amount\n"
    "rail,,2000,2.50\nrail,,15000,4.00\nrail,,,6.50\nrail,child,,1.20\n",
    "fare_policies.txt": "network_id,validation,maximum_fare,currency,journey_limit_s,reentry_s\n"
    "metro,tap_on_off,5.00,EUR,5400,600\n"
    "bus,tap_on,,EUR,,\n"
    "rail,tap_on_off,8.00,EUR,7200,600\n",
    "fare_caps.txt": "fare_cap_id,fare_cap_name,rider_category_id,network_ids,period,"
    "amount,currency\n"
    "day,Day,,,day,6.00,EUR\n"
    "bus-day,Bus day,,bus,day,3.00,EUR\n"
    "week,Week,,,week,20.00,EUR\n",
    "fare_stations.txt": "station_id,gate_id,stop_id,network_id\n"
    "alder,,a1,metro\nalder,alder-bus,a1,bus\n",
}
START = date(2024, 1, 1)


def write_feed(directory: Path, **changed: str | None) -> Path:
    """Write the feed with some files changed: ``fare_caps="..."``, or ``None`` for no file."""
    directory.mkdir(parents=True, exist_ok=True)
    files: dict[str, str | None] = {**FILES, **{f"{n}.txt": text for n, text in changed.items()}}
    for name, text in files.items():
        if text is not None:
            (directory / name).write_text(text, encoding="utf-8")
    return directory


def town(directory: Path, **changed: str | None) -> FareBook:
    """The book of the feed, with some files changed."""
    return FareBook.of(import_feed(write_feed(directory, **changed), START))


def at(book: FareBook, text: str) -> datetime:
    """``2024-03-05 08:00`` or ``… 08:00:30`` by the clock of the town; ``Z`` at the end is UTC."""
    if text.endswith("Z"):
        return datetime.fromisoformat(text[:-1]).replace(tzinfo=UTC)
    return datetime.fromisoformat(text).replace(tzinfo=book.zone)


def taps(book: FareBook, *lines: str) -> list[FareTap]:
    """Taps written ``metro in a1 2024-03-05 08:00``."""
    found = []
    for number, line in enumerate(lines):
        network, direction, stop, when = line.split(maxsplit=3)
        way = "in" if direction == "in" else "out"
        found.append(FareTap(f"t{number}", stop, network, way, at(book, when)))
    return found


def rider(book: FareBook, *lines: str, concessions: tuple[Concession, ...] = ()) -> History:
    """The history of a rider with these taps."""
    history = History.of(book, concessions)
    for tap in taps(book, *lines):
        history = history.add(tap)
    return history
