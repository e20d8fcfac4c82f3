"""What a hostile or a careless clerk could do with a difference, and what stands in the way."""

from __future__ import annotations

import threading
from pathlib import Path
from uuid import uuid4

import pytest
from sqlalchemy import text
from sqlmodel import select

from ledger.accounts import balance
from ledger.reconcile.importing import import_statement
from ledger.reconcile.left import left_now
from ledger.reconcile.periods import close_period
from ledger.reconcile.report import reconciliation
from ledger.reconcile.resolve import (
    DifferenceChanged,
    Proposed,
    ResolutionRefused,
    Resolved,
    comment,
    hand_over,
    resolve,
)
from ledger.reconcile.rules import Rules
from ledger.reconcile.run import run_day
from ledger.two_persons import NotIndependent
from models.access.invitations import invite_staff
from models.access.staff import StaffRegister
from models.database import open_sqlite, reading, writing
from models.money import Money
from models.tables.access import AccessTable
from models.tables.ledger import EntryRow
from models.tables.reconcile import DifferenceNoteRow, DifferenceRow
from tests.town import Town, make_town

PROCESSOR = "id,day,kind,own_id,reference,payout_id,gross,fee,net,currency,text\n"
BANK = "id,day,amount,currency,reference,text\n"
SUNDAY = "2026-11-22"


@pytest.fixture
def town(tmp_path: Path) -> Town:
    return make_town(tmp_path / "data")


def report(town: Town, name: str, *lines: str, header: str = PROCESSOR) -> None:
    data = header + "".join(f"{line}\n" for line in lines)
    import_statement(town.ledger, data.encode(), name)


def differences(town: Town, day: str = SUNDAY) -> dict[str, DifferenceRow]:
    run_day(town.ledger, day, Rules())
    with reading(town.ledger.engine) as session:
        assert reconciliation(session, day)["unexplained"] == 0
        rows = session.exec(select(DifferenceRow).where(DifferenceRow.state == "open"))
        return {row.kind: row for row in rows}


def entries(town: Town) -> list[EntryRow]:
    with reading(town.ledger.engine) as session:
        return list(session.exec(select(EntryRow).where(EntryRow.kind == "resolution")))


def a_forged_payment(town: Town, minor: str) -> tuple[str, DifferenceRow]:
    """A clerk's own file says that the processor took a payment of a friend."""
    account = town.account()
    ride = town.rides(1, account)
    with reading(town.ledger.engine) as session:
        row = session.exec(select(EntryRow).where(EntryRow.account_id == ride)).one()
    report(town, "forged.csv", f"x-1,{SUNDAY},charge,,{row.entry_id},,{minor},0,{minor},CNY,")
    return account, differences(town)["missing_in_ledger"]


def test_a_friend_is_not_given_more_by_one_clerk_than_by_any_other_credit(town: Town) -> None:
    account, row = a_forged_payment(town, "500.00")
    before = balance(town.ledger, account)
    done = resolve(town.ledger, row.difference_id, 1, "paid_after_all", "It is there.", "lin")
    assert isinstance(done, Proposed)
    assert (entries(town), balance(town.ledger, account)) == ([], before)
    with pytest.raises(ResolutionRefused, match="a colleague resolves it"):
        resolve(town.ledger, row.difference_id, done.version, "paid_after_all", "", "lin")
    with reading(town.ledger.engine) as session:
        notes = session.exec(select(DifferenceNoteRow).order_by(DifferenceNoteRow.version)).all()
    assert [(note.what, note.words, note.made_by) for note in notes] == [
        ("comment", "It is there.", "lin"), ("proposed", "paid_after_all", "lin"),
    ]  # fmt: skip
    final = resolve(town.ledger, row.difference_id, done.version, "paid_after_all", "", "wei")
    assert isinstance(final, Resolved) and final.entry is not None
    assert balance(town.ledger, account) == before + Money(50_000, "CNY")


def test_another_reason_is_another_proposal(town: Town) -> None:
    _, row = a_forged_payment(town, "500.00")
    done = resolve(town.ledger, row.difference_id, 1, "paid_after_all", "", "lin")
    other = resolve(town.ledger, row.difference_id, done.version, "not_refunded", "", "wei")
    assert isinstance(other, Proposed)
    assert entries(town) == []


def test_the_second_person_is_not_the_first_ones(town: Town) -> None:
    register = StaffRegister(open_sqlite(town.data.access_db, AccessTable.metadata), b"k" * 32)
    invite_staff(register, "wei", ["finance"], town.clock(), by="lin")
    _, row = a_forged_payment(town, "500.00")
    done = resolve(town.ledger, row.difference_id, 1, "paid_after_all", "", "lin")
    with pytest.raises(NotIndependent):
        resolve(town.ledger, row.difference_id, done.version, "paid_after_all", "", "wei")
    assert entries(town) == []


def test_small_payments_of_one_day_count_together(town: Town) -> None:
    account = town.account()
    town.rides(1, account)
    with reading(town.ledger.engine) as session:
        ride = session.exec(select(EntryRow.entry_id).where(EntryRow.account_id == account)).one()
    lines = [f"x-{n},{SUNDAY},charge,,{ride},,8.00,0,8.00,CNY," for n in range(3)]
    report(town, "forged.csv", *lines)
    run_day(town.ledger, SUNDAY, Rules())
    with reading(town.ledger.engine) as session:
        rows = session.exec(select(DifferenceRow)).all()
    done = [resolve(town.ledger, row.difference_id, 1, "paid_after_all", "", "lin") for row in rows]
    assert [type(one) for one in done] == [Resolved, Resolved, Proposed]


