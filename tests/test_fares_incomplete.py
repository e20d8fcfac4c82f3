"""Caps, missing taps, same-station visits, and taps that arrive late."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from pathlib import Path

import pytest

from ledger.fares.book import FareBook
from ledger.fares.engine import price
from ledger.fares.history import History
from ledger.fares.statement import statement, week_rules
from tests.fares_feed import FILES, at, rider, taps, town


@pytest.fixture
def book(tmp_path: Path) -> FareBook:
    return town(tmp_path)


def bill(book: FareBook, as_of: str, *lines: str) -> tuple[int, int, list[str]]:
    """(charged, held, codes of the weeks' rules) of a rider with these taps."""
    found = statement(rider(book, *lines), at(book, as_of))
    codes = [rule.code for week in found.weeks for rule in week_rules(week, book.currency)]
    return found.total.minor, found.held.minor, codes


def trip(day: str, hour: int, start: str = "a1", end: str = "b1") -> tuple[str, str]:
    return f"metro in {start} {day} {hour:02}:00", f"metro out {end} {day} {hour:02}:30"


# caps


def test_a_day_costs_no_more_than_its_cap(book: FareBook) -> None:
    lines = [line for hour in (6, 8, 10) for line in trip("2024-03-05", hour)]
    assert bill(book, "2024-03-06 06:00", *lines) == (600, 0, ["cap_day"])


def test_the_cheapest_combination_of_caps_is_charged(book: FareBook) -> None:
    buses = [f"bus in b1 2024-03-05 {hour:02}:00" for hour in (12, 14, 16, 18)]
    assert bill(book, "2024-03-06 06:00", *buses) == (300, 0, ["cap_day"])
    # a ride by metro as well: 3.00 for the buses and 3.00, the same as the cap for everything
    assert bill(book, "2024-03-06 06:00", *trip("2024-03-05", 6), *buses)[0] == 600
    # within zone B: 3.00 for the buses and 2.00 are less than 6.00
    zone = trip("2024-03-05", 6, "b1", "b2")
    assert bill(book, "2024-03-06 06:00", *zone, *buses) == (500, 0, ["cap_day"])


def test_a_week_of_monday_to_sunday_costs_no_more_than_its_cap(book: FareBook) -> None:
    week = [f"2024-03-{day:02}" for day in range(4, 11)]  # a Monday and the six days after
    lines = [line for day in week for hour in (6, 8, 10) for line in trip(day, hour)]
    assert bill(book, "2024-03-12 06:00", *lines) == (2000, 0, ["cap_week"])
    monday = trip("2024-03-11", 6)
    assert bill(book, "2024-03-12 06:00", *lines, *monday)[0] == 2300


def test_charges_stop_when_the_cap_is_reached_and_say_so(book: FareBook) -> None:
    lines = [line for hour in (6, 8, 10) for line in trip("2024-03-05", hour)]
    history = History.of(book)
    amounts = []
    for tap in taps(book, *lines):
        priced = price(history, tap)
        history = priced.history
        amounts.append(priced.charge.amount.minor)
    assert amounts == [0, 300, 0, 300, 0, 0]
    assert "Daily limit reached: Day, €6.00 for 2024-03-05." in priced.charge.words("en")
    assert "已达当日封顶" in priced.charge.words("zh")


def test_a_maximum_fare_does_not_count_toward_a_cap(book: FareBook) -> None:
    lines = [*trip("2024-03-05", 6), *trip("2024-03-05", 8), "metro in a1 2024-03-05 12:00"]
    assert bill(book, "2024-03-06 06:00", *lines) == (1100, 0, ["maximum"])


# incomplete journeys


def test_the_maximum_fare_is_held_until_the_day_closes_and_only_then_charged(
    book: FareBook,
) -> None:
    lines = ["metro in a1 2024-03-05 12:00"]
    assert bill(book, "2024-03-05 12:00", *lines) == (0, 500, ["held"])
    assert bill(book, "2024-03-06 04:29:59", *lines) == (0, 500, ["held"])
    assert bill(book, "2024-03-06 04:30", *lines) == (500, 0, ["maximum"])


def test_a_journey_under_way_when_the_day_closes_is_still_only_held(book: FareBook) -> None:
    lines = ["metro in a1 2024-03-06 04:20"]
    assert bill(book, "2024-03-06 04:40", *lines) == (0, 500, ["held"])
    assert bill(book, "2024-03-06 05:50", *lines) == (500, 0, ["maximum"])
    assert bill(book, "2024-03-07 06:00", *lines, "metro out b1 2024-03-06 04:50") == (300, 0, [])


def test_an_exit_without_an_entry_is_held_and_then_charged_too(book: FareBook) -> None:
    lines = ["metro out b1 2024-03-05 12:00"]
    assert bill(book, "2024-03-05 12:00", *lines) == (0, 500, ["held"])
    assert bill(book, "2024-03-06 05:00", *lines) == (500, 0, ["maximum"])


def test_a_tap_says_what_is_held(book: FareBook) -> None:
    charge = price(History.of(book), taps(book, "metro in a1 2024-03-05 12:00")[0]).charge
    assert (charge.amount.minor, charge.held.minor) == (0, 500)
    assert "Tap out when you leave; up to €5.00 is held until then." in charge.words("en")


def test_a_second_entry_leaves_the_first_one_loose(book: FareBook) -> None:
    lines = ["metro in a1 2024-03-05 12:00", *trip("2024-03-05", 13)]
    assert bill(book, "2024-03-06 06:00", *lines) == (800, 0, ["maximum"])


def test_a_journey_over_its_time_limit_is_two_maximum_fares(book: FareBook) -> None:
    entry = "metro in a1 2024-03-05 12:00"
    assert bill(book, "2024-03-06 06:00", entry, "metro out b1 2024-03-05 13:30")[0] == 300
    over = bill(book, "2024-03-06 06:00", entry, "metro out b1 2024-03-05 13:31")
    assert over == (1000, 0, ["maximum", "maximum"])


def test_a_usual_trip_is_completed_from_the_riders_own_history(book: FareBook) -> None:
    usual = [line for day in ("01", "02", "03") for line in trip(f"2024-03-{day}", 8)]
    forgot = "metro in a1 2024-03-05 08:00"
    assert bill(book, "2024-03-05 09:00", *usual, forgot)[1:] == (500, ["held"])
    assert bill(book, "2024-03-06 06:00", *usual, forgot) == (1200, 0, ["completed"])
    assert bill(book, "2024-03-06 06:00", *usual[:4], forgot) == (1100, 0, ["maximum"])


def test_a_missing_entry_is_completed_as_well_and_said_on_the_receipt(book: FareBook) -> None:
    usual = [line for day in ("01", "02", "03") for line in trip(f"2024-03-{day}", 8)]
    history = rider(book, *usual, "metro out b1 2024-03-05 08:30")
    week = statement(history, at(book, "2024-03-06 06:00")).weeks[-1]
    (rule,) = week_rules(week, book.currency)
    assert rule.words("en") == (
        "A tap was missing; we took your usual trip, Alder to Birch: €3.00."
    )
    assert "已按您常走的行程 Alder 至 Birch 计费" in rule.words("zh")


def test_a_trip_that_is_not_most_trips_is_not_usual(book: FareBook) -> None:
    three = [line for day in ("01", "02", "03") for line in trip(f"2024-03-{day}", 8)]
    other = [line for day in ("01", "02", "03") for line in trip(f"2024-03-{day}", 12, "a1", "a2")]
    forgot = "metro in a1 2024-03-05 08:00"
    assert bill(book, "2024-03-06 06:00", *three, *other, forgot)[2][-1] == "maximum"


def test_trips_of_more_than_four_weeks_ago_are_not_usual(book: FareBook) -> None:
    usual = [line for day in ("01", "02", "03") for line in trip(f"2024-02-{day}", 8)]
    forgot = "metro in a1 2024-03-05 08:00"
    assert bill(book, "2024-03-06 06:00", *usual, forgot)[2] == ["maximum"]


def test_a_completed_trip_counts_toward_the_cap(book: FareBook) -> None:
    usual = [line for day in ("01", "02", "03") for line in trip(f"2024-03-{day}", 8)]
    today = [*trip("2024-03-05", 6), *trip("2024-03-05", 10), "metro in a1 2024-03-05 08:00"]
    assert bill(book, "2024-03-06 06:00", *usual, *today) == (
        1500,
        0,
        ["completed", "cap_day"][::-1],
    )


# same station, re-entry, repeats


@pytest.mark.parametrize(("minutes", "charged"), [(1, 0), (2, 0), (3, 200), (30, 200), (31, 1000)])
def test_in_and_out_at_one_station(book: FareBook, minutes: int, charged: int) -> None:
    lines = ["metro in a1 2024-03-05 08:00", f"metro out a1 2024-03-05 08:{minutes:02}"]
    assert bill(book, "2024-03-06 06:00", *lines)[0] == charged


def test_a_same_station_fare_may_be_set(tmp_path: Path) -> None:
    policies = "network_id,validation,maximum_fare,currency,same_station_fare\n"
    book = town(tmp_path, fare_policies=policies + "metro,tap_on_off,5.00,EUR,0.40\nrail,,,,\n")
    history = rider(book, "metro in a1 2024-03-05 08:00", "metro out a1 2024-03-05 08:10")
    found = statement(history, at(book, "2024-03-06 06:00"))
    assert found.total.minor == 40
    assert found.items[0].rules[0].words() == "In and out at Alder: the same-station fare of €0.40."


def test_a_station_is_one_place_whatever_its_platform(book: FareBook) -> None:
    lines = ["metro in hub-m 2024-03-05 08:00", "metro out hub-b 2024-03-05 08:01"]
    assert bill(book, "2024-03-06 06:00", *lines)[0] == 0


def test_coming_straight_back_in_goes_on_with_the_journey(book: FareBook) -> None:
    first = ["metro in a1 2024-03-05 08:00", "metro out a2 2024-03-05 08:20"]
    back = "metro in a2 2024-03-05 08:30"
    assert bill(book, "2024-03-06 06:00", *first, back, "metro out b1 2024-03-05 08:50")[0] == 300
    # never out again: the ride so far stands, and no maximum fare is charged
    assert bill(book, "2024-03-06 06:00", *first, back) == (200, 0, [])
    # back to where it began: that is a ride of its own
    home = bill(book, "2024-03-06 06:00", *first, back, "metro out a1 2024-03-05 08:50")
    assert home[0] == 400
    # a minute too late
    later = "metro in a2 2024-03-05 08:31"
    assert bill(book, "2024-03-06 06:00", *first, later, "metro out b1 2024-03-05 08:50")[0] == 500


def test_one_passage_seen_twice_is_charged_once(book: FareBook) -> None:
    lines = ["bus in a1 2024-03-05 08:00:00", "bus in a1 2024-03-05 08:00:59"]
    assert bill(book, "2024-03-06 06:00", *lines)[0] == 150
    assert bill(book, "2024-03-06 06:00", lines[0], "bus in a1 2024-03-05 08:01:01")[0] == 300
    assert bill(book, "2024-03-06 06:00", lines[0], "bus in a2 2024-03-05 08:00:59")[0] == 300


def test_leaving_a_network_without_tap_off_is_free(book: FareBook) -> None:
    history = rider(book, "bus in a1 2024-03-05 08:00")
    (_, out) = taps(book, "bus in a1 2024-03-05 08:00", "bus out a2 2024-03-05 08:10")
    charge = price(history, out).charge
    assert charge.amount.minor == 0
    assert charge.words() == "Leaving is free: the ride was paid on the way in."


def test_an_unpriced_ride_is_not_charged(book: FareBook) -> None:
    lines = ["metro in a1 2024-03-05 08:00", "metro out z1 2024-03-05 08:20"]
    assert bill(book, "2024-03-06 06:00", *lines) == (0, 0, [])


# late taps


def settle(history: History, when: datetime) -> int:
    return statement(history, when).total.minor


def test_a_late_exit_turns_a_maximum_fare_into_the_fare_by_an_adjustment(book: FareBook) -> None:
    entry, out = taps(book, "metro in a1 2024-03-05 08:00", "metro out b1 2024-03-05 08:20")
    history = History.of(book).add(entry)
    closed = at(book, "2024-03-07 09:00")
    assert settle(history, closed) == 500
    charge = price(history, out, as_of=closed).charge
    assert charge.amount.minor == -200
    (adjustment,) = charge.adjustments
    assert (adjustment.monday.isoformat(), adjustment.amount.minor) == ("2024-03-04", -200)


def test_a_late_tap_within_three_days_may_raise_the_charge(book: FareBook) -> None:
    first, second = taps(book, "bus in a1 2024-03-05 08:00", "bus in a2 2024-03-05 07:00")
    charge = price(History.of(book).add(first), second, as_of=at(book, "2024-03-07 09:00")).charge
    assert charge.amount.minor == 150


def test_after_three_days_a_tap_gives_money_back_or_nothing(book: FareBook) -> None:
    when = at(book, "2024-03-11 09:00")
    entry, out, bus = taps(
        book,
        "metro in a1 2024-03-05 08:00",
        "metro out b1 2024-03-05 08:20",
        "bus in a1 2024-03-05 18:00",
    )
    late_out, late_bus = replace(out, late=True), replace(bus, late=True)
    history = History.of(book).add(entry)
    refund = price(history, late_out, as_of=when).charge
    assert refund.amount.minor == -200
    more = price(history, late_bus, as_of=when).charge
    assert more.amount.minor == 0
    assert "never raise it" in more.words("en")
    assert "不会增加" in more.words("zh")


def test_late_taps_come_to_the_same_total_in_any_order(book: FareBook) -> None:
    when = at(book, "2024-03-20 09:00")
    entry, out, bus, other = taps(
        book,
        "metro in a1 2024-03-05 08:00",
        "metro out b1 2024-03-05 08:20",
        "bus in a1 2024-03-05 18:00",
        "bus in a2 2024-03-06 18:00",
    )
    late = [replace(out, late=True), replace(bus, late=True), entry, other]
    totals = set()
    for turn in range(4):
        history = History.of(book)
        charged = 0
        for tap in late[turn:] + late[:turn]:
            priced = price(history, tap, as_of=when)
            history, charged = priced.history, charged + priced.charge.amount.minor
        assert charged == settle(history, when)
        totals.add(charged)
    assert totals == {600}  # 3.00 and 1.50 for the late bus are less than the maximum fare of 5.00


def test_a_rider_without_policies_is_held_the_dearest_fare(tmp_path: Path) -> None:
    assert "rail,tap_on_off" in FILES["fare_policies.txt"]
    book = town(tmp_path, fare_policies=None)
    policy = book.rates[0].tables.policy("metro")
    assert (policy.tap_off, policy.maximum_fare) == (True, 300)
    assert not book.rates[0].tables.policy("bus").tap_off
