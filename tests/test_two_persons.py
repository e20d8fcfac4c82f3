"""Two persons are two: nobody decides with an account that they made or reset themselves."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from uuid import uuid4

import pytest
from sqlmodel import select

from ledger.accounts import balance
from ledger.entries import decode
from ledger.once import EntryRefused
from ledger.reconcile.periods import close_period
from ledger.reconcile.reopening import ask_to_reopen, reopen_period
from ledger.requests import adjust, approve, decline, open_requests
from ledger.two_persons import NotIndependent
from ledger.verify import verify
from ledger.wanted import Wanted
from models.access import totp
from models.access.introductions import newest_introductions
from models.access.invitations import invite_staff, reset_staff
from models.access.staff import StaffRegister
from models.database import DatabaseUnusable, open_sqlite, reading
from models.money import Money
from models.tables.access import AccessTable
from models.tables.ledger import EntryRow
from tests.town import ORIGIN, Town, make_town


@pytest.fixture
def town(tmp_path: Path) -> Town:
    return make_town(tmp_path / "data")


@pytest.fixture
def register(town: Town) -> StaffRegister:
    return StaffRegister(open_sqlite(town.data.access_db, AccessTable.metadata), b"k" * 32)


def asked(town: Town, by: str) -> tuple[str, str]:
    account, entry_id = town.account(), str(uuid4())
    wanted = Wanted(entry_id, "goodwill", account, Money(5_000, "CNY"), "apology")
    adjust(town.ledger, wanted, by)
    return account, entry_id


def refusals(town: Town) -> list[EntryRow]:
    with reading(town.ledger.engine) as session:
        return list(session.exec(select(EntryRow).where(EntryRow.kind == "decision_refused")))


@pytest.mark.parametrize(("asks", "decides"), [("lin", "wei"), ("wei", "lin")])
@pytest.mark.parametrize("decide", [approve, decline])
def test_who_invited_the_other_does_not_decide_with_them(
    town: Town, register: StaffRegister, asks: str, decides: str, decide: object
) -> None:
    invite_staff(register, "wei", ["finance"], town.clock(), by="lin")
    account, entry_id = asked(town, asks)
    with pytest.raises(NotIndependent, match="within the last 30 days"):
        decide(town.ledger, entry_id, decides)  # type: ignore[operator]
    assert balance(town.ledger, account) == Money(0, "CNY")
    with reading(town.ledger.engine) as session:
        assert [request.wanted.entry_id for request in open_requests(session)] == [entry_id]
    approve(town.ledger, entry_id, "mei")
    assert balance(town.ledger, account) == Money(5_000, "CNY")


def test_a_reset_counts_from_the_day_it_was_made(town: Town, register: StaffRegister) -> None:
    invite_staff(register, "wei", ["finance"], town.clock() - timedelta(days=400))
    reset_staff(register, "wei", town.clock(), by="lin")
    _, entry_id = asked(town, "lin")
    town.clock.forward(timedelta(days=30).total_seconds())
    with pytest.raises(NotIndependent):
        approve(town.ledger, entry_id, "wei")
    town.clock.forward(60)
    approve(town.ledger, entry_id, "wei")


def test_the_attempt_is_in_the_log_once_and_moves_nothing(
    town: Town, register: StaffRegister
) -> None:
    invite_staff(register, "wei", ["finance"], town.clock(), by="lin")
    _, entry_id = asked(town, "lin")
    for _ in range(2):
        with pytest.raises(NotIndependent):
            approve(town.ledger, entry_id, "wei")
    (row,) = refusals(town)
    value = decode(row.body)
    assert (row.made_by, value["postings"], value["amount"]["minor"]) == ("wei", [], 0)
    assert value["rule"]["code"] == "not_independent"
    with reading(town.ledger.engine) as session:
        (request,) = session.exec(select(EntryRow).where(EntryRow.kind == "adjustment_request"))
    assert row.corrects == request.entry_id
    assert "wei" not in row.body.decode()
    key = town.ledger.log_key.public_key()
    assert verify(town.ledger.engine, ORIGIN, key, None, town.ledger.vault).unproved == 0


def test_a_closed_period_is_not_opened_by_one_hand_with_two_names(
    town: Town, register: StaffRegister
) -> None:
    town.rides(1)
    town.clock.forward(86_400)
    close_period(town.ledger, "2026-11-22", "Ann")
    invite_staff(register, "bob", ["finance"], town.clock(), by="ann")
    ask_to_reopen(town.ledger, "2026-11-22", "A statement came late.", "ann")
    with pytest.raises(EntryRefused, match="ask a colleague"):
        reopen_period(town.ledger, "2026-11-22", "ann")
    with pytest.raises(NotIndependent):
        reopen_period(town.ledger, "2026-11-22", "bob")
    assert len(refusals(town)) == 1
    assert reopen_period(town.ledger, "2026-11-22", "cem") == 1


def test_an_account_made_at_the_machine_was_let_in_by_nobody(
    town: Town, register: StaffRegister
) -> None:
    invite_staff(register, "wei", ["finance"], town.clock())
    _, entry_id = asked(town, "lin")
    approve(town.ledger, entry_id, "wei")
    found = newest_introductions(register.database)
    assert [(row.staff, row.by, row.what) for row in found.values()] == [("wei", "", "invited")]


def test_how_long_it_counts_is_a_setting(tmp_path: Path) -> None:
    change = "two_persons_days = 30", "two_persons_days = 2"
    town = make_town(tmp_path / "data", lambda text: text.replace(*change))
    register = StaffRegister(
        open_sqlite(town.data.access_db, AccessTable.metadata), totp.new_secret().encode()[:32]
    )
    invite_staff(register, "wei", ["finance"], town.clock() - timedelta(days=3), by="lin")
    _, entry_id = asked(town, "lin")
    approve(town.ledger, entry_id, "wei")


def test_where_nobody_can_tell_nothing_is_decided(town: Town) -> None:
    _, entry_id = asked(town, "lin")
    town.data.access_db.unlink()
    with pytest.raises(DatabaseUnusable, match="missing"):
        approve(town.ledger, entry_id, "wei")
