"""Money by card: once each, whatever is lost, doubled or late."""

from __future__ import annotations

import hmac
import json
import random
import threading
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest
from flask import Flask
from sqlmodel import select

from bench.postgres import Postgres
from ledger.accounts import balance
from ledger.autotopup import ask_for_top_ups, set_auto_top_up
from ledger.erasure import erase_account
from ledger.once import EntryConflict, EntryRefused
from ledger.processors.cards import CARD_REFUNDS, refund_to_card, top_up_by_card
from ledger.processors.cashier import open_processor, processor_blueprints
from ledger.processors.keeping import keep_card
from ledger.processors.outbox import Worked, ask_about, work
from ledger.processors.pretend import DECLINED, PretendProcessor, Trouble
from ledger.processors.protocol import (
    Card,
    ChargeOrder,
    Failed,
    ProcessorUnusable,
    RefundOrder,
    Succeeded,
    WebhookRefused,
)
from ledger.processors.webhooks import receive, webhooks
from ledger.rollups import PSP_CLEARING, check_roll_ups
from models.database import reading
from models.money import Money
from models.tables.ledger import EntryRow, PostingRow, TopUpRequestRow
from models.tables.reconcile import CardRow, ProcessorCallRow
from tests.postgres import a_server, make_postgres_town
from tests.town import Town, make_town


@pytest.fixture
def town(tmp_path: Path) -> Town:
    return make_town(tmp_path / "data")


@pytest.fixture(scope="module")
def server() -> Iterator[Postgres]:
    yield from a_server()


@pytest.fixture(params=["sqlite", "postgres"])
def any_town(request: pytest.FixtureRequest, tmp_path: Path) -> Town:
    if request.param == "sqlite":
        return make_town(tmp_path / "data")
    return make_postgres_town(tmp_path / "data", request.getfixturevalue("server"))


@pytest.fixture
def processor(town: Town) -> PretendProcessor:
    return PretendProcessor(town.clock)


def cny(minor: int) -> Money:
    return Money(minor, "CNY")


def card(method: str = "pm_good", customer: str = "cus_1") -> Card:
    return Card(customer, method, "visa", "4242", 12, 2030)


def with_card(town: Town, method: str = "") -> str:
    account = town.account()
    named = card(method or f"pm_{account[:6]}", f"cus_{account[:6]}")
    keep_card(town.ledger, account, "pretend", named)
    return account


def posted(town: Town, account: str) -> int:
    with reading(town.ledger.engine) as session:
        return sum(session.exec(select(PostingRow.minor).where(PostingRow.account == account)))


def call(town: Town, call_id: str) -> ProcessorCallRow:
    with reading(town.ledger.engine) as session:
        row = session.get(ProcessorCallRow, call_id)
        assert row is not None
        return row


def kinds(town: Town) -> list[str]:
    with reading(town.ledger.engine) as session:
        check_roll_ups(session)
        return list(session.exec(select(EntryRow.kind).order_by(EntryRow.seq)))


def topped_up(town: Town, processor: PretendProcessor, minor: int = 2000) -> tuple[str, str]:
    account, call_id = with_card(town), str(uuid4())
    top_up_by_card(town.ledger, account, cny(minor), call_id)
    assert work(town.ledger, processor) == Worked(1, 0)
    return account, call_id


def test_a_top_up_by_card_debits_the_claim_and_credits_the_rider(
    town: Town, processor: PretendProcessor
) -> None:
    account, call_id = topped_up(town, processor)
    assert balance(town.ledger, account) == cny(2000)
    assert posted(town, PSP_CLEARING) == 2000
    assert call(town, call_id).state == "succeeded"
    with reading(town.ledger.engine) as session:
        assert list(session.exec(select(EntryRow.entry_id))) == [call_id]


def test_a_declined_card_moves_nothing(town: Town, processor: PretendProcessor) -> None:
    account, call_id = with_card(town, DECLINED), str(uuid4())
    top_up_by_card(town.ledger, account, cny(2000), call_id)
    work(town.ledger, processor)
    assert (call(town, call_id).state, call(town, call_id).reason) == ("failed", DECLINED)
    assert kinds(town) == []


def test_without_a_card_nothing_is_written_down(town: Town) -> None:
    with pytest.raises(EntryRefused, match="no card"):
        top_up_by_card(town.ledger, town.account(), cny(2000), str(uuid4()))


def test_the_same_call_asked_twice_is_made_once(town: Town, processor: PretendProcessor) -> None:
    account, call_id = topped_up(town, processor)
    top_up_by_card(town.ledger, account, cny(2000), call_id)
    assert work(town.ledger, processor) == Worked(0, 0)
    with pytest.raises(EntryConflict):
        top_up_by_card(town.ledger, account, cny(2001), call_id)
    assert len(processor.moved) == 1


