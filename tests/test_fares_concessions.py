"""A concession never pays more for a journey without its other tap than for its dearest ride.

The two real feeds have no rider categories; here they get two. Hand-checked amounts: half of
the dearest row from the stop (to it, for a tap out) for the reduced fare, nothing for a child.
"""

from __future__ import annotations

from datetime import date, datetime, timedelta
from pathlib import Path

import pytest

from ledger.fares.book import FareBook
from ledger.fares.engine import price
from ledger.fares.gtfs import import_feed
from ledger.fares.history import History
from ledger.fares.position import Position, rate, settle
from ledger.fares.statement import statement, week_rules
from ledger.fares.taps import Concession, FareTap
from models.wire.tap import Direction
from tests.fares_days import OWN, STARTS, naive_taps, with_concessions
from tests.fares_feed import at, rider, town
from tests.fares_naive import Naive

DAYS = {"mbta-fares": date(2024, 10, 1), "transcollines": date(2026, 3, 3)}
FOREVER = date(2020, 1, 1), date(2030, 1, 1)
REG, RAIL = ("transcollines", "REG"), ("mbta-fares", "commuter_rail")

FORGOTTEN = [
    # from the zone GAT the dearest is 20.00, to PNT; from COL everything is 5.00
    (*REG, "in F401-10", {"": 2000, "adult": 2000, "reduced": 1000, "child": 0}),
    (*REG, "in F101-01", {"": 2000, "adult": 2000, "reduced": 250, "child": 0}),
    (*REG, "out F111-01", {"": 2000, "adult": 2000, "reduced": 1000, "child": 0}),
    (*REG, "out F101-01", {"": 2000, "adult": 2000, "reduced": 250, "child": 0}),
    # from South Station 13.25, to zone 10; from zone 1 7.25, to zone 10; from zone 10 13.25
    (*RAIL, "in NEC-2287-01", {"": 1325, "adult": 1325, "reduced": 662, "child": 0}),
    (*RAIL, "in FR-0064-01", {"": 1325, "adult": 1325, "reduced": 362, "child": 0}),
    (*RAIL, "out FR-0064-01", {"": 1325, "adult": 1325, "reduced": 362, "child": 0}),
    (*RAIL, "out NEC-1659-03", {"": 1325, "adult": 1325, "reduced": 662, "child": 0}),
]
CASES = [
    (feed, network, tap, category, amount)
    for feed, network, tap, amounts in FORGOTTEN
    for category, amount in amounts.items()
]


@pytest.fixture(scope="module")
def feeds(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[FareBook, Path]]:
    found = {}
    for feed, start in STARTS.items():
        directory = with_concessions(feed, tmp_path_factory.mktemp(feed))
        found[feed] = FareBook.of(import_feed(directory, start, OWN / feed)), directory
    return found


def with_category(book: FareBook, category: str) -> History:
    return History.of(book, (Concession(category, *FOREVER),) if category else ())


def made(book: FareBook, feed: str, network: str, tap: str, minutes: int = 0) -> FareTap:
    way, stop = tap.split()
    when = DAYS[feed]
    moment = datetime(when.year, when.month, when.day, 8, minutes, tzinfo=book.zone)
    direction: Direction = "in" if way == "in" else "out"
    return FareTap(f"{way} {minutes}", stop, network, direction, moment)


@pytest.mark.parametrize(("feed", "network", "tap", "category", "amount"), CASES)
def test_a_forgotten_tap_costs_no_more_than_the_dearest_ride_of_the_category(
    feeds: dict[str, tuple[FareBook, Path]],
    feed: str,
    network: str,
    tap: str,
    category: str,
    amount: int,
) -> None:
    book, directory = feeds[feed]
    forgotten = made(book, feed, network, tap)
    priced = price(with_category(book, category), forgotten)
    assert (priced.charge.amount.minor, priced.charge.held.minor) == (0, amount)
    later = forgotten.at + timedelta(days=2)
    found = statement(priced.history, later)
    assert (found.total.minor, found.held.minor) == (amount, 0)
    slow = Naive(directory, OWN / feed, category)
    assert slow.bill(naive_taps([forgotten]), later)[:2] == (amount, 0)


