"""One truth about who may ride: for the rider, the help desk and the gates."""

from __future__ import annotations

import threading
import time
from datetime import date, timedelta
from pathlib import Path
from uuid import uuid4

import pytest
from flask import Flask
from sqlmodel import select

from facefare.rider_ledger import rider_money
from ledger.accounts import open_account
from ledger.autotopup import (
    DONE,
    answer,
    ask_for_top_ups,
    set_auto_top_up,
    stop_auto_top_up,
    unanswered,
)
from ledger.categories import CategoryRefused, category_now, change_category
from ledger.erasure import erase_account
from ledger.fares.gtfs import feed_files, import_feed
from ledger.fares.rates import Rates
from ledger.fares.standing import StandingPolicy, policy_of, standing
from ledger.feeds import activate
from ledger.once import EntryRefused
from ledger.standings import (
    BlockRefused,
    StandingsFeed,
    account_standing,
    block,
    lift,
    standings,
    standings_of,
)
from ledger.topups import top_up
from models.database import reading, writing
from models.money import Money
from models.tables.ledger import AccountCategoryRow, BlockRow, PassageRow
from tests.fares_feed import FILES, write_feed
from tests.test_ledger_pages import app, client_as
from tests.town import NOON, Town, make_town

__all__ = ["app"]  # a fixture of the tests beside these


@pytest.fixture
def town(tmp_path: Path) -> Town:
    return make_town(tmp_path / "data")


def cny(minor: int) -> Money:
    return Money(minor, "CNY")


def denied(town: Town) -> list[str]:
    return [account.account_id for account in standings(town.ledger).blocked]


def test_a_block_says_why_since_when_and_who_may_lift_it(town: Town) -> None:
    account = town.account()
    top_up(town.ledger, account, cny(5000), str(uuid4()), "desk")
    block(town.ledger, account, "unpaid", "the bank returned the top-up", "fang")
    found = account_standing(town.ledger, account)
    assert (found.state, found.reason, found.since) == ("blocked", "unpaid", NOON)
    assert found.lifted_by == ("finance",)
    assert found.words == "A payment for this account was returned."
    (listed,) = standings(town.ledger).blocked
    assert (listed.account_id, listed.standing) == (account, found)


def test_only_the_named_roles_lift_a_block(town: Town) -> None:
    account = town.account()
    block(town.ledger, account, "unpaid", "returned", "fang")
    with pytest.raises(BlockRefused, match="can be lifted by finance only"):
        lift(town.ledger, account, "paid", "li", {"service"})
    assert lift(town.ledger, account, "paid in cash", "li", {"finance"}).state == "low"
    assert denied(town) == []
    with pytest.raises(BlockRefused, match="not blocked by staff"):
        lift(town.ledger, account, "again", "li", {"finance"})
    with reading(town.ledger.engine) as session:
        kept = session.exec(select(BlockRow)).one()
    assert (kept.blocked_by, kept.lifted_by, kept.lift_note) == ("fang", "li", "paid in cash")


@pytest.mark.parametrize(
    ("reason", "note", "words"),
    [
        ("because", "x", "reason is one of"),
        ("lost", " ", "say why"),
        ("lost", "x" * 501, "say why"),
    ],
)
def test_a_block_needs_a_reason_and_a_note(town: Town, reason: str, note: str, words: str) -> None:
    account = town.account()
    with pytest.raises(BlockRefused, match=words):
        block(town.ledger, account, reason, note, "fang")
    assert denied(town) == []


def test_an_account_is_blocked_once_at_a_time(town: Town) -> None:
    account = town.account()
    block(town.ledger, account, "lost", "by telephone", "fang")
    with pytest.raises(BlockRefused, match="blocked already"):
        block(town.ledger, account, "misuse", "seen twice", "li")


def test_the_version_rises_when_the_list_changes_and_only_then(town: Town) -> None:
    account, other = town.account(), town.account()
    assert standings(town.ledger).version == 0
    block(town.ledger, account, "lost", "by telephone", "fang")
    assert [standings(town.ledger).version for _ in range(2)] == [1, 1]
    town.rides(1, other)
    assert standings(town.ledger).version == 1
    town.rides(2, other)
    assert (standings(town.ledger).version, len(denied(town))) == (2, 2)
    lift(town.ledger, account, "found", "fang", {"service"})
    assert standings(town.reopened().ledger).version == 3


