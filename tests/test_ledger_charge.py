"""Taps become charges: once each, in any company, with the gate's chain watched."""

from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path
from uuid import uuid4

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlmodel import select

from ledger.accounts import balance, open_account
from ledger.answers import Accepted, Answer, Quarantined, Refused
from ledger.charge import BatchRefused, charge_batches, charge_taps, read_batch
from ledger.topups import top_up
from models.access.gates import RegisteredGate
from models.database import reading
from models.money import Money
from models.tables.ledger import EntryRow, GateChainRow, RefusalRow, TapRow
from models.wire.tap import sign_tap
from tests.town import Town, TownGate, make_town


@pytest.fixture
def town(tmp_path: Path) -> Town:
    return make_town(tmp_path / "data")


def entries(town: Town) -> list[EntryRow]:
    with reading(town.ledger.engine) as session:
        return list(session.exec(select(EntryRow).order_by(EntryRow.seq)))


def kind_of(answer: Answer) -> str:
    return "" if isinstance(answer, Accepted) else answer.problem.type.removeprefix("urn:facefare:")


def test_a_tap_is_charged_the_flat_fare_and_names_its_rule(town: Town) -> None:
    account = town.account()
    (answer,) = town.charge(town.gate.tap(account))
    assert isinstance(answer, Accepted)
    assert (answer.entry, answer.chain, answer.replayed) == (0, "ok", False)
    assert answer.charge.amount == Money(200, "CNY")
    assert answer.charge.rule == "leg_from"
    assert answer.charge.words == "Flat fare, from South Gate: CN¥2.00."
    assert balance(town.ledger, account) == Money(-200, "CNY")


def test_leaving_is_recorded_and_costs_nothing(town: Town) -> None:
    town.gate = TownGate(name="south-out", direction="out")
    account = town.account()
    (answer,) = town.charge(town.gate.tap(account))
    assert isinstance(answer, Accepted)
    assert answer.charge.amount == Money(0, "CNY")
    assert balance(town.ledger, account) == Money(0, "CNY")


@pytest.mark.parametrize(
    "at",
    [
        "0001-01-01T00:00:00.000Z",
        "1969-12-31T23:59:59.999Z",
        "2026-11-23T12:00:00.001Z",
        "9999-12-31T23:59:59.999Z",
    ],
)
@pytest.mark.parametrize("others", [0, 40])
def test_a_tap_from_a_time_that_cannot_be_is_refused_and_spoils_no_other(
    town: Town, at: str, others: int
) -> None:
    account = town.account()
    strange = town.gate.tap(account, at=at)
    answer, *charged = town.charge(strange, *(town.gate.tap(account) for _ in range(others + 1)))
    assert isinstance(answer, Refused)
    assert "set the gate's clock" in answer.problem.detail
    assert [type(one) for one in charged] == [Accepted] * (others + 1)


@pytest.mark.parametrize("at", ["1970-01-01T00:00:00.000Z", "2026-11-23T12:00:00.000Z"])
def test_a_tap_of_a_gate_whose_clock_was_lost_is_charged_all_the_same(town: Town, at: str) -> None:
    (answer,) = town.charge(town.gate.tap(town.account(), at=at))
    assert isinstance(answer, Accepted)


def test_a_replay_returns_the_first_answer_and_charges_nothing(town: Town) -> None:
    account = town.account()
    signed = town.gate.tap(account)
    (first,) = town.charge(signed)
    again = town.charge(signed, signed)
    assert isinstance(first, Accepted)
    assert again == [replace(first, replayed=True)] * 2
    assert len(entries(town)) == 1


def test_batches_of_several_gates_in_one_transaction_are_answered_as_if_alone(town: Town) -> None:
    account = town.account()
    here, there = TownGate(name="here"), TownGate(name="there")
    gates = {gate.name: gate.registered for gate in (here, there)}
    first = here.next_tap(account)
    signed = here.sign(first)
    batches = [
        read_batch(town.ledger, "here", [signed, "nonsense", here.tap(account, seq=9)], gates.get),
        read_batch(
            town.ledger,
            "there",
            [there.tap(account, tap_id=first.tap_id), there.tap(account)],
            gates.get,
        ),
        read_batch(town.ledger, "here", [signed], gates.get),
    ]
    mine, theirs, replayed = charge_batches(town.ledger, batches)
    assert [type(answer) for answer in mine] == [Accepted, Refused, Accepted]
    assert [answer.chain for answer in mine if isinstance(answer, Accepted)] == ["ok", "gap"]
    assert [type(answer) for answer in theirs] == [Refused, Accepted]
    assert isinstance(mine[0], Accepted)
    assert replayed == [replace(mine[0], replayed=True)]
    assert len(entries(town)) == 3
    with reading(town.ledger.engine) as session:
        refused = {row.tap_id: row.gate for row in session.exec(select(RefusalRow))}
        heads = {row.gate: row.seq for row in session.exec(select(GateChainRow))}
    assert refused == {None: "here", first.tap_id: "there"}
    assert heads == {"here": 9, "there": 2}


