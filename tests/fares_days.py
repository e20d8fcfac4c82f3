"""Seeded random days for the fare tests: riders who forget, hurry, turn back and stay out late.

Times are drawn around the edges that matter (04:30, midnight, two hours, the limits of the
policies), and gates' clocks are sometimes a few minutes off.
"""

from __future__ import annotations

import random
from datetime import date, datetime, time, timedelta
from functools import cache
from pathlib import Path

from ledger.fares.book import FareBook
from ledger.fares.gtfs import import_feed
from ledger.fares.history import History
from ledger.fares.taps import FareTap
from tests.conftest import DATA, ROOT, missing
from tests.fares_feed import write_feed
from tests.fares_naive import Naive, NaiveTap

GTFS = DATA / "gtfs"
OWN = ROOT / "docs" / "fares"
STARTS = {"mbta-fares": date(2024, 9, 20), "transcollines": date(2026, 1, 5)}

RAIL = ["NEC-2287-01", "BNT-0000-01", "FR-0034-01", "ER-0115-01", "DB-2258-01"]
RAIL += ["NEC-1851-01", "FR-0064-01", "NEC-1659-03"]
PLACES = {
    "mbta-fares": {
        "rapid_transit": ["70061", "70105", "70079", "70047", "70148", "70041", "70202", "70022"],
        "m_rapid_transit": ["70261", "70276", "70268"],
        "sl_rapid_transit": ["17091", "74611", "7096", "74612", "74614", "74630"],
        "local_bus": ["1", "10", "10000", "4510", "8309", "14717"],
        "local_bus_free": ["1", "10"],
        "rail_replacement_bus": ["1", "10", "117"],
        "express_bus": ["4510", "1684", "65", "117", "14717"],
        "commuter_rail": RAIL,
        "cape_flyer": ["NEC-2287-01", "CM-0790-S", "CM-0547-S", "MM-0356-S"],
        "ferry_f4": ["Boat-Long-South", "Boat-Charlestown"],
        "ferry_f1": ["Boat-Long", "Boat-Hingham"],
        "ferry_east_boston": ["Boat-Lewis", "Boat-Long"],
    },
    "transcollines": {
        "REG": ["F401-10", "F411-13", "F910-07", "F101-01", "F101-04", "F111-01", "F103-06"],
    },
}
GAPS_S = (20, 61, 119, 121, 300, 590, 610, 1200, 1790, 1810, 3000, 3590, 5400, 7190, 7200, 7210)
GAPS_S += (9000, 10_790, 10_810, 14_390, 14_410, 30_000)


def feed_directory(feed: str) -> Path:
    """Where one of the two real feeds is; skips the test where it is not."""
    if not (GTFS / feed).is_dir():
        missing(f"the feed {feed} at {GTFS} (set FACEFARE_TEST_DATA)")
    return GTFS / feed


@cache
def book(feed: str) -> FareBook:
    """The fare book of one of the two real feeds, with the policies of docs/fares."""
    return FareBook.of(import_feed(feed_directory(feed), STARTS[feed], OWN / feed))


@cache
def naive(feed: str) -> Naive:
    """The naive calculator for one of the two real feeds."""
    return Naive(feed_directory(feed), OWN / feed)


def random_day(feed: str, rng: random.Random) -> list[FareTap]:
    """The taps of a random rider on a random day, some of which run into the next."""
    start = STARTS[feed] + timedelta(days=rng.randint(1, 60))
    hour = rng.choice((0, 3, 4, 4, 5, 7, 8, 12, 17, 20, 22, 23))
    clock = time(hour, rng.randrange(60), rng.randrange(60))
    at = datetime.combine(start, clock, book(feed).zone)
    networks = rng.sample(sorted(PLACES[feed]), k=min(len(PLACES[feed]), rng.randint(1, 3)))
    taps: list[FareTap] = []
    for _ in range(rng.choice((1, 1, 2, 2, 3, 3, 4))):
        network = rng.choice(networks)
        enter, leave = (rng.choice(PLACES[feed][network]) for _ in range(2))
        if rng.random() < 0.92:
            taps.append(_tap(rng, len(taps), enter, network, "in", at))
        at += timedelta(seconds=rng.choice(GAPS_S))
        if naive(feed).tap_off(network) and rng.random() < 0.9:
            taps.append(_tap(rng, len(taps), leave, network, "out", at))
            at += timedelta(seconds=rng.choice(GAPS_S))
    return taps


def _tap(
    rng: random.Random, number: int, stop: str, network: str, direction: str, at: datetime
) -> FareTap:
    if rng.random() < 0.15:
        at += timedelta(seconds=rng.randint(-600, 600))
    way = "in" if direction == "in" else "out"
    return FareTap(f"{number:03}-{rng.randrange(10**6):06}", stop, network, way, at)


def naive_taps(taps: list[FareTap]) -> list[NaiveTap]:
    """The same taps for the naive calculator."""
    return [NaiveTap(t.tap_id, t.stop, t.network, t.direction, t.at) for t in taps]


