"""Cash: into a clerk's own drawer, from there to the bank, and found again in its statement."""

from __future__ import annotations

import re
from pathlib import Path
from uuid import uuid4

import pytest
from flask import Flask
from sqlmodel import select

from ledger.once import EntryConflict, EntryRefused
from ledger.reconcile.drawer import close_drawer, deposit_cash, deposits_under_way, open_drawer
from ledger.reconcile.importing import import_statement
from ledger.reconcile.report import reconciliation
from ledger.reconcile.resolve import resolve
from ledger.reconcile.rules import Rules
from ledger.reconcile.run import run_day
from ledger.reconcile.said import sentence
from ledger.topups import NoOpenDrawer, top_up
from models.database import reading
from models.money import Money
from models.tables.ledger import EntryRow
from models.tables.reconcile import DifferenceRow, PairingRow
from tests.test_ledger_pages import app, field, filled
from tests.town import Town, make_town

__all__ = ["app"]
BANK = "id,day,amount,currency,reference,text\n"
SLIP = "BAG-000471"


@pytest.fixture
def town(tmp_path: Path) -> Town:
    return make_town(tmp_path / "data")


def cny(minor: int) -> Money:
    return Money(minor, "CNY")


def send(town: Town, minor: int = 6000, slip: str = SLIP, clerk: str = "Eva") -> str:
    deposit_id = str(uuid4())
    deposit_cash(town.ledger, deposit_id, cny(minor), slip, clerk)
    return deposit_id


def drawer(town: Town, clerk: str = "Eva", minor: int = 10_000) -> str:
    drawer_id = str(uuid4())
    open_drawer(town.ledger, drawer_id, cny(minor), clerk)
    return drawer_id


def bank(town: Town, *lines: str) -> None:
    import_statement(town.ledger, (BANK + "".join(f"{line}\n" for line in lines)).encode(), "b.csv")


def differences(town: Town, day: str) -> list[DifferenceRow]:
    run_day(town.ledger, day, Rules())
    with reading(town.ledger.engine) as session:
        assert reconciliation(session, day)["unexplained"] == 0
        return list(session.exec(select(DifferenceRow).where(DifferenceRow.state == "open")))


def pairings(town: Town) -> list[tuple[str, str, str, int]]:
    with reading(town.ledger.engine) as session:
        rows = session.exec(select(PairingRow)).all()
    return [(row.left_id, row.right_id, row.rule, row.confidence_percent) for row in rows]


def test_cash_is_only_taken_into_the_clerks_own_open_drawer(town: Town) -> None:
    account, top_up_id = town.account(), str(uuid4())
    with pytest.raises(NoOpenDrawer, match="Open your drawer first"):
        top_up(town.ledger, account, cny(100), top_up_id, "Eva")
    mine = drawer(town)
    top_up(town.ledger, account, cny(100), top_up_id, "Eva")
    with pytest.raises(NoOpenDrawer):
        top_up(town.ledger, account, cny(100), str(uuid4()), "Fay")
    close_drawer(town.ledger, mine, cny(10_100), "Eva")
    assert top_up(town.ledger, account, cny(100), top_up_id, "Eva").replayed
    with pytest.raises(NoOpenDrawer):
        top_up(town.ledger, account, cny(100), str(uuid4()), "Eva")


def test_what_goes_to_the_bank_is_not_expected_in_the_drawer_any_more(town: Town) -> None:
    mine = drawer(town)
    send(town)
    closed = close_drawer(town.ledger, mine, cny(4_000), "Eva")
    assert (closed.expected, closed.over) == (cny(4_000), cny(0))
    with pytest.raises(NoOpenDrawer):
        send(town, slip="BAG-000472")


@pytest.mark.parametrize(
    ("minor", "slip", "words"),
    [(0, SLIP, "more than zero"), (-1, SLIP, "more than zero"), (10_001, SLIP, "that much"),
     (100, "2026", "6 to 40"), (100, "a b c d e f", "6 to 40"), (100, "", "6 to 40")],
)  # fmt: skip
def test_a_deposit_that_cannot_be_is_refused(town: Town, minor: int, slip: str, words: str) -> None:
    drawer(town)
    with pytest.raises(EntryRefused, match=words):
        send(town, minor, slip)
    with reading(town.ledger.engine) as session:
        assert session.exec(select(EntryRow)).all() == []