@pytest.mark.parametrize("trouble", ["lose_reply", "delay", "lose_order"])
def test_an_unknown_outcome_is_asked_about_and_charged_once(town: Town, trouble: Trouble) -> None:
    troubles = iter([trouble])
    processor = PretendProcessor(town.clock, next_trouble=lambda _: next(troubles, "none"))
    account, call_id = with_card(town), str(uuid4())
    top_up_by_card(town.ledger, account, cny(2000), call_id)
    assert work(town.ledger, processor) == Worked(0, 1)
    assert (call(town, call_id).state, balance(town.ledger, account)) == ("sent", cny(0))
    assert work(town.ledger, processor) == Worked(0, 0), "it rests before it is asked about"
    processor.catch_up()
    town.clock.forward(61)
    assert work(town.ledger, processor) == Worked(1, 0)
    assert len(processor.moved) == 1
    assert balance(town.ledger, account) == cny(2000)
    assert processor.orders_seen == (2 if trouble == "lose_order" else 1)


def test_a_crash_between_writing_down_and_the_answer_charges_once(town: Town) -> None:
    class Died(BaseException):
        pass

    class Dying(PretendProcessor):
        def charge(self, order: ChargeOrder) -> Succeeded:
            super().charge(order)
            raise Died

    dying = Dying(town.clock)
    account, call_id = with_card(town), str(uuid4())
    top_up_by_card(town.ledger, account, cny(2000), call_id)
    with pytest.raises(Died):
        work(town.ledger, dying)
    town.clock.forward(61)
    alive = PretendProcessor(town.clock)
    alive.__dict__.update(dying.__dict__)
    assert work(town.reopened().ledger, alive) == Worked(1, 0)
    assert (len(alive.moved), balance(town.ledger, account)) == (1, cny(2000))


