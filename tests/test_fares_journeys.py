"""Hand-checked journeys over the two real feeds, each with the row of the feed that justifies it.

A journey is written ``network stop HH:MM`` or ``network start>end HH:MM-HH:MM``; the rows are
the beginnings of the lines the charge points at, checked against the files themselves.
"""

# ruff: noqa: E501  (a journey and its rows are read best on one line)

from __future__ import annotations

from datetime import date, datetime, timedelta
from datetime import time as clock

import pytest

from ledger.fares.engine import price, quote
from ledger.fares.gtfs import import_feed
from ledger.fares.history import History
from ledger.fares.statement import statement
from ledger.fares.taps import FareTap
from models.wire.tap import Direction
from tests.fares_days import OWN, STARTS, book, feed_directory, naive, naive_taps

QUICK = "leg_rapid_transit_quick_subway,rapid_transit"
LEG, MOVE = "fare_leg_rules.txt", "fare_transfer_rules.txt"
BUS_QUICK = "leg_local_bus_quick_subway,local_bus,,,prod_rapid_transit_quick_subway"
CR = "leg_commuter_rail_cash,commuter_rail,area_commuter_rail_"
SS = "leg_commuter_rail_cash,commuter_rail,area_ss_commuter_rail_zone_1a,area_commuter_rail_"
CAPE = "leg_cape_"

