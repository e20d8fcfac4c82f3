"""Feeds in the ledger: put in force from a day on, whole or not at all; and the commands."""

from __future__ import annotations

import json
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from sqlalchemy import text

from ledger.answers import Accepted
from ledger.fares.book import FareBook, NoFares
from ledger.fares.gtfs import feed_files, import_feed
from ledger.fares.problems import FeedRefused
from ledger.fares_cli import fares
from ledger.feeds import FeedDamaged, FeedTooEarly, activate, feed_rows
from ledger.ledger import Ledger
from ledger.rollups import check_roll_ups
from models.database import reading, writing
from models.money import Money
from tests.fares_days import OWN, feed_directory
from tests.fares_feed import FILES, write_feed
from tests.town import NOON, Town, TownGate, make_town

TODAY = NOON.date()
TOMORROW = TODAY + timedelta(days=1)
DEARER = FILES["fare_products.txt"].replace("1.50,EUR", "1.80,EUR")
PLACES = FILES["fare_stations.txt"] + "south,,a1,bus\n"


@pytest.fixture
def town(tmp_path: Path) -> Town:
    return make_town(tmp_path / "data", lambda text: text.replace('"CNY"', '"EUR"'))


def put_in_force(town: Town, feed: Path, effective: date) -> None:
    activate(town.ledger.engine, feed_files(feed), effective, "EUR", "fang", town.clock())


def book(town: Town) -> FareBook:
    with reading(town.ledger.engine) as session:
        return town.ledger.fares.book(session)


def names(town: Town) -> list[str]:
    with reading(town.ledger.engine) as session:
        return [row.name for row in feed_rows(session)]


def charged(town: Town, account: str) -> tuple[Money, str]:
    (answer,) = town.charge(town.gate.tap(account, at=town.clock.now.isoformat()[:19] + ".000Z"))
    assert isinstance(answer, Accepted)
    return answer.charge.amount, answer.charge.rule


def test_a_feed_is_in_force_from_half_past_four_of_its_day_and_the_flat_fare_before(
    town: Town, tmp_path: Path
) -> None:
    account = town.account()
    put_in_force(town, write_feed(tmp_path / "new", fare_stations=PLACES), TOMORROW)
    town.clock.now = NOON + timedelta(hours=15, minutes=29)  # 04:29 in Berlin
    assert charged(town, account) == (Money(200, "EUR"), "leg_from")
    town.clock.forward(60)
    assert charged(town, account) == (Money(150, "EUR"), "leg_from")


def test_takings_are_counted_by_the_line_a_gate_belongs_to(town: Town, tmp_path: Path) -> None:
    places = "station_id,gate_id,stop_id,network_id,route_id\nalder,,a1,metro,\nsouth,,a1,bus,B\n"
    put_in_force(town, write_feed(tmp_path / "new", fare_stations=places), TODAY)
    town.clock.now = NOON + timedelta(days=1)
    charged(town, town.account())
    with reading(town.ledger.engine) as session:
        rows = session.execute(text("SELECT route, minor FROM taking WHERE kind = 'ride'")).all()
        check_roll_ups(session)
    assert [tuple(row) for row in rows] == [("B", 150)]


def test_a_line_of_another_network_is_refused(tmp_path: Path) -> None:
    places = "station_id,gate_id,stop_id,network_id,route_id\nsouth,,a1,bus,M\n"
    with pytest.raises(FeedRefused, match=r'route_id "M": expected .* with the network bus'):
        import_feed(write_feed(tmp_path / "new", fare_stations=places), TODAY)


def test_a_feed_replaces_another_of_the_same_day_and_earlier_ones_are_kept(
    town: Town, tmp_path: Path
) -> None:
    put_in_force(town, write_feed(tmp_path / "one"), TODAY)
    put_in_force(town, write_feed(tmp_path / "two", fare_products=DEARER), TOMORROW)
    put_in_force(town, write_feed(tmp_path / "two"), TOMORROW)
    put_in_force(town, write_feed(tmp_path / "one"), TODAY)  # again: nothing changes
    assert names(town) == ["one", "two", "two"]
    assert [rates.tables.effective for rates in book(town).rates] == [date.min, TODAY, TOMORROW]
    assert book(town).on(TOMORROW.toordinal()).tables.products["bus"].prices["adult", ""] == 150


def test_a_refused_feed_leaves_the_one_in_force(town: Town, tmp_path: Path) -> None:
    put_in_force(town, write_feed(tmp_path / "good"), TODAY)
    bad = write_feed(tmp_path / "bad", fare_products=DEARER.replace("1.80", "1.805"))
    with pytest.raises(FeedRefused, match="2 decimals"):
        put_in_force(town, bad, TOMORROW)
    other_money = feed_files(feed_directory("transcollines"), OWN / "transcollines")
    with pytest.raises(NoFares, match="kept in EUR"):
        activate(town.ledger.engine, other_money, TOMORROW, "EUR", "fang", NOON)
    assert names(town) == ["good"]