def test_a_reason_does_not_turn_the_money_round(town: Town) -> None:
    _, row = a_forged_payment(town, "5.00")
    for reason in ("not_paid", "charged_back", "refunded_outside"):
        with pytest.raises(ResolutionRefused, match="the other way"):
            resolve(town.ledger, row.difference_id, 1, reason, "", "lin")
    assert entries(town) == []


def payout(town: Town) -> DifferenceRow:
    report(town, "a.csv", f"t-1,{SUNDAY},charge,,,p-1,20.00,0,20.00,CNY,",
           f"p-1,{SUNDAY},payout,,,p-1,-50.00,0,-50.00,CNY,")  # fmt: skip
    return differences(town)["payout_sum"]


def test_what_a_statement_changed_meanwhile_is_not_booked_as_it_was(town: Town) -> None:
    row = payout(town)
    assert row.minor == -3000
    report(town, "b.csv", f"t-2,{SUNDAY},charge,,,p-1,10.00,0,10.00,CNY,")
    with pytest.raises(ResolutionRefused, match="reconcile the day again"):
        resolve(town.ledger, row.difference_id, row.version, "suspense", "", "lin")
    again = differences(town)["payout_sum"]
    assert (again.difference_id, again.minor, again.version) == (row.difference_id, -2000, 2)
    with pytest.raises(DifferenceChanged, match="at version 2 by now"):
        resolve(town.ledger, row.difference_id, row.version, "suspense", "", "lin")
    done = resolve(town.ledger, row.difference_id, again.version, "suspense", "", "lin")
    assert isinstance(done, Resolved)
    (entry,) = entries(town)
    assert (entry.amount_minor, entry.currency) == (2000, "CNY")
    assert "payout_sum" not in differences(town)


def test_what_a_new_statement_names_is_not_given_up(town: Town) -> None:
    report(town, "a.csv", f"p-1,{SUNDAY},payout,,,p-1,-50.00,0,-50.00,CNY,")
    town.clock.forward(86_400 * 5)
    row = differences(town, "2026-11-27")["missing_at_bank"]
    report(town, "bank.csv", "b-1,2026-11-27,50.00,CNY,p-1,PAYOUT", header=BANK)
    with pytest.raises(ResolutionRefused, match="reconcile the day again"):
        resolve(town.ledger, row.difference_id, row.version, "our_loss", "", "lin")
    assert "missing_at_bank" not in differences(town, "2026-11-27")


@pytest.mark.parametrize(
    "change", ["minor = minor * 100", "currency = 'EUR'", "subject = 'generic:x-2'"]
)
def test_a_difference_that_was_tampered_with_books_nothing(town: Town, change: str) -> None:
    report(town, "a.csv", f"x-1,{SUNDAY},other,,,,-5.00,0,-5.00,CNY,",
           f"x-2,{SUNDAY},charge,,,,7.00,0,7.00,CNY,")  # fmt: skip
    row = differences(town)["unknown"]
    with writing(town.ledger.engine) as session:
        session.execute(
            text(f"UPDATE difference SET {change} WHERE difference_id = :name"),
            {"name": row.difference_id},
        )
    with pytest.raises(ResolutionRefused, match="changed what this difference is about"):
        resolve(town.ledger, row.difference_id, row.version, "our_loss", "", "lin")
    assert entries(town) == []


def test_two_who_resolve_at_once_make_one_entry(town: Town) -> None:
    row = payout(town)
    outcomes: list[object] = []

    def close(reason: str) -> None:
        try:
            outcomes.append(resolve(town.ledger, row.difference_id, 1, reason, "", reason))
        except ResolutionRefused as error:
            outcomes.append(error)

    clerks = [threading.Thread(target=close, args=(r,)) for r in ("suspense", "our_loss") * 3]
    for clerk in clerks:
        clerk.start()
    for clerk in clerks:
        clerk.join()
    assert [type(one) for one in outcomes].count(Resolved) == 1
    assert len(entries(town)) == 1


def test_a_colleague_who_took_it_over_is_not_overruled(town: Town) -> None:
    row = payout(town)
    hand_over(town.ledger, row.difference_id, 1, "treasury", "wei")
    with pytest.raises(DifferenceChanged):
        resolve(town.ledger, row.difference_id, 1, "suspense", "", "lin")


def test_it_is_booked_in_an_open_period(town: Town) -> None:
    row = payout(town)
    town.clock.forward(86_400)
    close_period(town.ledger, SUNDAY, "lin")
    resolve(town.ledger, row.difference_id, 1, "suspense", "", "lin")
    with reading(town.ledger.engine) as session:
        closed = session.get(DifferenceRow, row.difference_id)
        assert closed is not None and closed.closed_day == "2026-11-23"
        assert left_now(session, closed) is None


@pytest.mark.parametrize("words", ["x" * 2001])
def test_a_note_has_a_bounded_length(town: Town, words: str) -> None:
    row = payout(town)
    with pytest.raises(ResolutionRefused, match="write 1 to 2000"):
        resolve(town.ledger, row.difference_id, 1, "suspense", words, "lin")
    with pytest.raises(ResolutionRefused, match="write 1 to 2000"):
        comment(town.ledger, row.difference_id, 1, words, "lin")
    with pytest.raises(ResolutionRefused, match="no difference"):
        resolve(town.ledger, str(uuid4()), 1, "suspense", "", "lin")
