"""The same money told by a message and by a report moves the rider's account once."""

from __future__ import annotations

from pathlib import Path
from uuid import uuid4

import pytest
from sqlmodel import select

from ledger.accounts import balance
from ledger.autotopup import CHARGEBACK, set_auto_top_up
from ledger.erasure import erase_account
from ledger.once import EntryRefused
from ledger.processors.cards import card_refund_call, refund_to_card, top_up_by_card
from ledger.processors.outbox import ask_about, work
from ledger.processors.pretend import PretendProcessor
from ledger.processors.protocol import Failed, NotThere, Outcome, RefundOrder
from ledger.processors.webhooks import receive
from ledger.reconcile.importing import import_statement
from ledger.reconcile.report import reconciliation
from ledger.reconcile.resolve import ResolutionRefused, resolve
from ledger.reconcile.rules import Rules
from ledger.reconcile.run import run_day
from ledger.rollups import PSP_CLEARING, check_roll_ups
from models.database import reading
from models.tables.ledger import AutoTopUpRow
from models.tables.reconcile import DifferenceRow, PairingRow
from tests.test_processors import call, cny, posted, topped_up, with_card
from tests.test_reconcile_resolve import report as import_report
from tests.town import Town, make_town

DAY = "2026-11-22"
PROFILE = "stripe-payout-reconciliation"


@pytest.fixture
def town(tmp_path: Path) -> Town:
    return make_town(tmp_path / "data")


@pytest.fixture
def processor(town: Town) -> PretendProcessor:
    return PretendProcessor(town.clock)


def hear(town: Town, processor: PretendProcessor) -> None:
    for body, signature in processor.messages():
        receive(town.ledger, processor, body, signature)


def pay_out(town: Town, processor: PretendProcessor) -> None:
    """What was paid out so far is imported and reconciled."""
    processor.pay_out()
    import_statement(town.ledger, processor.report(), f"{uuid4()}.csv", PROFILE)
    run(town)


def report(town: Town, *lines: str) -> None:
    import_report(town, f"{uuid4()}.csv", *(f"{line},CNY," for line in lines))
    run(town)


def run(town: Town) -> None:
    run_day(town.ledger, DAY, Rules())
    with reading(town.ledger.engine) as session:
        check_roll_ups(session)
        assert reconciliation(session, DAY)["unexplained"] == 0


def differences(town: Town) -> list[DifferenceRow]:
    with reading(town.ledger.engine) as session:
        rows = session.exec(select(DifferenceRow).where(DifferenceRow.state == "open"))
        return list(rows)


def close(town: Town, reason: str) -> None:
    (row,) = differences(town)
    resolve(town.ledger, row.difference_id, row.version, reason, "", "Ann")


def refused(town: Town, reason: str) -> None:
    with pytest.raises(ResolutionRefused, match="reconcile the day again"):
        close(town, reason)


# ---- a top-up whose reply was lost


def test_a_top_up_that_was_booked_since_the_run_is_not_booked_by_hand(town: Town) -> None:
    processor = PretendProcessor(town.clock, next_trouble=lambda _: "lose_reply")
    account, call_id = with_card(town), str(uuid4())
    top_up_by_card(town.ledger, account, cny(2000), call_id)
    work(town.ledger, processor)
    pay_out(town, processor)
    assert [row.kind for row in differences(town)] == ["missing_in_ledger"]
    ask_about(town.ledger, processor, call_id)
    refused(town, "paid_after_all")
    assert balance(town.ledger, account) == cny(2000)
    run(town)
    assert (differences(town), posted(town, PSP_CLEARING)) == ([], 0)


# ---- a payment the cardholder's bank took back


def test_a_chargeback_booked_by_hand_is_not_booked_again_by_a_late_message(
    town: Town, processor: PretendProcessor
) -> None:
    account, call_id = topped_up(town, processor)
    set_auto_top_up(town.ledger, account, cny(500), cny(2000), cny(9000))
    processor.dispute(call(town, call_id).reference or "")
    pay_out(town, processor)
    close(town, "charged_back")
    hear(town, processor)
    assert (balance(town.ledger, account), posted(town, PSP_CLEARING)) == (cny(0), 0)
    with reading(town.ledger.engine) as session:
        wish = session.get(AutoTopUpRow, account)
        assert wish is not None and wish.paused == CHARGEBACK
    processor.dispute(call(town, call_id).reference or "", won=True)
    hear(town, processor)
    pay_out(town, processor)
    assert (balance(town.ledger, account), differences(town)) == (cny(2000), [])


def test_one_given_back_by_hand_is_not_given_back_again_by_a_late_message(
    town: Town, processor: PretendProcessor
) -> None:
    account, call_id = topped_up(town, processor)
    processor.dispute(call(town, call_id).reference or "")
    hear(town, processor)
    processor.dispute(call(town, call_id).reference or "", won=True)
    pay_out(town, processor)
    close(town, "paid_after_all")
    hear(town, processor)
    assert (balance(town.ledger, account), posted(town, PSP_CLEARING)) == (cny(2000), 0)


def test_a_chargeback_that_a_message_booked_since_the_run_is_not_booked_by_hand(
    town: Town, processor: PretendProcessor
) -> None:
    account, call_id = topped_up(town, processor)
    processor.dispute(call(town, call_id).reference or "")
    pay_out(town, processor)
    assert [row.kind for row in differences(town)] == ["chargeback"]
    hear(town, processor)
    refused(town, "charged_back")
    run(town)
    assert (balance(town.ledger, account), differences(town)) == (cny(0), [])


# ---- money that went back without us


