"""The three books are paired, every difference is named, and every cent is explained."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError
from sqlmodel import select

from bench.finance_day import (
    DAY,
    DEPOSITS,
    FEE_RULE,
    RUN_DAY,
    FinanceDay,
    balance_report,
    bank_statements,
    day_after,
    make_day,
    payouts_report,
)
from bench.postgres import Postgres
from ledger.accounts import balance
from ledger.processors.cards import refund_to_card, top_up_by_card
from ledger.processors.keeping import keep_card
from ledger.processors.outbox import work
from ledger.processors.pretend import PretendProcessor
from ledger.processors.protocol import ChargeOrder, Failed, Outcome, OutcomeUnknown
from ledger.processors.webhooks import receive
from ledger.reconcile.clearing import clearing_accounts
from ledger.reconcile.importing import import_statement
from ledger.reconcile.periods import close_period
from ledger.reconcile.report import reconciliation, report_bytes
from ledger.reconcile.resolve import (
    ACKNOWLEDGED,
    REASONS,
    DifferenceChanged,
    ResolutionRefused,
    comment,
    hand_over,
    resolve,
)
from ledger.reconcile.rules import Rules, RulesError, read_rules
from ledger.reconcile.run import run_day
from ledger.reconcile.statements.lines import StatementRefused
from ledger.rollups import CLEARING, check_roll_ups
from ledger.sequencer import sequence
from ledger.topups import top_up
from models.database import reading, writing
from models.money import Money
from models.tables.ledger import EntryRow, PostingRow
from models.tables.reconcile import (
    DifferenceNoteRow,
    DifferenceRow,
    StatementLineRow,
    StatementRow,
)
from tests.postgres import a_server, make_postgres_town
from tests.test_processors import card
from tests.test_reconcile_statements import QUIET_MT940, camt
from tests.town import Town, make_town

RULES = Rules.model_validate({"fee": FEE_RULE})
BANK = "id,day,amount,currency,reference,text\n"
PROCESSOR = "id,day,kind,own_id,reference,payout_id,gross,fee,net,currency,text\n"


@pytest.fixture(scope="module")
def server() -> Iterator[Postgres]:
    yield from a_server()


@pytest.fixture(params=["sqlite", "postgres"])
def town(request: pytest.FixtureRequest, tmp_path: Path) -> Town:
    if request.param == "sqlite":
        return make_town(tmp_path / "data")
    return make_postgres_town(tmp_path / "data", request.getfixturevalue("server"))


@pytest.fixture
def lite(tmp_path: Path) -> Town:
    return make_town(tmp_path / "data")


def import_all(town: Town, made: FinanceDay) -> None:
    town.clock.now = datetime(2026, 11, 26, 8, tzinfo=UTC)
    for name, data in (
        ("balance.csv", balance_report(made)),
        ("payouts.csv", payouts_report(made)),
        *((f"bank-{n}.xml", data) for n, data in enumerate(bank_statements(made))),
    ):
        import_statement(town.ledger, data, name)


def report(town: Town, day: str = RUN_DAY) -> dict[str, Any]:
    with reading(town.ledger.engine) as session:
        check_roll_ups(session)
        return reconciliation(session, day)


def kinds(town: Town, day: str = RUN_DAY) -> list[str]:
    return [one["kind"] for one in report(town, day)["differences"]]


def balances(town: Town) -> dict[str, int]:
    """The clearing accounts by their postings, not by the roll-ups."""
    with reading(town.ledger.engine) as session:
        found: dict[str, int] = {}
        for row in session.exec(select(PostingRow)):
            if row.account in CLEARING:
                key = f"{row.account} {row.currency}"
                found[key] = found.get(key, 0) + row.minor
        return found


def test_every_planted_difference_is_found_and_nothing_else(town: Town) -> None:
    made = make_day(town.ledger, 300, 800, seed=3)
    import_all(town, made)
    run_day(town.ledger, RUN_DAY, RULES)
    found = report(town)
    assert {(one["kind"], one["subject"]) for one in found["differences"]} == made.planted
    assert len({kind for kind, _ in made.planted}) == 15
    assert found["unexplained"] == 0
    listed = {f"{a['account']} {a['currency']}": a["balance"] for a in found["clearing"]}
    assert listed == balances(town)


def test_a_clean_day_has_no_difference_and_empty_clearing_accounts(town: Town) -> None:
    made = make_day(town.ledger, 300, 500, seed=4, faults=False)
    import_all(town, made)
    run_day(town.ledger, RUN_DAY, RULES)
    found = report(town)
    assert (found["differences"], found["unexplained"]) == ([], 0)
    assert set(balances(town).values()) == {0}
    assert sum(pair["pairs"] for pair in found["paired"]) == 500 + 5 + 10 + 24 + DEPOSITS


def test_running_a_day_again_finds_nothing_and_reports_the_same_bytes(town: Town) -> None:
    import_all(town, make_day(town.ledger, 50, 400, seed=5))
    run_day(town.ledger, RUN_DAY, RULES)
    with reading(town.ledger.engine) as session:
        first = report_bytes(session, RUN_DAY)
    again = run_day(town.ledger, RUN_DAY, RULES)
    assert (again.paired, again.found, again.cleared) == (0, 0, 0)
    with reading(town.ledger.engine) as session:
        assert report_bytes(session, RUN_DAY) == first


def test_sqlite_and_postgresql_report_the_same_bytes(
    lite: Town, tmp_path: Path, server: Postgres
) -> None:
    reports = []
    for town in (lite, make_postgres_town(tmp_path / "other", server)):
        import_all(town, make_day(town.ledger, 20, 400, seed=6))
        run_day(town.ledger, RUN_DAY, RULES)
        with reading(town.ledger.engine) as session:
            reports.append(report_bytes(session, RUN_DAY))
    assert reports[0] == reports[1]


@pytest.mark.skipif(not os.environ.get("FACEFARE_TEST_ALL"), reason="FACEFARE_TEST_ALL is not set")
@pytest.mark.parametrize("faults", [True, False])
def test_a_day_of_100_000_rides_and_payments(lite: Town, faults: bool) -> None:
    made = make_day(lite.ledger, 100_000, 100_000, seed=7, faults=faults)
    import_all(lite, made)
    run_day(lite.ledger, RUN_DAY, RULES)
    found = report(lite)
    assert {(one["kind"], one["subject"]) for one in found["differences"]} == made.planted
    assert found["unexplained"] == 0


def test_a_list_can_be_made_for_any_day_and_explains_every_cent(town: Town) -> None:
    import_all(town, make_day(town.ledger, 10, 400, seed=8))
    for days in range(10):
        run_day(town.ledger, day_after(days), RULES)
    for days in range(10):
        assert report(town, day_after(days))["unexplained"] == 0
    on_the_day = report(town, DAY)["clearing"]
    assert any(account["balance"] for account in on_the_day)


def test_what_is_young_waits_and_what_is_old_is_missing(lite: Town) -> None:
    make_day(lite.ledger, 0, 3, seed=1, faults=False)
    waiting, missing = day_after(1), day_after(2)
    run_day(lite.ledger, waiting, RULES)
    assert kinds(lite, waiting) == []
    run_day(lite.ledger, missing, RULES)
    assert kinds(lite, missing) == ["missing_at_processor"] * 8
    assert report(lite, missing)["unexplained"] == 0


def test_a_difference_whose_money_turns_up_is_cleared(lite: Town) -> None:
    made = make_day(lite.ledger, 0, 3, seed=1, faults=False)
    run_day(lite.ledger, day_after(2), RULES)
    import_all(lite, made)
    assert run_day(lite.ledger, RUN_DAY, RULES).cleared == 8
    assert kinds(lite) == []
    with reading(lite.ledger.engine) as session:
        notes = session.exec(select(DifferenceNoteRow)).all()
    assert {(note.what, note.version) for note in notes} == {("cleared", 2)}


def test_ages_fall_into_buckets(lite: Town) -> None:
    make_day(lite.ledger, 0, 1, seed=1, faults=False)
    run_day(lite.ledger, day_after(2), RULES)
    for days, bucket in ((2, "2-7"), (7, "2-7"), (8, "8-30"), (30, "8-30"), (31, ">30")):
        assert report(lite, day_after(days))["by_age"][bucket] == 6


def small_day(town: Town) -> tuple[PretendProcessor, str, str]:
    """One rider's top-up of 20.00, part of it refunded to the card, both paid out."""
    processor = PretendProcessor(town.clock)
    account, charge_id = town.account(), str(uuid4())
    keep_card(town.ledger, account, "pretend", card("pm_1"))
    top_up_by_card(town.ledger, account, Money(2000, "CNY"), charge_id)
    work(town.ledger, processor)
    refund_to_card(town.ledger, charge_id, Money(500, "CNY"), str(uuid4()), "desk")
    work(town.ledger, processor)
    return processor, account, charge_id


