"""What riders pay: the engine's own bill for the taps they made, and never beyond a limit.

The bill is made from the set of all taps in the order of their times, whatever order they
arrived in, with the feed of each tap's day. What the ledger charged is added up from its
postings alone.
"""

from __future__ import annotations

from collections import defaultdict
from datetime import date, datetime
from typing import Any

from facefare.simulate.city import City
from facefare.simulate.feed import PLACES, Prices, tables
from facefare.simulate.invariants import RuleBroken, rows
from facefare.simulate.truth import Passage, Rider
from ledger.fares.book import FareBook
from ledger.fares.history import History
from ledger.fares.statement import Statement, statement
from ledger.fares.taps import LATE_AFTER, Concession, FareTap
from models.wire.times import parse_utc

_CHARGED = (
    "SELECT account_id, MAX(seq) AS newest, COALESCE(SUM(earned), 0) AS earned, "
    "COALESCE(SUM(held), 0) AS held FROM (SELECT entry.account_id, entry.seq, "
    "CASE WHEN account LIKE 'income:fares:%' THEN -minor END AS earned, "
    "CASE WHEN account = 'liabilities:held' THEN -minor END AS held "
    "FROM entry LEFT JOIN posting ON posting.entry_seq = entry.seq "
    "WHERE kind IN ('ride', 'fare_adjustment', 'day_close') AND entry.account_id IS NOT NULL) "
    "GROUP BY account_id"
)
_RIDES = "SELECT entry_id, recorded_at FROM entry WHERE kind = 'ride' AND account_id = :account"


def check_fares(city: City) -> None:
    """Check every rider whose fares changed since they were last looked at."""
    for row in rows(city, _CHARGED):
        if city.truth.rated.get(row["account_id"]) != row["newest"]:
            city.truth.rated[row["account_id"]] = row["newest"]
            rider = next(r for r in city.truth.riders if r.account == row["account_id"])
            _check_rider(city, rider, row)
    (held,) = rows(
        city,
        "SELECT (SELECT COALESCE(SUM(-minor), 0) FROM posting WHERE account = 'liabilities:held') "
        "AS posted, (SELECT COALESCE(SUM(held_minor), 0) FROM fare_state) AS known",
    )
    if held["posted"] != held["known"]:
        raise RuleBroken(f"{held['posted']} cents are held, and of {held['known']} is known why")


def _check_rider(city: City, rider: Rider, charged: Any) -> None:
    taps = _taps(city, rider)
    bill = _bill(city, rider, taps)
    if charged["earned"] != bill.total.minor:
        raise RuleBroken(
            f"rider {rider.number} was charged {charged['earned']}, "
            f"and the taps come to {bill.total.minor}"
        )
    if charged["held"] != bill.held.minor:
        raise RuleBroken(
            f"{charged['held']} are held for rider {rider.number}, it should be {bill.held.minor}"
        )
    maxima = sum(end.seen.policy.maximum_fare for week in bill.weeks for end in week.maximum)
    limit = limit_of(city, rider, bill) + maxima
    if charged["earned"] > limit:
        raise RuleBroken(f"rider {rider.number} paid {charged['earned']}, the limit is {limit}")
    _count(city, bill, maxima)


def _count(city: City, bill: Statement, maxima: int) -> None:
    happened = city.truth.happened
    happened["limit reached"] += any(week.fares.caps for week in bill.weeks)
    happened["maximum fare charged"] += bool(maxima)
    codes = {rule.code for item in bill.items for rule in item.rules}
    happened["transfer"] += "transfer" in codes
    happened["concession"] += "concession" in codes


def _taps(city: City, rider: Rider) -> list[tuple[Passage, datetime]]:
    """The rider's recorded passages with the times they reached the ledger."""
    return [
        (city.truth.passages[row["entry_id"]], parse_utc(row["recorded_at"]))
        for row in rows(city, _RIDES, account=rider.account)
    ]


def _bill(city: City, rider: Rider, taps: list[tuple[Passage, datetime]]) -> Statement:
    book = FareBook.of(*(tables(prices, since) for prices, since in city.truth.feeds))
    concessions: tuple[Concession, ...] = ()
    if rider.category != "adult":
        concessions = (Concession(rider.category, date(2026, 3, 28), date(2027, 3, 27)),)
    history = History.of(book, concessions)
    for passage, received in sorted(taps, key=lambda one: (one[0].tap.at, one[0].tap_id)):
        history = history.add(_fare_tap(passage, received))
    (state,) = rows(
        city, "SELECT as_of FROM fare_state WHERE account_id = :account", account=rider.account
    )
    as_of = parse_utc(state["as_of"])
    if as_of > city.newest:
        raise RuleBroken(f"the fares of rider {rider.number} stand in the future")
    return statement(history, as_of)


def _fare_tap(passage: Passage, received: datetime) -> FareTap:
    tap = passage.tap
    place = next(p for p in PLACES if p.station == tap.station)
    late = received - tap.moment > LATE_AFTER
    return FareTap(tap.tap_id, place.stop, place.network, tap.direction, tap.moment, late)


def limit_of(city: City, rider: Rider, bill: Statement) -> int:
    """What limits leave of the fares: counted here by calendar, feed by feed.

    Each day counts by itself, so that a day above its limit does not hide in a cheap week.
    """
    half = 2 if rider.category == "child" else 1
    weeks: dict[tuple[int, Prices], int] = defaultdict(int)
    for day, fares in _fares_by_day(bill).items():
        prices = next(p for p, since in reversed(city.truth.feeds) if since <= day)
        weeks[day.toordinal() - day.weekday(), prices] += min(fares, prices.day // half)
    return sum(min(days, prices.week // half) for (_, prices), days in weeks.items())


def _fares_by_day(bill: Statement) -> dict[date, int]:
    """What the rides of each service day cost before limits, with trips that were made complete."""
    fares: dict[date, int] = defaultdict(int)
    for item in bill.items:
        fares[item.day] += item.amount.minor
    for week in bill.weeks:
        for trip in week.completed:
            fares[date.fromordinal(trip.end.seen.day)] += trip.option.price
    return fares


def check_nothing_held(city: City) -> None:
    """Once every service day has closed, nothing is held for a journey any more."""
    held = sum(-row["minor"] for row in rows(
        city, "SELECT minor FROM posting WHERE account = 'liabilities:held'"
    ))  # fmt: skip
    if held:
        raise RuleBroken(f"every day has closed, and {held} cents are still held")
