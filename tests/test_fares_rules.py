"""The semantics of GTFS Fares v2, one by one, on a small feed (tests/fares_feed.py)."""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path

import pytest

from ledger.fares.book import FareBook
from ledger.fares.engine import price, quote
from ledger.fares.history import History, TapConflict
from ledger.fares.rates import UnknownPlace, distance_m
from ledger.fares.statement import statement
from ledger.fares.taps import Concession, FareTap, fare_tap
from models.wire.tap import Evidence, Tap
from tests.fares_feed import FILES, at, rider, taps, town

HEAD = "leg_group_id,network_id,from_area_id,to_area_id,fare_product_id"
MOVE = "from_leg_group_id,to_leg_group_id,transfer_count,duration_limit,duration_limit_type,"
MOVE += "fare_transfer_type,fare_product_id\n"
PRODUCTS = "fare_product_id,amount,currency\np1,1.00,EUR\np2,2.00,EUR\np3,3.00,EUR\n"
PRODUCTS += "ab,0.50,EUR\noff,-0.75,EUR\n"
PLAIN = {"fare_distances": None, "rider_categories": None, "fare_caps": None}
STILL = {**PLAIN, "fare_transfer_rules": None}
ON = "network_id,validation,maximum_fare,currency\n,tap_on,5.00,EUR\n"
OFF = "network_id,validation,maximum_fare,currency\n,tap_on_off,5.00,EUR\n"


def total(book: FareBook, *lines: str) -> int:
    history = rider(book, *lines)
    return statement(history, history.taps[-1].at + timedelta(days=3)).total.minor


def ride_price(book: FareBook, network: str, start: str, end: str) -> int | None:
    found = quote(book, start, end, at(book, "2024-03-05 08:00"), network=network)
    return found[0].amount.minor if found else None


# leg rules


def test_without_priorities_an_empty_area_excludes_every_listed_area(tmp_path: Path) -> None:
    rules = f"{HEAD}\nx,metro,,,p1\nx,metro,Z,,p2\n"
    book = town(tmp_path, fare_leg_rules=rules, fare_products=PRODUCTS, fare_policies=OFF, **STILL)
    assert ride_price(book, "metro", "a1", "b1") == 100
    assert ride_price(book, "metro", "z1", "b1") == 200  # Z is listed: the empty row is not for it


def test_an_area_listed_for_one_network_is_taken_from_the_empty_rows_of_all(tmp_path: Path) -> None:
    rules = f"{HEAD}\nx,metro,,,p1\ny,bus,Z,,p2\n"
    book = town(tmp_path, fare_leg_rules=rules, fare_products=PRODUCTS, fare_policies=OFF, **STILL)
    assert ride_price(book, "metro", "a1", "b1") == 100
    assert ride_price(book, "metro", "z1", "b1") is None


def test_an_empty_network_is_for_the_networks_no_row_lists(tmp_path: Path) -> None:
    rules = f"{HEAD}\nx,,,,p1\ny,bus,,,p2\n"
    book = town(tmp_path, fare_leg_rules=rules, fare_products=PRODUCTS, fare_policies=OFF, **STILL)
    assert ride_price(book, "metro", "a1", "b1") == 100
    assert ride_price(book, "bus", "a1", "b1") == 200


def test_with_priorities_an_empty_cell_is_whichever_and_the_highest_counts(tmp_path: Path) -> None:
    rules = f"{HEAD},rule_priority\nx,,,,p1,\ny,,A,,p2,2\nz,,A,B,p3,2\n"
    book = town(tmp_path, fare_leg_rules=rules, fare_products=PRODUCTS, fare_policies=OFF, **STILL)
    assert ride_price(book, "metro", "b1", "a1") == 100
    assert ride_price(book, "metro", "a1", "z1") == 200
    # two rules of the same priority remain: the cheaper one is the rider's
    assert ride_price(book, "metro", "a1", "b1") == 200


def test_a_platform_has_the_areas_of_its_station_unless_it_has_its_own(tmp_path: Path) -> None:
    book = town(tmp_path)
    stops = book.rates[0].tables.stops
    assert stops["hub-m"].areas == {"A"}
    own = town(tmp_path / "own", stop_areas=FILES["stop_areas.txt"] + "B,hub-m\n")
    assert own.rates[0].tables.stops["hub-m"].areas == {"B"}
    assert own.rates[0].tables.stops["hub-b"].areas == {"A"}


