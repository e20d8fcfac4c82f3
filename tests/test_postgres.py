"""The ledger on PostgreSQL: the same rules, bytes and root; numbers follow from the inbox."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import make_url, text
from sqlalchemy.exc import IntegrityError
from sqlmodel import Session, select

import ledger.sequencer
import ledger.store
from bench.postgres import Postgres
from ledger.accounts import balance, open_account
from ledger.answers import Accepted, Refused
from ledger.charge import charge_taps
from ledger.checkpoints import health, publish
from ledger.console.queries import takings_of, trial_balance
from ledger.entries import EntryUnreadable
from ledger.erasure import erase_account
from ledger.ledger import Ledger
from ledger.nodes import frontier_at
from ledger.once import EntryConflict
from ledger.refunds import refund
from ledger.schema import SchemaRefused
from ledger.sequencer import Sequencer, sequence
from ledger.store import LOG_LOCK, LogWriter
from ledger.topups import top_up
from ledger.verify import LogBroken, verify
from models.database import DatabaseUnusable, open_postgres, reading, sequencing, writing
from models.money import Money
from models.tables.ledger import EntryRow, InboxRow, LedgerTable, TapRow
from tests.crowd import check_outcome, leaves
from tests.planted import sequencer_without_lock
from tests.postgres import a_server, make_postgres_town
from tests.town import ORIGIN, BrokenAtFirst, Town, TownGate, make_town


@pytest.fixture(scope="module")
def server() -> Iterator[Postgres]:
    yield from a_server()


@pytest.fixture
def town(server: Postgres, tmp_path: Path) -> Town:
    return make_postgres_town(tmp_path / "data", server)


def bodies(town: Town) -> list[bytes]:
    with reading(town.ledger.engine) as session:
        return list(session.exec(select(EntryRow.body).order_by(EntryRow.seq)))


def root(town: Town) -> bytes:
    with reading(town.ledger.engine) as session:
        return frontier_at(session, len(leaves(town))).root()


def replay(town: Town, entries: list[bytes]) -> None:
    with writing(town.ledger.engine) as session:
        writer = LogWriter(session, town.ledger.clock())
        for body in entries:
            writer.replay(body)
        writer.save()


def test_a_tap_is_accepted_at_once_and_its_number_follows(town: Town) -> None:
    account = town.account()
    signed = town.gate.tap(account)
    (answer,) = town.charge(signed)
    assert isinstance(answer, Accepted)
    assert answer.entry is None
    assert balance(town.ledger, account) == Money(0, "CNY")
    assert sequence(town.ledger) == 1
    assert town.charge(signed) == [replace(answer, entry=0, replayed=True)]
    assert balance(town.ledger, account) == Money(-200, "CNY")
    assert sequence(town.ledger) == 0


def test_what_is_numbered_and_signed_while_a_tap_comes_does_not_refuse_it(
    town: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    account = town.account()
    town.charge(town.gate.tap(account))
    look = ledger.sequencer.signed_size

    def just_after_more_was_signed(session: Session) -> int:
        monkeypatch.setattr(ledger.sequencer, "signed_size", look)
        sequence(town.ledger)
        publish(town.ledger)
        return look(session)

    monkeypatch.setattr(ledger.sequencer, "signed_size", just_after_more_was_signed)
    (answer,) = town.charge(town.gate.tap(account))
    assert isinstance(answer, Accepted)


def test_the_sequencer_commits_while_more_keeps_coming(
    town: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ledger.sequencer, "TAKE_MAX", 2)
    monkeypatch.setattr(ledger.store, "TAKE_MAX", 2)
    account, numbered = town.account(), []
    town.charge(*(town.gate.tap(account) for _ in range(5)))
    take = LogWriter._waiting

    def then_another_comes(self: LogWriter) -> Any:
        found = take(self)
        numbered.append(len(leaves(town)))  # what others see by now
        if len(numbered) < 4:
            town.charge(town.gate.tap(account))
        return found

    monkeypatch.setattr(LogWriter, "_waiting", then_another_comes)
    assert sequence(town.ledger) == 8
    assert numbered == [0, 2, 4, 6, 8]


def test_a_server_that_comes_back_is_asked_anew(town: Town) -> None:
    fares, account = town.ledger.fares, town.account()
    town.charge(town.gate.tap(account))
    with reading(town.ledger.engine) as session:
        book = fares.book(session)
    assert fares.recall(account, book) is not None
    with town.ledger.engine.connect() as connection:
        connection.invalidate()
    assert fares.recall(account, book) is None
    with reading(town.ledger.engine) as session:
        assert fares.book(session) is not book


def test_health_counts_taps_that_wait_for_their_number(town: Town) -> None:
    publish(town.ledger)
    town.charge(town.gate.tap(town.account()))
    assert health(town.ledger).ok
    town.clock.forward(-11)  # set back: the tap lies in the future, and waits all the same
    assert health(town.ledger).unsigned_for_s == 11
    town.clock.forward(22)
    assert health(town.ledger).unsigned_for_s == 11
    sequence(town.ledger)
    publish(town.ledger)
    assert health(town.ledger).unsigned_for_s == 0


def test_an_id_that_waits_is_taken_for_everything_else(town: Town) -> None:
    account = town.account()
    tap = town.gate.next_tap(account)
    town.charge(town.gate.sign(tap))
    with pytest.raises(EntryConflict):
        top_up(town.ledger, account, Money(2000, "CNY"), tap.tap_id, "desk")
    (other,) = town.charge(town.gate.tap(account, tap_id=tap.tap_id))
    assert isinstance(other, Refused)
    assert other.problem.status == 409


def test_a_ride_that_waits_can_be_refunded_once(town: Town) -> None:
    account = town.account()
    tap = town.gate.next_tap(account)
    town.charge(town.gate.sign(tap))
    given = refund(town.ledger, tap.tap_id, Money(200, "CNY"), "goodwill", str(uuid4()), "desk")
    assert given.entry == 1
    assert balance(town.ledger, account) == Money(0, "CNY")


def test_a_rider_with_rides_that_wait_is_erased_whole(town: Town) -> None:
    account = town.account()
    town.charge(*(town.gate.tap(account) for _ in range(3)))
    assert erase_account(town.ledger, account) == 4
    with reading(town.ledger.engine) as session:
        assert set(session.exec(select(TapRow.account_id))) == {None}
        assert session.exec(select(InboxRow)).first() is None
    check_outcome(town, [], set(_tap_ids(town)))


def _tap_ids(town: Town) -> list[str]:
    with reading(town.ledger.engine) as session:
        return list(session.exec(select(TapRow.tap_id)))


def test_only_one_sequencer_at_a_time(town: Town) -> None:
    town.charge(town.gate.tap(town.account()))
    with sequencing(town.ledger.engine, LOG_LOCK) as held:
        assert held is not None
        assert sequence(town.ledger) == 0
    assert sequence(town.ledger) == 1


def number_beside_another_one(town: Town, monkeypatch: pytest.MonkeyPatch) -> None:
    """A sequencer has just read where the log ends when another one comes, numbers all that
    waits and commits; then one more tap is accepted, and the first one goes on to its commit.
    """
    town.charge(town.gate.tap(town.account()))
    take = LogWriter._take_inbox

    def after_the_other(self: LogWriter, at_most: int | None) -> int:
        monkeypatch.setattr(LogWriter, "_take_inbox", take)
        sequence(town.ledger)
        town.charge(town.gate.tap(town.account()))
        return take(self, at_most)

    monkeypatch.setattr(LogWriter, "_take_inbox", after_the_other)
    sequence(town.ledger)


def check_log(town: Town) -> None:
    """The log has no gap, no number is bound to two leaves, and everything beside it fits."""
    with reading(town.ledger.engine) as session:
        numbers = list(session.exec(select(EntryRow.seq).order_by(EntryRow.seq)))
    assert numbers == sorted(set(numbers)), f"one of {numbers} is bound to two leaves"
    assert numbers == list(range(len(numbers))), f"there is a gap in {numbers}"
    verify(town.ledger.engine, ORIGIN, town.ledger.log_key.public_key(), vault=town.ledger.vault)


def test_without_its_lock_the_schema_stops_a_second_sequencer(
    town: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    sequencer_without_lock(monkeypatch)
    with pytest.raises(IntegrityError, match="an entry has the next number"):
        number_beside_another_one(town, monkeypatch)
    check_log(town)
    assert len(leaves(town)) == 1
    assert sequence(town.ledger) == 1


GUARDS = (  # of the schema, which stand before the rules of the log
    "DROP TRIGGER entry_follows_the_one_before ON entry",
    "ALTER TABLE entry DROP CONSTRAINT entry_pkey CASCADE",
    "ALTER TABLE posting DROP CONSTRAINT posting_pkey",
    "ALTER TABLE tap DROP CONSTRAINT tap_entry_seq_key",
)


def test_a_second_sequencer_stands_back_and_without_the_lock_the_rules_of_the_log_find_it(
    town: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    number_beside_another_one(town, monkeypatch)
    check_log(town)
    assert len(leaves(town)) == 2
    with writing(town.ledger.engine) as session:
        for guard in GUARDS:
            session.execute(text(guard))
    sequencer_without_lock(monkeypatch)
    number_beside_another_one(town, monkeypatch)
    with pytest.raises(AssertionError, match=r"one of \[0, 1, 2, 2\] is bound to two leaves"):
        check_log(town)
    with pytest.raises(LogBroken, match="entry 2 is broken"):
        verify(town.ledger.engine, ORIGIN, town.ledger.log_key.public_key())


def test_a_sequencer_that_dies_leaves_the_inbox_as_it_was(town: Town) -> None:
    town.charge(*(town.gate.tap(town.account()) for _ in range(3)))
    with pytest.raises(RuntimeError), sequencing(town.ledger.engine, LOG_LOCK) as session:
        assert session is not None
        assert LogWriter(session, town.ledger.clock()).taken == 3
        raise RuntimeError("killed")
    assert leaves(town) == []
    assert sequence(town.ledger) == 3


def test_the_thread_keeps_the_inbox_empty_and_outlives_what_nobody_expected(town: Town) -> None:
    broken = replace(town.ledger, clock=BrokenAtFirst(town.clock))
    sequencer = Sequencer(broken, interval_s=0.01)
    sequencer.start()
    account = town.account()
    for _ in range(5):
        town.charge(*(town.gate.tap(account) for _ in range(4)))
    until = time.monotonic() + 10
    while len(leaves(town)) < 20:
        assert time.monotonic() < until, "the thread ended"
        time.sleep(0.01)
    sequencer.stop()
    assert len(leaves(town)) == 20


def test_two_gates_with_one_tap_id_at_the_same_moment_charge_it_once(town: Town) -> None:
    account = town.account()
    gates = [TownGate(name="a"), TownGate(name="b")]
    ids = [town.gate.next_tap(account).tap_id for _ in range(25)]
    answers: list[list[object]] = [[], []]

    def send(which: int) -> None:
        gate = gates[which]
        for tap_id in ids:
            signed = gate.tap(account, tap_id=tap_id)
            answers[which] += charge_taps(
                town.ledger, gate.name, [signed], lambda name: gate.registered
            )

    threads = [threading.Thread(target=send, args=(which,)) for which in (0, 1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for one, other in zip(*answers, strict=True):
        assert {type(one), type(other)} == {Accepted, Refused}
    sequence(town.ledger)
    assert balance(town.ledger, account) == Money(-200 * 25, "CNY")


@pytest.mark.parametrize("first", ["sqlite", "postgresql"])
def test_the_export_replayed_into_the_other_kind_has_the_same_root(
    server: Postgres, tmp_path: Path, first: str
) -> None:
    towns = {
        "sqlite": make_town(tmp_path / "file"),
        "postgresql": make_postgres_town(tmp_path / "server", server),
    }
    source = towns.pop(first)
    (target,) = towns.values()
    account = source.account()
    top_up(source.ledger, account, Money(9000, "CNY"), str(uuid4()), "desk")
    for _ in range(3):
        source.charge(*(source.gate.tap(account) for _ in range(100)))
        sequence(source.ledger)
    erase_account(source.ledger, account)
    replay(target, bodies(source))
    assert bodies(target) == bodies(source)
    assert root(target) == root(source)
    with pytest.raises(EntryUnreadable, match="next entry is number 302"):
        replay(target, bodies(source)[-1:])


def test_the_same_drafts_have_the_same_bytes_on_both(server: Postgres, tmp_path: Path) -> None:
    """One vault, one clock, the same taps: the two logs are equal byte for byte."""
    file = make_town(tmp_path / "file")
    other = make_postgres_town(tmp_path / "server", server)
    other.ledger = replace(other.ledger, vault=file.ledger.vault)
    account = file.account()
    open_account(other.ledger, account)
    signed = [file.gate.tap(account) for _ in range(300)]
    other.gate = file.gate
    for start in range(0, 300, 50):
        file.clock.forward(1)
        other.clock.forward(1)
        file.charge(*signed[start : start + 50])
        other.charge(*signed[start : start + 50])
        sequence(other.ledger)
    assert bodies(other) == bodies(file)
    assert root(other) == root(file)


FORBIDDEN = (
    "UPDATE entry SET amount_minor = 1",
    "UPDATE entry SET account_id = 'another'",
    "DELETE FROM entry",
    "TRUNCATE entry CASCADE",
    "UPDATE posting SET minor = 0",
    "DELETE FROM posting",
    "TRUNCATE posting",
    "INSERT INTO node VALUES (8, 0, '\\x00'); UPDATE node SET hash = '\\x01'",
    "INSERT INTO entry SELECT 9, 'new', kind, body, leaf_hash, leaf_hash, recorded_at, "
    "occurred_at, amount_minor, currency FROM entry WHERE seq = 1",
    "INSERT INTO entry SELECT 2, 'new', kind, body, leaf_hash, prev, recorded_at, "
    "occurred_at, amount_minor, currency FROM entry WHERE seq = 1",
)


def test_the_schema_refuses_to_change_what_is_recorded(town: Town) -> None:
    account = town.account()
    town.charge(town.gate.tap(account), town.gate.tap(account))
    sequence(town.ledger)
    for statement in FORBIDDEN:
        with pytest.raises(IntegrityError), writing(town.ledger.engine) as session:
            for one in statement.split("; "):
                session.execute(text(one))
        assert len(leaves(town)) == 2, statement
    allowed = FORBIDDEN[-1].replace(" prev,", " leaf_hash,")
    with writing(town.ledger.engine) as session:
        session.execute(text(allowed))
    assert len(leaves(town)) == 3


def test_finance_reads_whole_numbers(town: Town) -> None:
    account = town.account()
    town.charge(town.gate.tap(account), town.gate.tap(account))
    sequence(town.ledger)
    with reading(town.ledger.engine) as session:
        assert sum(line.total.minor for line in trial_balance(session)) == 0
        (takings,) = takings_of(session, town.clock.now.date().isoformat())
    assert (takings.rides, takings.fares) == (2, Money(400, "CNY"))


def test_the_migrations_make_the_tables_the_program_knows(town: Town) -> None:
    with town.ledger.engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, LedgerTable.metadata) == []


def test_a_database_without_the_schema_is_refused_with_a_sentence(
    server: Postgres, tmp_path: Path
) -> None:
    url = server.create("bare")
    with pytest.raises(SchemaRefused, match="run 'facefare db upgrade'"):
        make_town(tmp_path / "data", lambda settings: f'fares_url = "{url}"\n{settings}')


def test_a_server_that_may_lose_commits_is_refused(server: Postgres, tmp_path: Path) -> None:
    url = server.create("careless")
    server.sql("ALTER DATABASE careless SET synchronous_commit = off")
    with pytest.raises(DatabaseUnusable, match="synchronous_commit = off"):
        open_postgres(url)


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("mysql://localhost/fares", "starts with postgresql://"),
        ("nonsense", "cannot be read"),
        ("postgresql://nobody:secret@127.0.0.1:1/fares", "cannot be used"),
    ],
)
def test_a_url_that_leads_nowhere_says_so_and_keeps_the_password(url: str, words: str) -> None:
    with pytest.raises(DatabaseUnusable, match=words) as caught:
        open_postgres(url)
    assert "secret" not in str(caught.value)


def test_of_two_addresses_the_one_that_answers_is_used(server: Postgres) -> None:
    """As docs/running.md writes ``fares_url`` for a database with a standby."""
    url = make_url(server.create("either"))
    there = f"host={url.host}:{url.port}&target_session_attrs=read-write"
    engine = open_postgres(f"postgresql://{url.username}@/either?host=127.0.0.1:1&{there}")
    with engine.connect() as connection:
        assert connection.execute(text("SELECT current_database()")).scalar_one() == "either"
    engine.dispose()


def test_the_ledger_opens_again_where_it_was(town: Town) -> None:
    town.charge(town.gate.tap(town.account()))
    sequence(town.ledger)
    again = Ledger.open(town.data, town.clock)
    assert health(again).entries == 1
    again.engine.dispose()