def test_what_our_own_processor_did_reconciles_to_the_cent(town: Town) -> None:
    processor, account, _ = small_day(town)
    processor.pay_out()
    town.rides(2, account)
    sequence(town.ledger)
    import_statement(town.ledger, processor.report(), "p.csv", "stripe-payout-reconciliation")
    import_statement(town.ledger, processor.bank_statement(), "b.csv")
    run_day(town.ledger, "2026-11-22", RULES)
    assert kinds(town, "2026-11-22") == []
    assert set(balances(town).values()) == {0}
    with reading(town.ledger.engine) as session:
        bank = session.exec(select(PostingRow.minor).where(PostingRow.account == "assets:bank"))
        assert sum(bank) == 1500 - 53


def test_a_chargeback_the_webhook_told_pairs_with_the_report(town: Town) -> None:
    processor, _, _ = small_day(town)
    processor.dispute("pi_000000")
    for body, signature in processor.messages():
        receive(town.ledger, processor, body, signature)
    processor.pay_out()
    import_statement(town.ledger, processor.report(), "p.csv", "stripe-payout-reconciliation")
    run_day(town.ledger, "2026-11-22", RULES)
    assert kinds(town, "2026-11-22") == []
    rules = {pair["rule"]: pair["pairs"] for pair in report(town, "2026-11-22")["paired"]}
    assert rules == {"own_id": 2, "charge_and_amount": 1}