def test_timeframes_go_by_the_clock_at_the_stop_from_start_to_just_before_end(
    tmp_path: Path,
) -> None:
    rules = f"{HEAD},from_timeframe_group_id\nx,metro,,,p3,peak\ny,metro,,,p1,off\n"
    frames = "timeframe_group_id,start_time,end_time,service_id\npeak,07:00:00,09:00:00,all\n"
    frames += "off,00:00:00,07:00:00,all\noff,09:00:00,24:00:00,all\n"
    calendar = "service_id,monday,tuesday,wednesday,thursday,friday,saturday,sunday,start_date,"
    calendar += "end_date\nall,1,1,1,1,1,1,1,20240101,20241231\n"
    book = town(
        tmp_path,
        fare_leg_rules=rules,
        fare_products=PRODUCTS,
        fare_policies=ON,
        timeframes=frames,
        calendar=calendar,
        **STILL,
    )
    for time, fare in (("06:59:59", 100), ("07:00:00", 300), ("08:59:59", 300), ("09:00:00", 100)):
        assert total(book, f"metro in a1 2024-03-05 {time}") == fare
    assert total(book, "metro in a1 2025-03-05 08:00") == 0  # the service has ended: no fare known


def test_calendar_dates_add_and_remove_days(tmp_path: Path) -> None:
    rules = f"{HEAD},from_timeframe_group_id\nx,metro,,,p3,\ny,metro,,,p1,free\n"
    frames = "timeframe_group_id,start_time,end_time,service_id\nfree,,,sundays\n"
    calendar = "service_id,monday,tuesday,wednesday,thursday,friday,saturday,sunday,start_date,"
    calendar += "end_date\nsundays,0,0,0,0,0,0,1,20240101,20241231\n"
    dates = "service_id,date,exception_type\nsundays,20240310,2\nsundays,20240305,1\n"
    dates += "only,20240306,1\n"
    book = town(
        tmp_path,
        fare_leg_rules=rules,
        fare_products=PRODUCTS,
        fare_policies=ON,
        timeframes=frames + "free,,,only\n",
        calendar=calendar,
        calendar_dates=dates,
        **STILL,
    )
    expected = {3: 100, 4: 300, 5: 100, 6: 100, 10: 300, 17: 100}
    for day, fare in expected.items():
        assert total(book, f"metro in a1 2024-03-{day:02} 08:00") == fare


# transfers


def moving(tmp_path: Path, moves: str, rules: str = "") -> FareBook:
    legs = rules or f"{HEAD}\nA,metro,,,p2\nB,bus,,,p3\nC,rail,,,p1\n"
    return town(
        tmp_path,
        fare_leg_rules=legs,
        fare_transfer_rules=MOVE + moves,
        fare_products=PRODUCTS,
        fare_policies=ON,
        **PLAIN,
    )


A, B, C = (f"{n} in a1 2024-03-05 08:{m}" for n, m in (("metro", "00"), ("bus", 20), ("rail", 40)))


@pytest.mark.parametrize(
    ("moves", "ab", "abc"),
    [
        ("A,B,,,,0,ab\n", 250, 350),  # A + AB, then C by itself
        ("A,B,,,,0,\n", 200, 300),
        ("A,B,,,,1,off\n", 425, 525),  # A + AB + B with a discount
        ("A,B,,,,2,ab\n", 50, 150),  # AB alone
        ("A,B,,,,0,ab\nB,C,,,,0,ab\n", 250, 300),  # S + BC
        ("A,B,,,,2,p2\nB,C,,,,1,off\n", 200, 225),  # S + BC + C
        ("A,B,,,,2,p2\nB,C,,,,2,ab\n", 200, 250),  # the second time S + BC
        ("A,B,,,,0,p3\n", 500, 600),  # A + AB is no dearer than A and B apart
        ("B,A,,,,0,\n", 500, 600),  # rules have a direction
    ],
)
def test_transfer_types_cost_what_the_specification_says(
    tmp_path: Path, moves: str, ab: int, abc: int
) -> None:
    book = moving(tmp_path, moves)
    assert total(book, A, B) == ab
    assert total(book, A, B, C) == abc


