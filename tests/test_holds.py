"""Holds, disputes, goodwill and write-offs: each decided once, however many ask at once."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable
from datetime import timedelta
from functools import partial
from pathlib import Path
from uuid import uuid4

import pytest
from sqlalchemy import func
from sqlmodel import col, select

from ledger.accounts import AccountError, balance
from ledger.adjustments import SUSPENSE, credit_account, dispute_credit, settle_dispute
from ledger.checkpoints import publish
from ledger.entries import decode
from ledger.erasure import erase_account
from ledger.holds import HELD, expire_holds, hold, open_holds, post_hold, resolution_id, void_hold
from ledger.kept import CheckpointFile
from ledger.once import EntryConflict, EntryRefused, Recorded
from ledger.refunds import refund
from ledger.topups import top_up
from ledger.verify import verify
from models.database import reading
from models.money import Money
from models.tables.ledger import EntryRow, PostingRow
from tests.town import NOON, ORIGIN, Town, make_town

LATER = NOON + timedelta(hours=2)


def cny(minor: int) -> Money:
    return Money(minor, "CNY")


@pytest.fixture
def town(tmp_path: Path) -> Town:
    return make_town(tmp_path / "data")


@pytest.fixture
def rider(town: Town) -> str:
    """An account with 20.00 on it."""
    account = town.account()
    top_up(town.ledger, account, cny(2000), str(uuid4()), "desk")
    return account


def held(town: Town, rider: str, minor: int = 800) -> str:
    hold_id = str(uuid4())
    hold(town.ledger, rider, cny(minor), "deposit", LATER, hold_id, "desk")
    return hold_id


def total(town: Town, account: str) -> int:
    """The sum of a ledger account: debit positive."""
    with reading(town.ledger.engine) as session:
        query = select(func.coalesce(func.sum(col(PostingRow.minor)), 0))
        return int(session.exec(query.where(col(PostingRow.account) == account)).one())


def still_open(town: Town) -> list[str]:
    with reading(town.ledger.engine) as session:
        return [found.hold_id for found in open_holds(session)]


def entry(town: Town, entry_id: str) -> dict[str, object]:
    with reading(town.ledger.engine) as session:
        return decode(
            session.exec(select(EntryRow).where(EntryRow.entry_id == entry_id)).one().body
        )


def check(town: Town) -> None:
    """The whole log verifies and everything sums to zero."""
    publish(town.ledger)
    note = CheckpointFile(town.data.checkpoint_file).read()
    key = town.ledger.log_key.public_key()
    report = verify(town.ledger.engine, ORIGIN, key, note, town.ledger.vault)
    assert (report.not_excluded, report.unproved) == ((), 0)
    with reading(town.ledger.engine) as session:
        assert session.exec(select(func.sum(col(PostingRow.minor)))).one() == 0


def test_a_hold_sets_money_aside(town: Town, rider: str) -> None:
    hold_id = held(town, rider)
    assert balance(town.ledger, rider) == cny(1200)
    assert total(town, HELD) == -800
    assert still_open(town) == [hold_id]
    check(town)


def test_what_is_needed_of_a_hold_is_charged_and_the_rest_goes_back(town: Town, rider: str) -> None:
    hold_id = held(town, rider)
    post_hold(town.ledger, hold_id, cny(300), "desk")
    assert balance(town.ledger, rider) == cny(1700)
    assert (total(town, HELD), total(town, "income:fares:metro")) == (0, -300)
    assert still_open(town) == []
    made = entry(town, resolution_id(hold_id))
    assert (made["kind"], made["corrects"]) == ("hold_post", hold_id)
    assert made["rule"] == {
        "code": "hold_post", "words": "The held amount was charged, as far as it was needed.",
    }  # fmt: skip
    check(town)


@pytest.mark.parametrize(("minor", "left"), [(0, 2000), (800, 1200)])
def test_nothing_or_all_of_a_hold_may_be_charged(
    town: Town, rider: str, minor: int, left: int
) -> None:
    post_hold(town.ledger, held(town, rider), cny(minor), "desk")
    assert balance(town.ledger, rider) == cny(left)
    check(town)


@pytest.mark.parametrize("minor", [801, -1])
def test_more_than_the_hold_is_never_charged(town: Town, rider: str, minor: int) -> None:
    hold_id = held(town, rider)
    with pytest.raises(EntryRefused, match="are held"):
        post_hold(town.ledger, hold_id, cny(minor), "desk")
    assert still_open(town) == [hold_id]


def test_a_resolved_hold_is_replayed_or_a_conflict_and_never_resolved_again(
    town: Town, rider: str
) -> None:
    hold_id = held(town, rider)
    first = post_hold(town.ledger, hold_id, cny(300), "desk")
    assert post_hold(town.ledger, hold_id, cny(300), "other") == Recorded(first.entry, True)
    for again in (
        lambda: post_hold(town.ledger, hold_id, cny(301), "desk"),
        lambda: void_hold(town.ledger, hold_id, "desk"),
    ):
        with pytest.raises(EntryConflict):
            again()
    town.clock.forward(10_000)
    assert expire_holds(town.ledger) == 0
    assert balance(town.ledger, rider) == cny(1700)
    check(town)


def test_a_hold_expires_when_its_time_is_over_and_not_before(town: Town, rider: str) -> None:
    hold_id = held(town, rider)
    assert expire_holds(town.ledger) == 0
    town.clock.forward(2 * 3600)
    assert expire_holds(town.ledger) == 1
    assert expire_holds(town.ledger) == 0
    assert balance(town.ledger, rider) == cny(2000)
    with pytest.raises(EntryConflict):
        post_hold(town.ledger, hold_id, cny(300), "desk")
    check(town)


def test_a_hold_must_be_covered_known_and_end_in_the_future(town: Town, rider: str) -> None:
    ledger, new = town.ledger, lambda: str(uuid4())
    for amount, reason, until, words in (
        (2001, "deposit", LATER, "balance is"),
        (0, "deposit", LATER, "more than zero"),
        (100, "whim", LATER, "reason is one of"),
        (100, "deposit", NOON, "in the future"),
    ):
        with pytest.raises(EntryRefused, match=words):
            hold(ledger, rider, cny(amount), reason, until, new(), "desk")
    with pytest.raises(AccountError):
        hold(ledger, uuid4().hex, cny(100), "deposit", LATER, new(), "desk")
    with pytest.raises(EntryRefused, match="no hold"):
        void_hold(ledger, new(), "desk")
    assert balance(ledger, rider) == cny(2000)


def test_the_same_hold_asked_for_twice_is_one(town: Town, rider: str) -> None:
    hold_id = str(uuid4())
    answers = [
        hold(town.ledger, rider, cny(1500), "deposit", LATER, hold_id, "desk") for _ in range(2)
    ]
    assert [answer.replayed for answer in answers] == [False, True]
    with pytest.raises(EntryConflict):
        hold(town.ledger, rider, cny(1), "deposit", LATER, hold_id, "desk")
    assert balance(town.ledger, rider) == cny(500)


def test_a_hold_outlives_its_rider_and_what_is_left_is_unclaimed(town: Town, rider: str) -> None:
    posted, expired = held(town, rider, 800), held(town, rider, 100)
    erase_account(town.ledger, rider)
    post_hold(town.ledger, posted, cny(300), "desk")
    town.clock.forward(2 * 3600)
    assert expire_holds(town.ledger) == 1
    assert (total(town, HELD), total(town, "liabilities:rider")) == (0, 0)
    assert total(town, "liabilities:unclaimed") == -(2000 - 300)
    assert still_open(town) == []
    assert expired != posted
    check(town)


def at_once(*calls: Callable[[], Recorded]) -> list[Recorded | Exception]:
    """Run all ``calls`` at the same moment, each in a thread of its own."""
    ready, outcomes = threading.Barrier(len(calls)), []

    def run(call: Callable[[], Recorded]) -> None:
        ready.wait()
        try:
            outcomes.append(call())
        except EntryRefused as error:
            outcomes.append(error)

    threads = [threading.Thread(target=run, args=(call,)) for call in calls]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(outcomes) == len(calls)
    return outcomes


def test_of_posts_and_voids_at_once_exactly_one_kind_wins(town: Town, rider: str) -> None:
    ledger, winners = town.ledger, Counter[str]()
    for _ in range(8):
        hold_id = held(town, rider, 100)
        before = balance(ledger, rider)
        outcomes = at_once(
            *[partial(post_hold, ledger, hold_id, cny(40), "desk")] * 3,
            *[partial(void_hold, ledger, hold_id, "desk")] * 3,
        )
        first = [one for one in outcomes if isinstance(one, Recorded) and not one.replayed]
        assert len(first) == 1
        assert Counter(type(one) for one in outcomes) == {Recorded: 3, EntryConflict: 3}
        kind = str(entry(town, resolution_id(hold_id))["kind"])
        winners[kind] += 1
        back = {"hold_post": cny(60), "hold_void": cny(100)}[kind]
        assert balance(ledger, rider) == before + back
    assert total(town, HELD) == 0
    assert total(town, "income:fares:metro") == -40 * winners["hold_post"]
    check(town)


def test_expiry_and_a_post_at_once_resolve_the_hold_once(town: Town, rider: str) -> None:
    hold_id = held(town, rider)
    town.clock.forward(2 * 3600)
    expired: list[int] = []
    expiring = threading.Thread(target=lambda: expired.append(expire_holds(town.ledger)))
    expiring.start()
    (posted,) = at_once(lambda: post_hold(town.ledger, hold_id, cny(300), "desk"))
    expiring.join()
    assert isinstance(posted, Recorded) == (expired == [0])
    assert total(town, HELD) == 0
    check(town)


def test_refunds_and_dispute_credits_at_once_never_exceed_the_charge(
    town: Town, rider: str
) -> None:
    town.rides(1, rider)
    with reading(town.ledger.engine) as session:
        ride = session.exec(select(EntryRow.entry_id).where(EntryRow.kind == "ride")).one()
    before = balance(town.ledger, rider)
    outcomes = at_once(
        *(
            lambda: refund(town.ledger, ride, cny(150), "wrong_charge", str(uuid4()), "desk")
            for _ in range(4)
        ),
        *(
            lambda: dispute_credit(town.ledger, ride, cny(150), str(uuid4()), "desk")
            for _ in range(4)
        ),
    )
    assert sum(isinstance(one, Recorded) for one in outcomes) == 1
    assert balance(town.ledger, rider) == before + cny(150)
    check(town)


def disputed(town: Town, rider: str) -> str:
    town.rides(1, rider)
    with reading(town.ledger.engine) as session:
        ride = session.exec(select(EntryRow.entry_id).where(EntryRow.kind == "ride")).one()
    credit_id = str(uuid4())
    dispute_credit(town.ledger, ride, cny(200), credit_id, "desk")
    return credit_id


@pytest.mark.parametrize(("upheld", "left", "income"), [(True, 2000, 0), (False, 1800, -200)])
def test_a_dispute_is_settled_one_way_and_suspense_returns_to_zero(
    town: Town, rider: str, upheld: bool, left: int, income: int
) -> None:
    credit_id = disputed(town, rider)
    assert (balance(town.ledger, rider), total(town, SUSPENSE)) == (cny(2000), 200)
    settle_dispute(town.ledger, credit_id, upheld=upheld, made_by="desk")
    assert settle_dispute(town.ledger, credit_id, upheld=upheld, made_by="desk").replayed
    with pytest.raises(EntryConflict):
        settle_dispute(town.ledger, credit_id, upheld=not upheld, made_by="desk")
    assert (balance(town.ledger, rider), total(town, SUSPENSE)) == (cny(left), 0)
    assert total(town, "income:fares:metro") == income
    check(town)


def test_a_dispute_settled_both_ways_at_once_is_settled_once(town: Town, rider: str) -> None:
    credit_id = disputed(town, rider)
    outcomes = at_once(
        *(
            lambda way=upheld: settle_dispute(town.ledger, credit_id, upheld=way, made_by="desk")
            for upheld in (True, False, True, False)
        )
    )
    assert sum(isinstance(one, Recorded) and not one.replayed for one in outcomes) == 1
    assert total(town, SUSPENSE) == 0
    check(town)


def test_a_dispute_rejected_after_the_rider_left_is_borne_by_unclaimed_money(
    town: Town, rider: str
) -> None:
    credit_id = disputed(town, rider)
    erase_account(town.ledger, rider)
    settle_dispute(town.ledger, credit_id, upheld=False, made_by="desk")
    assert total(town, SUSPENSE) == 0
    check(town)


def test_goodwill_is_our_expense(town: Town, rider: str) -> None:
    entry_id = str(uuid4())
    for _ in range(2):
        credit_account(town.ledger, "goodwill", rider, cny(150), "apology", entry_id, "desk")
    assert balance(town.ledger, rider) == cny(2150)
    assert total(town, "expenses:goodwill") == 150
    with pytest.raises(EntryRefused, match="reason is one of"):
        credit_account(town.ledger, "goodwill", rider, cny(1), "whim", str(uuid4()), "desk")
    with pytest.raises(EntryRefused, match="more than zero"):
        credit_account(town.ledger, "goodwill", rider, cny(0), "apology", str(uuid4()), "desk")
    check(town)


def test_no_more_than_the_debt_is_written_off_even_at_once(town: Town) -> None:
    rider = town.rides(2)  # 4.00 below zero
    outcomes = at_once(
        *(
            lambda: credit_account(
                town.ledger, "write_off", rider, cny(300), "uncollectable", str(uuid4()), "desk"
            )
            for _ in range(4)
        )
    )
    assert sum(isinstance(one, Recorded) for one in outcomes) == 1
    with pytest.raises(EntryRefused, match="are owed"):
        credit_account(
            town.ledger, "write_off", rider, cny(101), "uncollectable", str(uuid4()), "desk"
        )
    credit_account(town.ledger, "write_off", rider, cny(100), "small_balance", str(uuid4()), "desk")
    assert balance(town.ledger, rider) == cny(0)
    assert total(town, "expenses:bad_debt") == 400
    check(town)


def test_nothing_else_is_taken_for_a_hold_or_a_dispute(town: Town, rider: str) -> None:
    town.rides(1, rider)
    with reading(town.ledger.engine) as session:
        ids = session.exec(select(EntryRow.entry_id).order_by(EntryRow.seq)).all()
    refunded = str(uuid4())
    refund(town.ledger, ids[1], cny(100), "wrong_charge", refunded, "desk")
    for entry_id in (*ids, refunded):
        with pytest.raises(EntryRefused):
            void_hold(town.ledger, entry_id, "desk")
        with pytest.raises(EntryRefused):
            settle_dispute(town.ledger, entry_id, upheld=True, made_by="desk")