def test_the_same_file_is_imported_once(town: Town) -> None:
    data = (PROCESSOR + "t-1,2026-11-22,charge,x,,,20.00,0.50,19.50,CNY,\n").encode()
    first = import_statement(town.ledger, data, "a.csv")
    again = import_statement(town.ledger, data, "renamed.csv")
    assert (first.new, first.entries, again.replayed, again.entries) == (1, 1, True, 0)
    with reading(town.ledger.engine) as session:
        assert len(session.exec(select(EntryRow)).all()) == 1


def test_a_line_of_an_overlapping_file_is_booked_once_and_learns_its_payout(town: Town) -> None:
    row = "t-1,2026-11-22,charge,x,,{},20.00,0.50,19.50,CNY,\n"
    import_statement(town.ledger, (PROCESSOR + row.format("")).encode(), "a.csv")
    later = PROCESSOR + row.format("p-1") + "p-1,2026-11-22,payout,,,p-1,-19.50,0,-19.50,CNY,\n"
    done = import_statement(town.ledger, later.encode(), "b.csv")
    assert (done.new, done.seen_before) == (1, 1)
    run_day(town.ledger, "2026-11-22", RULES)
    with reading(town.ledger.engine) as session:
        lines = session.exec(select(StatementLineRow)).all()
    assert {(line.payout_id, line.unpaid) for line in lines} == {("p-1", 0)}
    assert balances(town)["assets:psp_balance CNY"] == 0


@pytest.mark.parametrize("day", ["2062-11-22", "1926-11-22", "2026-12-22"])
def test_a_day_that_can_only_be_a_slip_is_refused(lite: Town, day: str) -> None:
    data = BANK + f"b-0,2026-11-22,1.00,CNY,,x\nb-1,{day},5.00,CNY,,x\n"
    with pytest.raises(StatementRefused, match=f"line 3: its day {day} is not within"):
        import_statement(lite.ledger, data.encode(), "bank.csv")
    with reading(lite.ledger.engine) as session:
        assert session.exec(select(EntryRow)).all() == []


def test_a_file_that_contradicts_an_earlier_one_is_refused_whole(town: Town) -> None:
    row = "t-1,2026-11-22,charge,x,,p-1,{0},0.00,{0},CNY,\n"
    import_statement(town.ledger, (PROCESSOR + row.format("20.00")).encode(), "a.csv")
    other = PROCESSOR + "t-0,2026-11-22,charge,y,,,1.00,0,1.00,CNY,\n" + row.format("20.01")
    with pytest.raises(StatementRefused, match="line 3: generic:t-1 was another amount"):
        import_statement(town.ledger, other.encode(), "b.csv")
    moved = PROCESSOR + row.format("20.00").replace("p-1", "p-2")
    with pytest.raises(StatementRefused, match="was in the payout p-1"):
        import_statement(town.ledger, moved.encode(), "c.csv")
    with reading(town.ledger.engine) as session:
        assert len(session.exec(select(StatementLineRow)).all()) == 1