@pytest.mark.parametrize(
    ("kind", "reason"), [("chargeback", "charged_back"), ("refund", "refunded_outside")]
)
def test_what_went_back_by_hand_is_not_refunded_besides(
    town: Town, processor: PretendProcessor, kind: str, reason: str
) -> None:
    account, charge_id = topped_up(town, processor)
    top_up_by_card(town.ledger, account, cny(2000), str(uuid4()))
    work(town.ledger, processor)
    pay_out(town, processor)
    report(town, f"x-1,{DAY},{kind},,{charge_id},,-15.00,0,-15.00")
    close(town, reason)
    assert balance(town.ledger, account) == cny(2500)
    with pytest.raises(EntryRefused, match=r"of the top-up CN¥5\.00 is left"):
        refund_to_card(town.ledger, charge_id, cny(501), str(uuid4()), "desk")
    refund_to_card(town.ledger, charge_id, cny(500), str(uuid4()), "desk")


# ---- a refund that was made and failed after all


class Returning(PretendProcessor):
    """One whose refunds fail days after it made them."""

    failing = False

    def find_refund(self, order: RefundOrder) -> Outcome | NotThere:
        return Failed("expired_or_canceled_card") if self.failing else super().find_refund(order)


@pytest.fixture
def returning(town: Town) -> Returning:
    return Returning(town.clock)


def refunded(town: Town, processor: PretendProcessor) -> tuple[str, str, str]:
    """A rider, their top-up of 20.00, and the call that paid 5.00 of it back."""
    account, charge_id = topped_up(town, processor)
    entry_id = str(uuid4())
    refund_to_card(town.ledger, charge_id, cny(500), entry_id, "desk")
    work(town.ledger, processor)
    assert balance(town.ledger, account) == cny(1500)
    return account, charge_id, card_refund_call(entry_id)


def failure_line(charge_id: str, call_id: str) -> str:
    return f"a-0,{DAY},refund,{call_id},{charge_id},,5.00,0,5.00"


def test_a_refund_that_failed_after_it_was_made_is_the_riders_again_once(
    town: Town, returning: Returning
) -> None:
    account, charge_id, call_id = refunded(town, returning)
    returning.failing = True
    for _ in range(2):
        ask_about(town.ledger, returning, call_id)
    assert (balance(town.ledger, account), posted(town, PSP_CLEARING)) == (cny(2000), 2000)
    assert (call(town, call_id).state, call(town, call_id).reason) == (
        "failed", "expired_or_canceled_card",
    )  # fmt: skip
    report(town, failure_line(charge_id, call_id))  # it sorts before the refund itself
    pay_out(town, returning)
    assert (differences(town), posted(town, PSP_CLEARING)) == ([], 0)
    with reading(town.ledger.engine) as session:
        assert set(session.exec(select(PairingRow.rule))) == {"own_id"}
    refund_to_card(town.ledger, charge_id, cny(2000), str(uuid4()), "desk")


def test_a_refund_that_failed_for_an_erased_rider_is_unclaimed(
    town: Town, returning: Returning
) -> None:
    account, _, call_id = refunded(town, returning)
    erase_account(town.ledger, account)
    before = posted(town, "liabilities:unclaimed")
    returning.failing = True
    ask_about(town.ledger, returning, call_id)
    assert posted(town, "liabilities:unclaimed") == before - 500


def test_a_failed_refund_booked_by_hand_is_not_booked_again_by_a_late_message(
    town: Town, returning: Returning
) -> None:
    account, charge_id, call_id = refunded(town, returning)
    pay_out(town, returning)
    report(town, failure_line(charge_id, call_id))
    assert [row.kind for row in differences(town)] == ["missing_in_ledger"]
    close(town, "not_refunded")
    returning.failing = True
    ask_about(town.ledger, returning, call_id)
    assert (balance(town.ledger, account), posted(town, PSP_CLEARING)) == (cny(2000), 0)
    with pytest.raises(EntryRefused, match=r"of the top-up CN¥20\.00 is left"):
        refund_to_card(town.ledger, charge_id, cny(2001), str(uuid4()), "desk")


def test_a_failed_refund_that_a_message_booked_since_the_run_is_not_booked_by_hand(
    town: Town, returning: Returning
) -> None:
    account, charge_id, call_id = refunded(town, returning)
    pay_out(town, returning)
    report(town, failure_line(charge_id, call_id))
    returning.failing = True
    ask_about(town.ledger, returning, call_id)
    refused(town, "not_refunded")
    run(town)
    assert (balance(town.ledger, account), differences(town)) == (cny(2000), [])


def test_a_refund_found_made_after_it_failed_is_not_reversed_by_a_message(town: Town) -> None:
    class SaysNo(Returning):
        def refund(self, order: RefundOrder) -> Outcome:
            super().refund(order)
            return Failed("expired_card")

    processor = SaysNo(town.clock)
    account, charge_id = topped_up(town, processor)
    entry_id = str(uuid4())
    refund_to_card(town.ledger, charge_id, cny(500), entry_id, "desk")
    work(town.ledger, processor)
    pay_out(town, processor)
    close(town, "refunded_outside")
    assert balance(town.ledger, account) == cny(1500)
    with pytest.raises(EntryRefused, match=r"of the top-up CN¥15\.00 is left"):
        refund_to_card(town.ledger, charge_id, cny(1501), str(uuid4()), "desk")
    processor.failing = True
    ask_about(town.ledger, processor, card_refund_call(entry_id))
    assert (balance(town.ledger, account), posted(town, PSP_CLEARING)) == (cny(1500), 0)