def test_a_gate_that_waits_hears_of_a_change_at_once(town: Town) -> None:
    feed, account = StandingsFeed(town.ledger), town.account()
    timer = threading.Timer(0.3, block, (town.ledger, account, "lost", "by telephone", "fang"))
    timer.start()
    started = time.monotonic()
    heard = feed.after(have=0, wait_s=20)
    timer.join()
    assert (heard.version, len(heard.blocked)) == (1, 1)
    assert time.monotonic() - started < 10


def test_a_gate_that_waits_in_vain_is_answered_in_time(town: Town) -> None:
    started = time.monotonic()
    assert StandingsFeed(town.ledger).after(have=0, wait_s=0.5).version == 0
    assert 0.4 < time.monotonic() - started < 10


def test_more_gates_than_may_wait_are_answered_at_once(town: Town) -> None:
    feed = StandingsFeed(town.ledger)
    waiting = [threading.Thread(target=feed.after, args=(0, 3)) for _ in range(4)]
    for thread in waiting:
        thread.start()
    time.sleep(0.5)
    started = time.monotonic()
    feed.after(0, 3)
    assert time.monotonic() - started < 2
    for thread in waiting:
        thread.join()


def test_what_is_held_for_a_journey_does_not_block(town: Town, tmp_path: Path) -> None:
    euro = make_town(tmp_path / "euro", lambda text: text.replace('"CNY"', '"EUR"'))
    places = FILES["fare_stations.txt"] + "south,,a1,metro\n"
    feed = write_feed(tmp_path / "feed", fare_stations=places)
    activate(euro.ledger.engine, feed_files(feed), NOON.date(), "EUR", "fang", NOON)
    account = euro.account()
    top_up(euro.ledger, account, Money(200, "EUR"), str(uuid4()), "desk")
    euro.charge(euro.gate.tap(account))
    held = account_standing(euro.ledger, account)
    assert (held.state, held.words) == ("good", "The balance is €2.00.")
    assert denied(euro) == []


def test_the_policy_of_a_feed_is_its_cheapest_fare_and_strictest_limits(
    town: Town, tmp_path: Path
) -> None:
    policies = (
        "network_id,validation,maximum_fare,currency,overdraft,first_ride_risk\n"
        "metro,tap_on_off,5.00,EUR,10.00,5.00\nbus,tap_on,,EUR,4.00,2.00\n"
        ",,,EUR,6.00,3.00\n"
    )
    euro = make_town(tmp_path / "euro", lambda text: text.replace('"CNY"', '"EUR"'))
    feed = write_feed(tmp_path / "feed", fare_policies=policies)
    tables = activate(euro.ledger.engine, feed_files(feed), NOON.date(), "EUR", "fang", NOON)
    limits = Money(400, "EUR"), Money(200, "EUR")
    assert policy_of(Rates(tables)) == StandingPolicy(Money(150, "EUR"), *limits)
    assert policy_of(Rates(tables), "child") == StandingPolicy(Money(100, "EUR"), *limits)


def test_the_limits_count_of_networks_that_there_are(tmp_path: Path) -> None:
    """Where every network has its own row, the one for all others says nothing."""
    policies = "network_id,validation,maximum_fare,currency,overdraft,first_ride_risk\n" + "".join(
        f"{name},,5.00,EUR,2.00,1.00\n" for name in ("metro", "bus", "rail")
    )
    tables = import_feed(write_feed(tmp_path, fare_policies=policies), NOON.date())
    policy = policy_of(Rates(tables))
    assert policy == StandingPolicy(Money(150, "EUR"), Money(200, "EUR"), Money(100, "EUR"))