def test_a_replay_after_a_restart_still_returns_the_first_answer(town: Town) -> None:
    signed = town.gate.tap(town.account())
    (first,) = town.charge(signed)
    assert isinstance(first, Accepted)
    assert town.reopened().charge(signed) == [replace(first, replayed=True)]


def test_the_same_id_with_another_body_is_refused_and_kept(town: Town) -> None:
    account = town.account()
    tap = town.gate.next_tap(account)
    town.charge(town.gate.sign(tap))
    other = town.gate.tap(town.account(), tap_id=tap.tap_id)
    (answer,) = town.charge(other)
    assert isinstance(answer, Refused)
    assert kind_of(answer) == "tap-conflict"
    assert len(entries(town)) == 1
    with reading(town.ledger.engine) as session:
        assert session.exec(select(RefusalRow)).one().tap_id == tap.tap_id


def test_two_bodies_with_one_id_in_one_batch_charge_the_first_only(town: Town) -> None:
    account = town.account()
    tap = town.gate.next_tap(account)
    first, second = town.gate.sign(tap), town.gate.tap(account, tap_id=tap.tap_id)
    answers = town.charge(first, second, first)
    assert [type(answer) for answer in answers] == [Accepted, Refused, Accepted]
    assert len(entries(town)) == 1


def test_an_id_that_belongs_to_a_top_up_is_not_charged(town: Town) -> None:
    account = town.account()
    tap = town.gate.next_tap(account)
    top_up(town.ledger, account, Money(2000, "CNY"), tap.tap_id, "desk")
    (answer,) = town.charge(town.gate.sign(tap))
    assert kind_of(answer) == "tap-conflict"
    assert balance(town.ledger, account) == Money(2000, "CNY")


def test_bad_taps_do_not_spoil_the_good_ones_beside_them(town: Town) -> None:
    account = town.account()
    stranger = TownGate()
    first, second = town.gate.tap(account), town.gate.tap(account)
    batch = [first, "not a tap", stranger.tap(account), "", "é", "a.b.c", "x" * 5000, second]
    answers = town.charge(*batch)
    assert [type(answer) for answer in answers] == [Accepted, *[Refused] * 6, Accepted]
    assert {kind_of(answer) for answer in answers[1:-1]} == {"tap-refused"}
    assert len(entries(town)) == 2


def test_a_refused_tap_is_named_by_the_id_it_claims(town: Town) -> None:
    tap = TownGate().next_tap(town.account())
    (answer,) = town.charge(sign_tap(tap, Ed25519PrivateKey.generate()))
    assert isinstance(answer, Refused)
    assert answer.tap_id == tap.tap_id


def test_the_same_refused_thing_is_counted_not_piled_up(town: Town) -> None:
    for _ in range(3):
        town.charge("garbage", "garbage")
    with reading(town.ledger.engine) as session:
        assert session.exec(select(RefusalRow)).one().times == 6


@pytest.mark.parametrize(
    "changes",
    [{"gate": "north-1"}, {"station": "drum-tower"}, {"direction": "out"}],
    ids=["of another gate", "at another station", "in another direction"],
)
def test_a_gate_cannot_speak_for_another_place(town: Town, changes: dict[str, str]) -> None:
    (answer,) = town.charge(town.gate.tap(town.account(), **changes))
    assert kind_of(answer) == "tap-refused"
    assert entries(town) == []


def test_a_revoked_or_unknown_gate_charges_nothing(town: Town) -> None:
    signed = town.gate.tap(town.account())

    def revoked(name: str) -> RegisteredGate | None:
        return replace(town.gate.registered, revoked=True)

    for find in (revoked, lambda name: None):
        (answer,) = charge_taps(town.ledger, town.gate.name, [signed], find)
        assert kind_of(answer) == "tap-refused"
    assert entries(town) == []


def test_an_account_nobody_opened_is_not_charged_until_it_is_opened(town: Town) -> None:
    account = uuid4().hex
    first, second = town.gate.tap(account), town.gate.tap(town.account())
    refused, accepted = town.charge(first, second)
    assert kind_of(refused) == "unknown-account"
    # The tap was seen: the one after it is not called a gap.
    assert isinstance(accepted, Accepted)
    assert accepted.chain == "ok"
    open_account(town.ledger, account)
    (late,) = town.charge(first)
    assert isinstance(late, Accepted)
    assert not late.replayed
    assert balance(town.ledger, account) == Money(-200, "CNY")
    (again,) = town.charge(first)
    assert again == replace(late, replayed=True)


