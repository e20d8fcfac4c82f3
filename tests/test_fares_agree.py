"""The engine and the naive calculator on random days; order, replays and caps.

FACEFARE_TEST_ALL=1 runs ten times as many days.
"""

from __future__ import annotations

import os
import random
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

from ledger.fares.book import FareBook
from ledger.fares.calendars import week_of
from ledger.fares.chain import fares_of
from ledger.fares.engine import price
from ledger.fares.gtfs import import_feed
from ledger.fares.history import History
from ledger.fares.statement import statement
from ledger.fares.taps import Concession, FareTap
from tests.fares_days import (
    OWN,
    STARTS,
    book,
    history_of,
    naive,
    naive_taps,
    random_day,
    random_feed,
    random_weeks,
    with_concessions,
)
from tests.fares_naive import Naive

ALL = os.environ.get("FACEFARE_TEST_ALL") == "1"
DAYS = 200_000 if ALL else 20_000
FEEDS = ("mbta-fares", "transcollines")
NEVER = datetime(2100, 1, 1, tzinfo=UTC)  # long after everything is closed


@pytest.mark.timeout(3600)
@pytest.mark.parametrize("feed", FEEDS)
def test_the_engine_agrees_with_the_naive_calculator_on_random_days(feed: str) -> None:
    rng = random.Random(f"{feed}-days")
    for _ in range(DAYS):
        taps = random_day(feed, rng)
        if not taps:
            continue
        as_of = taps[-1].at + timedelta(seconds=rng.choice((0, 3600, 4 * 86_400)))
        found = statement(history_of(feed, taps), as_of)
        total, held, _ = naive(feed).bill(naive_taps(taps), as_of)
        assert (found.total.minor, found.held.minor) == (total, held), taps


@pytest.mark.parametrize("feed", FEEDS)
def test_the_engine_agrees_on_riders_with_habits_over_weeks(feed: str) -> None:
    rng = random.Random(f"{feed}-weeks")
    completed = 0
    for _ in range(1500 if ALL else 150):
        taps = random_weeks(feed, rng)
        found = statement(history_of(feed, taps), NEVER)
        total, held, _ = naive(feed).bill(naive_taps(taps), NEVER)
        assert (found.total.minor, found.held.minor) == (total, held)
        completed += sum(len(week.completed) for week in found.weeks)
    assert completed > 50  # the riders do forget to tap, and have usual trips


@pytest.mark.parametrize("category", ["reduced", "child"])
@pytest.mark.parametrize("feed", FEEDS)
def test_the_engine_agrees_on_riders_with_a_concession(
    feed: str, category: str, tmp_path: Path
) -> None:
    rng = random.Random(f"{feed}-{category}")
    directory = with_concessions(feed, tmp_path)
    book = FareBook.of(import_feed(directory, STARTS[feed], OWN / feed))
    slow = Naive(directory, OWN / feed, category)
    concessions = (Concession(category, date(2024, 1, 1), date(2030, 1, 1)),)
    loose = 0
    for _ in range(10_000 if ALL else 250):
        taps = random_day(feed, rng)
        as_of = NEVER if rng.random() < 0.7 else taps[-1].at if taps else NEVER
        history = History.of(book, concessions)
        for tap in taps:
            history = history.add(tap)
        found = statement(history, as_of)
        total, held, _ = slow.bill(naive_taps(taps), as_of)
        assert (found.total.minor, found.held.minor) == (total, held), taps
        loose += len(history.ends)
    assert loose > 40


@pytest.mark.parametrize("feed", FEEDS)
def test_splitting_the_legs_into_groups_loses_no_cheaper_way(feed: str) -> None:
    rng = random.Random(f"{feed}-whole")
    for _ in range(300):
        taps = random_day(feed, rng)[:5]
        whole = naive(feed).bill(naive_taps(taps), NEVER, whole=True)
        assert statement(history_of(feed, taps), NEVER).total.minor == whole[0]


def test_the_engine_finds_the_cheapest_way_under_random_rules(tmp_path: Path) -> None:
    rng = random.Random("rules")
    for number in range(1000 if ALL else 120):
        directory = random_feed(tmp_path / str(number), rng)
        book = FareBook.of(import_feed(directory, date(2024, 1, 1)))
        slow = Naive(directory, directory)
        for _ in range(12):
            at = datetime(2024, 3, 5, 6, 0, tzinfo=book.zone)
            taps = []
            for turn in range(rng.randint(2, 5)):
                network = rng.choice(("n1", "n2", "n3"))
                taps.append(FareTap(f"t{turn}", rng.choice(("a1", "b1")), network, "in", at))
                at += timedelta(seconds=rng.choice((300, 900, 1800, 1801, 3600, 5000)))
            history = History.of(book)
            for tap in taps:
                history = history.add(tap)
            expected = slow.bill(naive_taps(taps), NEVER, whole=True)[0]
            assert statement(history, NEVER).total.minor == expected, (number, taps)


