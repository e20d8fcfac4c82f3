"""Cards that riders keep themselves: added on the processor's page, used, removed, forgotten."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest
from sqlmodel import select

from bench.postgres import Postgres
from ledger.accounts import balance
from ledger.answers import Accepted
from ledger.autotopup import (
    CHARGEBACK,
    DECLINES_MAX,
    ask_for_top_ups,
    set_auto_top_up,
    stop_auto_top_up,
)
from ledger.erasure import erase_account
from ledger.once import EntryConflict, EntryRefused
from ledger.processors.cards import card_refund_call, refund_to_card, top_up_by_card
from ledger.processors.keeping import (
    PAGE_LIFE,
    PAGES_MAX,
    ask_about_page,
    keep_card,
    open_page,
    remove_card,
)
from ledger.processors.outbox import Worked, work
from ledger.processors.pretend import DECLINED, PretendProcessor
from ledger.processors.protocol import ChargeOrder, OutcomeUnknown, RefundOrder, Succeeded
from ledger.processors.state import troubles
from ledger.processors.webhooks import receive
from ledger.requests import Asked, Done, adjust, approve, decline
from ledger.sequencer import sequence
from ledger.standings import block
from ledger.wanted import TO_THE_CARD, Wanted
from models.database import reading
from models.tables.ledger import AutoTopUpRow, TopUpRequestRow
from models.tables.reconcile import CardLeavingRow, CardPageRow, CardRow
from models.wire.times import format_utc
from tests.postgres import a_server, make_postgres_town
from tests.test_processors import call, card, cny, kinds, posted, topped_up, with_card
from tests.town import Town, make_town


@pytest.fixture
def town(tmp_path: Path) -> Town:
    return make_town(tmp_path / "data")


@pytest.fixture
def processor(town: Town) -> PretendProcessor:
    return PretendProcessor(town.clock)


@pytest.fixture(scope="module")
def server() -> Iterator[Postgres]:
    yield from a_server()


@pytest.fixture(params=["sqlite", "postgres"])
def any_town(request: pytest.FixtureRequest, tmp_path: Path) -> Town:
    if request.param == "sqlite":
        return make_town(tmp_path / "data")
    return make_postgres_town(tmp_path / "data", request.getfixturevalue("server"))


def begin(town: Town, processor: PretendProcessor, account: str, page_id: str = "") -> str:
    """The rider goes to the processor's page; its name there."""
    page = open_page(town.ledger, processor, account, page_id or str(uuid4()),
                     done_url="/me/card/back/x", back_url="/me/card", language="en")  # fmt: skip
    return page.session


def kept(town: Town, account: str) -> str | None:
    with reading(town.ledger.engine) as session:
        row = session.get(CardRow, account)
        return None if row is None else row.last4


def pages(town: Town) -> list[CardPageRow]:
    with reading(town.ledger.engine) as session:
        return list(session.exec(select(CardPageRow)))


def hear(town: Town, processor: PretendProcessor, times: int = 1) -> None:
    """Every message the processor ever sent, doubled and in any order."""
    for _ in range(times):
        for body, signature in processor.messages():
            receive(town.ledger, processor, body, signature)


# ---- adding a card


def test_a_card_typed_in_at_the_processor_is_kept_with_what_its_rider_knows_it_by(
    town: Town, processor: PretendProcessor
) -> None:
    account = town.account()
    session = begin(town, processor, account)
    assert kept(town, account) is None
    processor.type_card(session, "4242")
    hear(town, processor)
    with reading(town.ledger.engine) as held:
        row = held.get(CardRow, account)
        assert row is not None
        shown = (row.processor, row.brand, row.last4, row.exp_month, row.exp_year)
    assert shown == ("pretend", "visa", "4242", 12, 2029)
    assert pages(town) == []
    call_id = str(uuid4())
    top_up_by_card(town.ledger, account, cny(2000), call_id)
    work(town.ledger, processor)
    assert balance(town.ledger, account) == cny(2000)


