"""Fares in the ledger, end to end: signed taps over HTTP come to what the engine says.

On SQLite and on PostgreSQL, over the two real feeds. FACEFARE_TEST_ALL=1 takes more days.
"""

from __future__ import annotations

import json
import os
import random
import threading
import time as time_module
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from uuid import uuid4

import pytest
from click.testing import CliRunner
from sqlmodel import col, select

from bench.postgres import Postgres
from ledger.accounts import balance
from ledger.adjustments import SUSPENSE, dispute_credit, settle_dispute
from ledger.answers import Accepted
from ledger.categories import change_category
from ledger.charge import charge_taps
from ledger.checkpoints import publish
from ledger.cli import ledger as ledger_command
from ledger.closing import Timer, close_days
from ledger.console.queries import trial_balance
from ledger.erasure import erase_account
from ledger.fares.taps import FareTap
from ledger.given_back import FARES, charge_of
from ledger.histories import Riders
from ledger.holds import hold, open_holds
from ledger.kept import CheckpointFile
from ledger.once import EntryRefused, Recorded
from ledger.refunds import refund
from ledger.sequencer import sequence
from ledger.store import LOG_LOCK, LogWriter
from ledger.topups import top_up
from ledger.verify import LogBroken, verify
from models.database import is_postgres, reading, sequencing, sharing, writing
from models.money import Money
from models.tables.ledger import DayCloseRow, EntryRow, TapRow
from tests.fares_city import City, engine_says, make_city, numbered
from tests.fares_days import book, random_day, random_weeks
from tests.postgres import a_server, make_postgres_town
from tests.town import ORIGIN, Town, make_town

ALL = os.environ.get("FACEFARE_TEST_ALL") == "1"
DAYS = 400 if ALL else 30
FEEDS = ("mbta-fares", "transcollines")
MBTA, COLLINES = FEEDS
TUESDAY = date(2024, 10, 1)

CityMaker = Callable[[str], City]


@pytest.fixture(scope="module")
def server() -> Iterator[Postgres]:
    yield from a_server()


