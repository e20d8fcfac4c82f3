"""Refunds: linked to their ride, with a reason, and never more than the ride cost."""

from __future__ import annotations

import threading
from pathlib import Path
from uuid import uuid4

import pytest
from sqlmodel import select

from ledger.accounts import balance
from ledger.entries import decode
from ledger.erasure import erase_account
from ledger.once import EntryConflict, EntryRefused, Recorded
from ledger.refunds import REASONS, refund
from ledger.topups import top_up
from ledger.verify import verify
from models.database import reading
from models.money import Money
from models.tables.ledger import EntryRow
from tests.town import ORIGIN, Town, make_town


@pytest.fixture
def town(tmp_path: Path) -> Town:
    return make_town(tmp_path / "data")


def ride_of(town: Town, account: str) -> str:
    town.rides(1, account)
    with reading(town.ledger.engine) as session:
        rides = session.exec(select(EntryRow).where(EntryRow.account_id == account)).all()
    return [row for row in rides if row.kind == "ride"][-1].entry_id


def give_back(town: Town, ride: str, minor: int, refund_id: str | None = None) -> Recorded:
    amount = Money(minor, "CNY")
    return refund(town.ledger, ride, amount, "wrong_charge", refund_id or str(uuid4()), "lin")


def test_a_refund_names_its_ride_and_its_reason_and_the_ride_stays(town: Town) -> None:
    account = town.account()
    ride = ride_of(town, account)
    done = give_back(town, ride, 200)
    assert balance(town.ledger, account) == Money(0, "CNY")
    with reading(town.ledger.engine) as session:
        row = session.get(EntryRow, done.entry)
    assert row is not None
    value = decode(row.body)
    assert (row.corrects, value["corrects"]) == (ride, ride)
    assert value["rule"] == {"code": "wrong_charge", "words": REASONS["wrong_charge"]}
    assert [(p["account"], p["minor"]) for p in value["postings"]] == [
        ("income:fares:metro", 200),
        ("liabilities:rider", -200),
    ]
    key = town.ledger.log_key.public_key()
    assert verify(town.ledger.engine, ORIGIN, key, None, town.ledger.vault).entries == 2


def test_goodwill_is_our_expense_and_not_less_income(town: Town) -> None:
    ride = ride_of(town, town.account())
    done = refund(town.ledger, ride, Money(50, "CNY"), "goodwill", str(uuid4()), "lin")
    with reading(town.ledger.engine) as session:
        row = session.get(EntryRow, done.entry)
    assert row is not None
    assert decode(row.body)["postings"][0]["account"] == "expenses:goodwill"


def test_all_refunds_of_a_ride_together_never_exceed_its_charge(town: Town) -> None:
    account = town.account()
    ride = ride_of(town, account)
    give_back(town, ride, 150)
    with pytest.raises(EntryRefused, match=r"CN¥0\.50 is left"):
        give_back(town, ride, 51)
    give_back(town, ride, 50)
    with pytest.raises(EntryRefused, match=r"CN¥0\.00 is left"):
        give_back(town, ride, 1)
    assert balance(town.ledger, account) == Money(0, "CNY")


def test_refunds_from_many_threads_never_exceed_the_charge(town: Town) -> None:
    account = town.account()
    ride = ride_of(town, account)
    refused: list[str] = []

    def give() -> None:
        try:
            give_back(town, ride, 120)
        except EntryRefused as error:
            refused.append(str(error))

    threads = [threading.Thread(target=give) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(refused) == 5
    assert balance(town.ledger, account) == Money(-80, "CNY")


def test_the_same_refund_is_recorded_once_even_when_nothing_is_left(town: Town) -> None:
    account = town.account()
    ride, refund_id = ride_of(town, account), str(uuid4())
    first = give_back(town, ride, 200, refund_id)
    assert give_back(town, ride, 200, refund_id) == Recorded(first.entry, replayed=True)
    assert balance(town.ledger, account) == Money(0, "CNY")


def test_a_refunds_id_cannot_serve_another_ride_or_amount(town: Town) -> None:
    account = town.account()
    ride, other, refund_id = ride_of(town, account), ride_of(town, account), str(uuid4())
    give_back(town, ride, 100, refund_id)
    for whose, minor in ((other, 100), (ride, 50)):
        with pytest.raises(EntryConflict):
            give_back(town, whose, minor, refund_id)
    with pytest.raises(EntryConflict):
        top_up(town.ledger, account, Money(100, "CNY"), refund_id, "lin")


@pytest.mark.parametrize("minor", [0, -1])
def test_a_refund_is_more_than_zero(town: Town, minor: int) -> None:
    with pytest.raises(EntryRefused, match="more than zero"):
        give_back(town, ride_of(town, town.account()), minor)


def test_only_rides_of_known_riders_are_refunded_for_known_reasons(town: Town) -> None:
    account, top_up_id = town.account(), str(uuid4())
    top_up(town.ledger, account, Money(100, "CNY"), top_up_id, "lin")
    for nothing in (top_up_id, "nothing"):
        with pytest.raises(EntryRefused, match="no ride"):
            give_back(town, nothing, 1)
    ride = ride_of(town, account)
    with pytest.raises(EntryRefused, match="reason"):
        refund(town.ledger, ride, Money(1, "CNY"), "because", str(uuid4()), "lin")
    with pytest.raises(EntryRefused, match="UUID"):
        refund(town.ledger, ride, Money(1, "CNY"), "goodwill", "7", "lin")
    erase_account(town.ledger, account)
    with pytest.raises(EntryRefused, match="erased"):
        give_back(town, ride, 1)