def test_what_is_held_and_then_charged_follows_the_category_and_says_by_which_row(
    feeds: dict[str, tuple[FareBook, Path]],
) -> None:
    book, directory = feeds["transcollines"]
    entry = made(book, *REG, "in F401-10")
    position, rated = rate(Position(with_category(book, "reduced")), entry, entry.at)
    assert rated.held.minor == 1000
    assert "up to CA$10.00 is held until then." in rated.charge.words("en")
    _, (closing,) = settle(position, entry.at + timedelta(days=2))
    assert (closing.amount.minor, closing.freed.minor) == (1000, 1000)
    maximum, concession = closing.rules
    assert maximum.words("en").endswith("is missing: maximum fare CA$10.00.")
    assert maximum.words("zh").endswith("按最高票价 CA$10.00 收费。")
    assert concession.words("en") == "Priced for Reduced."
    file, line = maximum.row.split(":")
    row = (directory / file).read_text("utf-8-sig").splitlines()[int(line) - 1]
    assert row.startswith("REG-GAT-PNT,REG,GAT,PNT")


def test_who_pays_the_maximum_fare_is_shown_the_policy_that_sets_it(
    feeds: dict[str, tuple[FareBook, Path]],
) -> None:
    book, _ = feeds["transcollines"]
    history = with_category(book, "").add(made(book, *REG, "in F401-10"))
    (week,) = statement(history, datetime(2026, 3, 9, tzinfo=book.zone)).weeks
    (rule,) = week_rules(week, book.currency)
    assert (rule.code, rule.row) == ("maximum", "fare_policies.txt:2")


@pytest.mark.parametrize(
    ("category", "amount"), [("", 500), ("adult", 500), ("reduced", 250), ("child", 0)]
)
def test_in_and_out_at_one_station_costs_no_more_than_the_dearest_ride(
    feeds: dict[str, tuple[FareBook, Path]], category: str, amount: int
) -> None:
    book, directory = feeds["transcollines"]
    taps = [made(book, *REG, "in F101-01"), made(book, *REG, "out F101-01", 10)]
    charge = price(with_category(book, category).add(taps[0]), taps[1]).charge
    assert charge.amount.minor == amount
    assert f"the same-station fare of CA${amount // 100}.{amount % 100:02}." in charge.words("en")
    slow = Naive(directory, OWN / "transcollines", category)
    assert slow.bill(naive_taps(taps), taps[1].at)[:2] == (amount, 0)


def test_the_dearest_ride_is_that_of_the_day_a_category_holds(tmp_path: Path) -> None:
    book = town(tmp_path)
    child = (Concession("child", date(2024, 3, 5), date(2024, 3, 5)),)
    for day, amount in (("04", 500), ("05", 300), ("06", 500)):  # 3.00 for two zones
        history = rider(book, f"metro in a1 2024-03-{day} 12:00", concessions=child)
        assert statement(history, at(book, "2024-03-10 12:00")).total.minor == amount


def test_by_distance_the_farthest_stop_counts(tmp_path: Path) -> None:
    distances = (
        "fare_product_id,rider_category_id,up_to_m,amount\n"
        "rail,,2000,2.50\nrail,,15000,4.00\nrail,,,6.50\n"
        "rail,child,2000,1.00\nrail,child,15000,1.20\nrail,child,,1.70\n"
    )
    stops = "stop_id,stop_name,stop_lat,stop_lon\n" + "".join(
        f"{stop},{stop},{place}\n"
        for stop, place in (("a1", "52.00,13.00"), ("a2", "52.00,13.01"), ("b1", "52.10,13.00"),
                            ("b2", ","), ("z1", "52.30,13.00"), ("hub", "52.00,13.02"))
    )  # fmt: skip
    book = town(tmp_path, fare_distances=distances, stops=stops)
    child = (Concession("child", *FOREVER),)
    for stop, amount in (("a1", 120), ("b2", 800)):  # b2 is nowhere, and its fares unknown
        history = rider(book, f"rail in {stop} 2024-03-05 12:00", concessions=child)
        assert statement(history, at(book, "2024-03-10 12:00")).total.minor == amount


def test_where_no_fare_is_known_the_maximum_fare_stays(tmp_path: Path) -> None:
    book = town(tmp_path)
    child = (Concession("child", *FOREVER),)
    history = rider(book, "metro in z1 2024-03-05 12:00", concessions=child)
    assert statement(history, at(book, "2024-03-10 12:00")).total.minor == 500