def test_a_discount_never_makes_a_fare_negative(tmp_path: Path) -> None:
    products = PRODUCTS.replace("-0.75", "-9.00")
    book = moving(tmp_path, "A,B,,,,1,off\n")
    free = town(
        tmp_path / "free",
        fare_leg_rules=f"{HEAD}\nA,metro,,,p2\nB,bus,,,p3\n",
        fare_transfer_rules=MOVE + "A,B,,,,1,off\n",
        fare_products=products,
        fare_policies=ON,
        **PLAIN,
    )
    assert total(book, A, B) == 425
    assert total(free, A, B) == 0


@pytest.mark.parametrize(("count", "fares"), [("1", (100, 100, 200, 200)), ("-1", (100,) * 4)])
def test_a_transfer_count_limits_how_often_in_a_row(
    tmp_path: Path, count: str, fares: tuple[int, ...]
) -> None:
    book = moving(tmp_path, f"C,C,{count},,,0,\n")
    lines = [f"rail in a1 2024-03-05 08:{minute:02}" for minute in (0, 10, 20, 30)]
    assert tuple(total(book, *lines[: n + 1]) for n in range(4)) == fares


def test_the_smallest_transfer_count_that_still_allows_a_transfer_is_taken(tmp_path: Path) -> None:
    book = moving(tmp_path, "C,C,1,,,0,\nC,C,3,,,0,ab\n")
    lines = [f"rail in a1 2024-03-05 08:{minute:02}" for minute in (0, 10, 20, 30, 40)]
    # free; then 0.50 each, or a fresh fare with a free transfer: 1.00 for two
    assert [total(book, *lines[: n + 1]) for n in range(5)] == [100, 100, 150, 200, 250]


@pytest.mark.parametrize(
    ("kind", "last_ok", "too_late"),
    [
        (1, "09:00", "09:01"),  # from departure to departure
        (0, "08:50", "08:51"),  # from departure to arrival, ten minutes later
        (2, "09:15", "09:16"),  # from arrival (08:15) to departure
        (3, "09:05", "09:06"),  # from arrival to arrival
    ],
)
def test_the_four_ways_to_measure_a_duration(
    tmp_path: Path, kind: int, last_ok: str, too_late: str
) -> None:
    book = town(
        tmp_path,
        fare_leg_rules=f"{HEAD}\nA,metro,,,p2\nB,rail,,,p3\n",
        fare_transfer_rules=MOVE + f"A,B,,3600,{kind},0,\n",
        fare_products=PRODUCTS,
        fare_policies=OFF,
        **PLAIN,
    )
    first = ["metro in a1 2024-03-05 08:00", "metro out b1 2024-03-05 08:15"]
    for start, fare in ((last_ok, 200), (too_late, 500)):
        hour, minute = map(int, start.split(":"))
        end = f"{hour + (minute + 10) // 60:02}:{(minute + 10) % 60:02}"
        second = [f"rail in b1 2024-03-05 {start}", f"rail out a2 2024-03-05 {end}"]
        assert total(book, *first, *second) == fare


def test_the_duration_of_a_repeated_rule_runs_from_its_first_leg(tmp_path: Path) -> None:
    book = moving(tmp_path, "C,C,-1,3600,1,0,\n")
    lines = [f"rail in a1 2024-03-05 {t}" for t in ("08:00", "08:40", "09:00", "09:02")]
    assert total(book, *lines[:3]) == 100
    # The fourth is 62 minutes after the first, but a fresh fare at 08:40 would cover it too.
    assert total(book, *lines) == 200


def test_empty_leg_groups_are_the_groups_no_row_lists(tmp_path: Path) -> None:
    book = moving(tmp_path, "A,,,,,0,ab\n,C,,,,0,\n")
    assert total(book, A, B) == 250  # A to a group that is not listed as a target
    assert total(book, B, C) == 300  # from a group that is not listed as an origin
    # A to C: A is listed as an origin and C as a target, so neither empty cell is for them
    assert total(book, A, C) == 300