def test_several_workers_make_each_call_once(any_town: Town) -> None:
    town, processor = any_town, PretendProcessor(any_town.clock)
    calls = [str(uuid4()) for _ in range(6)]
    account = with_card(town)
    for call_id in calls:
        top_up_by_card(town.ledger, account, cny(100), call_id)
    threads = [threading.Thread(target=work, args=(town.ledger, processor)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert processor.orders_seen == len(processor.moved) == 6
    assert balance(town.ledger, account) == cny(600)


def test_an_automatic_top_up_follows_the_riders_wish(
    town: Town, processor: PretendProcessor
) -> None:
    account = with_card(town)
    set_auto_top_up(town.ledger, account, cny(500), cny(3000), cny(9000))
    assert ask_for_top_ups(town.ledger) == 1
    assert work(town.ledger, processor) == Worked(1, 0)
    assert balance(town.ledger, account) == cny(3000)
    assert ask_for_top_ups(town.ledger) == 0
    with reading(town.ledger.engine) as session:
        request = session.exec(select(TopUpRequestRow)).one()
    assert request.outcome == "done"
    assert call(town, request.request_id).automatic == 1


@pytest.mark.parametrize("method", [DECLINED, None])
def test_an_automatic_top_up_that_fails_says_why_and_is_not_repeated_at_once(
    town: Town, processor: PretendProcessor, method: str | None
) -> None:
    account = town.account() if method is None else with_card(town, method)
    set_auto_top_up(town.ledger, account, cny(500), cny(3000), cny(9000))
    ask_for_top_ups(town.ledger)
    work(town.ledger, processor)
    with reading(town.ledger.engine) as session:
        outcome = session.exec(select(TopUpRequestRow.outcome)).one()
    assert outcome == (method or "no_card")
    assert ask_for_top_ups(town.ledger) == 0


def test_a_refund_to_the_card_leaves_the_account_when_asked(
    town: Town, processor: PretendProcessor
) -> None:
    account, charge_id = topped_up(town, processor)
    refund_to_card(town.ledger, charge_id, cny(500), str(uuid4()), "desk")
    assert balance(town.ledger, account) == cny(1500)
    assert posted(town, CARD_REFUNDS) == -500
    work(town.ledger, processor)
    assert (posted(town, CARD_REFUNDS), posted(town, PSP_CLEARING)) == (0, 1500)
    assert kinds(town) == ["top_up", "card_refund_asked", "card_refund"]


def test_refunds_together_never_exceed_the_top_up(town: Town, processor: PretendProcessor) -> None:
    account, charge_id = topped_up(town, processor)
    topped_up_again = str(uuid4())
    top_up_by_card(town.ledger, account, cny(2000), topped_up_again)
    work(town.ledger, processor)
    refund_to_card(town.ledger, charge_id, cny(2000), str(uuid4()), "desk")
    with pytest.raises(EntryRefused, match=r"of the top-up CN¥0\.00 is left"):
        refund_to_card(town.ledger, charge_id, cny(1), str(uuid4()), "desk")
    assert balance(town.ledger, account) == cny(2000)


def test_a_refund_is_never_more_than_the_rider_has(town: Town, processor: PretendProcessor) -> None:
    account, charge_id = topped_up(town, processor)
    town.rides(3, account)
    with pytest.raises(EntryRefused, match="the balance is"):
        refund_to_card(town.ledger, charge_id, cny(2000), str(uuid4()), "desk")


def test_a_refund_that_fails_goes_back_to_the_rider(town: Town) -> None:
    class Refusing(PretendProcessor):
        def refund(self, order: RefundOrder) -> Failed:
            return Failed("expired_card")

    processor = Refusing(town.clock)
    account, charge_id = topped_up(town, processor)
    refund_to_card(town.ledger, charge_id, cny(500), str(uuid4()), "desk")
    work(town.ledger, processor)
    assert (balance(town.ledger, account), posted(town, CARD_REFUNDS)) == (cny(2000), 0)


def test_a_refund_of_a_top_up_that_did_not_succeed_is_refused(town: Town) -> None:
    with pytest.raises(EntryRefused, match="no card top-up"):
        refund_to_card(town.ledger, str(uuid4()), cny(100), str(uuid4()), "desk")


def test_a_chargeback_is_owed_again_and_booked_once(
    town: Town, processor: PretendProcessor
) -> None:
    account, call_id = topped_up(town, processor)
    processor.dispute(call(town, call_id).reference or "")
    for _ in range(3):
        for body, signature in processor.messages():
            receive(town.ledger, processor, body, signature)
    assert (balance(town.ledger, account), posted(town, PSP_CLEARING)) == (cny(0), 0)
    processor.dispute(call(town, call_id).reference or "", won=True)
    for body, signature in processor.messages():
        receive(town.ledger, processor, body, signature)
    assert balance(town.ledger, account) == cny(2000)
    assert kinds(town) == ["top_up", "chargeback", "chargeback"]


def test_a_message_that_is_not_signed_is_refused(town: Town, processor: PretendProcessor) -> None:
    topped_up(town, processor)
    ((body, signature), *_) = processor.messages()
    with pytest.raises(WebhookRefused):
        receive(town.ledger, processor, body + b" ", signature)
    with pytest.raises(WebhookRefused):
        receive(town.ledger, processor, body, signature[:-1] + "x")
    assert receive(town.ledger, processor, body, signature)
    assert not receive(town.ledger, processor, body, signature)


def test_the_webhook_address_answers_what_a_processor_understands(
    town: Town, processor: PretendProcessor
) -> None:
    _, call_id = topped_up(town, processor)
    processor.dispute(call(town, call_id).reference or "")
    app = Flask(__name__)
    app.register_blueprint(webhooks(town.ledger, processor))
    client = app.test_client()
    for body, signature in processor.messages():
        answer = client.post("/api/v1/processor/webhook", data=body,
                             headers={"Stripe-Signature": signature})  # fmt: skip
        assert answer.status_code == 204
    bad = client.post("/api/v1/processor/webhook", data=b"{}", headers={"Stripe-Signature": "x"})
    assert (bad.status_code, b"not signed" in bad.data) == (400, True)
    lost = json.dumps({"id": "evt_x", "kind": "dispute", "dispute": "dp_x", "charge": "pi_unknown",
                       "won": False, "minor": 5, "currency": "CNY"}).encode()  # fmt: skip
    signature = hmac.digest(processor.secret, lost, "sha256").hex()
    again = client.post("/api/v1/processor/webhook", data=lost,
                        headers={"Stripe-Signature": signature})  # fmt: skip
    assert again.status_code == 503


def test_an_erased_rider_leaves_no_card_and_pending_money_is_unclaimed(
    town: Town, processor: PretendProcessor
) -> None:
    account, call_id = with_card(town), str(uuid4())
    top_up_by_card(town.ledger, account, cny(2000), call_id)
    erase_account(town.ledger, account)
    with reading(town.ledger.engine) as session:
        assert session.exec(select(CardRow)).all() == []
    # It was never sent: nobody is charged any more, and the processor's names are gone.
    never = call(town, call_id)
    assert (never.state, never.account_id, never.customer, never.method) == ("failed", None, "", "")
    work(town.ledger, processor)
    assert posted(town, "liabilities:unclaimed") == 0
    # Of these two the answer was lost: one had reached the processor, the other had not.
    for trouble, unclaimed, orders in (("lose_reply", 2000, 1), ("lose_order", 2000, 2)):
        troubles = iter([trouble])
        processor.next_trouble = lambda _, left=troubles: next(left, "none")  # type: ignore
        account, call_id = with_card(town), str(uuid4())
        top_up_by_card(town.ledger, account, cny(2000), call_id)
        assert work(town.ledger, processor).waiting == 1
        erase_account(town.ledger, account)
        assert (call(town, call_id).account_id, call(town, call_id).state) == (None, "sent")
        town.clock.forward(61)
        work(town.ledger, processor)
        assert posted(town, "liabilities:unclaimed") == -unclaimed
        assert processor.orders_seen == orders, "nothing is sent again for a rider who left"
        assert (call(town, call_id).customer, call(town, call_id).method) == ("", "")
    settled = topped_up(town, processor)
    erase_account(town.ledger, settled[0])
    assert (call(town, settled[1]).customer, call(town, settled[1]).method) == ("", "")


@pytest.mark.parametrize("seed", range(5))
def test_any_mix_of_faults_charges_and_refunds_each_order_once(any_town: Town, seed: int) -> None:
    town = any_town

    def trouble(rng: random.Random) -> Trouble:
        return rng.choice(("none", "none", "lose_reply", "delay", "lose_order"))

    processor = PretendProcessor(town.clock, seed=seed, next_trouble=trouble)
    accounts = [with_card(town) for _ in range(4)]
    rng = random.Random(seed)
    for _ in range(12):
        top_up_by_card(town.ledger, rng.choice(accounts), cny(rng.randint(1, 9) * 500),
                       str(uuid4()))  # fmt: skip
    for turn in range(40):
        work(town.ledger, processor)
        for body, signature in processor.messages():
            receive(town.ledger, processor, body, signature)
        if turn % 3 == 2:
            processor.catch_up()
        if turn == 20:
            _refund_some(town, processor, rng)
        town.clock.forward(3600)
    with reading(town.ledger.engine) as session:
        states = list(session.exec(select(ProcessorCallRow.state)))
    assert set(states) == {"succeeded"}
    assert len(processor.moved) == len(states)
    assert posted(town, PSP_CLEARING) == sum(one.amount.minor for one in processor.moved)
    assert posted(town, CARD_REFUNDS) == 0
    kinds(town)


def _refund_some(town: Town, processor: PretendProcessor, rng: random.Random) -> None:
    charged = [one.order_id for one in processor.moved if one.kind == "charge"]
    for charge_id in rng.sample(charged, 4):
        refund_to_card(town.ledger, charge_id, cny(rng.randint(1, 500)), str(uuid4()), "desk")


def test_asking_about_a_settled_call_changes_nothing(
    town: Town, processor: PretendProcessor
) -> None:
    account, call_id = topped_up(town, processor)
    ask_about(town.ledger, processor, call_id)
    ask_about(town.ledger, processor, str(uuid4()))
    assert balance(town.ledger, account) == cny(2000)
    assert kinds(town) == ["top_up"]


def test_an_operator_without_keys_takes_no_cards(town: Town) -> None:
    assert open_processor(town.data) is None
    assert processor_blueprints(town.ledger, None) == []


KEYS = "secret_key = 'sk_test_1'\nwebhook_secret = 'whsec_test'"


@pytest.mark.parametrize("currency", ["CNY", "JPY", "KWD"])
def test_a_currency_that_stripe_counts_as_we_do_is_taken(tmp_path: Path, currency: str) -> None:
    data = town_in(tmp_path, currency).data
    (data.keys / "stripe.toml").write_text(KEYS)
    assert open_processor(data) is not None


@pytest.mark.parametrize("currency", ["ISK", "UGX"])
def test_a_currency_that_stripe_counts_in_another_way_is_refused(
    tmp_path: Path, currency: str
) -> None:
    data = town_in(tmp_path, currency).data
    (data.keys / "stripe.toml").write_text(KEYS)
    with pytest.raises(ProcessorUnusable, match=f"counts {currency} with 2 decimals .* with 0"):
        open_processor(data)


def town_in(path: Path, currency: str) -> Town:
    return make_town(path / "data", lambda text: text.replace('"CNY"', f'"{currency}"'))


@pytest.mark.parametrize(
    "text",
    ["secret_key = 'sk_test_1'", "secret_key = 'pk_1'\nwebhook_secret = 'whsec_12'", "=",
     "secret_key = 'sk_1'\nwebhook_secret = 'whsec_12'\naddress = 'http://example.org'"],
)  # fmt: skip
def test_bad_keys_are_refused_without_showing_them(town: Town, text: str) -> None:
    (town.data.keys / "stripe.toml").write_text(text)
    with pytest.raises(ProcessorUnusable, match=r"stripe\.toml cannot be") as caught:
        open_processor(town.data)
    assert "_1" not in str(caught.value)