def test_the_fares_of_a_day_somebody_rode_on_stay(town: Town, tmp_path: Path) -> None:
    town.rides(1)
    feed = write_feed(tmp_path / "new")
    with pytest.raises(FeedTooEarly, match=f"from {TOMORROW} on"):
        put_in_force(town, feed, TODAY)
    put_in_force(town, feed, TOMORROW)


def test_another_server_sees_a_feed_with_its_next_batch(town: Town, tmp_path: Path) -> None:
    account, other = town.account(), town.reopened()
    other.gate = TownGate("south-2")
    assert charged(other, account)[0] == Money(200, "EUR")
    put_in_force(town, write_feed(tmp_path / "new", fare_stations=PLACES), TOMORROW)
    other.clock.forward(86_400)
    assert charged(other, account)[0] == Money(150, "EUR")


def test_a_kept_feed_that_was_changed_is_not_priced_with(town: Town, tmp_path: Path) -> None:
    put_in_force(town, write_feed(tmp_path / "old"), TODAY)
    with writing(town.ledger.engine) as session:
        session.execute(text("UPDATE feed SET sha256 = 'another'"))
    with pytest.raises(FeedDamaged, match="was changed"):
        book(town.reopened())


def test_a_place_without_fares_costs_nothing_and_says_so(town: Town, tmp_path: Path) -> None:
    account = town.account()
    put_in_force(town, write_feed(tmp_path / "new"), TODAY)  # it knows no station "south"
    assert charged(town, account) == (Money(0, "EUR"), "unknown_place")


def run(town: Town, *arguments: str) -> Result:
    command, *rest = arguments
    return CliRunner().invoke(fares, [command, "--data", str(town.data.path), *rest])


def as_json(town: Town, *arguments: str) -> dict[str, Any]:
    done = run(town, *arguments, "--json")
    assert done.exit_code == 0, done.output
    found: dict[str, Any] = json.loads(done.output)
    return found


def test_the_commands_import_list_and_explain(town: Town, tmp_path: Path) -> None:
    assert "the flat fare of €2.00" in run(town, "list").output
    feed = write_feed(tmp_path / "spring")
    done = as_json(town, "import", str(feed), "--from", "2026-01-05")
    assert (done["import"], done["from"], done["warnings"]) == ("in force", "2026-01-05", [])
    listed = as_json(town, "list")["feeds"]
    assert [(row["from"], row["name"]) for row in listed] == [("2026-01-05", "spring")]
    trip = ("price", "--from", "a1", "--to", "b1", "--at", "2026-03-05T08:00")
    (metro, *_) = [p for p in as_json(town, *trip)["prices"] if p["network"] == "metro"]
    assert metro["amount"] == {"currency": "EUR", "minor": 300}
    assert metro["row"] == "fare_leg_rules.txt:4"
    assert metro["words"] == {
        "en": "Two zones, Alder to Birch: €3.00.",
        "zh": "Two zones，Alder 至 Birch：€3.00。",
    }
    shown = run(town, *trip).output
    assert "Two zones, Alder to Birch: €3.00." in shown
    assert "fare_leg_rules.txt:4" in shown
    child = as_json(town, *trip[:3], "--category", "child", "--network", "bus")
    assert [price["amount"]["minor"] for price in child["prices"]] == [0]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--from", "nowhere"), "know no stop 'nowhere'"),
        (("--from", "a1", "--at", "noon"), "write it like 2026-03-05T08:00"),
        (("--from", "a1", "--category", "dog"), "categories adult, child"),
        (("--from", "a1", "--network", "tram"), "know no network 'tram'"),
    ],
)
def test_a_question_asked_wrongly_says_what_was_wrong(
    town: Town, tmp_path: Path, arguments: tuple[str, ...], words: str
) -> None:
    put_in_force(town, write_feed(tmp_path / "feed"), TODAY)
    done = run(town, "price", *arguments)
    assert done.exit_code == 1
    assert words in str(done.exception)


def test_a_bad_feed_is_told_with_every_problem_and_changes_nothing(
    town: Town, tmp_path: Path
) -> None:
    bad = write_feed(
        tmp_path / "bad",
        fare_products=DEARER.replace("1.80", "1.805"),
        areas="area_id,area_name\nA,Inner\n",
    )
    done = run(town, "import", str(bad), "--json")
    assert done.exit_code == 1
    problems = json.loads(done.output)["problems"]
    assert {problem["file"] for problem in problems} >= {"fare_products.txt", "stop_areas.txt"}
    assert isinstance(run(town, "import", str(bad)).exception, FeedRefused)
    assert names(town) == []


def test_a_feed_is_in_force_from_today_or_the_day_after_the_last_ride(
    town: Town, tmp_path: Path
) -> None:
    Ledger.open(town.data).engine.dispose()
    feed = write_feed(tmp_path / "feed")
    town.rides(1)
    done = as_json(town, "import", str(feed))
    assert date.fromisoformat(done["from"]) > TODAY - timedelta(days=1)