@pytest.fixture(params=["sqlite", "postgresql"])
def city_of(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[CityMaker]:
    made: list[City] = []

    def make(path: Path, change: Callable[[str], str]) -> Town:
        if request.param == "sqlite":
            return make_town(path, change)
        return make_postgres_town(path, request.getfixturevalue("server"), change)

    def city(feed: str) -> City:
        made.append(make_city(tmp_path / f"{len(made)}", feed, make))
        return made[-1]

    yield city
    for each in made:
        each.close()


def at(feed: str, day: date, text: str) -> datetime:
    """The moment of ``text`` (HH:MM) by the feed's clock."""
    local = datetime.combine(day, time.fromisoformat(text), book(feed).zone)
    return local.astimezone(UTC)


def tap(feed: str, network: str, direction: str, stop: str, day: date, text: str) -> FareTap:
    way = "in" if direction == "in" else "out"
    (made,) = numbered([FareTap("", stop, network, way, at(feed, day, text))])
    return made


def close(city: City) -> None:
    close_days(city.town.ledger)
    if is_postgres(city.town.ledger.engine):
        sequence(city.town.ledger)


def check_log(city: City) -> None:
    """The whole log verifies, and every account's balance is what its postings say."""
    publish(city.town.ledger)
    ledger = city.town.ledger
    note = CheckpointFile(city.town.data.checkpoint_file).read()
    report = verify(ledger.engine, ORIGIN, ledger.log_key.public_key(), note, ledger.vault)
    assert (report.not_excluded, report.unproved) == ((), 0)


def test_a_transfer_is_charged_once_and_says_so(city_of: CityMaker) -> None:
    city = city_of(MBTA)
    rider = city.account()
    subway = tap(MBTA, "rapid_transit", "in", "70061", TUESDAY, "08:00")
    bus = tap(MBTA, "local_bus", "in", "1", TUESDAY, "08:59")
    first, second = city.ride(rider, subway, bus)
    assert (first["charge"]["amount"]["minor"], second["charge"]["amount"]["minor"]) == (240, 0)
    assert second["charge"]["rule"] == "transfer"
    assert "the journey so far costs $2.40 together" in second["charge"]["words"]
    entry = json.loads(city.entries(rider)[1].body)
    assert entry["rule"]["words"] == second["charge"]["words"]
    assert entry["rule"]["rows"][0].startswith("fare_transfer_rules.txt:")
    assert entry["rule"]["feed"] == book_hash(city)
    assert city.charged(rider) == 240
    check_log(city)


def book_hash(city: City) -> str:
    with reading(city.town.ledger.engine) as session:
        return city.town.ledger.fares.book(session).rates[-1].tables.sha256[:16]


def test_a_day_of_buses_stops_at_the_cap(city_of: CityMaker) -> None:
    city = city_of(MBTA)
    rider = city.account()
    rides = [
        tap(MBTA, "local_bus", "in", "1", TUESDAY, f"{hour:02}:00") for hour in (6, 9, 12, 15, 18)
    ]
    answers = city.ride(rider, *rides)
    assert [a["charge"]["amount"]["minor"] for a in answers] == [170, 170, 170, 170, 40]
    assert "Daily limit reached" in answers[-1]["charge"]["words"]


def test_what_may_be_needed_is_held_and_comes_back_at_the_tap_out(city_of: CityMaker) -> None:
    city = city_of(MBTA)
    rider = city.account()
    enter = tap(MBTA, "commuter_rail", "in", "NEC-2287-01", TUESDAY, "08:00")
    leave = tap(MBTA, "commuter_rail", "out", "NEC-1851-01", TUESDAY, "09:00")
    (entered,) = city.ride(rider, enter)
    assert entered["charge"]["amount"]["minor"] == 0
    assert "up to $13.25 is held until then" in entered["charge"]["words"]
    assert (city.charged(rider), city.held(rider)) == (0, 1325)
    (left,) = city.ride(rider, leave)
    says = engine_says(city, [(enter, enter.at), (leave, leave.at)])
    assert left["charge"]["amount"]["minor"] == says.total.minor > 0
    assert (city.charged(rider), city.held(rider)) == (says.total.minor, 0)
    check_log(city)


def test_a_fare_that_waits_for_its_number_is_said_and_no_difference(city_of: CityMaker) -> None:
    city = city_of(MBTA)
    rider, ledger = city.account(), city.town.ledger
    enter = tap(MBTA, "commuter_rail", "in", "NEC-2287-01", TUESDAY, "08:00")
    gate, signed = city.sign(rider, enter)
    city.town.clock.now = enter.at
    charge_taps(ledger, gate.name, [signed], lambda name: gate.registered)
    publish(ledger)
    note, key = CheckpointFile(city.town.data.checkpoint_file).read(), ledger.log_key.public_key()
    gaps = verify(ledger.engine, ORIGIN, key, note, ledger.vault, kept=note).not_excluded
    waits = [gap for gap in gaps if gap.startswith("what entries in the inbox say (1)")]
    assert len(waits) == is_postgres(ledger.engine)
    sequence(ledger)
    check_log(city)
    assert city.held(rider) == 1325


def test_an_adjustment_that_waits_for_its_number_is_no_difference(
    city_of: CityMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    city = city_of(MBTA)
    rider, ledger = city.account(), city.town.ledger
    city.ride(rider, tap(MBTA, "commuter_rail", "in", "NEC-2287-01", TUESDAY, "10:00"))
    city.town.clock.now = at(MBTA, TUESDAY + timedelta(days=1), "09:00")
    close(city)
    gate, signed = city.sign(
        rider, tap(MBTA, "commuter_rail", "out", "NEC-1851-01", TUESDAY, "11:00")
    )
    (answer,) = charge_taps(ledger, gate.name, [signed], lambda name: gate.registered)
    assert isinstance(answer, Accepted) and answer.charge.amount.minor < 0
    if is_postgres(ledger.engine):
        monkeypatch.setattr("ledger.store.TAKE_MAX", 1)
        with sequencing(ledger.engine, LOG_LOCK) as session:
            assert session is not None
            assert LogWriter(session, ledger.clock(), 1).taken == 1
    verify(ledger.engine, ORIGIN, ledger.log_key.public_key(), vault=ledger.vault)
    sequence(ledger)
    check_log(city)


def test_a_journey_without_its_other_tap_is_charged_when_its_day_closes(
    city_of: CityMaker,
) -> None:
    city = city_of(MBTA)
    rider = city.account()
    city.ride(rider, tap(MBTA, "commuter_rail", "in", "NEC-2287-01", TUESDAY, "08:00"))
    city.town.clock.now = at(MBTA, TUESDAY + timedelta(days=1), "04:29")
    close(city)
    assert (city.charged(rider), city.held(rider)) == (0, 1325)
    city.town.clock.now = at(MBTA, TUESDAY + timedelta(days=1), "04:30")
    close(city)
    close(city)
    assert (city.charged(rider), city.held(rider)) == (1325, 0)
    last = city.entries(rider)[-1]
    assert (last.kind, last.amount_minor, last.rule) == ("day_close", 1325, "maximum")
    assert "The other tap of the journey at" in json.loads(last.body)["rule"]["words"]
    check_log(city)


def test_the_next_tap_closes_what_nobody_closed_before(city_of: CityMaker) -> None:
    city = city_of(MBTA)
    rider = city.account()
    city.ride(rider, tap(MBTA, "commuter_rail", "in", "NEC-2287-01", TUESDAY, "08:00"))
    bus = tap(MBTA, "local_bus", "in", "1", TUESDAY + timedelta(days=1), "12:00")
    (answer,) = city.ride(rider, bus)
    assert answer["charge"]["amount"]["minor"] == 170
    assert [entry.kind for entry in city.entries(rider)] == ["ride", "day_close", "ride"]
    assert city.charged(rider) == 1325 + 170


def test_a_usual_trip_is_taken_for_the_missing_tap_and_the_receipt_says_so(
    city_of: CityMaker,
) -> None:
    city = city_of(MBTA)
    rider = city.account()
    trips = []
    for days in range(4):
        day = TUESDAY + timedelta(days=days)
        trips.append(tap(MBTA, "commuter_rail", "in", "NEC-2287-01", day, "08:00"))
        trips.append(tap(MBTA, "commuter_rail", "out", "NEC-1851-01", day, "09:00"))
    forgot = trips.pop()
    answers = city.ride(rider, *trips)
    usual = answers[1]["charge"]["amount"]["minor"]
    city.town.clock.now = forgot.at + timedelta(days=1)
    close(city)
    assert (city.charged(rider), city.held(rider)) == (4 * usual, 0)
    last = json.loads(city.entries(rider)[-1].body)
    assert last["rule"]["code"] == "completed"
    assert "we took your usual trip" in last["rule"]["words"]
    check_log(city)


def test_a_tap_from_an_offline_gate_rates_the_rides_after_it_again(city_of: CityMaker) -> None:
    city = city_of(MBTA)
    rider = city.account()
    subway = tap(MBTA, "rapid_transit", "in", "70061", TUESDAY, "08:00")
    bus = tap(MBTA, "local_bus", "in", "1", TUESDAY, "08:59")
    enter = tap(MBTA, "commuter_rail", "in", "NEC-2287-01", TUESDAY, "10:00")
    leave = tap(MBTA, "commuter_rail", "out", "NEC-1851-01", TUESDAY, "11:00")
    city.ride(rider, bus, enter)
    assert city.charged(rider) == 170
    city.town.clock.now = at(MBTA, TUESDAY + timedelta(days=1), "09:00")
    close(city)
    assert city.charged(rider) == 170 + 1325
    (answer,) = city.ride(rider, leave)
    assert answer["charge"]["amount"]["minor"] < 0
    (joined,) = city.ride(rider, subway)
    # both cost 2.40 together: the bus, charged 1.70, was a transfer
    assert joined["charge"]["amount"]["minor"] == 70
    arrived = [(t, t.at) for t in (bus, subway, enter, leave)]
    assert city.charged(rider) == engine_says(city, arrived).total.minor
    kinds = [entry.kind for entry in city.entries(rider)]
    assert kinds == ["ride", "ride", "day_close", "ride", "fare_adjustment", "ride"]
    given_back = json.loads(city.entries(rider)[4].body)
    assert given_back["cause"] == leave.tap_id
    assert "worked out again" in given_back["rule"]["words"]
    check_log(city)
    with writing(city.town.ledger.engine) as session:
        told = session.get_one(TapRow, leave.tap_id)
        told.answer = told.answer.replace(str(answer["charge"]["amount"]["minor"]), "-1")
    with pytest.raises(LogBroken, match="minor units off what it charged") as caught:
        check_log(city)
    assert caught.value.index == 3


def test_refunds_never_exceed_what_the_rides_cost_after_corrections(tmp_path: Path) -> None:
    """Every charge is refunded in full after late taps made some fares cheaper."""
    rng, refused, kinds = random.Random("refunds"), 0, set()
    city = make_city(tmp_path / "data", MBTA)
    riders = {city.account(): numbered(random_weeks(MBTA, rng)[:30]) for _ in range(6)}
    for when, rider, one in sorted(in_some_order(riders, rng), key=lambda sent: sent[0]):
        city.town.clock.now = max(city.town.clock.now, when)
        gate, signed = city.sign(rider, one)
        city.send(gate, signed)
    city.town.clock.forward(9 * 86_400)
    close(city)
    for rider in riders:
        cost, given = city.charged(rider), 0
        for entry in charges_of(city, rider):
            amount = Money(charge_of(entry), "USD")
            kinds.add(entry.kind)
            try:
                refund(city.town.ledger, entry.entry_id, amount, "disruption", str(uuid4()), "ada")
            except EntryRefused as error:
                assert "cannot be given back: after caps and corrections" in str(error)
                refused += 1
            else:
                given += amount.minor
        assert given <= cost
    assert refused > 0  # else nothing was corrected, and this test shows nothing
    assert kinds == {"ride", "day_close"}
    check_log(city)


def charges_of(city: City, rider: str) -> list[EntryRow]:
    """The entries that charged the rider something: a tap's, a day's that closed, a correction."""
    with reading(city.town.ledger.engine) as session:
        mine = select(EntryRow).where(EntryRow.account_id == rider, col(EntryRow.kind).in_(FARES))
        return [entry for entry in session.exec(mine) if charge_of(entry)]


def closed_journey(city: City) -> tuple[str, str, EntryRow]:
    """A rider without the other tap: the account, the tap in, and what charged the maximum."""
    rider = city.account()
    enter = tap(MBTA, "commuter_rail", "in", "NEC-2287-01", TUESDAY, "08:00")
    city.ride(rider, enter)
    city.town.clock.now = at(MBTA, TUESDAY + timedelta(days=8), "12:00")  # nobody closed it before
    close(city)
    (closing,) = charges_of(city, rider)
    assert (closing.kind, charge_of(closing)) == ("day_close", 1325)
    return rider, enter.tap_id, closing


def test_a_maximum_fare_is_given_back_where_it_was_charged_and_never_twice(
    city_of: CityMaker,
) -> None:
    city = city_of(MBTA)
    rider, entered, closing = closed_journey(city)

    def give_back(about: str, minor: int) -> Recorded | str:
        amount = Money(minor, "USD")
        try:
            return refund(city.town.ledger, about, amount, "wrong_charge", str(uuid4()), "ada")
        except EntryRefused as error:
            return str(error)

    assert "give back the entry that was" in str(give_back(entered, 1325))
    assert "of the ride's charge $13.25 is left" in str(give_back(closing.entry_id, 1326))
    with ThreadPoolExecutor(4) as at_once:
        answers = list(at_once.map(lambda _: give_back(closing.entry_id, 1325), range(4)))
    assert sum(isinstance(answer, Recorded) for answer in answers) == 1
    assert "of the ride's charge $0.00 is left" in str(give_back(closing.entry_id, 1))
    assert (city.charged(rider), balance(city.town.ledger, rider).minor) == (0, 0)
    check_log(city)


def test_a_maximum_fare_is_disputed_and_settled(city_of: CityMaker) -> None:
    city = city_of(MBTA)
    ledger = city.town.ledger
    rider, _, closing = closed_journey(city)
    for upheld in (False, True):
        credit_id = str(uuid4())
        dispute_credit(ledger, closing.entry_id, Money(1325, "USD"), credit_id, "ada")
        assert balance(ledger, rider).minor == 0
        if upheld:
            erase_account(ledger, rider)
        settle_dispute(ledger, credit_id, upheld=upheld, made_by="ada")
    assert sums(city)["income:fares:commuter_rail"] == sums(city)[SUSPENSE] == 0
    with pytest.raises(EntryRefused, match="erased"):
        refund(ledger, closing.entry_id, Money(1, "USD"), "disruption", str(uuid4()), "ada")
    check_log(city)


def sums(city: City) -> dict[str, int]:
    with reading(city.town.ledger.engine) as session:
        return {line.account: line.total.minor for line in trial_balance(session)}


def test_a_fare_that_another_weeks_tap_added_is_given_back_where_it_was_charged(
    tmp_path: Path,
) -> None:
    """A journey over Monday's half past four: its tap out charges the week before."""
    city = make_city(tmp_path / "data", MBTA)
    rider, monday = city.account(), TUESDAY + timedelta(days=6)
    enter = tap(MBTA, "commuter_rail", "in", "NEC-2287-01", monday, "04:20")
    city.ride(rider, enter, tap(MBTA, "commuter_rail", "out", "NEC-1851-01", monday, "05:10"))
    (added,) = charges_of(city, rider)
    assert (added.kind, charge_of(added)) == ("fare_adjustment", 1225)
    about, whole = added.entry_id, Money(1225, "USD")
    refund(city.town.ledger, about, whole, "disruption", str(uuid4()), "ada")
    with pytest.raises(EntryRefused, match=r"of the ride's charge \$0\.00 is left"):
        refund(city.town.ledger, about, whole, "goodwill", str(uuid4()), "ada")
    assert (city.charged(rider), balance(city.town.ledger, rider).minor) == (0, 0)
    check_log(city)
    city.close()


def test_after_three_days_a_tap_only_gives_back(city_of: CityMaker) -> None:
    city = city_of(MBTA)
    rider = city.account()
    enter = tap(MBTA, "commuter_rail", "in", "NEC-2287-01", TUESDAY, "08:00")
    leave = tap(MBTA, "commuter_rail", "out", "FR-0064-01", TUESDAY, "09:00")
    bus = tap(MBTA, "local_bus", "in", "1", TUESDAY, "18:00")
    city.ride(rider, enter)
    city.town.clock.now = TUESDAY_LATER
    close(city)
    before = city.charged(rider)
    (dearer,) = city.ride(rider, bus)
    assert dearer["charge"]["amount"]["minor"] == 0
    assert "never raise it" in dearer["charge"]["words"]
    (cheaper,) = city.ride(rider, leave)
    assert cheaper["charge"]["amount"]["minor"] < 0
    assert city.charged(rider) < before
    arrived = [(enter, enter.at), (bus, TUESDAY_LATER), (leave, TUESDAY_LATER)]
    assert city.charged(rider) == engine_says(city, arrived).total.minor
    check_log(city)


TUESDAY_LATER = datetime(2024, 10, 6, 12, 0, tzinfo=UTC)


@pytest.mark.parametrize("day", [date(2024, 11, 2), date(2025, 3, 8)])
def test_a_day_closes_at_half_past_four_also_when_the_clocks_change(
    city_of: CityMaker, day: date
) -> None:
    city = city_of(MBTA)
    rider = city.account()
    city.ride(rider, tap(MBTA, "commuter_rail", "in", "NEC-2287-01", day, "20:00"))
    half_past_four = at(MBTA, day + timedelta(days=1), "04:30")
    assert half_past_four - at(MBTA, day, "04:30") != timedelta(hours=24)
    for moment, charged in ((half_past_four - timedelta(seconds=1), 0), (half_past_four, 1325)):
        city.town.clock.now = moment
        close(city)
        assert city.charged(rider) == charged


def test_a_cap_counts_rides_from_half_past_four_to_half_past_four(city_of: CityMaker) -> None:
    city = city_of(MBTA)
    rider, after = city.account(), TUESDAY + timedelta(days=1)
    hours = ("06:00", "09:00", "12:00", "15:00", "18:00")
    buses = [tap(MBTA, "local_bus", "in", "1", TUESDAY, hour) for hour in hours]
    night = tap(MBTA, "local_bus", "in", "10", after, "04:29")
    morning = tap(MBTA, "local_bus", "in", "1", after, "04:31")
    amounts = [a["charge"]["amount"]["minor"] for a in city.ride(rider, *buses, night, morning)]
    assert amounts == [170, 170, 170, 170, 40, 0, 170]


@pytest.mark.parametrize("minutes", [-10, 10])
def test_gates_whose_clocks_differ_by_ten_minutes_make_one_journey(
    city_of: CityMaker, minutes: int
) -> None:
    city = city_of(MBTA)
    rider = city.account()
    enter = tap(MBTA, "commuter_rail", "in", "NEC-2287-01", TUESDAY, "08:00")
    leave = tap(MBTA, "commuter_rail", "out", "FR-0064-01", TUESDAY, "08:05")
    # the ride took five minutes; one gate's clock is ten off
    (skewed,) = numbered([replace(leave, at=leave.at + timedelta(minutes=minutes))])
    city.ride(rider, enter, skewed)
    city.town.clock.now = at(MBTA, TUESDAY + timedelta(days=1), "12:00")
    close(city)
    assert (city.charged(rider), city.held(rider)) == (650, 0)


def test_two_gates_at_once_charge_a_rider_what_the_engine_says(city_of: CityMaker) -> None:
    city = city_of(MBTA)
    rider = city.account()
    city.town.clock.now = at(MBTA, TUESDAY, "20:00")
    hours = [f"{hour:02}:{minute:02}" for hour in range(6, 18) for minute in (0, 30)]
    taps = [
        tap(MBTA, network, "in", stop, TUESDAY, hour)
        for hour in hours
        for network, stop in (("rapid_transit", "70061"), ("local_bus", "1"))
    ]
    signed = [city.sign(rider, one) for one in taps]
    statuses: list[str] = []

    def send(which: int) -> None:
        for gate, one in signed[which::2]:
            statuses.extend(answer["status"] for answer in city.send(gate, one))

    threads = [threading.Thread(target=send, args=(which,)) for which in (0, 1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert statuses == ["accepted"] * len(taps)
    close(city)
    says = engine_says(city, [(one, city.town.clock()) for one in taps])
    assert city.charged(rider) == says.total.minor == 720  # the day's cap
    check_log(city)


def test_a_server_that_remembers_another_state_reads_the_rider_anew(city_of: CityMaker) -> None:
    city = city_of(MBTA)
    rider = city.account()
    first = tap(MBTA, "rapid_transit", "in", "70061", TUESDAY, "08:00")
    second = tap(MBTA, "rapid_transit", "in", "70061", TUESDAY, "08:10")
    bus = tap(MBTA, "local_bus", "in", "1", TUESDAY, "08:40")
    city.ride(rider, first)
    other = city.reopened()
    other.ride(rider, second)
    (answer,) = city.ride(rider, bus)  # a transfer from a tap this server has not seen
    other.town.ledger.engine.dispose()
    says = engine_says(city, [(one, one.at) for one in (first, second, bus)])
    assert city.charged(rider) == says.total.minor
    assert answer["charge"]["rule"] == "transfer"


def test_a_rider_who_meets_another_server_at_every_tap_is_charged_what_the_engine_says(
    city_of: CityMaker,
) -> None:
    city = city_of(MBTA)
    rider, rng = city.account(), random.Random(3)
    taps = numbered([t for _ in range(6) for t in random_day(MBTA, rng)])
    servers = [city, city.reopened()]
    arrived: list[tuple[FareTap, datetime]] = []
    rng.shuffle(taps)
    city.town.clock.now = max(one.at for one in taps) + timedelta(minutes=1)
    for number, one in enumerate(taps):
        gate, signed = city.sign(rider, one)
        (answer,) = servers[number % 2].send(gate, signed)
        assert answer["status"] == "accepted"
        arrived.append((one, city.town.clock.now))
        agrees(city, rider, arrived)
    servers[1].town.ledger.engine.dispose()
    assert len(taps) > 10
    check_log(city)


def test_a_category_that_another_server_recorded_holds_here(city_of: CityMaker) -> None:
    city = city_of(MBTA)
    rider, other = city.account(), city.reopened()
    city.ride(rider, tap(MBTA, "local_bus", "in", "1", TUESDAY, "06:00"))
    change_category(other.town.ledger, rider, "student", "desk")
    other.town.ledger.engine.dispose()
    ledger = city.town.ledger
    with sharing(ledger.engine) as session:
        held = Riders(session, ledger.fares, {rider: city.town.clock()}, "USD").get(rider)
    assert held is not None
    assert [one.category for one in held.position.history.concessions] == ["student"]


def test_the_timer_closes_days_and_gives_holds_back(city_of: CityMaker) -> None:
    city = city_of(MBTA)
    rider, ledger = city.account(), city.town.ledger
    top_up(ledger, rider, Money(2000, "USD"), str(uuid4()), "desk")
    city.ride(rider, tap(MBTA, "commuter_rail", "in", "NEC-2287-01", TUESDAY, "08:00"))
    until = city.town.clock() + timedelta(hours=1)
    hold(ledger, rider, Money(500, "USD"), "deposit", until, str(uuid4()), "desk")
    city.town.clock.now = at(MBTA, TUESDAY + timedelta(days=1), "05:00")
    timer = Timer(ledger, interval_s=0.05)
    timer.start()
    until_s = time_module.monotonic() + 30
    while (city.held(rider), open_hold_count(city)) != (0, 0):
        assert time_module.monotonic() < until_s
        time_module.sleep(0.05)
        if is_postgres(ledger.engine):
            sequence(ledger)
    timer.stop()
    assert city.charged(rider) == 1325
    assert balance(ledger, rider) == Money(2000 - 1325, "USD")
    with reading(ledger.engine) as session:
        assert session.exec(select(DayCloseRow.day)).one() == TUESDAY.isoformat()


def open_hold_count(city: City) -> int:
    with reading(city.town.ledger.engine) as session:
        return len(open_holds(session))


def test_the_command_closes_days(tmp_path: Path) -> None:
    city = make_city(tmp_path / "data", MBTA)
    rider = city.account()
    city.ride(rider, tap(MBTA, "commuter_rail", "in", "NEC-2287-01", TUESDAY, "08:00"))
    arguments = ["close-day", "--data", str(city.town.data.path), "--json"]
    first, again = (
        json.loads(CliRunner().invoke(ledger_command, arguments).output)["close_day"]
        for _ in range(2)
    )
    assert (first["entries"], first["riders"], again["entries"]) == (1, 1, 0)
    assert city.charged(rider) == 1325
    city.close()


def test_a_rider_erased_on_the_way_leaves_books_that_balance(city_of: CityMaker) -> None:
    city = city_of(MBTA)
    rider = city.account()
    city.ride(rider, tap(MBTA, "commuter_rail", "in", "NEC-2287-01", TUESDAY, "08:00"))
    erase_account(city.town.ledger, rider)
    city.town.clock.now = at(MBTA, TUESDAY + timedelta(days=2), "05:00")
    close(city)
    with reading(city.town.ledger.engine) as session:
        totals = {line.account: line.total.minor for line in trial_balance(session)}
    assert totals == {"liabilities:held": 0, "liabilities:rider": 0}
    check_log(city)


@pytest.mark.timeout(3600)
@pytest.mark.parametrize("feed", FEEDS)
def test_random_days_in_any_order_with_replays_come_to_what_the_engine_says(
    city_of: CityMaker, feed: str
) -> None:
    """Gates are offline now and then, batches come twice, clocks are minutes off."""
    city = city_of(feed)
    rng = random.Random(f"{feed}-ledger")
    days = [random_weeks(feed, rng)[:40] if n % 25 == 24 else random_day(feed, rng)
            for n in range(DAYS)]  # fmt: skip
    riders = {city.account(): numbered(taps) for taps in days if taps}
    arrived: dict[str, list[tuple[FareTap, datetime]]] = {rider: [] for rider in riders}
    late = 0
    for when, rider, one in sorted(in_some_order(riders, rng), key=lambda sent: sent[0]):
        city.town.clock.now = max(city.town.clock.now, when)
        gate, signed = city.sign(rider, one)
        arrived[rider].append((one, city.town.clock.now))
        first, *again = city.send(gate, *[signed] * rng.choice((1, 1, 1, 2)))
        assert [first["status"], *(a["status"] for a in again)] == ["accepted", "replayed"][
            : 1 + len(again)
        ]
        late += city.town.clock.now - one.at > timedelta(days=3)
        if rng.random() < 0.25:
            close(city)
            agrees(city, rider, arrived[rider])
    city.town.clock.forward(9 * 86_400)
    close(city)
    for rider, taps in arrived.items():
        agrees(city, rider, taps)
        assert city.held(rider) == 0
    assert late > 5
    check_log(city)


def in_some_order(
    riders: dict[str, list[FareTap]], rng: random.Random
) -> Iterator[tuple[datetime, str, FareTap]]:
    """When each tap reaches the ledger: most at once, some hours or days later."""
    for rider, taps in riders.items():
        for one in taps:
            delay = rng.choice((-600, 0, 0, 0, 0, 300, 900, 6 * 3600, 30 * 3600, 5 * 86_400))
            yield one.at + timedelta(seconds=delay), rider, one


def agrees(city: City, rider: str, arrived: list[tuple[FareTap, datetime]]) -> None:
    """What was charged and held is what the engine says of the same taps."""
    says = engine_says(city, arrived)
    assert (city.charged(rider), city.held(rider)) == (says.total.minor, says.held.minor), arrived