def put_concessions_in_force(town: Town, directory: Path) -> None:
    """Half fares for *reduced*; children ride free, everywhere."""
    texts: dict[str, str | None] = {
        name.removesuffix(".txt"): text.replace("EUR", "CNY") for name, text in FILES.items()
    }
    products = "fare_product_id,fare_product_name,rider_category_id,amount,currency\n"
    for product, minor in (("one", 200), ("two", 300), ("bus", 150), ("rail", 900)):
        for category, amount in (("adult", minor), ("reduced", minor // 2), ("child", 0)):
            said = f"{amount // 100}.{amount % 100:02}"
            products += f"{product},{product},{category},{said},CNY\n"
    categories = FILES["rider_categories.txt"] + "reduced,Reduced,0\n"
    texts |= {"fare_products": products, "rider_categories": categories, "fare_distances": None}
    feed = write_feed(directory, **texts)
    activate(town.ledger.engine, feed_files(feed), NOON.date(), "CNY", "fang", NOON)


def test_the_fare_of_the_riders_own_category_decides_and_all_pages_say_the_same(
    app: Flask, town: Town, tmp_path: Path
) -> None:
    put_concessions_in_force(town, tmp_path / "feed")
    adult, reduced, child = (uuid4().hex for _ in range(3))
    for account, category in ((adult, "adult"), (reduced, "reduced"), (child, "child")):
        open_account(town.ledger, account, category)
    listed = {one.account_id: one.standing for one in standings(town.ledger).blocked}
    assert listed.keys() == {adult, reduced}
    desk, riders = client_as(app, "service"), rider_money(town.ledger, None)
    with reading(town.ledger.engine) as session:
        several = standings_of(town.ledger, session, [adult, reduced, child])
    for account, words in (
        (adult, "The balance is CN¥0.00; top up at least CN¥1.50 to ride again."),
        (reduced, "The balance is CN¥0.00; top up at least CN¥0.75 to ride again."),
        (child, "The balance is CN¥0.00."),
    ):
        found = account_standing(town.ledger, account)
        assert found.words == words
        assert several[account] == listed.get(account, found) == found
        assert riders.account(account).state == found.state
        assert words in desk.get(f"/finance/standing?account={account}").text
    for account in (adult, reduced):
        top_up(town.ledger, account, cny(75), str(uuid4()), "desk")
    assert denied(town) == [adult]
    assert account_standing(town.ledger, reduced).state == "good"


def test_a_category_that_has_ended_no_longer_keeps_its_rider_off_the_list(
    town: Town, tmp_path: Path
) -> None:
    put_concessions_in_force(town, tmp_path / "feed")
    child = uuid4().hex
    open_account(town.ledger, child, "child")
    assert denied(town) == []
    town.clock.now = NOON + timedelta(days=365)
    assert denied(town) == [child]
    assert "at least CN¥1.50" in account_standing(town.ledger, child).words


def test_who_rides_free_is_not_blocked_for_an_old_debt() -> None:
    policy = StandingPolicy(fare=cny(0), overdraft=cny(0), first_ride_risk=cny(0))
    found = standing(cny(-100), policy, funded=False)
    assert (found.state, found.words) == ("good", "The balance is -CN¥1.00.")


def test_a_first_ride_is_risked_less_than_an_overdraft() -> None:
    policy = StandingPolicy(fare=cny(200), overdraft=cny(500), first_ride_risk=cny(100))
    assert standing(cny(0), policy, funded=True).state == "low"
    assert standing(cny(0), policy, funded=False).state == "blocked"
    assert standing(cny(100), policy, funded=False).state == "low"


def test_the_help_desk_blocks_and_lifts_on_the_console(app: Flask, town: Town) -> None:
    account = town.account()
    page = f"/finance/standing?account={account}"
    desk = client_as(app, "service")
    shown = desk.get(page).text
    token = shown.split('name="csrf_token" value="')[1].split('"')[0]
    form = {"csrf_token": token, "account": account, "reason": "lost", "note": "by telephone"}
    assert desk.post("/finance/standing/block", data=form).status_code == 303
    shown = desk.get(page).text
    assert "A pass of this account was reported lost." in shown
    assert "Service desk, Finance" in shown
    assert desk.post("/finance/standing/block", data=form).status_code == 400
    assert desk.post("/finance/standing/lift", data=form).status_code == 303
    assert "<strong>blocked</strong>" not in desk.get(page).text
    assert client_as(app, "auditor").post("/finance/standing/block", data=form).status_code in (
        400, 403,
    )  # fmt: skip
    assert denied(town) == []


def test_reading_a_standing_that_is_not_there_says_so(app: Flask) -> None:
    answer = client_as(app, "auditor").get(f"/finance/standing?account={uuid4().hex}")
    assert answer.status_code == 404
    assert "there is no account" in answer.text


def test_the_fares_page_explains_a_price(app: Flask, town: Town) -> None:
    town.rides(1)
    page = client_as(app, "finance").get("/finance/fares?from=south").text
    assert "every ride costs the flat fare of CN¥2.00" in page
    assert "Flat fare, from South Gate: CN¥2.00." in page
    assert "Flat fare，South Gate 上车：" in page
    wrong = client_as(app, "finance").get("/finance/fares?from=nowhere").text
    assert "know no stop" in wrong


def test_a_category_holds_from_its_day_and_journeys_before_keep_theirs(
    town: Town, tmp_path: Path
) -> None:
    euro = make_town(tmp_path / "euro", lambda text: text.replace('"CNY"', '"EUR"'))
    places = FILES["fare_stations.txt"] + "south,,b1,bus\n"
    feed = write_feed(tmp_path / "feed", fare_stations=places)
    activate(euro.ledger.engine, feed_files(feed), NOON.date(), "EUR", "fang", NOON)
    account = euro.account()
    euro.charge(euro.gate.tap(account))
    first = change_category(euro.ledger, account, "child", "mei")
    assert first == NOON.date() + timedelta(days=1)
    today, tomorrow = NOON, NOON + timedelta(days=1)
    for when, minor in ((today, 150), (tomorrow, 0)):
        euro.clock.now = when + timedelta(hours=3)
        at = euro.clock.now.isoformat()[:19] + ".000Z"
        (answered,) = euro.charge(euro.gate.tap(account, at=at))
        assert answered.charge.amount.minor == minor  # type: ignore[union-attr]
    with reading(euro.ledger.engine) as session:
        assert category_now(session, account, first.toordinal()) == "child"
        assert category_now(session, account, first.toordinal() - 1) == "adult"
        assert category_now(session, account, date(2028, 1, 1).toordinal()) == "adult"


def test_enrollment_gives_the_category_and_erasure_takes_everything(town: Town) -> None:
    account = uuid4().hex
    open_account(town.ledger, account, "student")
    open_account(town.ledger, account, "senior")  # opening again changes nothing
    town.rides(1, account)
    block(town.ledger, account, "lost", "by telephone", "fang")
    with reading(town.ledger.engine) as session:
        row = session.exec(select(AccountCategoryRow)).one()
        assert (row.category, row.first_day) == ("student", str(NOON.date()))
        assert row.last_day == str(NOON.date() + timedelta(days=364))
    erase_account(town.ledger, account)
    with reading(town.ledger.engine) as session:
        for kind in (AccountCategoryRow, BlockRow, PassageRow):
            assert session.exec(select(kind)).all() == []
    with pytest.raises(CategoryRefused, match="no account"):
        change_category(town.ledger, account, "child", "mei")


def said(town: Town, request_id: str, outcome: str) -> None:
    with writing(town.ledger.engine) as session:
        answer(session, request_id, outcome, town.clock())


def test_a_low_balance_asks_the_processor_once(town: Town) -> None:
    account = town.account()
    set_auto_top_up(town.ledger, account, cny(300), cny(2000), cny(9000))
    assert [ask_for_top_ups(town.ledger) for _ in range(2)] == [1, 0]
    with reading(town.ledger.engine) as session:
        (request,) = unanswered(session)
    assert (request.account_id, request.amount_minor, request.currency) == (account, 2000, "CNY")
    said(town, request.request_id, "declined")
    assert ask_for_top_ups(town.ledger) == 0
    town.clock.forward(86_401)
    assert ask_for_top_ups(town.ledger) == 1
    with reading(town.ledger.engine) as session:
        (again,) = unanswered(session)
    top_up(town.ledger, account, cny(2000), again.request_id, "processor")
    said(town, again.request_id, DONE)
    said(town, again.request_id, "declined")  # what is done stays done
    assert ask_for_top_ups(town.ledger) == 0
    town.rides(10, account)
    assert ask_for_top_ups(town.ledger) == 1
    stop_auto_top_up(town.ledger, account)


def test_an_automatic_top_up_that_makes_no_sense_is_refused(town: Town) -> None:
    account = town.account()
    for below, amount in ((-1, 100), (100, 0)):
        with pytest.raises(EntryRefused):
            set_auto_top_up(town.ledger, account, cny(below), cny(amount), cny(9000))
    with pytest.raises(EntryRefused, match="seven days"):
        set_auto_top_up(town.ledger, account, cny(100), cny(2000), cny(1999))