MBTA = [
    # one leg: rapid transit
    ("rapid_transit 70061 08:00", "2.40", [f"{QUICK},,,"]),
    ("rapid_transit 70061 23:59", "2.40", [f"{QUICK},,,"]),
    (
        "rapid_transit 70047 08:00",
        "2.40",
        ["leg_airport_rapid_transit_quick_subway,rapid_transit,area_bl_airport"],
    ),
    ("rapid_transit 70041 08:00", "2.40", [f"{QUICK},area_bl,"]),
    ("rapid_transit 70202 08:00", "2.40", [f"{QUICK},area_gl_govt_ctr,"]),
    ("rapid_transit 70022 08:00", "2.40", [f"{QUICK},area_ol_state,"]),
    ("rapid_transit 70079 08:00", "2.40", ["leg_ss_rapid_transit_quick_subway,rapid_transit,"]),
    ("rapid_transit place-sstat 08:00", "2.40", ["leg_ss_rapid_transit_quick_subway,rapid"]),
    ("rapid_transit 70148 08:00", "2.40", ["leg_rapid_transit_cash,rapid_transit,area_green_b"]),
    ("rapid_transit 70219 08:00", "2.40", ["leg_rapid_transit_cash,rapid_transit,area_green_c"]),
    ("rapid_transit 70257 08:00", "2.40", ["leg_rapid_transit_cash,rapid_transit,area_green_e"]),
    ("m_rapid_transit 70276 08:00", "2.40", ["leg_mattapan_rapid_transit_quick_subway,m_rapid"]),
    ("m_rapid_transit 70268 08:00", "2.40", ["leg_mattapan_rapid_transit_cash,m_rapid_transit"]),
    # the airport rule: the Silver Line is free from the terminals, not to them
    ("sl_rapid_transit 17091 08:00", "0.00", ["leg_sl_rapid_transit_free,sl_rapid_transit,area_sl"]),
    ("sl_rapid_transit 17095 08:00", "0.00", ["leg_sl_rapid_transit_free,sl_rapid_transit,area_sl"]),
    ("sl_rapid_transit 74611 08:00", "2.40", ["leg_sl_rapid_transit_quick_subway,sl_rapid_transit"]),
    ("sl_rapid_transit 7096 08:00", "2.40", ["leg_sl_rapid_transit_quick_subway,sl_rapid_transit"]),
    ("sl_rapid_transit 74630 08:00", "2.40", ["leg_sl_rapid_transit_cash,sl_rapid_transit,area_sl3"]),
    # buses
    ("local_bus 1 08:00", "1.70", ["leg_local_bus_cash,local_bus,,,prod_local_bus"]),
    ("local_bus 4510 08:00", "1.70", ["leg_local_bus_cash,local_bus,area_route_354_downtown,"]),
    ("local_bus_free 1 08:00", "0.00", ["leg_local_bus_free,local_bus_free,,,prod_free_fare"]),
    ("local_bus_restricted 1 08:00", "1.70", ["leg_local_bus_restricted_cash,local_bus_restrict"]),
    ("express_bus_special 1 08:00", "4.25", ["leg_express_bus_cash,express_bus_special,,,prod_exp"]),
    ("rail_replacement_bus 1 08:00", "0.00", ["leg_rail_replacement_free,rail_replacement_bus,,"]),
    (
        "express_bus 4510>1684 08:00-08:40",
        "4.25",
        ["leg_express_bus_cash,express_bus,area_route_354_downtown,area_route_354_outside"],
    ),
    (
        "express_bus 1684>4510 08:00-08:40",
        "4.25",
        ["leg_express_bus_cash,express_bus,area_route_354_outside_downtown,area_route_354_d"],
    ),
    (
        "express_bus 4510>65 08:00-08:10",
        "1.70",
        ["leg_local_bus_cash,express_bus,area_route_354_downtown,area_route_354_downtown"],
    ),
    (
        "express_bus 1684>1686 08:00-08:10",
        "1.70",
        ["leg_local_bus_cash,express_bus,area_route_354_outside_downtown,area_route_354_out"],
    ),
    (
        "express_bus 117>14717 08:00-08:40",
        "4.25",
        ["leg_express_bus_cash,express_bus,area_route_426_downtown,area_route_426_outside"],
    ),
    # commuter rail: to and from downtown, interzone, Fairmount
    ("commuter_rail NEC-2287-01>FR-0064-01 08:00-08:40", "6.50", [f"{SS}zone_1,prod_cr_zone_1,"]),
    ("commuter_rail BNT-0000-01>FR-0064-01 08:00-08:20", "6.50", [f"{CR}zone_1a,area_commuter_rail_zone_1,"]),
    ("commuter_rail BNT-0000-01>FR-0034-01 08:00-08:20", "2.40", [f"{CR}zone_1a,area_commuter_rail_zone_1a,"]),
    ("commuter_rail BNT-0000-01>ER-0115-01 08:00-08:20", "7.00", [f"{CR}zone_1a,area_commuter_rail_zone_2,"]),
    ("commuter_rail NEC-2287-01>NEC-2139-01 08:00-08:40", "8.00", [f"{SS}zone_3,"]),
    ("commuter_rail NEC-2287-01>NEC-2108-01 08:00-08:40", "8.75", [f"{SS}zone_4,"]),
    ("commuter_rail BNT-0000-01>FR-0201-01 08:00-08:40", "9.75", [f"{CR}zone_1a,area_commuter_rail_zone_5,"]),
    ("commuter_rail NEC-2287-01>NEC-2040-01 08:00-08:50", "10.50", [f"{SS}zone_6,"]),
    ("commuter_rail NEC-2287-01>NEC-1969-03 08:00-09:00", "11.00", [f"{SS}zone_7,"]),
    ("commuter_rail NEC-2287-01>NEC-1851-01 08:00-09:10", "12.25", [f"{SS}zone_8,"]),
    ("commuter_rail NEC-2287-01>NEC-1768-03 08:00-09:20", "12.75", [f"{SS}zone_9,"]),
    ("commuter_rail NEC-1659-03>NEC-2287-01 08:00-09:30", "13.25", [f"{CR}zone_10,area_ss_commuter"]),
    ("commuter_rail FR-0064-01>FR-0074-01 08:00-08:10", "2.75", [f"{CR}zone_1,area_commuter_rail_zone_1,prod_cr_inter_1,"]),
    ("commuter_rail NEC-1851-01>NEC-1768-03 08:00-08:20", "3.25", [f"{CR}zone_8,area_commuter_rail_zone_9,prod_cr_inter_2"]),
    ("commuter_rail NEC-1659-03>NEC-2203-03 08:00-09:10", "7.25", [f"{CR}zone_10,area_commuter_rail_zone_1,prod_cr_inter_10"]),
    ("commuter_rail NEC-2287-01>DB-2258-01 08:00-08:10", "2.40", ["leg_ss_fairmount_line_zone_1a_cash,commuter_rail"]),
    ("commuter_rail DB-2258-01>DB-0095 08:00-08:20", "7.00", ["leg_fairmount_line_cash,commuter_rail,area_fairmount_line_zone_1a,area_commuter_rail_zone_2,"]),
    # CapeFLYER, the event train, ferries
    # The feed has CapeFLYER rows from zone 1A but none from South Station's own area, and an
    # empty area excludes listed areas: these two fares are unknown, so nothing is charged.
    ("cape_flyer NEC-2287-01>CM-0790-S 08:00-10:20", "0.00", []),
    ("cr_foxboro NEC-2287-01 16:00", "0.00", []),
    ("cape_flyer BNT-0000-01>CM-0790-S 08:00-10:20", "22.00", [f"{CAPE}sbb_hyannis_cash,cape_flyer,area_commuter_rail_zone_1a"]),
    ("cape_flyer BNT-0000-01>CM-0564-S 08:00-10:00", "20.00", [f"{CAPE}sbb_buzzards_cash,cape_flyer,area_commuter_rail_zone_1a"]),
    ("cape_flyer CM-0547-S>CM-0790-S 09:00-10:00", "5.00", [f"{CAPE}buzzards_hyannis_cash,cape_flyer,area_cf_zone_buzzards"]),
    ("cape_flyer MM-0356-S>CM-0790-S 09:00-10:00", "5.00", [f"{CAPE}buzzards_hyannis_cash,cape_flyer,area_commuter_rail_zone_8"]),
    ("cr_foxboro 70061 16:00", "20.00", ["leg_foxboro_event_cash,cr_foxboro"]),
    ("ferry_f1 Boat-Long 08:00", "9.75", ["leg_ferry_f1_cash,ferry_f1"]),
    ("ferry_f4 Boat-Charlestown 08:00", "3.70", ["leg_ferry_f4_cash,ferry_f4"]),
    ("ferry_east_boston Boat-Lewis 08:00", "2.40", ["leg_ferry_east_boston_free,ferry_east_boston"]),
    ("ferry_lynn Boat-Blossom 08:00", "7.00", ["leg_ferry_lynn_cash,ferry_lynn"]),
    ("ferry_f6 Boat-Winthrop 08:00", "6.50", ["leg_ferry_f6_cash,ferry_f6"]),
    # transfers with a limit of two hours
    ("rapid_transit 70061 08:00; local_bus 1 08:59", "2.40", [f"{QUICK},,", "leg_rapid_transit_quick_subway,leg_local_bus_quick_subway,,7200,1", BUS_QUICK]),
    ("rapid_transit 70061 08:00; local_bus 1 10:00", "2.40", [f"{QUICK},,", "leg_rapid_transit_quick_subway,leg_local_bus_quick_subway,,7200,1", BUS_QUICK]),
    ("rapid_transit 70061 08:00; local_bus 1 10:01", "4.10", [f"{QUICK},,", "leg_local_bus_cash,local_bus,,"]),
    ("rapid_transit 70079 08:00; local_bus 1 08:30", "2.40", ["leg_ss_rapid", "leg_ss_rapid_transit_quick_subway,leg_local_bus_quick_subway,,7200,1", BUS_QUICK]),
    ("rapid_transit 70047 08:00; local_bus 1 09:30", "2.40", ["leg_airport", "leg_airport_rapid_transit_quick_subway,leg_local_bus_quick_subway,,7200,1", BUS_QUICK]),
    ("rapid_transit 70061 08:00; m_rapid_transit 70261 08:40", "2.40", [f"{QUICK},,", "leg_rapid_transit_quick_subway,leg_mattapan_rapid_transit_quick_subway,,7200,1", "leg_mattapan_rapid_transit_quick"]),
    # no transfer is offered this way round, or from cash
    ("local_bus 1 08:00; rapid_transit 70061 08:30", "4.10", ["leg_local_bus_cash,local_bus,,", f"{QUICK},,"]),
    ("local_bus 1 08:00; local_bus 10 08:30", "3.40", ["leg_local_bus_cash,local_bus,,", "leg_local_bus_cash,local_bus,,"]),
    ("local_bus_free 1 08:00; rapid_transit 70061 08:30", "2.40", ["leg_local_bus_free", f"{QUICK},,"]),
    ("ferry_f4 Boat-Charlestown 08:00; local_bus 1 08:30", "5.40", ["leg_ferry_f4_cash", "leg_local_bus_cash,local_bus,,"]),
    # transfers without a limit of number or time end with the journey, after two hours
    ("rapid_transit 70061 08:00; rapid_transit 70105 08:40; rapid_transit 70061 09:20; rapid_transit 70105 10:00", "2.40", None),
    ("rapid_transit 70061 08:00; rapid_transit 70105 10:01", "4.80", [f"{QUICK},,", f"{QUICK},,"]),
    ("rapid_transit 70148 08:00; rapid_transit 70061 08:30", "2.40", ["leg_rapid_transit_cash,rapid_transit,area_green_b", "leg_rapid_transit_cash,leg_rapid_transit_cash,-1", "leg_rapid_transit_cash,rapid_transit,,"]),
    ("rapid_transit 70061 08:00; rail_replacement_bus 1 08:20; rapid_transit 70105 08:50", "2.40", None),
    # from the airport terminals on to the Red Line and beyond: free all the way
    ("sl_rapid_transit 17091 08:00; rapid_transit 70079 08:20", "0.00", ["leg_sl_rapid_transit_free", "leg_sl_rapid_transit_free,leg_ss_rapid_transit_free", "leg_ss_rapid_transit_free"]),
    ("sl_rapid_transit 17091 08:00; rapid_transit 70079 08:20; rapid_transit 70061 08:40", "0.00", None),
    ("sl_rapid_transit 17091 08:00; rapid_transit 70079 10:01", "2.40", ["leg_sl_rapid_transit_free", "leg_ss_rapid_transit_quick_subway"]),
    ("sl_rapid_transit 74611 08:00; local_bus 1 09:00", "2.40", ["leg_sl_rapid_transit_quick", "leg_sl_rapid_transit_quick_subway,leg_local_bus_quick_subway,,7200,1", BUS_QUICK]),
    ("rapid_transit 70061 08:00; local_bus 1 08:30; local_bus 10 09:00", "4.10", None),
    ("commuter_rail NEC-1851-01>NEC-2287-01 08:00-09:10; rapid_transit 70079 09:20", "14.65", [f"{CR}zone_8,area_ss", "leg_ss_rapid_transit_quick_subway"]),
]  # fmt: skip