def test_the_same_form_sends_once_and_a_slip_is_on_its_way_once(town: Town) -> None:
    drawer(town)
    deposit_id = send(town, 1_000)
    assert deposit_cash(town.ledger, deposit_id, cny(1_000), f" {SLIP.lower()} ", "Eva").replayed
    with pytest.raises(EntryConflict):
        deposit_cash(town.ledger, deposit_id, cny(999), SLIP, "Eva")
    with pytest.raises(EntryRefused, match="on its way already"):
        send(town, 1_000)
    with reading(town.ledger.engine) as session:
        (waiting,) = deposits_under_way(session)
    assert (waiting.slip, waiting.amount, waiting.day) == (SLIP, cny(1_000), "2026-11-22")


def test_a_deposit_is_told_by_its_slip(town: Town) -> None:
    drawer(town)
    sent = send(town)
    town.clock.forward(86_400)
    bank(town, "b-1,2026-11-23,60.00,CNY,,CASH DEP BAG 000471 BRANCH 7")
    assert differences(town, "2026-11-23") == []
    assert pairings(town) == [(sent, "bank:b-1", "deposit_slip", 100)]


def test_without_its_slip_it_is_told_by_the_amount_if_nobody_else_is_meant(town: Town) -> None:
    drawer(town)
    sent = send(town)
    town.clock.forward(86_400)
    bank(town, "b-1,2026-11-23,60.00,CNY,,CASH")
    assert differences(town, "2026-11-23") == []
    assert [(left, rule, sure) for left, _, rule, sure in pairings(town)] == [
        (sent, "amount_and_date", 60)
    ]


def test_a_bag_that_does_not_arrive_is_missing_with_its_slip_and_age(town: Town) -> None:
    drawer(town)
    sent = send(town)
    town.clock.forward(86_400 * 10)
    assert differences(town, "2026-11-24") == []
    (row,) = differences(town, "2026-12-02")
    assert (row.kind, row.subject, row.minor, row.owner) == (
        "missing_at_bank", sent, 6000, "treasury",
    )  # fmt: skip
    assert SLIP in sentence(row.said)
    with reading(town.ledger.engine) as session:
        (listed,) = reconciliation(session, "2026-12-02")["differences"]
    assert (listed["age_days"], listed["bucket"]) == (10, "8-30")
    resolve(town.ledger, row.difference_id, row.version, "our_loss", "Stolen.", "Fay")
    assert differences(town, "2026-12-02") == []


def test_a_bag_with_less_in_it_leaves_the_difference(town: Town) -> None:
    drawer(town)
    sent = send(town)
    town.clock.forward(86_400)
    bank(town, f"b-1,2026-11-23,55.00,CNY,,{SLIP}")
    (row,) = differences(town, "2026-11-23")
    assert (row.kind, row.subject, row.minor) == ("amount", sent, 500)
    assert "CN¥60.00 in cash went to the bank" in sentence(row.said)
    resolve(town.ledger, row.difference_id, row.version, "miscounted", "", "Fay")
    assert differences(town, "2026-11-23") == []


def test_a_slip_cannot_take_a_payout_for_itself(town: Town) -> None:
    drawer(town)
    send(town, slip="STRIPE")
    town.clock.forward(86_400)
    bank(town, "b-1,2026-11-23,60.00,CNY,,STRIPE po_1Somebody1")
    assert {row.kind for row in differences(town, "2026-11-23")} == {"missing_at_processor"}


def test_the_till_says_how_to_go_on_without_a_drawer(app: Flask, town: Town) -> None:
    client = app.test_client()
    assert client.get("/as/eva/service").status_code == 200
    account = town.account()
    form = client.get("/finance/top-up").text
    assert "Open your drawer first" in form
    refused = client.post("/finance/top-up", data=filled(form, account, "20"))
    assert refused.status_code == 400
    assert re.search(r'role="alert">Open your drawer first.*href="/finance/drawer"', refused.text)
    page = client.get("/finance/drawer").text
    token, new_id = field(page, "csrf_token"), field(page, "id")
    opened = {"csrf_token": token, "id": new_id, "counted": "100"}
    assert client.post("/finance/drawer/open", data=opened).status_code == 303
    assert "Open your drawer first" not in client.get("/finance/top-up").text
    sent = {"csrf_token": token, "id": str(uuid4()), "amount": "60", "slip": SLIP}
    assert client.post("/finance/drawer/deposit", data=sent).status_code == 303
    page = client.get("/finance/drawer").text
    assert "CN¥60.00 is on its way to the bank" in page and SLIP in page
    sent |= {"id": str(uuid4()), "amount": "60.01"}
    refused = client.post("/finance/drawer/deposit", data=sent)
    assert refused.status_code == 400
    assert "60.01" in refused.text and "on its way already" not in refused.text
