"""What is missing in a gate's chain and what contradicts it: told to finance, lost never."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlmodel import select

from bench.postgres import Postgres
from ledger.accounts import balance
from ledger.answers import Accepted
from ledger.console.differences import queue
from ledger.console.queries import RECENT
from ledger.console.words import note_words
from ledger.erasure import erase_account
from ledger.reconcile.overview import overview
from ledger.reconcile.periods import close_period, reproduce
from ledger.reconcile.report import reconciliation, report_bytes
from ledger.reconcile.resolve import (
    Proposed,
    ResolutionRefused,
    Resolved,
    reasons_for,
    resolve,
)
from ledger.reconcile.rules import Rules
from ledger.reconcile.run import Ran, run_day
from ledger.reconcile.said import sentence
from ledger.rollups import check_roll_ups
from ledger.sequencer import sequence
from ledger.two_persons import NotIndependent
from ledger.verify import verify
from models.access.invitations import invite_staff
from models.access.staff import StaffRegister
from models.database import open_sqlite, reading
from models.money import Money
from models.tables.access import AccessTable
from models.tables.ledger import TapRow
from models.tables.reconcile import DifferenceNoteRow, DifferenceRow
from tests.postgres import a_server, make_postgres_town
from tests.town import Town, TownGate, make_town

SUNDAY, MONDAY, TUESDAY = "2026-11-22", "2026-11-23", "2026-11-24"


@pytest.fixture(scope="module")
def server() -> Iterator[Postgres]:
    yield from a_server()


@pytest.fixture(params=["sqlite", "postgres"])
def town(request: pytest.FixtureRequest, tmp_path: Path) -> Town:
    if request.param == "sqlite":
        return make_town(tmp_path / "data")
    return make_postgres_town(tmp_path / "data", request.getfixturevalue("server"))


@pytest.fixture
def lite(tmp_path: Path) -> Town:
    return make_town(tmp_path / "data")


def lose(town: Town, number: int = 1) -> list[str]:
    """The gate makes so many taps that do not arrive, and one more that does; the lost ones."""
    account = town.account()
    lost = [town.gate.tap(account) for _ in range(number)]
    (answer,) = town.charge(town.gate.tap(account))
    assert isinstance(answer, Accepted) and answer.chain == "gap"
    sequence(town.ledger)
    return lost


def fork(town: Town) -> tuple[str, str]:
    """A copy of the gate sends a tap of its own; the rider and the signed tap."""
    town.rides(1)
    account = town.account()
    signed = TownGate(key=town.gate.key).tap(account)
    town.charge(signed)
    sequence(town.ledger)
    return account, signed


def next_day(town: Town) -> None:
    town.clock.now += timedelta(days=1)


def run(town: Town, day: str = SUNDAY) -> Ran:
    """Run the day; every cent is explained, and once more finds nothing and says the same."""
    ran = run_day(town.ledger, day, Rules())
    with reading(town.ledger.engine) as session:
        first = report_bytes(session, day)
        assert json.loads(first)["unexplained"] == 0
        check_roll_ups(session)
    assert run_day(town.ledger, day, Rules()) == Ran(day, 0, 0, 0)
    with reading(town.ledger.engine) as session:
        assert report_bytes(session, day) == first
    return ran


def told(town: Town, day: str = SUNDAY) -> list[tuple[str, str]]:
    with reading(town.ledger.engine) as session:
        return [
            (one["kind"], one["subject"]) for one in reconciliation(session, day)["differences"]
        ]


def counted(town: Town, day: str = SUNDAY) -> tuple[int, int]:
    with reading(town.ledger.engine) as session:
        found = overview(session, day)
        return len(found["gaps"]), len(found["forks"])


def difference(town: Town) -> DifferenceRow:
    with reading(town.ledger.engine) as session:
        return session.exec(select(DifferenceRow)).one()


def tap_id(town: Town) -> str:
    with reading(town.ledger.engine) as session:
        return session.exec(select(TapRow.tap_id).where(TapRow.chain == "fork")).one()


def at_close(town: Town, day: str = SUNDAY) -> dict[str, Any]:
    closed = close_period(town.ledger, day, "Ann")
    assert reproduce(town.ledger, day) == closed
    found: dict[str, Any] = json.loads(closed.report)["at_close"]
    return found


def test_a_gap_is_a_difference_until_the_missing_tap_arrives(town: Town) -> None:
    town.rides(1)
    first, second = lose(town, 2)
    assert run(town).found == 1
    assert told(town) == [("tap_gap", "south-1 3")]
    row = difference(town)
    assert (row.minor, row.currency, row.day, row.owner) == (0, "CNY", SUNDAY, "finance")
    assert sentence(row.said) == "tap 3 of the gate south-1 has not arrived, its tap 4 has"
    next_day(town)
    town.charge(first)
    sequence(town.ledger)
    assert run(town, MONDAY) == Ran(MONDAY, 0, 0, 0), "the tap before it does not fill a gap of two"
    town.charge(second)
    sequence(town.ledger)
    assert run(town, MONDAY).cleared == 1
    assert (told(town, MONDAY), counted(town, MONDAY)) == ([], (0, 0))
    with reading(town.ledger.engine) as session:
        (note,) = session.exec(select(DifferenceNoteRow)).all()
        assert (note.what, note_words(note)) == ("cleared", "It arrived.")


def test_what_arrives_on_its_own_day_is_no_difference(lite: Town) -> None:
    (lost,) = lose(lite)
    assert counted(lite) == (1, 0)
    lite.charge(lost)
    assert (run(lite).found, counted(lite)) == (0, (0, 0))


def test_a_day_that_is_run_late_finds_what_was_missing_then(lite: Town) -> None:
    (lost,) = lose(lite)
    next_day(lite)
    lite.charge(lost)
    assert (run(lite).found, run(lite, MONDAY).cleared) == (1, 1)
    assert told(lite) == [("tap_gap", "south-1 1")]
    assert run(lite).found == 0, "and once more: it stays closed"
    assert (told(lite), told(lite, MONDAY)) == ([("tap_gap", "south-1 1")], [])


def test_a_gap_is_resolved_by_a_person_and_not_raised_again(lite: Town) -> None:
    lose(lite)
    run(lite)
    row = difference(lite)
    assert reasons_for(row) == ("lost_at_gate", "acknowledged")
    with pytest.raises(ResolutionRefused, match="lost_at_gate, acknowledged, not 'charge'"):
        resolve(lite.ledger, row.difference_id, 1, "charge", "", "lin")
    done = resolve(lite.ledger, row.difference_id, 1, "lost_at_gate", "Its disk broke.", "lin")
    assert (done, run(lite).found) == (Resolved(2, None), 0)
    assert (told(lite), counted(lite)) == ([], (0, 0))


def test_a_gap_that_was_filled_meanwhile_is_not_given_up(lite: Town) -> None:
    (lost,) = lose(lite)
    run(lite)
    lite.charge(lost)
    with pytest.raises(ResolutionRefused, match="reconcile the day again"):
        resolve(lite.ledger, difference(lite).difference_id, 1, "lost_at_gate", "", "lin")


def test_a_forked_tap_is_a_difference_until_somebody_decides(lite: Town) -> None:
    account, _ = fork(lite)
    assert run(lite).found == 1
    row = difference(lite)
    assert (row.kind, row.subject, row.severity) == ("tap_fork", tap_id(lite), "high")
    assert sentence(row.said) == "tap 1 of the gate south-1 contradicts its other taps"
    assert reasons_for(row) == ("charge", "not_charged", "acknowledged")
    next_day(lite)
    assert run(lite, MONDAY) == Ran(MONDAY, 0, 0, 0)
    assert counted(lite, MONDAY) == (0, 1)
    resolve(lite.ledger, row.difference_id, 1, "not_charged", "A test gate.", "lin")
    assert (run(lite, MONDAY).found, told(lite, MONDAY), counted(lite, MONDAY)) == (0, [], (0, 0))
    assert (told(lite), counted(lite)) == ([("tap_fork", row.subject)], (0, 1))
    assert balance(lite.ledger, account) == Money(0, "CNY")


def test_two_persons_charge_a_forked_tap_once(town: Town) -> None:
    account, signed = fork(town)
    run(town)
    row = difference(town)
    done = resolve(town.ledger, row.difference_id, 1, "charge", "The rider says so.", "lin")
    assert isinstance(done, Proposed)
    assert balance(town.ledger, account) == Money(0, "CNY")
    with pytest.raises(ResolutionRefused, match="a colleague resolves it"):
        resolve(town.ledger, row.difference_id, done.version, "charge", "", "lin")
    outcomes: list[object] = []

    def decide(name: str) -> None:
        try:
            version = done.version
            outcomes.append(resolve(town.ledger, row.difference_id, version, "charge", "", name))
        except ResolutionRefused as error:
            outcomes.append(error)

    threads = [threading.Thread(target=decide, args=(name,)) for name in ("wei", "mei")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    (charged,) = (one for one in outcomes if isinstance(one, Resolved))
    assert charged.entry == 1
    assert balance(town.ledger, account) == Money(-200, "CNY")
    (again,) = town.charge(signed)
    assert isinstance(again, Accepted) and again.replayed and again.entry == 1
    assert (run(town).found, told(town)) == (0, [])
    town.rides(1, account)
    sequence(town.ledger)
    assert balance(town.ledger, account) == Money(-400, "CNY")
    ledger = town.ledger
    found = verify(ledger.engine, ledger.settings.origin, ledger.log_key.public_key(), None,
                   ledger.vault)  # fmt: skip
    assert found.entries == 3


def test_the_second_person_is_not_the_first_ones(lite: Town) -> None:
    register = StaffRegister(open_sqlite(lite.data.access_db, AccessTable.metadata), b"k" * 32)
    invite_staff(register, "wei", ["finance"], lite.clock(), by="lin")
    account, _ = fork(lite)
    run(lite)
    row = difference(lite)
    done = resolve(lite.ledger, row.difference_id, 1, "charge", "", "lin")
    with pytest.raises(NotIndependent):
        resolve(lite.ledger, row.difference_id, done.version, "charge", "", "wei")
    assert balance(lite.ledger, account) == Money(0, "CNY")


def test_a_forked_tap_that_is_decided_too_late_costs_nothing_more(lite: Town) -> None:
    account, _ = fork(lite)
    run(lite)
    row = difference(lite)
    done = resolve(lite.ledger, row.difference_id, 1, "charge", "", "lin")
    lite.clock.now += timedelta(days=4)
    final = resolve(lite.ledger, row.difference_id, done.version, "charge", "", "wei")
    assert isinstance(final, Resolved) and final.entry == 1
    assert balance(lite.ledger, account) == Money(0, "CNY")


def test_nobody_is_charged_for_a_rider_who_left(lite: Town) -> None:
    account, _ = fork(lite)
    run(lite)
    row = difference(lite)
    done = resolve(lite.ledger, row.difference_id, 1, "charge", "", "lin")
    erase_account(lite.ledger, account)
    with pytest.raises(ResolutionRefused, match="its rider is not there any more"):
        resolve(lite.ledger, row.difference_id, done.version, "charge", "", "wei")
    resolve(lite.ledger, row.difference_id, done.version, "not_charged", "", "wei")
    assert counted(lite) == (0, 0)


def test_none_of_many_is_left_out_of_queue_count_and_report(lite: Town) -> None:
    number, account = RECENT + 10, lite.account()
    copy = TownGate(key=lite.gate.key)
    taps = [lite.gate.tap(account) for _ in range(2 * number)]
    lite.charge(*taps[1::2], *(copy.tap(account) for _ in range(number)))
    assert run(lite).found == 2 * number
    assert counted(lite) == (number, number)
    with reading(lite.ledger.engine) as session:
        for kind in ("tap_gap", "tap_fork"):
            assert len(queue(session, {"kind": kind, "state": "open"}, SUNDAY)) == number
    next_day(lite)
    found = at_close(lite)
    assert (len(found["gaps"]), len(found["forks"])) == (number, number)


def test_a_closed_report_lists_gaps_and_forks_and_stays(town: Town) -> None:
    town.rides(1)
    lost = lose(town, 3)
    fork_of = TownGate(key=town.gate.key)
    town.charge(fork_of.tap(town.account()))
    sequence(town.ledger)
    next_day(town)
    found = at_close(town)
    since = "2026-11-22T12:00:01.000Z"
    assert found["gaps"] == [{"gate": "south-1", "first": 2, "last": 4, "since": since}]
    assert found["forks"] == [{"gate": "south-1", "number": 1, "tap": tap_id(town), "since": since}]
    town.charge(*lost)
    assert at_close(town) == found