def test_a_missing_tap_is_a_gap_and_closes_when_it_arrives(town: Town) -> None:
    account = town.account()
    one, two, three = (town.gate.tap(account) for _ in range(3))
    _, early = town.charge(one, three)
    (late,) = town.charge(two)
    assert isinstance(early, Accepted)
    assert isinstance(late, Accepted)
    assert (early.chain, late.chain) == ("gap", "ok")
    assert len(entries(town)) == 3


def test_another_tap_with_a_used_number_is_quarantined_and_not_charged(town: Town) -> None:
    account = town.account()
    town.charge(town.gate.tap(account))
    copied = TownGate(key=town.gate.key)
    other = copied.tap(account)
    (answer,) = town.charge(other)
    assert isinstance(answer, Quarantined)
    assert kind_of(answer) == "tap-fork"
    assert town.charge(other) == [answer]
    assert len(entries(town)) == 1
    with reading(town.ledger.engine) as session:
        kept = session.exec(select(TapRow).where(TapRow.chain == "fork")).one()
        assert kept.signed == other
        assert session.exec(select(GateChainRow)).one().seq == 1


def test_a_tap_that_follows_another_history_is_quarantined(town: Town) -> None:
    account = town.account()
    town.charge(town.gate.tap(account))
    (answer,) = town.charge(town.gate.tap(account, prev="ab" * 32))
    assert kind_of(answer) == "tap-fork"
    # The gate's true chain goes on.
    town.gate.seq, town.gate.prev = 1, _first_hash(town)
    (good,) = town.charge(town.gate.tap(account))
    assert isinstance(good, Accepted)


def _first_hash(town: Town) -> str:
    with reading(town.ledger.engine) as session:
        return session.exec(select(TapRow.hash).where(TapRow.gate_seq == 1)).first() or ""


def test_a_late_tap_that_its_successor_does_not_name_is_quarantined(town: Town) -> None:
    account = town.account()
    one, _lost, three = (town.gate.tap(account) for _ in range(3))
    town.charge(one, three)
    copied = TownGate(key=town.gate.key, seq=1, prev=_first_hash(town))
    (answer,) = town.charge(copied.tap(account))
    assert kind_of(answer) == "tap-fork"


def test_a_first_tap_that_names_one_before_it_is_quarantined(town: Town) -> None:
    (answer,) = town.charge(town.gate.tap(town.account(), prev="ab" * 32))
    assert kind_of(answer) == "tap-fork"


def test_the_gates_head_is_the_highest_tap_seen(town: Town) -> None:
    account = town.account()
    one, two, three = (town.gate.tap(account) for _ in range(3))
    town.charge(three, one)
    town.charge(two)
    with reading(town.ledger.engine) as session:
        head = session.exec(select(GateChainRow)).one()
    assert (head.seq, head.hash) == (3, town.gate.prev)


def test_a_request_carries_1_to_512_taps(town: Town) -> None:
    for count in (0, 513):
        with pytest.raises(BatchRefused, match="1 to 512"):
            town.charge(*["x"] * count)
    assert len(town.charge(*["x"] * 512)) == 512


def test_many_threads_sending_the_same_taps_charge_each_once(town: Town) -> None:
    account = town.account()
    signed = [town.gate.tap(account) for _ in range(20)]
    answers: list[list[Answer]] = []

    def send() -> None:
        answers.extend(town.charge(*signed[start : start + 4]) for start in range(0, 20, 4))

    threads = [threading.Thread(target=send) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    fresh = [a for batch in answers for a in batch if isinstance(a, Accepted) and not a.replayed]
    assert len(answers) == 20
    assert len(fresh) == len(entries(town)) == 20
    assert balance(town.ledger, account) == Money(-20 * 200, "CNY")


@settings(max_examples=60, deadline=None)
@given(st.one_of(st.text(max_size=80), st.text('abcdefABCDEF0123456789._-={}"', max_size=80)))
def test_no_text_whatever_is_charged_or_crashes(
    tmp_path_factory: pytest.TempPathFactory, text: str
) -> None:
    town = _one_town(tmp_path_factory)
    (answer,) = town.charge(text)
    assert isinstance(answer, Refused)


_towns: list[Town] = []


def _one_town(factory: pytest.TempPathFactory) -> Town:
    if not _towns:
        _towns.append(make_town(factory.mktemp("town") / "data"))
    return _towns[0]