@pytest.mark.parametrize(
    "statement",
    ["UPDATE statement_line SET gross_minor = 1", "DELETE FROM statement_line",
     "UPDATE statement SET name = 'x'", "UPDATE statement_line SET payout_id = 'p-2'",
     "DELETE FROM pairing"],
)  # fmt: skip
def test_what_was_reconciled_is_never_changed(town: Town, statement: str) -> None:
    small_day(town)
    data = PROCESSOR + "t-1,2026-11-22,charge,,,p-1,20.00,0.50,19.50,CNY,\n"
    import_statement(town.ledger, data.encode(), "a.csv")
    run_day(town.ledger, "2026-11-22", RULES)
    with pytest.raises(IntegrityError, match="only added"), writing(town.ledger.engine) as session:
        session.execute(text(statement))


def one_difference(town: Town, day: str = RUN_DAY) -> DifferenceRow:
    with reading(town.ledger.engine) as session:
        row = session.exec(select(DifferenceRow).where(DifferenceRow.state == "open")).first()
        assert row is not None
        return row


def test_every_difference_can_be_resolved_until_the_accounts_are_empty(town: Town) -> None:
    made = make_day(town.ledger, 10, 400, seed=9)
    import_all(town, made)
    run_day(town.ledger, RUN_DAY, RULES)
    rng, reasons = random.Random(1), [r for r in REASONS if REASONS[r][0] != "liabilities:rider"]
    for one in report(town)["differences"]:
        reason = rng.choice(reasons) if one["minor"] else ACKNOWLEDGED
        resolve(town.ledger, one["id"], one["version"], reason, "", "finance")
        assert report(town, "2026-11-26")["unexplained"] == 0
    assert kinds(town, "2026-11-26") == []
    assert set(balances(town).values()) == {0}
    again = run_day(town.ledger, "2026-11-26", RULES)
    assert (again.paired, again.found) == (0, 0)


def of_processor(town: Town, name: str, *lines: str) -> None:
    data = PROCESSOR + "".join(f"{line}\n" for line in lines)
    import_statement(town.ledger, data.encode(), name)


PAID = ("t-1,2026-11-22,charge,,,p-1,20.00,0,20.00,CNY,",
        "p-1,2026-11-22,payout,,,p-1,-20.00,0,-20.00,CNY,")  # fmt: skip


def test_a_line_that_comes_after_its_payout_was_paid_is_a_difference(town: Town) -> None:
    of_processor(town, "a.csv", *PAID)
    run_day(town.ledger, "2026-11-22", RULES)
    town.clock.forward(86_400)
    of_processor(town, "b.csv", "t-2,2026-11-22,fee,,,p-1,-3.00,0,-3.00,CNY,",
                 "t-3,2026-11-22,fee,,,p-1,-2.00,0,-2.00,CNY,")  # fmt: skip
    run_day(town.ledger, "2026-11-22", RULES)
    of_processor(town, "c.csv", "t-0,2026-11-22,fee,,,p-1,-1.00,0,-1.00,CNY,")
    run_day(town.ledger, "2026-11-22", RULES)
    (one,) = [row for row in report(town)["differences"] if row["kind"] == "payout_sum"]
    assert (one["subject"], one["minor"]) == ("generic:t-2", -600)
    resolve(town.ledger, one["id"], one["version"], "processor_fee", "", "Ann")
    assert balances(town)["assets:psp_balance CNY"] == 0
    assert report(town)["unexplained"] == 0


def test_lines_that_come_after_and_add_up_clear_their_difference(town: Town) -> None:
    of_processor(town, "a.csv", *PAID)
    run_day(town.ledger, "2026-11-22", RULES)
    of_processor(town, "b.csv", "t-2,2026-11-22,fee,,,p-1,-3.00,0,-3.00,CNY,")
    run_day(town.ledger, "2026-11-22", RULES)
    of_processor(town, "c.csv", "t-3,2026-11-22,fee,,,p-1,3.00,0,3.00,CNY,")
    assert run_day(town.ledger, "2026-11-22", RULES).cleared == 1
    assert balances(town)["assets:psp_balance CNY"] == 0
    assert "payout_sum" not in kinds(town)


