"""Clocks: service days, the days the clocks change, leap days, and gates whose clocks differ."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from ledger.fares.book import FareBook
from ledger.fares.calendars import day_starts, monday_of, service_day, week_of
from ledger.fares.engine import price
from ledger.fares.gtfs import import_feed
from ledger.fares.history import History
from ledger.fares.statement import statement
from ledger.fares.taps import FareTap
from tests.fares_days import book as real_book
from tests.fares_feed import FILES, START, at, rider, taps, town, write_feed

ZONES = [ZoneInfo(name) for name in ("America/Toronto", "Europe/Berlin", "Asia/Shanghai")]


@pytest.fixture
def book(tmp_path: Path) -> FareBook:
    return town(tmp_path)


def total(book: FareBook, *lines: str) -> int:
    history = rider(book, *lines)
    return statement(history, history.taps[-1].at + timedelta(days=3)).total.minor


@pytest.mark.parametrize("zone", ZONES, ids=str)
def test_service_days_follow_each_other_without_gap_at_half_past_four(zone: ZoneInfo) -> None:
    first = date(2023, 12, 25).toordinal()
    starts = [day_starts(day, zone) for day in range(first, first + 450)]
    for day, (start, following) in enumerate(pairwise(starts), first):
        assert start.astimezone(zone).strftime("%H:%M") == "04:30"
        assert service_day(start, zone) == day
        assert service_day(following - timedelta(microseconds=1), zone) == day
        assert following - start in {timedelta(hours=n) for n in (23, 24, 25)}


def test_the_day_the_clocks_go_forward_has_23_hours_and_back_25() -> None:
    zone = ZoneInfo("Europe/Berlin")
    for day, hours in ((date(2024, 3, 30), 23), (date(2024, 10, 26), 25), (date(2024, 5, 1), 24)):
        start, end = (day_starts(day.toordinal() + n, zone) for n in (0, 1))
        assert end - start == timedelta(hours=hours)


def test_weeks_begin_on_monday_also_around_leap_days_and_new_year() -> None:
    for text, monday in (
        ("2024-02-29", "2024-02-26"),
        ("2024-03-03", "2024-02-26"),
        ("2024-03-04", "2024-03-04"),
        ("2024-12-31", "2024-12-30"),
        ("2025-01-05", "2024-12-30"),
    ):
        week = week_of(date.fromisoformat(text).toordinal())
        assert monday_of(week).isoformat() == monday


def test_the_cap_of_a_day_runs_from_half_past_four_to_half_past_four(book: FareBook) -> None:
    night = [f"bus in b1 2024-03-05 {t}" for t in ("22:00", "23:30")]
    after = [f"bus in b1 2024-03-06 {t}" for t in ("00:10", "04:29:59")]
    assert total(book, *night, *after) == 300
    assert total(book, *night, after[0], "bus in b1 2024-03-06 04:30:00") == 450


def test_a_journey_over_half_past_four_belongs_to_the_day_it_began(book: FareBook) -> None:
    lines = ["metro in a1 2024-03-06 04:20", "metro out b1 2024-03-06 04:50"]
    (item,) = statement(rider(book, *lines), at(book, "2024-03-08 00:00")).items
    assert item.day.isoformat() == "2024-03-05"
    assert item.amount.minor == 300


def test_a_week_closes_at_half_past_four_on_monday(book: FareBook) -> None:
    found = statement(
        rider(book, "bus in b1 2024-03-11 04:29", "bus in b1 2024-03-11 04:31"),
        at(book, "2024-03-14 00:00"),
    )
    assert [week.total for week in found.weeks] == [150, 150]


def test_when_the_clocks_go_forward_a_transfer_hour_is_sixty_minutes(book: FareBook) -> None:
    # 31 March 2024: 02:00 becomes 03:00. 01:50 to 03:49 are 59 minutes.
    ride = ["metro in a1 2024-03-31 01:50", "metro out b1 2024-03-31 01:58"]
    assert total(book, *ride, "bus in b1 2024-03-31 03:50") == 300
    assert total(book, *ride, "bus in b1 2024-03-31 03:51") == 450


def test_when_the_clocks_go_back_a_transfer_hour_is_sixty_minutes(book: FareBook) -> None:
    # 27 October 2024: at 01:00Z 03:00 becomes 02:00, so 02:30 comes twice, at 00:30Z and 01:30Z.
    ride = ["metro in a1 2024-10-27 00:30Z", "metro out b1 2024-10-27 00:40Z"]
    assert total(book, *ride, "bus in b1 2024-10-27 01:30Z") == 300
    assert total(book, *ride, "bus in b1 2024-10-27 01:31Z") == 450


def test_the_order_of_taps_in_the_doubled_hour_is_the_order_of_the_moments(book: FareBook) -> None:
    lines = ["metro in a1 2024-10-27 00:55Z", "metro out b1 2024-10-27 01:05Z"]
    # by the clock on the wall out at 02:05 comes before in at 02:55
    assert total(book, *lines) == 300


def test_a_tap_given_in_local_time_is_the_same_tap(book: FareBook) -> None:
    zone = book.zone
    local = datetime(2024, 10, 27, 2, 30, fold=1, tzinfo=zone)
    assert FareTap("t", "a1", "bus", "in", local).at == datetime(2024, 10, 27, 1, 30, tzinfo=UTC)
    with pytest.raises(ValueError, match="needs a zone"):
        FareTap("t", "a1", "bus", "in", datetime(2024, 10, 27, 2, 30))  # noqa: DTZ001


def test_a_held_fare_is_held_through_the_long_night(book: FareBook) -> None:
    history = rider(book, "metro in a1 2024-10-26 23:00")
    assert statement(history, at(book, "2024-10-27 03:29Z")).held.minor == 500
    assert statement(history, at(book, "2024-10-27 03:30Z")).total.minor == 500


def test_a_leap_day_is_a_day_like_any_other(book: FareBook) -> None:
    buses = [f"bus in b1 2024-02-29 {hour:02}:00" for hour in (8, 12, 16)]
    assert total(book, *buses) == 300
    assert total(book, *buses, "bus in b1 2024-03-01 03:00") == 300
    assert total(book, *buses, "bus in b1 2024-03-01 05:00") == 450


def test_midnight_is_nothing_special_for_a_journey(book: FareBook) -> None:
    assert total(book, "metro in a1 2024-03-05 23:50", "metro out b1 2024-03-06 00:20") == 300


# gates whose clocks differ


@pytest.mark.parametrize("minutes", range(-10, 11))
def test_an_exit_gate_ten_minutes_off_changes_no_fare(book: FareBook, minutes: int) -> None:
    for ride in (4, 8, 25):
        entry, out = taps(book, "metro in a1 2024-03-05 08:00", "metro out b1 2024-03-05 08:00")
        out = FareTap("t1", out.stop, "metro", "out", entry.at + timedelta(minutes=ride + minutes))
        for order in ((entry, out), (out, entry)):
            history = History.of(book).add(order[0]).add(order[1])
            later = entry.at + timedelta(days=3)
            assert statement(history, later).total.minor == 300


@pytest.mark.parametrize("minutes", range(-10, 11))
def test_a_station_gate_ten_minutes_off_changes_no_fare_of_two_rides(
    book: FareBook, minutes: int
) -> None:
    # out at b1 (whose exit gate's clock is off) and in again at b1, then on to a2
    start = at(book, "2024-03-05 08:00")
    moments = (0, 20 + minutes, 31, 50)
    stops = ("a1", "b1", "b1", "a2")
    ways = ("in", "out", "in", "out")
    history = History.of(book)
    for number, (stop, way, minute) in enumerate(zip(stops, ways, moments, strict=True)):
        direction = "in" if way == "in" else "out"
        when = start + timedelta(minutes=minute)
        history = history.add(FareTap(f"t{number}", stop, "metro", direction, when))
    found = statement(history, start + timedelta(days=3)).total.minor
    # one journey where the way back in is within the re-entry window, else two of 3.00
    gap = 11 - minutes
    assert found == (200 if 0 <= gap <= 10 else 600)


def test_taps_in_the_wrong_order_stay_put_where_they_close_another_ride(book: FareBook) -> None:
    # out at b1 belongs to nothing; in at a1 is closed by the later exit
    lines = [
        "metro out b1 2024-03-05 08:00",
        "metro in a1 2024-03-05 08:05",
        "metro out a2 2024-03-05 08:25",
    ]
    assert total(book, *lines) == 500 + 200


def test_an_exit_long_before_an_entry_is_not_its_exit(book: FareBook) -> None:
    lines = ["metro out b1 2024-03-05 08:00", "metro in a1 2024-03-05 08:10:01"]
    assert total(book, *lines) == 1000


def test_the_rider_is_told_that_the_clocks_differ(book: FareBook) -> None:
    out, entry = taps(book, "metro out b1 2024-03-05 08:00", "metro in a1 2024-03-05 08:05")
    charge = price(History.of(book).add(out), entry).charge
    assert charge.amount.minor == 300
    assert charge.held.minor == 0
    assert "put in the right order" in charge.words("en")


# two feeds


def test_a_new_feed_prices_from_half_past_four_of_its_day_and_the_old_one_before(
    tmp_path: Path,
) -> None:
    dearer = FILES["fare_products.txt"].replace("1.50,EUR", "1.80,EUR")
    old = import_feed(write_feed(tmp_path / "old"), START)
    new = import_feed(write_feed(tmp_path / "new", fare_products=dearer), date(2024, 7, 1))
    book = FareBook.of(new, old)
    assert total(book, "bus in a1 2024-07-01 04:29") == 150
    assert total(book, "bus in a1 2024-07-01 04:30") == 180
    # however late the tap arrives
    late = rider(book, "bus in a1 2024-07-03 12:00", "bus in a1 2024-06-30 12:00")
    assert statement(late, at(book, "2024-07-09 00:00")).total.minor == 330
    # a transfer does not cross from one feed into the other, a cap of both does
    ride = ["metro in a1 2024-07-01 04:00", "metro out b1 2024-07-01 04:20"]
    assert total(book, *ride, "bus in b1 2024-07-01 04:35") == 480
    week = [f"bus in a1 2024-07-0{day} {hour:02}:00" for day in range(1, 8) for hour in (8, 10, 12)]
    assert total(book, *week) == 7 * 300 - 100


def test_the_zone_with_an_old_name_is_known() -> None:
    assert real_book("transcollines").zone.key == "America/Montreal"
