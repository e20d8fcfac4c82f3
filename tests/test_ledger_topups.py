"""Top-ups, accounts and their standing."""

from __future__ import annotations

import threading
from pathlib import Path
from uuid import uuid4

import pytest
from sqlmodel import select

from ledger.accounts import AccountError, balance, open_account
from ledger.fares.standing import StandingPolicy, standing
from ledger.once import EntryConflict, EntryRefused, Recorded
from ledger.standings import account_standing, standings
from ledger.topups import top_up
from models.database import reading
from models.money import Money
from models.tables.ledger import AccountRow, EntryRow, PostingRow
from tests.town import Town, make_town


@pytest.fixture
def town(tmp_path: Path) -> Town:
    return make_town(tmp_path / "data")


def cny(minor: int) -> Money:
    return Money(minor, "CNY")


def test_a_top_up_debits_the_cash_desk_and_credits_the_rider(town: Town) -> None:
    account = town.account()
    assert top_up(town.ledger, account, cny(2000), str(uuid4()), "desk") == Recorded(0, False)
    with reading(town.ledger.engine) as session:
        postings = session.exec(select(PostingRow).order_by(PostingRow.line)).all()
    assert [(p.account, p.account_id, p.minor) for p in postings] == [
        ("assets:cash_desk", None, 2000),
        ("liabilities:rider", account, -2000),
    ]
    assert balance(town.ledger, account) == cny(2000)


def test_the_same_top_up_is_recorded_once(town: Town) -> None:
    account, top_up_id = town.account(), str(uuid4())
    first = top_up(town.ledger, account, cny(500), top_up_id, "desk")
    again = top_up(town.ledger, account, cny(500), top_up_id, "other desk")
    assert again == Recorded(first.entry, replayed=True)
    assert balance(town.ledger, account) == cny(500)


def test_the_same_top_up_from_many_threads_is_recorded_once(town: Town) -> None:
    account, top_up_id = town.account(), str(uuid4())
    done: list[Recorded] = []

    def take() -> None:
        done.append(top_up(town.ledger, account, cny(500), top_up_id, "desk"))

    threads = [threading.Thread(target=take) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(made.replayed for made in done) == [False] + [True] * 7
    assert balance(town.ledger, account) == cny(500)


def test_an_id_used_for_another_amount_or_account_is_a_conflict(town: Town) -> None:
    account, top_up_id = town.account(), str(uuid4())
    top_up(town.ledger, account, cny(500), top_up_id, "desk")
    for whose, amount in ((account, 600), (town.account(), 500)):
        with pytest.raises(EntryConflict, match="was used for another entry"):
            top_up(town.ledger, whose, cny(amount), top_up_id, "desk")
    assert balance(town.ledger, account) == cny(500)


@pytest.mark.parametrize("minor", [0, -100])
def test_a_top_up_is_more_than_zero(town: Town, minor: int) -> None:
    with pytest.raises(EntryRefused, match="more than zero"):
        top_up(town.ledger, town.account(), cny(minor), str(uuid4()), "desk")


def test_a_top_up_is_in_the_ledgers_currency(town: Town) -> None:
    with pytest.raises(EntryRefused, match="CNY"):
        top_up(town.ledger, town.account(), Money(100, "EUR"), str(uuid4()), "desk")


@pytest.mark.parametrize("bad", ["", "7", "A" * 32, "A092B768-006F-4091-89B1-F64EA3B9FF4C"])
def test_a_top_up_id_is_a_uuid_written_one_way(town: Town, bad: str) -> None:
    with pytest.raises(EntryRefused, match="UUID"):
        top_up(town.ledger, town.account(), cny(100), bad, "desk")


def test_a_top_up_of_nobody_is_refused(town: Town) -> None:
    with pytest.raises(AccountError, match="no account"):
        top_up(town.ledger, uuid4().hex, cny(100), str(uuid4()), "desk")
    with reading(town.ledger.engine) as session:
        assert session.exec(select(EntryRow)).all() == []


def test_opening_an_account_again_changes_nothing(town: Town) -> None:
    account = town.account()
    town.rides(1, account)
    key = town.ledger.vault.key(f"account:{account}")
    open_account(town.ledger, account)
    assert balance(town.ledger, account) == cny(-200)
    assert town.ledger.vault.key(f"account:{account}") == key
    with reading(town.ledger.engine) as session:
        assert len(session.exec(select(AccountRow)).all()) == 1


@pytest.mark.parametrize("bad", ["", "alice", "0" * 31, "G" * 32, "A" * 32])
def test_an_account_id_is_32_hex_digits(town: Town, bad: str) -> None:
    with pytest.raises(AccountError, match="32 hex digits"):
        open_account(town.ledger, bad)


def test_neither_account_nor_name_nor_score_is_in_the_hashed_bytes(town: Town) -> None:
    account = town.rides(1)
    top_up(town.ledger, account, cny(100), str(uuid4()), "Wang Fang")
    with reading(town.ledger.engine) as session:
        bodies = list(session.exec(select(EntryRow.body)))
    for secret in (account, "Wang", "score", "0.62", "dlib", "liveness"):
        assert all(secret.encode() not in body for body in bodies)


@pytest.mark.parametrize(
    ("minor", "state"),
    [(200, "good"), (199, "low"), (-300, "low"), (-301, "blocked"), (10_000, "good")],
)
def test_standing_follows_balance_fare_and_overdraft(minor: int, state: str) -> None:
    policy = StandingPolicy(fare=cny(200), overdraft=cny(500))
    assert standing(cny(minor), policy).state == state


def test_without_overdraft_a_ride_must_be_paid_before(town: Town) -> None:
    policy = StandingPolicy(fare=cny(200), overdraft=cny(0))
    assert standing(cny(199), policy).state == "blocked"
    assert standing(cny(200), policy).state == "good"


def test_the_words_say_how_much_unblocks_and_that_much_does(town: Town) -> None:
    account = town.rides(3)
    blocked = account_standing(town.ledger, account)
    assert (blocked.state, blocked.reason) == ("blocked", "overdraft")
    assert "-CN¥6.00; top up at least CN¥3.00" in blocked.words
    top_up(town.ledger, account, cny(300), str(uuid4()), "desk")
    assert account_standing(town.ledger, account).state == "low"


def test_the_deny_list_holds_the_blocked_accounts_and_moves_on(town: Town) -> None:
    blocked, good = town.account(), town.account()
    assert standings(town.ledger).blocked == ()
    town.rides(3, blocked)
    town.rides(1, good)
    listed = standings(town.ledger)
    assert listed.version == 1
    assert [entry.account_id for entry in listed.blocked] == [blocked]
    assert listed.blocked[0].standing == account_standing(town.ledger, blocked)
    top_up(town.ledger, blocked, cny(300), str(uuid4()), "desk")
    assert standings(town.ledger).blocked == ()