def history_of(feed: str, taps: list[FareTap]) -> History:
    """The history of a rider with these taps, added in this order."""
    history = History.of(book(feed))
    for tap in taps:
        history = history.add(tap)
    return history


def random_weeks(feed: str, rng: random.Random) -> list[FareTap]:
    """Four weeks of a commuter between two stations who now and then forgets to tap."""
    network = rng.choice([n for n in sorted(PLACES[feed]) if naive(feed).tap_off(n)])
    home, work, other = rng.sample(PLACES[feed][network], k=3)
    first = STARTS[feed] + timedelta(days=rng.randint(1, 20))
    taps: list[FareTap] = []
    for number in range(28):
        day = first + timedelta(days=number)
        if rng.random() < 0.35:
            continue
        for hour, start, end in ((8, home, work), (17, work, home)):
            at = datetime.combine(day, time(hour, rng.randrange(60)), book(feed).zone)
            leaves = other if rng.random() < 0.15 else end
            for stop, direction in ((start, "in"), (leaves, "out")):
                if rng.random() < 0.92:
                    taps.append(_tap(rng, len(taps), stop, network, direction, at))
                at += timedelta(minutes=rng.randint(15, 70))
    return taps


def random_feed(directory: Path, rng: random.Random) -> Path:
    """A small feed with random leg and transfer rules, all networks tap-on, for one rider's day."""
    legs = ["leg_group_id,network_id,from_area_id,to_area_id,from_timeframe_group_id"]
    legs[0] += ",to_timeframe_group_id,fare_product_id,transfer_only"
    seen = set()
    for network in ("n1", "n2", "n3"):
        for number in range(rng.randint(1, 3)):
            group, product = rng.choice("ABCD"), rng.choice(("p1", "p2", "p3"))
            if (network, product) not in seen:
                seen.add((network, product))
                only = rng.choice(("", "", "1")) if number else ""
                legs.append(f"{group},{network},,,,,{product},{only}")
    groups = sorted({line.split(",")[0] for line in legs[1:]})
    moves = ["from_leg_group_id,to_leg_group_id,transfer_count,duration_limit,"]
    moves[0] += "duration_limit_type,fare_transfer_type,fare_product_id,filter_fare_product_id"
    keys = set()
    for _ in range(rng.randint(1, 7)):
        first, second = rng.choice([*groups, ""]), rng.choice([*groups, ""])
        count = rng.choice(("-1", "1", "2")) if first == second else ""
        limit = rng.choice(("", "1800", "3600"))
        product = rng.choice(("", "ab", "off", "p1"))
        if (first, second, count, limit, product) not in keys:
            keys.add((first, second, count, limit, product))
            kind = "1" if limit else ""
            only = rng.choice(("", "", "p2"))
            type_ = rng.choice("012")
            moves.append(f"{first},{second},{count},{limit},{kind},{type_},{product},{only}")
    products = "fare_product_id,amount,currency\np1,1.00,EUR\np2,2.00,EUR\np3,3.10,EUR\n"
    return write_feed(
        directory,
        routes="route_id,route_type,network_id\n1,1,n1\n2,3,n2\n3,3,n3\n",
        networks=None,
        route_networks=None,
        rider_categories=None,
        fare_distances=None,
        fare_stations=None,
        fare_leg_rules="\n".join(legs) + "\n",
        fare_transfer_rules="\n".join(moves) + "\n",
        fare_products=products + "ab,0.50,EUR\noff,-0.70,EUR\n",
        fare_policies="network_id,validation,maximum_fare,currency\n,tap_on,5.00,EUR\n",
        fare_caps="fare_cap_id,network_ids,period,amount,currency\n"
        "one,n1,day,3.00,EUR\ntwo,n1 n2,day,4.50,EUR\nall,,week,7.00,EUR\n",
    )


def with_concessions(feed: str, directory: Path) -> Path:
    """A real feed with categories, written to ``directory``: half fare *reduced*, free *child*."""
    for path in feed_directory(feed).glob("*.txt"):
        if path.name not in ("stop_times.txt", "trips.txt"):
            (directory / path.name).write_bytes(path.read_bytes())
    header, *products = (directory / "fare_products.txt").read_text("utf-8-sig").splitlines()
    column = header.split(",").index("amount")
    lines = [f"{header},rider_category_id"]
    for product in products:
        cells = product.split(",")
        whole = int(cells[column].replace(".", ""))
        for category, amount in (("adult", whole), ("reduced", whole // 2), ("child", 0)):
            cells[column] = f"{amount // 100}.{amount % 100:02}"
            lines.append(",".join((*cells, category)))
    (directory / "fare_products.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    (directory / "rider_categories.txt").write_text(
        "rider_category_id,rider_category_name,is_default_fare_category\n"
        "adult,Adult,1\nreduced,Reduced,0\nchild,Child,0\n",
        encoding="utf-8",
    )
    return directory