def test_whoever_comes_back_first_is_asked_for_and_the_message_changes_nothing_then(
    town: Town, processor: PretendProcessor
) -> None:
    account, page_id = town.account(), str(uuid4())
    session = begin(town, processor, account, page_id)
    assert not ask_about_page(town.ledger, processor, page_id), "nothing was typed in yet"
    processor.type_card(session, "4242")
    assert ask_about_page(town.ledger, processor, page_id)
    remove_card(town.ledger, account)
    hear(town, processor, times=3)
    assert kept(town, account) is None, "a message that comes late brings no removed card back"


def test_the_form_sent_twice_opens_one_page_and_another_riders_id_none(
    town: Town, processor: PretendProcessor
) -> None:
    account, page_id = town.account(), str(uuid4())
    assert begin(town, processor, account, page_id) == begin(town, processor, account, page_id)
    assert len(processor.pages) == 1
    with pytest.raises(EntryConflict):
        begin(town, processor, town.account(), page_id)


def test_a_rider_opens_a_handful_of_pages_and_no_more(
    town: Town, processor: PretendProcessor
) -> None:
    account = town.account()
    for _ in range(PAGES_MAX):
        begin(town, processor, account)
    with pytest.raises(EntryRefused, match="try again in an hour"):
        begin(town, processor, account)


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
def test_of_several_pages_the_one_opened_last_counts_in_whatever_order_they_are_heard_of(
    town: Town, processor: PretendProcessor, order: tuple[int, ...]
) -> None:
    account, opened = town.account(), []
    for last4 in ("1111", "2222", "3333"):
        page_id = str(uuid4())
        opened.append((page_id, begin(town, processor, account, page_id), last4))
        town.clock.forward(1)
    for place in order:
        page_id, session, last4 = opened[place]
        processor.type_card(session, last4)
        ask_about_page(town.ledger, processor, page_id)
    hear(town, processor, times=2)
    work(town.ledger, processor)
    assert kept(town, account) == "3333"
    typed = {page.card.last4: page.card.method for page in processor.pages.values() if page.card}
    assert sorted(processor.forgotten) == sorted((typed["1111"], typed["2222"]))


def test_a_page_that_nobody_heard_of_is_asked_about_when_it_has_closed(
    town: Town, processor: PretendProcessor
) -> None:
    typed, left = town.account(), town.account()
    processor.type_card(begin(town, processor, typed), "4242")
    begin(town, processor, left)
    work(town.ledger, processor)
    assert len(pages(town)) == 2, "not before"
    town.clock.forward(PAGE_LIFE.total_seconds() + 601)
    work(town.ledger, processor)
    assert (kept(town, typed), kept(town, left), pages(town)) == ("4242", None, [])


def test_a_page_whose_address_was_lost_is_let_go(town: Town) -> None:
    class Silent(PretendProcessor):
        def open_card_page(self, order: object) -> None:  # type: ignore[override]
            raise OutcomeUnknown("the reply was lost")

    silent = Silent(town.clock)
    with pytest.raises(OutcomeUnknown):
        begin(town, silent, town.account())
    town.clock.forward(PAGE_LIFE.total_seconds() + 601)
    assert work(town.ledger, silent) == Worked(0, 0)
    assert pages(town) == []


# ---- removing it


def test_a_removed_card_is_forgotten_at_the_processor_too_and_takes_its_orders_with_it(
    town: Town, processor: PretendProcessor
) -> None:
    account, call_id = with_card(town), str(uuid4())
    set_auto_top_up(town.ledger, account, cny(500), cny(3000), cny(9000))
    top_up_by_card(town.ledger, account, cny(2000), call_id)
    assert remove_card(town.ledger, account)
    assert not remove_card(town.ledger, account)
    assert ask_for_top_ups(town.ledger) == 0
    work(town.ledger, processor)
    assert (call(town, call_id).state, call(town, call_id).reason) == ("failed", "card_removed")
    assert (processor.orders_seen, processor.forgotten) == (0, [f"pm_{account[:6]}"])
    with reading(town.ledger.engine) as session:
        assert session.exec(select(CardLeavingRow)).all() == []


