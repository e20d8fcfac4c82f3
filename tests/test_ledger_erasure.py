"""Erasing a rider: unlinkable in every file, and every old checkpoint still verifies."""

from __future__ import annotations

import sqlite3
import time
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from uuid import uuid4

import pytest
from sqlmodel import select

from ledger.accounts import AccountError, balance
from ledger.answers import Accepted, Refused
from ledger.checkpoints import publish
from ledger.closing import Timer
from ledger.entries import decode
from ledger.erasure import erase_account
from ledger.kept import CheckpointFile
from ledger.standings import standings
from ledger.topups import top_up
from ledger.verify import LogBroken, VerifyReport, verify
from models.database import reading
from models.money import Money
from models.tables.ledger import EntryRow, PostingRow, TapRow
from models.vault import KeyErased
from tests.town import ORIGIN, BrokenAtFirst, Town, make_town


@pytest.fixture
def town(tmp_path: Path) -> Town:
    return make_town(tmp_path / "data")


def check(town: Town, note: str | None = None) -> VerifyReport:
    key = town.ledger.log_key.public_key()
    return verify(town.ledger.engine, ORIGIN, key, note, town.ledger.vault)


def last_entry(town: Town) -> EntryRow:
    with reading(town.ledger.engine) as session:
        return session.exec(select(EntryRow).order_by(EntryRow.seq.desc())).first()  # type: ignore


def test_an_erased_rider_is_named_nowhere_and_old_checkpoints_verify(town: Town) -> None:
    gone, stays = town.rides(3), town.rides(2)
    publish(town.ledger)
    note = CheckpointFile(town.data.checkpoint_file).read()
    assert erase_account(town.ledger, gone) == 4
    report = check(town, note)
    assert (report.entries, report.checkpoint_size, report.erased) == (6, 5, 4)
    publish(town.ledger)
    assert check(town, CheckpointFile(town.data.checkpoint_file).read()).not_excluded == ()
    assert balance(town.ledger, stays) == Money(-400, "CNY")
    town.ledger.engine.dispose()
    for file in town.data.path.rglob("*"):
        if file.is_file():
            assert gone.encode() not in file.read_bytes(), file


def test_the_signed_taps_that_name_the_rider_are_gone_but_their_hashes_stay(town: Town) -> None:
    gone = town.rides(2)
    unknown = uuid4().hex
    town.charge(town.gate.tap(unknown))
    for account in (gone, unknown):
        erase_account(town.ledger, account)
    with reading(town.ledger.engine) as session:
        taps = session.exec(select(TapRow)).all()
    assert len(taps) == 3
    assert all(tap.signed is None and tap.account_id is None and tap.hash for tap in taps)
    town.rides(1)  # the gate's chain goes on from the hashes


def test_the_key_is_gone_so_nobody_can_show_whose_rides_they_were(town: Town) -> None:
    gone = town.rides(1)
    erase_account(town.ledger, gone)
    with pytest.raises(KeyErased):
        town.ledger.vault.key(f"account:{gone}")


def test_what_was_left_goes_to_unclaimed_money(town: Town) -> None:
    gone = town.account()
    top_up(town.ledger, gone, Money(2000, "CNY"), str(uuid4()), "desk")
    erase_account(town.ledger, gone)
    closed = decode(last_entry(town).body)
    assert (closed["kind"], closed["unlinked"]) == ("close", 2)
    assert [(p["account"], p["minor"]) for p in closed["postings"]] == [
        ("liabilities:rider", 2000),
        ("liabilities:unclaimed", -2000),
    ]
    assert check(town).erased == 2


def test_a_debt_becomes_a_bad_debt(town: Town) -> None:
    gone = town.rides(3)
    assert standings(town.ledger).blocked != ()
    erase_account(town.ledger, gone)
    closed = decode(last_entry(town).body)
    assert [(p["account"], p["minor"]) for p in closed["postings"]] == [
        ("expenses:bad_debt", 600),
        ("liabilities:rider", -600),
    ]
    assert standings(town.ledger).blocked == ()


def test_riders_are_owed_nothing_once_all_are_erased(town: Town) -> None:
    for rides in (0, 1, 4):
        account = town.account()
        top_up(town.ledger, account, Money(500, "CNY"), str(uuid4()), "desk")
        town.rides(rides, account)
        erase_account(town.ledger, account)
    with reading(town.ledger.engine) as session:
        owed = session.exec(
            select(PostingRow.minor).where(PostingRow.account == "liabilities:rider")
        )
        assert sum(owed) == 0


def test_an_erased_rider_rides_no_more_and_replays_are_still_answered(town: Town) -> None:
    gone = town.account()
    signed = town.gate.tap(gone)
    (first,) = town.charge(signed)
    erase_account(town.ledger, gone)
    (again,) = town.charge(signed)
    assert isinstance(first, Accepted)
    assert isinstance(again, Accepted)
    assert (again.entry, again.replayed) == (first.entry, True)
    (refused,) = town.charge(town.gate.tap(gone))
    assert isinstance(refused, Refused)
    with pytest.raises(AccountError):
        balance(town.ledger, gone)


def test_erasing_again_changes_nothing_and_finishes_what_a_crash_left(town: Town) -> None:
    gone = town.rides(1)
    key = town.ledger.vault.key(f"account:{gone}")
    erase_account(town.ledger, gone)
    size = check(town).entries
    # As after a crash between the database and the vault: the key is there once more.
    assert town.ledger.vault.create(f"account:{gone}") != key
    assert erase_account(town.ledger, gone) == 0
    assert check(town).entries == size
    with pytest.raises(KeyErased):
        town.ledger.vault.key(f"account:{gone}")


def test_another_worker_forgets_an_erased_rider_soon(town: Town) -> None:
    other = town.reopened()
    gone, stays = other.rides(1), other.rides(1)
    assert set(other.ledger.fares.kept()) == {gone, stays}
    erase_account(town.ledger, gone)
    assert set(other.ledger.fares.kept()) == {gone, stays}
    clock = BrokenAtFirst(other.clock)  # what one work meets does not end the others
    timer = Timer(replace(other.ledger, clock=clock), interval_s=0.01)
    timer.start()
    until = time.monotonic() + 10
    while other.ledger.fares.kept() != [stays]:
        assert time.monotonic() < until, "it was not forgotten"
        time.sleep(0.01)
    timer.stop()
    assert clock.failed
    other.ledger.engine.dispose()


def test_rides_cannot_be_unlinked_on_the_quiet(town: Town) -> None:
    friend = town.rides(4)
    with closing(sqlite3.connect(town.data.fares_db)) as connection:
        for statement in (
            "UPDATE entry SET account_id = NULL WHERE seq = 2",
            "UPDATE posting SET account_id = NULL WHERE entry_seq = 2",
            "UPDATE tap SET account_id = NULL, signed = NULL WHERE entry_seq = 2",
            "UPDATE account SET balance_minor = -600",
        ):
            connection.execute(statement)  # the triggers themselves allow to forget
        connection.commit()
    assert balance(town.ledger, friend) == Money(-600, "CNY")
    with pytest.raises(LogBroken, match="1 entries lost their account"):
        check(town)