def test_a_line_that_comes_after_its_payout_was_resolved_is_a_difference(town: Town) -> None:
    account, charge = town.account(), str(uuid4())
    of_processor(town, "a.csv", PAID[0], PAID[1].replace("-20.00", "-50.00"))
    run_day(town.ledger, "2026-11-22", RULES)
    (one,) = [row for row in report(town)["differences"] if row["kind"] == "payout_sum"]
    resolve(town.ledger, one["id"], one["version"], "suspense", "", "Ann")
    town.clock.forward(86_400)
    top_up(town.ledger, account, Money(1000, "CNY"), charge, "Ann")
    of_processor(town, "b.csv", f"t-2,2026-11-23,charge,{charge},,p-1,10.00,0,10.00,CNY,")
    run_day(town.ledger, "2026-11-23", RULES)
    for day in ("2026-11-22", "2026-11-23"):
        assert report(town, day)["unexplained"] == 0
    found = [row for row in report(town)["differences"] if row["kind"] == "payout_sum"]
    (late,) = [row for row in found if row["subject"] == "generic:t-2"]
    assert late["minor"] == 1000
    with pytest.raises(ResolutionRefused, match="which rider"):
        resolve(town.ledger, late["id"], late["version"], "not_paid", "", "Ann")
    town.clock.forward(86_400)
    resolve(town.ledger, late["id"], late["version"], "suspense", "", "Ann")
    assert balances(town)["assets:psp_balance CNY"] == 0
    for day in ("2026-11-22", "2026-11-23", "2026-11-24"):
        assert report(town, day)["unexplained"] == 0


def test_a_kept_payout_without_a_name_stops_no_run(lite: Town) -> None:
    of_processor(lite, "a.csv", *PAID[1:])
    with reading(lite.ledger.engine) as session:
        kept = session.exec(select(StatementLineRow)).one().model_dump()
    with writing(lite.ledger.engine) as session:
        session.add(StatementLineRow(**{**kept, "line_id": "stripe:txn_1", "payout_id": None}))
    assert run_day(lite.ledger, "2026-11-22", RULES).found == 1


def camt_of(day: str, name: str, reference: str) -> bytes:
    """A bank statement of one receipt of 5.00."""
    text = camt(closing="105.00").replace("EUR", "CNY").replace(">19.42<", ">5.00<")
    text = text.replace("2026-11-24", day).replace("<Id>S1<", f"<Id>{name}<")
    return text.replace(">B1<", f">{reference}<").encode()


def test_receipts_with_a_reference_that_says_nothing_are_all_booked(town: Town) -> None:
    for day, name in (("2026-11-21", "S1"), ("2026-11-22", "S2")):
        import_statement(town.ledger, camt_of(day, name, "NONREF"), name)
    with reading(town.ledger.engine) as session:
        bank = session.exec(select(PostingRow.minor).where(PostingRow.account == "assets:bank"))
        assert list(bank) == [500, 500]


def test_a_line_on_another_day_than_before_is_refused_and_not_lost(town: Town) -> None:
    import_statement(town.ledger, camt_of("2026-11-21", "S1", "R"), "a.xml")
    with pytest.raises(StatementRefused, match="bank:DE89:R was on 2026-11-21 in an earlier file "
                                               "and is on 2026-11-22"):  # fmt: skip
        import_statement(town.ledger, camt_of("2026-11-22", "S2", "R"), "b.xml")


def test_the_statement_of_a_quiet_day_is_kept(town: Town) -> None:
    done = import_statement(town.ledger, QUIET_MT940.encode(), "quiet.sta")
    assert (done.lines, done.new, done.entries) == (0, 0, 0)
    assert import_statement(town.ledger, QUIET_MT940.encode(), "again.sta").replayed
    with reading(town.ledger.engine) as session:
        row = session.exec(select(StatementRow)).one()
        assert (row.first_day, row.last_day, row.lines) == ("2026-11-25", "2026-11-25", 0)


def missing_top_up(town: Town) -> tuple[str, DifferenceRow]:
    _, account, _ = small_day(town)
    town.clock.forward(4 * 86_400)
    run_day(town.ledger, "2026-11-26", RULES)
    with reading(town.ledger.engine) as session:
        rows = session.exec(select(DifferenceRow).where(DifferenceRow.minor == 2000)).all()
    (row,) = rows
    return account, row