TRANSCOLLINES = [
    ("REG F401-10>F101-01 08:00-08:50", "5.00", ["REG-GAT-COL,REG,GAT,COL"]),
    ("REG F401-10>F111-01 08:00-09:20", "20.00", ["REG-GAT-PNT,REG,GAT,PNT"]),
    ("REG F111-01>F401-10 06:00-07:20", "20.00", ["REG-PNT-GAT,REG,PNT,GAT"]),
    ("REG F101-01>F101-04 08:00-08:20", "5.00", ["REG-COL-COL,REG,COL,COL"]),
    ("REG F101-01>F401-10 08:00-08:20", "5.00", ["REG-COL-GAT,REG,COL,GAT"]),
    ("REG F101-01>F111-01 08:00-08:20", "5.00", ["REG-COL-PNT,REG,COL,PNT"]),
    ("REG F111-01>F101-01 08:00-08:20", "5.00", ["REG-PNT-COL,REG,PNT,COL"]),
    ("REG F111-01>F103-06 08:00-08:20", "5.00", ["REG-PNT-PNT,REG,PNT,PNT"]),
    ("REG F401-10>F101-01 08:00-08:40; REG F101-04>F111-01 09:00-09:40", "10.00", None),
    ("REG F401-10>F411-13 08:00-08:20", "0.00", []),  # no rule: nothing is charged
]
CASES = [("mbta-fares", *case) for case in MBTA]
CASES += [("transcollines", *case) for case in TRANSCOLLINES]
DAYS = {"mbta-fares": date(2024, 10, 1), "transcollines": date(2026, 3, 3)}