@pytest.mark.parametrize("feed", FEEDS)
def test_no_order_of_arrival_changes_the_total(feed: str) -> None:
    rng = random.Random(f"{feed}-order")
    for _ in range(400):
        taps = random_day(feed, rng)
        totals = set()
        for _ in range(4):
            rng.shuffle(taps)
            history = History.of(book(feed))
            charged = 0
            for tap in taps:
                priced = price(history, tap, NEVER)
                history, charged = priced.history, charged + priced.charge.amount.minor
            assert charged == statement(history, NEVER).total.minor
            totals.add(charged)
        assert len(totals) <= 1 or not taps


@pytest.mark.parametrize("feed", FEEDS)
def test_charges_as_taps_arrive_add_up_to_the_statement_once_the_day_is_closed(feed: str) -> None:
    rng = random.Random(f"{feed}-sums")
    for _ in range(400):
        taps = sorted(random_day(feed, rng), key=lambda tap: (tap.at, tap.tap_id))
        history = History.of(book(feed))
        for tap in taps:
            before = statement(history, tap.at)
            priced = price(history, tap)
            after = statement(priced.history, tap.at)
            assert priced.charge.amount == after.total - before.total
            history = priced.history


@pytest.mark.parametrize("feed", FEEDS)
def test_replaying_taps_changes_nothing(feed: str) -> None:
    rng = random.Random(f"{feed}-replay")
    for _ in range(300):
        taps = random_day(feed, rng)
        history = history_of(feed, taps)
        for tap in rng.sample(taps, k=len(taps)):
            priced = price(history, tap, NEVER)
            assert priced.history is history
            assert priced.charge.known
            assert priced.charge.amount.minor == 0


@pytest.mark.parametrize("feed", FEEDS)
def test_taps_added_in_one_go_make_the_history_that_each_alone_makes(feed: str) -> None:
    rng = random.Random(f"{feed}-all")
    for _ in range(1000):
        taps = [replace(tap, late=rng.random() < 0.03) for tap in random_day(feed, rng)]
        known = rng.sample(taps, k=rng.randrange(len(taps) + 1))
        rest = known[:1] + [tap for tap in taps if tap not in known or rng.random() < 0.1]
        history = history_of(feed, known)
        alone = history
        for tap in sorted(rest, key=lambda tap: (tap.at, tap.tap_id)):
            alone = alone.add(tap)
        together = history.add_all(rest)
        assert (together.taps, together.ids) == (alone.taps, alone.ids)
        assert (together.rides, together.ends) == (alone.rides, alone.ends)
        assert (together.on_time is None) == (alone.on_time is None)
        assert statement(together, NEVER) == statement(alone, NEVER)


@pytest.mark.parametrize("feed", FEEDS)
def test_a_total_is_never_above_any_cap_that_covers_it(feed: str) -> None:
    rng = random.Random(f"{feed}-caps")
    reached = 0
    for _ in range(2000):
        history = history_of(feed, random_day(feed, rng))
        for week in statement(history, NEVER).weeks:
            capped = week.fares.total
            reached += bool(week.fares.caps)
            fares = all_fares(history, week.week)
            for cap in history.book.rates[0].tables.caps:
                days = {0} if cap.weekly else {day for day, _, _ in fares}
                for covered in days:
                    rest = sum(
                        a for d, a, caps in fares if cap not in caps or covered not in (0, d)
                    )
                    assert capped <= cap.amount + rest
    assert reached > 20


def all_fares(history: History, week: int) -> list[tuple[int, int, tuple[object, ...]]]:
    """(day, amount, caps) of every fare of a week, from the settled sums and the open fares."""
    if history.last is None:
        return []
    settled = history.last.settled.get(week, {})
    found = [(day, amount, coverage.caps) for (day, coverage), amount in settled.items()]
    for fare in fares_of(history.last.path):
        if week_of(fare.day) == week:
            found.append((fare.day, fare.amount, fare.coverage.caps))
    for visit in history.rides.same_station:
        if week_of(visit.first.day) == week:
            seen = visit.first
            coverage = seen.rates.coverage(seen.category, frozenset((seen.tap.network,)))
            found.append((seen.day, visit.amount, coverage.caps))
    return found