def test_a_payment_that_never_came_is_taken_off_the_rider_again(town: Town) -> None:
    account, row = missing_top_up(town)
    assert row.kind == "missing_at_processor"
    done = resolve(town.ledger, row.difference_id, row.version, "not_paid", "asked", "Ann")
    assert balance(town.ledger, account) == Money(-500, "CNY")
    with reading(town.ledger.engine) as session:
        entry = session.get(EntryRow, done.entry)
        assert entry is not None
        assert (entry.kind, entry.rule, entry.corrects) == ("resolution", "not_paid", row.subject)
        assert entry.made_by == "Ann"
        closed = session.get(DifferenceRow, row.difference_id)
        assert closed is not None
        assert (closed.state, closed.entry_id) == ("resolved", entry.entry_id)
    with pytest.raises(ResolutionRefused, match="resolved already"):
        resolve(town.ledger, row.difference_id, row.version + 1, "not_paid", "", "Ann")


def test_a_payment_that_comes_after_it_was_given_up_is_late(town: Town) -> None:
    account, row = missing_top_up(town)
    resolve(town.ledger, row.difference_id, row.version, "not_paid", "", "Ann")
    data = PROCESSOR + f"t-1,2026-11-26,charge,{row.subject},,,20.00,0,20.00,CNY,\n"
    import_statement(town.ledger, data.encode(), "late.csv")
    run_day(town.ledger, "2026-11-26", RULES)
    late = next(one for one in report(town, "2026-11-26")["differences"] if one["kind"] == "late")
    assert late["minor"] == -2000
    resolve(town.ledger, late["id"], late["version"], "paid_after_all", "", "Ann")
    assert balance(town.ledger, account) == Money(1500, "CNY")
    assert report(town, "2026-11-26")["unexplained"] == 0


def test_what_the_outbox_will_book_is_not_booked_by_hand(town: Town) -> None:
    class LosesReplies(PretendProcessor):
        def charge(self, order: ChargeOrder) -> Outcome:
            super().charge(order)
            raise OutcomeUnknown("the reply was lost")

    processor, account, call_id = LosesReplies(town.clock), town.account(), str(uuid4())
    keep_card(town.ledger, account, "pretend", card("pm_1"))
    top_up_by_card(town.ledger, account, Money(2000, "CNY"), call_id)
    work(town.ledger, processor)
    processor.pay_out()
    import_statement(town.ledger, processor.report(), "p.csv", "stripe-payout-reconciliation")
    run_day(town.ledger, "2026-11-22", RULES)
    row = one_difference(town)
    assert row.kind == "missing_in_ledger"
    with pytest.raises(ResolutionRefused, match="still being asked"):
        resolve(town.ledger, row.difference_id, row.version, "paid_after_all", "", "Ann")
    town.clock.forward(61)
    work(town.ledger, processor)
    assert run_day(town.ledger, "2026-11-22", RULES).cleared == 1
    assert balance(town.ledger, account) == Money(2000, "CNY")


def test_a_payment_booked_by_hand_is_not_booked_again(town: Town) -> None:
    class SaysNo(PretendProcessor):
        def charge(self, order: ChargeOrder) -> Outcome:
            super().charge(order)
            return Failed("card_declined")

    processor, account, call_id = SaysNo(town.clock), town.account(), str(uuid4())
    keep_card(town.ledger, account, "pretend", card("pm_1"))
    top_up_by_card(town.ledger, account, Money(2000, "CNY"), call_id)
    work(town.ledger, processor)
    processor.pay_out()
    import_statement(town.ledger, processor.report(), "p.csv", "stripe-payout-reconciliation")
    run_day(town.ledger, "2026-11-22", RULES)
    row = one_difference(town)
    resolve(town.ledger, row.difference_id, row.version, "paid_after_all", "", "Ann")
    for body, signature in processor.messages():
        receive(town.ledger, processor, body, signature)
    assert balance(town.ledger, account) == Money(2000, "CNY")
    assert balances(town)["assets:psp_clearing CNY"] == 0