def test_an_exact_transfer_rule_goes_before_an_empty_one(tmp_path: Path) -> None:
    book = moving(tmp_path, "A,B,,,,0,ab\nA,,,,,0,\n")
    assert total(book, A, B) == 250


def test_a_transfer_may_ask_for_a_product_or_for_the_same_product(tmp_path: Path) -> None:
    head = MOVE.replace("\n", ",filter_fare_product_id,fare_product_behavior\n")
    legs = f"{HEAD}\nA,metro,,,p2\nB,bus,,,p3\n"
    for extra, fare in (("p2,", 200), ("p1,", 500), (",1", 200), (",0", 500)):
        book = town(
            tmp_path / extra.replace(",", "-"),
            fare_leg_rules=legs,
            fare_transfer_rules=head + f"A,B,,,,0,,{extra}\n",
            fare_products=PRODUCTS,
            fare_policies=ON,
            **PLAIN,
        )
        assert total(book, A, B) == fare


def test_the_dearer_product_is_taken_where_its_transfer_makes_the_journey_cheaper(
    tmp_path: Path,
) -> None:
    legs = f"{HEAD}\nX,metro,,,p1\nA,metro,,,p2\nB,bus,,,p3\n"
    book = moving(tmp_path, "A,B,,,,0,\n", legs)
    assert total(book, A) == 100
    assert total(book, A, B) == 200


def test_a_rule_for_transfers_only_begins_no_fare(tmp_path: Path) -> None:
    legs = f"{HEAD},transfer_only\nA,metro,,,p2,\nB,bus,,,p3,\nT,bus,,,p1,1\n"
    book = moving(tmp_path, "A,T,,,,1,\n", legs)
    assert total(book, B) == 300
    assert total(book, A, B) == 300  # 2.00 + 1.00 instead of 2.00 + 3.00


# joined legs


def test_two_legs_at_one_station_are_one_where_a_join_rule_says_so(tmp_path: Path) -> None:
    joins = "from_network_id,to_network_id,from_stop_id,to_stop_id\nmetro,metro,,\n"
    lines = [
        "metro in a1 2024-03-05 08:00",
        "metro out hub-m 2024-03-05 08:10",
        "metro in hub-b 2024-03-05 08:25",
        "metro out b1 2024-03-05 08:45",
    ]
    assert total(town(tmp_path / "apart", fare_caps=None), *lines) == 500
    book = town(tmp_path / "joined", fare_caps=None, fare_leg_join_rules=joins)
    assert total(book, *lines) == 300
    elsewhere = [*lines[:2], "metro in a2 2024-03-05 08:25", lines[3]]
    assert total(book, *elsewhere) == 500
    named = joins.replace("metro,metro,,", "metro,metro,hub,a2")
    book = town(tmp_path / "named", fare_caps=None, fare_leg_join_rules=named)
    assert total(book, *elsewhere) == 300
    assert total(book, *lines) == 500


# categories, distance, places


def test_a_concession_is_priced_while_it_is_proven_and_never_dearer(tmp_path: Path) -> None:
    book = town(tmp_path)
    child = (Concession("child", date(2024, 3, 1), date(2024, 3, 5)),)
    ride = ["metro in a1 2024-03-{} 08:00", "metro out a2 2024-03-{} 08:20"]
    wide = ["metro in a1 2024-03-{} 09:00", "metro out b1 2024-03-{} 09:20"]
    late = at(book, "2024-04-01 00:00")

    def cost(day: str, lines: list[str]) -> int:
        history = rider(book, *(line.format(day) for line in lines), concessions=child)
        return statement(history, late).total.minor

    assert (cost("05", ride), cost("06", ride)) == (100, 200)
    assert cost("05", wide) == 300  # no child price for two zones: the default one
    charge = price(History.of(book, child), taps(book, "bus in a1 2024-03-05 08:00")[0]).charge
    assert charge.amount.minor == 0
    assert "Priced for Child." in charge.words("en")