def taps_of(feed: str, journey: str) -> list[FareTap]:
    taps = []
    for leg in journey.split("; "):
        network, stops, times = leg.split()
        for stop, way, time in zip(stops.split(">"), ("in", "out"), times.split("-"), strict=False):
            at = datetime.combine(DAYS[feed], clock.fromisoformat(time), book(feed).zone)
            direction: Direction = "in" if way == "in" else "out"
            taps.append(FareTap(f"tap-{len(taps)}", stop, network, direction, at))
    return taps


def line_of(feed: str, row: str) -> str:
    file, number = row.split(":")
    return (feed_directory(feed) / file).read_text("utf-8-sig").splitlines()[int(number) - 1]


def test_there_are_at_least_sixty_hand_checked_journeys() -> None:
    assert len(CASES) >= 60
    assert len({(feed, journey) for feed, journey, _, _ in CASES}) == len(CASES)


@pytest.mark.parametrize(("feed", "journey", "amount", "rows"), CASES)
def test_a_journey_costs_what_its_rows_say(
    feed: str, journey: str, amount: str, rows: list[str] | None
) -> None:
    history = History.of(book(feed))
    taps = taps_of(feed, journey)
    charged = 0
    for tap in taps:
        priced = price(history, tap)
        history, charged = priced.history, charged + priced.charge.amount.minor
    expected = int(amount.replace(".", ""))
    later = taps[-1].at + timedelta(days=2)
    found = statement(history, later)
    assert charged == found.total.minor == expected
    assert naive(feed).bill(naive_taps(taps), later)[:2] == (expected, 0)
    if rows is not None:
        lines = [line_of(feed, r.row) for item in found.items for r in item.rules if r.row]
        assert len(lines) == len(rows)
        for line, row in zip(lines, rows, strict=True):
            assert line.startswith(row)