def test_money_is_not_acknowledged_away_and_reasons_are_known(lite: Town) -> None:
    _, row = missing_top_up(lite)
    for reason, words in ((ACKNOWLEDGED, "money is concerned"), ("because", "the reason is one")):
        with pytest.raises(ResolutionRefused, match=words):
            resolve(lite.ledger, row.difference_id, row.version, reason, "", "Ann")
    with pytest.raises(ResolutionRefused, match="no difference"):
        resolve(lite.ledger, "x", 1, "our_loss", "", "Ann")


def test_a_reason_about_a_rider_needs_one(lite: Town) -> None:
    data = BANK + "b-1,2026-11-22,5.00,CNY,,who knows\n"
    import_statement(lite.ledger, data.encode(), "bank.csv")
    run_day(lite.ledger, "2026-11-22", RULES)
    row = one_difference(lite)
    with pytest.raises(ResolutionRefused, match="which rider"):
        resolve(lite.ledger, row.difference_id, row.version, "paid_after_all", "", "Ann")
    resolve(lite.ledger, row.difference_id, row.version, "not_ours", "", "Ann")
    assert set(balances(lite).values()) == {0}


def test_whoever_comes_second_is_told_so(town: Town) -> None:
    _, row = missing_top_up(town)
    version = comment(town.ledger, row.difference_id, row.version, "Asked the processor.", "Ann")
    with pytest.raises(DifferenceChanged, match="at version 2 by now, not 1"):
        resolve(town.ledger, row.difference_id, row.version, "our_loss", "", "Bob")
    assert hand_over(town.ledger, row.difference_id, version, "payments", "Bob") == 3
    with pytest.raises(ResolutionRefused, match="write 1 to"):
        comment(town.ledger, row.difference_id, 3, "  ", "Bob")
    with reading(town.ledger.engine) as session:
        notes = session.exec(select(DifferenceNoteRow).order_by(DifferenceNoteRow.version)).all()
    assert [(note.what, note.made_by) for note in notes] == [("comment", "Ann"), ("owner", "Bob")]
    with pytest.raises(IntegrityError, match="only added"), writing(town.ledger.engine) as session:
        session.execute(text("UPDATE difference_note SET words = 'nothing'"))


def test_the_list_of_an_earlier_day_keeps_what_was_resolved_later(town: Town) -> None:
    _, row = missing_top_up(town)
    before = report(town, "2026-11-25")
    town.clock.forward(86_400)
    close_period(town.ledger, "2026-11-22", "Ann")
    resolve(town.ledger, row.difference_id, row.version, "not_paid", "", "Ann")
    after = report(town, "2026-11-25")
    assert after["clearing"] == before["clearing"]
    assert after["unexplained"] == 0


def test_two_riders_with_the_same_amount_are_never_guessed(lite: Town) -> None:
    make_day(lite.ledger, 0, 0, seed=2, faults=False)
    for _ in range(2):
        small_day(lite)
    data = PROCESSOR + "t-1,2026-11-22,charge,,,,20.00,0,20.00,CNY,\n"
    import_statement(lite.ledger, data.encode(), "a.csv")
    assert run_day(lite.ledger, "2026-11-22", RULES).paired == 0
    assert "missing_in_ledger" in kinds(lite, "2026-11-22")


def test_rules_come_from_a_file_or_are_the_usual_ones(tmp_path: Path) -> None:
    assert read_rules(tmp_path) == Rules()
    file = tmp_path / "reconcile.toml"
    file.write_text('bank_days = 5\n[fee]\npercent = "1.4"\nfixed = "0.25"\n')
    rules = read_rules(tmp_path)
    assert rules.fee is not None
    assert (rules.bank_days, rules.fee.excess(2000, 53, "EUR")) == (5, 0)
    assert rules.fee.excess(2000, 54, "EUR") == 1
    for bad in ("bank_days = 0", "nonsense = 1", "=", '[fee]\npercent = "x"\nfixed = "1"',
                '[fee]\npercent = "1"\nfixed = "x"'):  # fmt: skip
        file.write_text(bad)
        with pytest.raises(RulesError, match="cannot be used"):
            read_rules(tmp_path)


def test_the_listed_balance_is_the_sum_of_its_lines(lite: Town) -> None:
    import_all(lite, make_day(lite.ledger, 5, 400, seed=11))
    with reading(lite.ledger.engine) as session:
        for account in clearing_accounts(session, RUN_DAY):  # nothing was paired yet
            assert account.balance == sum(line.minor for line in account.residues)
            assert account.residues