def test_forgetting_goes_on_until_the_processor_has_heard_it(town: Town) -> None:
    class Deaf(PretendProcessor):
        asked = 0

        def forget_card(self, customer: str, method: str) -> None:
            self.asked += 1
            if self.asked < 3:
                raise OutcomeUnknown("no answer")
            super().forget_card(customer, method)

    deaf = Deaf(town.clock)
    account = with_card(town, "pm_1")
    remove_card(town.ledger, account)
    for _ in range(4):
        work(town.ledger, deaf)
        work(town.ledger, deaf)  # it rests in between
        town.clock.forward(3601)
    assert (deaf.asked, deaf.forgotten) == (3, ["pm_1"])


def test_a_rider_who_leaves_leaves_no_card_here_or_there_nor_one_being_typed_in(
    town: Town, processor: PretendProcessor
) -> None:
    account = with_card(town, "pm_old")
    set_auto_top_up(town.ledger, account, cny(500), cny(3000), cny(9000))
    typing, unfinished = begin(town, processor, account), begin(town, processor, account)
    erase_account(town.ledger, account)
    assert ask_for_top_ups(town.ledger) == 0
    processor.type_card(typing, "4242")  # the tab was still open
    hear(town, processor, times=2)
    work(town.ledger, processor)
    town.clock.forward(PAGE_LIFE.total_seconds() + 601)
    work(town.ledger, processor)
    typed = processor.pages[typing].card
    assert typed is not None and processor.pages[unfinished].card is None
    assert sorted(processor.forgotten) == sorted(("pm_old", typed.method))
    with reading(town.ledger.engine) as session:
        for row in (CardRow, CardPageRow, CardLeavingRow, AutoTopUpRow, TopUpRequestRow):
            assert session.exec(select(row)).all() == [], row
    town.ledger.engine.dispose()
    held = b"".join(path.read_bytes() for path in town.data.path.glob("fares.sqlite*"))
    assert account.encode() not in held


# ---- automatic top-ups


def spend(town: Town, account: str) -> None:
    (answer,) = town.charge(town.gate.tap(account, at=format_utc(town.clock())))
    assert isinstance(answer, Accepted)
    sequence(town.ledger)


def outcomes(town: Town) -> list[str | None]:
    with reading(town.ledger.engine) as session:
        found = select(TopUpRequestRow.outcome).order_by(TopUpRequestRow.asked_at)  # type: ignore
        return list(session.exec(found))


def paused(town: Town, account: str) -> str | None:
    with reading(town.ledger.engine) as session:
        row = session.get(AutoTopUpRow, account)
        assert row is not None
        return row.paused