def test_a_fare_by_distance_goes_by_its_bands(tmp_path: Path) -> None:
    book = town(tmp_path)
    stops = book.rates[0].tables.stops
    assert distance_m(stops["a1"], stops["a2"]) == pytest.approx(685, abs=2)
    assert distance_m(stops["a1"], stops["b2"]) == pytest.approx(22_239, abs=5)
    assert ride_price(book, "rail", "a1", "a2") == 250
    assert ride_price(book, "rail", "a1", "b1") == 400
    assert ride_price(book, "rail", "a1", "b2") == 650
    child = quote(book, "a1", "b2", at(book, "2024-03-05 08:00"), "child", "rail")
    assert child[0].amount.minor == 120
    rule = quote(book, "a1", "b2", at(book, "2024-03-05 08:00"), network="rail")[0].rule
    assert rule.words() == "Rail by distance (22239 m), Alder to Beech: €6.50."


def test_media_can_be_chosen_per_network(tmp_path: Path) -> None:
    products = "fare_product_id,fare_media_id,amount,currency\np1,cash,3.00,EUR\np1,card,2.00,EUR\n"
    media = "fare_media_id,fare_media_type\ncash,0\ncard,2\n"
    feed = {"fare_products": products, "fare_media": media, **PLAIN}
    feed["fare_leg_rules"] = f"{HEAD}\nA,metro,,,p1\n"
    feed["fare_transfer_rules"] = None
    assert total(town(tmp_path / "any", fare_policies=ON, **feed), A) == 200
    cash = ON.replace("\n", ",fare_media_ids\n", 1).replace("EUR\n", "EUR,cash\n")
    assert total(town(tmp_path / "cash", fare_policies=cash, **feed), A) == 300


def test_a_gates_tap_finds_its_stop_and_network(tmp_path: Path) -> None:
    book = town(tmp_path)
    sure = Evidence(engine="e", score=1.0, margin=1.0, frames=1, liveness=None, gallery_version=1)
    tap = Tap(
        tap_id="01890a5d-ac96-774b-bcce-b302099a8057",
        gate="alder-1",
        station="alder",
        direction="in",
        at="2024-03-05T07:00:00.000Z",
        account="0" * 32,
        medium="face",
        evidence=sure,
        seq=1,
        prev="0" * 64,
    )
    found = fare_tap(tap, tap.moment, book)
    assert (found.stop, found.network, found.late) == ("a1", "metro", False)
    assert fare_tap(tap, tap.moment + timedelta(days=3, seconds=1), book).late
    bus = tap.model_copy(update={"gate": "alder-bus"})
    assert fare_tap(bus, tap.moment, book).network == "bus"
    lost = tap.model_copy(update={"station": "elsewhere"})
    with pytest.raises(UnknownPlace, match=r"fare_stations.txt has no row for gate alder-1"):
        fare_tap(lost, tap.moment, book)


def test_a_tap_at_an_unknown_stop_or_network_is_refused_and_changes_nothing(tmp_path: Path) -> None:
    book = town(tmp_path)
    history = History.of(book)
    when = at(book, "2024-03-05 08:00")
    with pytest.raises(UnknownPlace, match="know no stop 'q9'"):
        price(history, FareTap("t", "q9", "metro", "in", when))
    with pytest.raises(UnknownPlace, match="know no network 'tram'"):
        price(history, FareTap("t", "a1", "tram", "in", when))


def test_one_id_for_two_taps_is_refused(tmp_path: Path) -> None:
    book = town(tmp_path)
    history = rider(book, "bus in a1 2024-03-05 08:00")
    for stop, when in (("b1", "08:00"), ("a1", "07:00"), ("a1", "09:00")):
        other = FareTap("t0", stop, "bus", "in", at(book, f"2024-03-05 {when}"))
        with pytest.raises(TapConflict, match="another place or time"):
            price(history, other)


def test_journeys_join_taps_whatever_the_network_order_of_arrival(tmp_path: Path) -> None:
    book = town(tmp_path, fare_caps=None)
    lines = [
        "metro in a1 2024-03-05 08:00",
        "metro out b1 2024-03-05 08:20",
        "bus in b1 2024-03-05 08:30",
    ]
    assert total(book, *lines) == 300  # metro 3.00, then the bus within the hour
    assert total(book, *lines[:2], "bus in b1 2024-03-05 09:01") == 450