def test_a_ride_outside_the_season_of_its_fares_is_not_charged_and_says_so() -> None:
    at = datetime(2026, 9, 1, 8, 0, tzinfo=book("transcollines").zone)
    history = History.of(book("transcollines"))
    history = price(history, FareTap("a", "F401-10", "REG", "in", at)).history
    out = FareTap("b", "F111-01", "REG", "out", at + timedelta(minutes=80))
    charge = price(history, out).charge
    assert charge.amount.minor == 0
    assert [rule.code for rule in charge.rules] == ["unknown_fare"]
    assert "nothing is charged" in charge.words("en")
    assert "不收费" in charge.words("zh")


def test_a_transfer_is_said_with_its_price_in_english_and_chinese() -> None:
    history = History.of(book("mbta-fares"))
    first, second = taps_of("mbta-fares", "rapid_transit 70061 08:00; local_bus 1 08:59")
    charge = price(price(history, first).history, second).charge
    assert charge.words("en") == (
        "Transfer at Washington St opp Ruggles St: the journey so far costs $2.40 together. "
        "Subway Quick Ticket from Washington St opp Ruggles St: included in the transfer."
    )
    assert charge.words("zh").startswith(
        "在 Washington St opp Ruggles St 换乘：到此为止全程共 US$2.40"
    )


def test_a_quote_names_the_network_the_price_and_the_row() -> None:
    at = datetime(2026, 3, 3, 8, 0, tzinfo=book("transcollines").zone)
    (found,) = quote(book("transcollines"), "F401-10", "F111-01", at)
    assert (found.network, found.amount.minor) == ("REG", 2000)
    assert line_of("transcollines", found.rule.row).startswith("REG-GAT-PNT")


def test_both_feeds_import_without_the_operators_own_files() -> None:
    for feed, start in STARTS.items():
        tables = import_feed(feed_directory(feed), start)
        own = import_feed(feed_directory(feed), start, OWN / feed)
        assert not tables.caps and own.caps
        for network in tables.networks:
            assert tables.policy(network).tap_off == own.policy(network).tap_off


def test_the_rules_of_the_free_days_that_are_not_in_the_calendar_are_told() -> None:
    (warning,) = import_feed(feed_directory("mbta-fares"), STARTS["mbta-fares"]).warnings
    assert "timeframe_systemwide_free" in str(warning)
    assert "185 rules that name it never apply" in str(warning)