def test_falling_below_the_threshold_tops_up_once_even_where_that_is_not_enough(
    any_town: Town,
) -> None:
    town, processor = any_town, PretendProcessor(any_town.clock)
    account = with_card(town)
    set_auto_top_up(town.ledger, account, cny(5000), cny(2000), cny(50_000))
    for _ in range(3):
        threads = [threading.Thread(target=ask_for_top_ups, args=(town.ledger,)) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        work(town.ledger, processor)
        town.clock.forward(600)
    assert balance(town.ledger, account) == cny(2000), "once, though it is still below"
    spend(town, account)
    assert [ask_for_top_ups(town.ledger) for _ in range(2)] == [1, 0]
    work(town.ledger, processor)
    assert len(processor.moved) == 2


def test_no_more_is_taken_in_seven_days_than_the_rider_said(
    town: Town, processor: PretendProcessor
) -> None:
    account = with_card(town)
    set_auto_top_up(town.ledger, account, cny(50_000), cny(2000), cny(5000))
    for day in range(14):
        town.clock.forward(86_400)
        spend(town, account)
        ask_for_top_ups(town.ledger)
        work(town.ledger, processor)
        week = [one.at for one in processor.moved if (town.clock() - one.at).days < 7]
        assert len(week) * 2000 <= 5000, day
    assert len(processor.moved) == 4


def test_three_declines_in_a_row_stop_it_until_the_rider_switches_it_on_again(
    town: Town, processor: PretendProcessor
) -> None:
    account = with_card(town, DECLINED)
    set_auto_top_up(town.ledger, account, cny(500), cny(2000), cny(9000))
    for _ in range(DECLINES_MAX):
        assert paused(town, account) is None
        assert ask_for_top_ups(town.ledger) == 1
        work(town.ledger, processor)
        assert ask_for_top_ups(town.ledger) == 0, "the next one waits for a day"
        town.clock.forward(86_401)
    assert paused(town, account) == "declined"
    assert ask_for_top_ups(town.ledger) == 0
    assert outcomes(town) == [DECLINED] * DECLINES_MAX
    keep_card(town.ledger, account, "pretend", card("pm_new"))
    set_auto_top_up(town.ledger, account, cny(500), cny(2000), cny(9000))
    assert ask_for_top_ups(town.ledger) == 1
    work(town.ledger, processor)
    assert (paused(town, account), balance(town.ledger, account)) == (None, cny(2000))


def test_a_blocked_account_is_not_topped_up_by_itself(
    town: Town, processor: PretendProcessor
) -> None:
    before, between = with_card(town), with_card(town)
    for account in (before, between):
        set_auto_top_up(town.ledger, account, cny(500), cny(2000), cny(9000))
    block(town.ledger, before, "misuse", "a note", "mei")
    assert ask_for_top_ups(town.ledger) == 1
    block(town.ledger, between, "lost", "a note", "mei")  # after it was asked, before it was sent
    work(town.ledger, processor)
    assert (processor.orders_seen, outcomes(town)) == (0, ["blocked"])


def test_one_that_was_switched_off_before_it_was_sent_is_not_sent(
    town: Town, processor: PretendProcessor
) -> None:
    account = with_card(town)
    set_auto_top_up(town.ledger, account, cny(500), cny(2000), cny(9000))
    ask_for_top_ups(town.ledger)
    stop_auto_top_up(town.ledger, account)
    work(town.ledger, processor)
    assert (processor.orders_seen, outcomes(town)) == (0, ["switched_off"])


def test_a_payment_that_the_bank_took_back_is_not_taken_again_by_itself(
    town: Town, processor: PretendProcessor
) -> None:
    account, call_id = topped_up(town, processor)
    set_auto_top_up(town.ledger, account, cny(500), cny(2000), cny(9000))
    processor.dispute(call(town, call_id).reference or "")
    hear(town, processor, times=2)
    assert balance(town.ledger, account) == cny(0)
    assert (ask_for_top_ups(town.ledger), paused(town, account)) == (0, CHARGEBACK)


def test_one_that_stopped_before_it_was_sent_is_not_sent(
    town: Town, processor: PretendProcessor
) -> None:
    account, call_id = topped_up(town, processor)
    spend(town, account)
    set_auto_top_up(town.ledger, account, cny(2000), cny(3000), cny(9000))
    assert ask_for_top_ups(town.ledger) == 1
    processor.dispute(call(town, call_id).reference or "")
    hear(town, processor)
    assert work(town.ledger, processor) == Worked(1, 0)
    assert (processor.orders_seen, outcomes(town)) == (1, ["switched_off"])
    assert paused(town, account) == CHARGEBACK


# ---- back to the card


def wanted(charge_id: str, minor: int, entry_id: str = "") -> Wanted:
    entry_id = entry_id or str(uuid4())
    return Wanted(entry_id, TO_THE_CARD, charge_id, cny(minor), "rider_asked", "DESK-7")


def test_a_refund_above_the_limit_takes_two_persons_and_is_paid_once(
    town: Town, processor: PretendProcessor
) -> None:
    account, charge_id = topped_up(town, processor, 5000)
    small, large = wanted(charge_id, 1500), wanted(charge_id, 600)
    for want, kind in ((small, Done), (large, Asked)) * 2:
        assert isinstance(adjust(town.ledger, want, "fang"), kind)
    assert balance(town.ledger, account) == cny(3500), "what was only asked for moves nothing"
    with pytest.raises(EntryRefused, match="ask a colleague"):
        approve(town.ledger, large.entry_id, "fang")
    for _ in range(2):
        approve(town.ledger, large.entry_id, "mei")
    with pytest.raises(EntryConflict):
        decline(town.ledger, large.entry_id, "mei")
    work(town.ledger, processor)
    back = sorted(one.amount.minor for one in processor.moved if one.kind == "refund")
    assert (back, balance(town.ledger, account)) == ([-1500, -600], cny(2900))
    assert (posted(town, "liabilities:card_refunds"), len(kinds(town))) == (0, 6)


def test_a_refund_that_a_colleague_declined_is_not_paid(
    town: Town, processor: PretendProcessor
) -> None:
    account, charge_id = topped_up(town, processor, 5000)
    want = wanted(charge_id, 4000)
    adjust(town.ledger, want, "fang")
    decline(town.ledger, want.entry_id, "mei")
    with pytest.raises(EntryConflict):
        approve(town.ledger, want.entry_id, "mei")
    work(town.ledger, processor)
    assert (len(processor.moved), balance(town.ledger, account)) == (1, cny(5000))


def test_the_same_refund_asked_for_many_times_at_once_is_paid_once(any_town: Town) -> None:
    town, processor = any_town, PretendProcessor(any_town.clock)
    account, charge_id = topped_up(town, processor)
    entry_id, said = str(uuid4()), list[bool]()

    def ask() -> None:
        said.append(refund_to_card(town.ledger, charge_id, cny(1500), entry_id, "f").replayed)
        work(town.ledger, processor)

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(said) == [False, True, True, True]
    work(town.ledger, processor)
    assert [one.amount for one in processor.moved] == [cny(2000), cny(-1500)]
    assert balance(town.ledger, account) == cny(500)


def test_a_crash_between_the_processor_and_the_ledger_pays_a_refund_once(town: Town) -> None:
    class Died(BaseException):
        pass

    class Dying(PretendProcessor):
        def refund(self, order: RefundOrder) -> Succeeded:
            super().refund(order)
            raise Died

    dying = Dying(town.clock)
    account, charge_id = topped_up(town, dying)
    entry_id = str(uuid4())
    refund_to_card(town.ledger, charge_id, cny(1500), entry_id, "fang")
    with pytest.raises(Died):
        work(town.ledger, dying)
    again = refund_to_card(town.ledger, charge_id, cny(1500), entry_id, "fang")
    assert again.replayed
    town.clock.forward(61)
    alive = PretendProcessor(town.clock)
    alive.__dict__.update(dying.__dict__)
    assert work(town.reopened().ledger, alive) == Worked(1, 0)
    assert [one.amount for one in alive.moved] == [cny(2000), cny(-1500)]
    assert balance(town.ledger, account) == cny(500)
    assert call(town, card_refund_call(entry_id)).state == "succeeded"


def test_what_the_cardholders_bank_took_back_is_not_refunded_besides(
    town: Town, processor: PretendProcessor
) -> None:
    account, charge_id = topped_up(town, processor)
    keep = str(uuid4())
    top_up_by_card(town.ledger, account, cny(2000), keep)
    work(town.ledger, processor)
    processor.dispute(call(town, charge_id).reference or "")
    hear(town, processor)
    with pytest.raises(EntryRefused, match=r"of the top-up CN¥0\.00 is left"):
        refund_to_card(town.ledger, charge_id, cny(2000), str(uuid4()), "fang")
    processor.dispute(call(town, charge_id).reference or "", won=True)
    hear(town, processor)
    refund_to_card(town.ledger, charge_id, cny(2000), str(uuid4()), "fang")


# ---- what breaks


def test_an_item_that_breaks_stops_no_other_and_rests(town: Town) -> None:
    class Strange(PretendProcessor):
        def charge(self, order: ChargeOrder) -> Succeeded:
            if order.amount == cny(13):
                raise ZeroDivisionError("nobody thought of this")
            return super().charge(order)  # type: ignore[return-value]

    strange, account = Strange(town.clock), with_card(town)
    ids = [str(uuid4()) for _ in range(3)]
    for call_id, minor in zip(ids, (13, 500, 13), strict=True):
        top_up_by_card(town.ledger, account, cny(minor), call_id)
    done = work(town.ledger, strange)
    assert (done.settled, done.waiting, set(done.troubles)) == (1, 2, {ids[0], ids[2]})
    assert balance(town.ledger, account) == cny(500)
    assert work(town.ledger, strange) == Worked(0, 0), "they rest"
    assert troubles(town.ledger) == []
