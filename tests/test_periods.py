"""Days and months are closed, reproduced byte for byte, and opened again by two persons."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

import pytest
from click.testing import CliRunner
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError
from sqlmodel import col, select

from bench.finance_day import balance_report, bank_statements, make_day, payouts_report
from bench.postgres import Postgres
from ledger.accounts import balance
from ledger.adjustments import credit_account, dispute_credit, settle_dispute
from ledger.entries import Draft, decode
from ledger.erasure import erase_account
from ledger.once import EntryRefused
from ledger.postings import RIDER, transfer
from ledger.processors.cards import card_refund_call, refund_to_card
from ledger.processors.outbox import work
from ledger.processors.pretend import PretendProcessor
from ledger.processors.protocol import Failed
from ledger.processors.settling import settle
from ledger.processors.webhooks import receive
from ledger.reconcile.books import ZoneFixed, count_in, repair
from ledger.reconcile.cli import reconcile
from ledger.reconcile.closed import is_closed
from ledger.reconcile.drawer import OVER_SHORT, close_drawer, open_drawer
from ledger.reconcile.figures import from_entries, from_roll_ups
from ledger.reconcile.importing import import_statement
from ledger.reconcile.overview import overview
from ledger.reconcile.periods import (
    PeriodBroken,
    PeriodRefused,
    check_period,
    close_period,
    closed_report,
    last_day,
    reproduce,
)
from ledger.reconcile.reopening import ask_to_reopen, reopen_period
from ledger.reconcile.rules import Rules
from ledger.reconcile.run import run_day
from ledger.refunds import refund
from ledger.rollups import RollUpsWrong, ZoneUnknown, check_roll_ups
from ledger.sequencer import sequence
from ledger.store import LogWriter
from ledger.topups import top_up
from ledger.verify import verify
from models.database import reading, writing
from models.money import Money
from models.tables.ledger import EntryRow
from models.tables.reconcile import MovementRow, PeriodReopeningRow, PostingTotalRow, TakingRow
from tests.postgres import a_server, make_postgres_town
from tests.test_processors import call, topped_up
from tests.town import Town, make_town

SUNDAY = "2026-11-22"


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


def cny(minor: int) -> Money:
    return Money(minor, "CNY")


def a_day(town: Town, rides: int = 3) -> str:
    """A rider who tops up, rides, is refunded one ride, and another who owes us."""
    account = town.account()
    top_up(town.ledger, account, cny(5000), str(uuid4()), "Ann")
    town.rides(rides, account)
    sequence(town.ledger)
    with reading(town.ledger.engine) as session:
        ride = session.exec(select(EntryRow.entry_id).where(EntryRow.kind == "ride")).first()
    assert ride is not None
    refund(town.ledger, ride, cny(100), "wrong_charge", str(uuid4()), "Ann")
    owing = town.rides(2)
    sequence(town.ledger)
    credit_account(town.ledger, "write_off", owing, cny(100), "small_balance", str(uuid4()), "Ann")
    return account


def next_morning(town: Town) -> None:
    town.clock.now += timedelta(days=1)


def test_a_days_figures_are_those_of_its_entries(town: Town) -> None:
    a_day(town)
    with reading(town.ledger.engine) as session:
        size = len(session.exec(select(EntryRow)).all())
        found = from_roll_ups(session, SUNDAY)
        assert found == from_entries(session, SUNDAY, size)
        assert check_roll_ups(session) > 0
    totals = {line["account"]: line["closing"] for line in found["trial_balance"]}
    assert sum(totals.values()) == 0
    assert totals["income:fares:metro"] == -(5 * 200 - 100)
    (metro,) = found["takings"]["network"]
    assert (metro["name"], metro["rides"], metro["minor"]) == ("metro", 5, 900)
    gates = {line["name"]: line["minor"] for line in found["takings"]["gate"]}
    assert gates["south-1"] == 1000
    assert found["given"]["refunds"] == [{"currency": "CNY", "entries": 1, "minor": 100}]
    assert found["given"]["written_off"] == [{"currency": "CNY", "entries": 1, "minor": 100}]
    assert (found["rides"], found["offline"], found["late"]) == (5, 0, 0)


def given(town: Town, day: str = SUNDAY) -> dict[str, list[int]]:
    """Entries and minor units of what was given on a day, the same both ways."""
    with reading(town.ledger.engine) as session:
        size = len(session.exec(select(EntryRow)).all())
        found = from_roll_ups(session, day)
        assert found == from_entries(session, day, size)
    return {
        name: [row["entries"], row["minor"]]
        for name, rows in found["given"].items()
        for row in rows
    }


def disputed_rides(town: Town) -> list[str]:
    """Three rides, each with a dispute credit of what it cost."""
    town.rides(3)
    sequence(town.ledger)
    with reading(town.ledger.engine) as session:
        rides = session.exec(select(EntryRow.entry_id).where(EntryRow.kind == "ride")).all()
    credits = [str(uuid4()) for _ in rides]
    for ride, credit in zip(rides, credits, strict=True):
        dispute_credit(town.ledger, ride, cny(200), credit, "Ann")
    return credits


def test_a_dispute_credit_counts_once_if_it_is_upheld_and_not_at_all_if_it_is_rejected(
    town: Town,
) -> None:
    upheld, rejected, _ = disputed_rides(town)
    assert given(town)["refunds"] == [3, 600]
    settle_dispute(town.ledger, upheld, upheld=True, made_by="Ann")
    assert given(town)["refunds"] == [3, 600]
    settle_dispute(town.ledger, rejected, upheld=False, made_by="Ann")
    assert given(town)["refunds"] == [4, 400]


def test_a_chargeback_that_was_won_is_none_and_a_refund_that_failed_was_not_paid_back(
    town: Town,
) -> None:
    processor = PretendProcessor(town.clock)
    account, call_id = topped_up(town, processor)
    for won, left in ((False, [1, 2000]), (True, [2, 0])):
        processor.dispute(call(town, call_id).reference or "", won=won)
        for body, signature in processor.messages():
            receive(town.ledger, processor, body, signature)
        assert given(town)["chargebacks"] == left
    entry_id = str(uuid4())
    refund_to_card(town.ledger, call_id, cny(500), entry_id, "desk")
    work(town.ledger, processor)
    assert given(town)["paid_back_to_cards"] == [1, 500]
    settle(town.ledger, "pretend", card_refund_call(entry_id), Failed("expired_card"))
    assert given(town)["paid_back_to_cards"] == [2, 0]
    assert balance(town.ledger, account) == cny(2000)


def test_offline_and_late_taps_are_counted(town: Town) -> None:
    account = town.account()
    town.clock.forward(3 * 60)
    town.charge(town.gate.tap(account))
    sequence(town.ledger)
    town.clock.now += timedelta(days=1)
    town.charge(town.gate.tap(account))
    sequence(town.ledger)
    with reading(town.ledger.engine) as session:
        same_day, next_day = from_roll_ups(session, SUNDAY), from_roll_ups(session, "2026-11-23")
    assert (same_day["offline"], same_day["late"]) == (1, 0)
    assert (next_day["offline"], next_day["late"]) == (1, 1)


def test_a_day_is_closed_and_comes_out_the_same_again(town: Town) -> None:
    a_day(town)
    next_morning(town)
    closed = close_period(town.ledger, SUNDAY, "Ann")
    assert closed.revision == 1
    report = json.loads(closed.report)
    assert report["at_close"]["unpaid"] == [{"currency": "CNY", "accounts": 1, "minor": 300}]
    a_day(town, rides=1)
    assert reproduce(town.ledger, SUNDAY) == closed
    assert close_period(town.ledger, SUNDAY, "Bob") == closed, "closing again changes nothing"
    with reading(town.ledger.engine) as session:
        assert is_closed(session, SUNDAY)
        entry = session.exec(select(EntryRow).where(EntryRow.kind == "period_close")).one()
    said = decode(entry.body)
    assert (said["report"], said["size"]) == (closed.sha256, report["checkpoint"]["size"])


def test_a_closed_report_survives_the_erasure_of_its_riders(town: Town) -> None:
    account = a_day(town)
    next_morning(town)
    closed = close_period(town.ledger, SUNDAY, "Ann")
    erase_account(town.ledger, account)
    assert reproduce(town.ledger, SUNDAY) == closed


def test_a_log_with_closings_still_verifies(lite: Town) -> None:
    a_day(lite)
    next_morning(lite)
    close_period(lite.ledger, SUNDAY, "Ann")
    ask_to_reopen(lite.ledger, SUNDAY, "A ride is missing.", "Ann")
    reopen_period(lite.ledger, SUNDAY, "Bob")
    ledger = lite.ledger
    found = verify(ledger.engine, ledger.settings.origin, ledger.log_key.public_key(), None,
                   ledger.vault)  # fmt: skip
    assert found.entries == 11


@pytest.mark.parametrize("period", [SUNDAY, "2026-11", "2026-12-01"])
def test_a_period_that_is_not_over_cannot_be_closed(town: Town, period: str) -> None:
    with pytest.raises(PeriodRefused, match="not over yet"):
        close_period(town.ledger, period, "Ann")


@pytest.mark.parametrize("bad", ["", "2026", "2026-13", "2026-11-31", "22.11.2026", "2026-11-1"])
def test_a_period_is_a_day_or_a_month(bad: str) -> None:
    with pytest.raises(PeriodRefused, match="no day or month"):
        check_period(bad)


@pytest.mark.parametrize(
    ("period", "last"),
    [("2026-11", "2026-11-30"), ("2026-12", "2026-12-31"), ("2028-02", "2028-02-29"),
     (SUNDAY, SUNDAY)],
)  # fmt: skip
def test_the_last_day_of_a_period(period: str, last: str) -> None:
    assert last_day(period) == last


def test_a_month_holds_its_days(town: Town) -> None:
    a_day(town)
    town.clock.now = datetime(2026, 12, 2, 9, tzinfo=UTC)
    town.rides(1)
    sequence(town.ledger)
    closed = close_period(town.ledger, "2026-11", "Ann")
    assert json.loads(closed.report)["ledger"]["rides"] == 5
    with reading(town.ledger.engine) as session:
        assert is_closed(session, "2026-11-03")
        assert not is_closed(session, "2026-12-02")
    assert reproduce(town.ledger, "2026-11") == closed


def statement(day: str = SUNDAY) -> bytes:
    return (
        "id,day,kind,own_id,reference,payout_id,gross,fee,net,currency,text\n"
        f"t-{uuid4().hex},{day},charge,x,,,20.00,0.50,19.50,CNY,\n"
    ).encode()


def test_what_belongs_to_a_closed_day_is_booked_in_the_open_one(town: Town) -> None:
    next_morning(town)
    import_statement(town.ledger, statement(), "before.csv")
    close_period(town.ledger, SUNDAY, "Ann")
    import_statement(town.ledger, statement(), "after.csv")
    with reading(town.ledger.engine) as session:
        days = session.exec(
            select(PostingTotalRow.day, PostingTotalRow.minor).where(
                PostingTotalRow.account == "expenses:psp_fees"
            )
        ).all()
        check_roll_ups(session)
    assert sorted(days) == [(SUNDAY, 50), ("2026-11-23", 50)]
    reproduce(town.ledger, SUNDAY)


def test_a_day_waits_for_the_earlier_ones_to_be_closed(town: Town) -> None:
    town.clock.now += timedelta(days=2)
    import_statement(town.ledger, statement("2026-11-20"), "friday.csv")
    import_statement(town.ledger, statement(SUNDAY), "sunday.csv")
    for period in (SUNDAY, "2026-11-21"):
        with pytest.raises(PeriodRefused, match=f"2026-11-20 is before {period}, has postings"):
            close_period(town.ledger, period, "Ann")
    close_period(town.ledger, "2026-11-20", "Ann")
    close_period(town.ledger, SUNDAY, "Ann")
    ask_to_reopen(town.ledger, "2026-11-20", "A statement came late.", "Ann")
    reopen_period(town.ledger, "2026-11-20", "Bob")
    with pytest.raises(PeriodRefused, match="2026-11-20 is before 2026-11-23"):
        close_period(town.ledger, "2026-11-23", "Ann")


def test_nothing_is_booked_any_more_before_a_closed_day(town: Town) -> None:
    next_morning(town)
    import_statement(town.ledger, statement(SUNDAY), "sunday.csv")
    close_period(town.ledger, SUNDAY, "Ann")
    with reading(town.ledger.engine) as session:
        before = from_roll_ups(session, SUNDAY)
    import_statement(town.ledger, statement("2026-11-20"), "friday.csv")
    with reading(town.ledger.engine) as session:
        assert from_roll_ups(session, SUNDAY) == before
        assert is_closed(session, "2026-11-20") and not is_closed(session, "2026-11-23")


def test_a_late_tap_and_a_dispute_leave_a_closed_day_as_it_was(town: Town) -> None:
    account = a_day(town)
    with reading(town.ledger.engine) as session:
        query = select(EntryRow.entry_id).where(EntryRow.kind == "ride")
        ride = list(session.exec(query.order_by(col(EntryRow.seq))))[1]
    next_morning(town)
    closed = close_period(town.ledger, SUNDAY, "Ann")
    with reading(town.ledger.engine) as session:
        before = from_roll_ups(session, SUNDAY)
    town.charge(town.gate.tap(account))  # made on Sunday, and only now here
    sequence(town.ledger)
    credit = str(uuid4())
    dispute_credit(town.ledger, ride, cny(100), credit, "Ann")
    settle_dispute(town.ledger, credit, upheld=True, made_by="Bob")
    with reading(town.ledger.engine) as session:
        assert from_roll_ups(session, SUNDAY) == before
        monday = from_roll_ups(session, "2026-11-23")
    assert (monday["rides"], monday["late"]) == (1, 1)
    assert reproduce(town.ledger, SUNDAY) == closed


def test_reopening_needs_two_persons_and_leaves_both_reports(town: Town) -> None:
    a_day(town)
    next_morning(town)
    first = close_period(town.ledger, SUNDAY, "Ann")
    with pytest.raises(PeriodRefused, match="nobody has asked"):
        reopen_period(town.ledger, SUNDAY, "Bob")
    with pytest.raises(PeriodRefused, match="give a reason"):
        ask_to_reopen(town.ledger, SUNDAY, " ", "Ann")
    ask_to_reopen(town.ledger, SUNDAY, "A statement came late.", "Ann")
    ask_to_reopen(town.ledger, SUNDAY, "Another reason.", "Bob")
    with pytest.raises(EntryRefused, match="ask a colleague"):
        reopen_period(town.ledger, SUNDAY, "Ann")
    assert reopen_period(town.ledger, SUNDAY, "Bob") == 1
    with pytest.raises(PeriodRefused, match="not closed"):
        reopen_period(town.ledger, SUNDAY, "Bob")
    import_statement(town.ledger, statement(), "late.csv")
    second = close_period(town.ledger, SUNDAY, "Ann")
    assert second.revision == 2
    assert second.report != first.report
    assert reproduce(town.ledger, SUNDAY, 1) == first
    assert reproduce(town.ledger, SUNDAY) == second
    with reading(town.ledger.engine) as session:
        row = session.exec(select(PeriodReopeningRow)).one()
    assert (row.asked_by, row.approved_by, row.reason) == ("Ann", "Bob", "A statement came late.")


def test_a_report_that_was_changed_is_noticed(lite: Town) -> None:
    a_day(lite)
    next_morning(lite)
    close_period(lite.ledger, SUNDAY, "Ann")
    for statement_ in ("UPDATE period_close SET report = x'7b7d'", "DELETE FROM period_close"):
        with pytest.raises(IntegrityError), writing(lite.ledger.engine) as session:
            session.execute(text(statement_))
    with writing(lite.ledger.engine) as session:
        session.execute(text("DROP TRIGGER period_close_is_not_changed"))
        session.connection().exec_driver_sql(
            "UPDATE period_close SET report = CAST(replace(CAST(report AS TEXT), "
            "'\"rides\":5', '\"rides\":6') AS BLOB)"
        )
    with pytest.raises(PeriodBroken, match="vouches for another report"):
        reproduce(lite.ledger, SUNDAY)


def test_money_that_nothing_explains_keeps_a_period_open(lite: Town) -> None:
    next_morning(lite)
    import_statement(lite.ledger, statement(), "a.csv")
    with writing(lite.ledger.engine) as session:
        session.execute(text("UPDATE posting_total SET minor = minor + 1 "
                             "WHERE account = 'assets:psp_clearing'"))  # fmt: skip
    with pytest.raises(PeriodRefused, match="hold 1 minor units that nothing explains"):
        close_period(lite.ledger, SUNDAY, "Ann")


def test_an_unclosed_period_has_no_report(lite: Town) -> None:
    with pytest.raises(PeriodRefused, match="was not closed"):
        closed_report(lite.ledger, SUNDAY)


@pytest.mark.parametrize(
    "damage",
    ["UPDATE taking SET minor = minor + 1 WHERE kind = 'ride'",
     "UPDATE posting_total SET lines = lines + 1", "DELETE FROM taking WHERE kind = 'top_up'"],
)  # fmt: skip
def test_roll_ups_that_are_wrong_are_found_and_made_again(town: Town, damage: str) -> None:
    a_day(town)
    with writing(town.ledger.engine) as session:
        session.execute(text(damage))
    with reading(town.ledger.engine) as session, pytest.raises(RollUpsWrong, match="recount"):
        check_roll_ups(session)
    repair(town.ledger)
    with reading(town.ledger.engine) as session:
        check_roll_ups(session)


@pytest.mark.parametrize(
    "change",
    ["minor = minor + 1", "day = '2026-11-17'", "occurred_at = '2026-11-16T12:00:00.001Z'",
     "corrects = 'x'", "entry_id = 'x'"],
)  # fmt: skip
def test_a_movement_that_is_wrong_is_found_and_made_again(town: Town, change: str) -> None:
    make_day(town.ledger, 0, 3, seed=1, faults=False)
    with writing(town.ledger.engine) as session:
        session.execute(text(f"UPDATE movement SET {change} WHERE entry_seq > 4"))
    wrong = pytest.raises(RollUpsWrong, match="the movement of entry")
    with reading(town.ledger.engine) as session, wrong:
        check_roll_ups(session)
    repair(town.ledger)
    with reading(town.ledger.engine) as session:
        check_roll_ups(session)


@pytest.mark.parametrize("at_once", [1, 2, 5_000])
def test_movements_are_compared_a_few_at_a_time(
    lite: Town, monkeypatch: pytest.MonkeyPatch, at_once: int
) -> None:
    make_day(lite.ledger, 0, 3, seed=1, faults=False)
    monkeypatch.setattr("ledger.rollups._READ_AT_ONCE", at_once)
    with reading(lite.ledger.engine) as session:
        movements = session.exec(select(MovementRow)).all()
        assert check_roll_ups(session) > len(movements) > 5
    one = movements[-1].model_dump()
    for change in ("DELETE FROM movement WHERE entry_seq = :seq",
                   "INSERT INTO movement SELECT entry_seq + 1000, line, entry_id, kind, account, "
                   "minor, currency, day, occurred_at, corrects, open FROM movement "
                   "WHERE entry_seq = :seq"):  # fmt: skip
        with writing(lite.ledger.engine) as session:
            session.execute(text(change), {"seq": one["entry_seq"]})
        with reading(lite.ledger.engine) as session, pytest.raises(RollUpsWrong):
            check_roll_ups(session)
        repair(lite.ledger)


def test_making_the_roll_ups_again_keeps_what_was_paired(town: Town) -> None:
    made = make_day(town.ledger, 5, 60, seed=1, faults=False)
    town.clock.now = datetime(2026, 11, 26, tzinfo=UTC)
    for data in (balance_report(made), payouts_report(made), *bank_statements(made)):
        import_statement(town.ledger, data, "x")
    assert run_day(town.ledger, "2026-11-25", Rules()).paired > 0
    repair(town.ledger)
    assert run_day(town.ledger, "2026-11-25", Rules()).paired == 0


def test_the_books_count_their_days_in_their_own_zone(town: Town) -> None:
    town.clock.now = datetime(2026, 11, 22, 18, tzinfo=UTC)
    a_day(town)
    count_in(town.ledger, "Asia/Shanghai")
    a_day(town)
    with reading(town.ledger.engine) as session:
        assert set(session.exec(select(TakingRow.day))) == {"2026-11-23"}
        check_roll_ups(session)
    with pytest.raises(ZoneUnknown, match="no time zone"):
        count_in(town.ledger, "Mars/Olympus")
    import_statement(town.ledger, statement(), "a.csv")
    with pytest.raises(ZoneFixed, match="it stays"):
        count_in(town.ledger, "UTC")


def test_the_overview_shows_the_day_the_month_and_what_is_open(town: Town) -> None:
    a_day(town)
    next_morning(town)
    town.rides(1)
    sequence(town.ledger)
    close_period(town.ledger, SUNDAY, "Ann")
    with reading(town.ledger.engine) as session:
        found = overview(session, "2026-11-23")
    assert (found["today"]["rides"], found["month"]["rides"]) == (1, 6)
    assert found["closed"] == [{"period": SUNDAY, "revision": 1}]
    assert (found["accounts_in_debt"], found["differences"], found["gaps"]) == (2, [], [])


def test_a_drawer_that_is_short_is_booked_as_short(town: Town) -> None:
    drawer, account = str(uuid4()), town.account()
    open_drawer(town.ledger, drawer, cny(10_000), "Eva")
    open_drawer(town.ledger, drawer, cny(10_000), "Eva")
    open_drawer(town.ledger, str(uuid4()), cny(0), "Fay")
    top_up(town.ledger, account, cny(2000), str(uuid4()), "Eva")
    top_up(town.ledger, account, cny(700), str(uuid4()), "Fay")
    closed = close_drawer(town.ledger, drawer, cny(11_900), "Eva")
    assert (closed.expected, closed.over) == (cny(12_000), cny(-100))
    assert close_drawer(town.ledger, drawer, cny(11_900), "Eva") == closed
    with pytest.raises(EntryRefused, match="another count"):
        close_drawer(town.ledger, drawer, cny(12_000), "Eva")
    with reading(town.ledger.engine) as session:
        totals = dict(session.exec(select(PostingTotalRow.account, PostingTotalRow.minor)).all())
    assert totals[OVER_SHORT] == 100
    assert totals["assets:cash_desk"] == 2600


def test_a_drawer_that_is_over_or_exact(lite: Town) -> None:
    for counted, over in ((10_300, 300), (10_000, 0)):
        drawer = str(uuid4())
        open_drawer(lite.ledger, drawer, cny(10_000), "Eva")
        assert close_drawer(lite.ledger, drawer, cny(counted), "Eva").over == cny(over)
    with reading(lite.ledger.engine) as session:
        assert len(session.exec(select(EntryRow)).all()) == 1


def test_a_clerk_has_one_drawer_at_a_time(lite: Town) -> None:
    first = str(uuid4())
    open_drawer(lite.ledger, first, cny(0), "Eva")
    with pytest.raises(EntryRefused, match="close the drawer"):
        open_drawer(lite.ledger, str(uuid4()), cny(0), "Eva")
    with pytest.raises(EntryRefused, match="used for another drawer"):
        open_drawer(lite.ledger, first, cny(1), "Eva")
    open_drawer(lite.ledger, str(uuid4()), cny(0), "Fay")
    with pytest.raises(EntryRefused, match="no such drawer"):
        close_drawer(lite.ledger, str(uuid4()), cny(0), "Eva")
    with pytest.raises(EntryRefused, match="nothing below zero"):
        open_drawer(lite.ledger, str(uuid4()), cny(-1), "Cem")


def test_only_an_adjustment_says_another_day(lite: Town) -> None:
    account = lite.account()
    with writing(lite.ledger.engine) as session:
        writer = LogWriter(session, lite.clock())
        writer.append(Draft("resolution", str(uuid4()), lite.clock(), cny(5),
                            transfer(cny(5), debit="assets:suspense", credit=RIDER),
                            {"day": "2026-11-20"}, account, b"k" * 32))  # fmt: skip
        writer.save()
    with reading(lite.ledger.engine) as session:
        assert set(session.exec(select(TakingRow.day))) == {"2026-11-20"}


def command(town: Town, *words: str) -> str:
    done = CliRunner().invoke(reconcile, [*words[:1], "--data", str(town.data.path), *words[1:]])
    assert done.exit_code == 0, (done.output, done.exception)
    return done.output


def test_the_commands_go_through_a_whole_day(lite: Town, tmp_path: Path) -> None:
    # The command opens the ledger with the clock on the wall, so its days are real ones.
    file = tmp_path / "report.csv"
    file.write_bytes(statement("2026-01-05"))
    imported = json.loads(command(lite, "import", str(file), "--json"))
    assert (imported["new"], imported["entries"]) == (1, 1)
    assert "imported before" in command(lite, "import", str(file))
    assert json.loads(command(lite, "run", "--day", "2026-01-10", "--json"))["found"] == 1
    report = json.loads(command(lite, "report", "--day", "2026-01-10", "--json"))
    (one,) = report["differences"]
    assert "missing_in_ledger" in command(lite, "report", "--day", "2026-01-10")
    version = json.loads(command(lite, "comment", one["id"], "Looked at it.", "--version", "1",
                                 "--by", "Ann", "--json"))["version"]  # fmt: skip
    resolved = command(lite, "resolve", one["id"], "--reason", "suspense", "--version",
                       str(version), "--by", "Ann")  # fmt: skip
    assert "Resolved by entry 1" in resolved
    closed = json.loads(command(lite, "close", "2026-01", "--by", "Ann", "--json"))
    assert command(lite, "report", "--period", "2026-01", "--again").strip() == json.dumps(
        closed["report"], ensure_ascii=False, separators=(",", ":"), sort_keys=True
    )
    assert "another person" in command(lite, "reopen", "2026-01", "--reason", "x", "--by", "Ann")
    assert "open again" in command(lite, "reopen", "2026-01", "--approve", "--by", "Bob")
    assert "ok:" in command(lite, "recount", "--repair")
