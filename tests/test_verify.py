"""Verification against an attacker who holds the database file (``tests.forging``)."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from click.testing import CliRunner
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from ledger.accounts import key_name
from ledger.beside import Line
from ledger.careful import OWN_COLUMNS, TAP, Careful, Place
from ledger.checkpoints import publish
from ledger.cli import ledger as command
from ledger.entries import FIRST_PREV, encode
from ledger.holds import hold, void_hold
from ledger.kept import CheckpointFile, CheckpointMissing
from ledger.ledger import Ledger
from ledger.store import table
from ledger.topups import staff_key_name, top_up
from ledger.verified import last_verified
from ledger.verify import LogBroken, VerifyReport, verify
from ledger.walked import fetch
from models.errors import FacefareError
from models.log.notes import Checkpoint, check_checkpoint, sign_checkpoint
from models.log.proofs import ProofRefused, check_inclusion, prove_inclusion
from models.log.tree import leaf_hash, root
from models.money import Money
from models.settings import DataDirectory
from models.tables.ledger import EntryRow, LedgerTable
from tests.forging import cheaper, cut, rechain, swap
from tests.town import ORIGIN, Clock, Town, TownGate, make_town

RIDES = 6
ALL = os.environ.get("FACEFARE_TEST_ALL") == "1"


@pytest.fixture(scope="module")
def honest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data directory with two riders' entries and their checkpoint, made once."""
    town = make_town(tmp_path_factory.mktemp("honest") / "data")
    first = town.rides(RIDES // 2)
    top_up(town.ledger, first, Money(2000, "CNY"), str(uuid4()), "desk")
    town.rides(RIDES // 2)
    publish(town.ledger)
    town.ledger.engine.dispose()
    return town.data.path


@pytest.fixture
def town(honest: Path, tmp_path: Path) -> Town:
    """A copy of the honest data, to be broken."""
    shutil.copytree(honest, tmp_path / "data")
    return _town_at(tmp_path / "data")


def _town_at(path: Path) -> Town:
    clock = Clock()
    clock.forward(3600)
    data = DataDirectory(path)
    return Town(data, Ledger.open(data, clock), clock, TownGate(name="south-2"))


def note_of(town: Town) -> str:
    return CheckpointFile(town.data.checkpoint_file).read()


def check(town: Town, note: str | None) -> VerifyReport:
    key = town.ledger.log_key.public_key()
    return verify(town.ledger.engine, ORIGIN, key, note, town.ledger.vault)


@contextmanager
def attack(town: Town) -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(town.data.fares_db)) as connection:
        for (name,) in connection.execute(
            "SELECT name FROM sqlite_master WHERE type = 'trigger'"
        ).fetchall():
            connection.execute(f"DROP TRIGGER {name}")
        connection.execute("PRAGMA foreign_keys=OFF")
        yield connection
        connection.commit()


def test_an_honest_log_verifies_and_reports_its_root(town: Town) -> None:
    note = note_of(town)
    report = check(town, note)
    kept = check_checkpoint(note, ORIGIN, town.ledger.log_key.public_key())
    assert (report.entries, report.checkpoint_size) == (RIDES + 1, RIDES + 1)
    assert report.root == kept.root.hex()
    assert report.not_excluded == ()
    assert (report.erased, report.unproved) == (0, 0)


def test_without_a_checkpoint_it_says_that_truncation_is_not_excluded(town: Town) -> None:
    (gap,) = check(town, None).not_excluded
    assert "prefix only: truncation is not excluded" in gap


def test_entries_newer_than_the_checkpoint_are_said_not_to_be_covered(town: Town) -> None:
    note = note_of(town)
    town.rides(1)
    (gap,) = check(town, note).not_excluded
    assert "entries from 7 on are newer than the checkpoint" in gap


def test_every_byte_of_every_entry_matters(tmp_path: Path) -> None:
    """By whole runs over two entries: each byte with FACEFARE_TEST_ALL=1, else one in sixteen."""
    town = make_town(tmp_path / "small")
    account = town.rides(1)
    top_up(town.ledger, account, Money(2000, "CNY"), str(uuid4()), "desk")
    publish(town.ledger)
    note, flips = note_of(town), 0
    with attack(town) as connection:
        bodies = connection.execute("SELECT seq, body FROM entry ORDER BY seq").fetchall()
        for seq, body in bodies:
            for position in range(0, len(body), 1 if ALL else 16):
                changed = bytearray(body)
                changed[position] ^= 1 << (position % 8)
                _set_body(connection, seq, bytes(changed))
                with pytest.raises(LogBroken) as caught:
                    check(town, note)
                assert caught.value.index == seq
                flips += 1
            _set_body(connection, seq, body)
    assert flips == sum(len(range(0, len(body), 1 if ALL else 16)) for _, body in bodies)
    assert check(town, note).entries == len(bodies) == 2


def test_every_flipped_bit_of_a_stored_entry_is_refused(tmp_path: Path) -> None:
    """64 entries, as verification reads them, and under the root that was signed over them.

    Every bit with FACEFARE_TEST_ALL=1, else one of each byte.
    """
    town, flips = make_town(tmp_path / "stored"), 0
    account = town.rides(2)
    top_up(town.ledger, account, Money(2000, "CNY"), str(uuid4()), "desk")
    town.charge(*(town.gate.tap(account) for _ in range(61)))
    publish(town.ledger)
    kept = check_checkpoint(note_of(town), ORIGIN, town.ledger.log_key.public_key())
    columns = OWN_COLUMNS + tuple(c.name for c in table(EntryRow).c if c.name not in OWN_COLUMNS)
    names = town.ledger.vault, key_name(""), staff_key_name("")
    careful = Careful(columns, Counter(), Counter(), *names)
    careful.learn_keys([account])
    with attack(town) as connection:
        cursor = connection.cursor()
        rows = fetch(cursor, columns, "entry", 0, 64, "seq")
        taps = {tap[0]: tap for tap in fetch(cursor, TAP, "tap", 0, 64, "entry_seq")}
        lines = [
            Line(*row) for row in fetch(cursor, Line._fields, "posting", 0, 64, "entry_seq, line")
        ]
    leaves, after = [row[2] for row in rows], Place(FIRST_PREV, "")
    assert kept == Checkpoint(ORIGIN, 64, root(leaves))
    for row in rows:
        seq, body = row[:2]
        beside = after, [line for line in lines if line.entry_seq == seq], taps.get(seq)
        careful.check(row, *beside)
        proof = prove_inclusion(
            seq, 64, lambda level, at: root(leaves[at << level :][: 1 << level])
        )
        for changed in flipped(body):
            assert refused(careful.check, (seq, changed, *row[2:]), *beside)
            assert refused(check_inclusion, leaf_hash(changed), seq, 64, proof, kept.root)
            flips += 1
        after = Place(row[2], row[4])
    assert flips == sum(len(row[1]) for row in rows) * (8 if ALL else 1)


def refused(check: Callable[..., object], *arguments: object) -> bool:
    """As ``pytest.raises``, which takes longer than what is checked."""
    try:
        check(*arguments)
    except (LogBroken, ProofRefused):
        return True
    return False


def flipped(body: bytes) -> Iterator[bytes]:
    """``body`` with each bit of each byte flipped, or one bit of each byte."""
    for position in range(len(body)):
        for bit in range(8) if ALL else (position % 8,):
            changed = bytearray(body)
            changed[position] ^= 1 << bit
            yield bytes(changed)


def _set_body(connection: sqlite3.Connection, seq: int, body: bytes) -> None:
    connection.execute("UPDATE entry SET body = ? WHERE seq = ?", (body, seq))
    connection.commit()


def test_an_edited_amount_is_found_at_its_entry(town: Town) -> None:
    with attack(town) as connection:
        body = connection.execute("SELECT body FROM entry WHERE seq = 2").fetchone()[0]
        value = json.loads(body)
        cheaper(2)(value)
        _set_body(connection, 2, encode(value))
    with pytest.raises(LogBroken) as caught:
        check(town, note_of(town))
    assert caught.value.index == 2


def test_an_edit_with_everything_after_it_rechained_contradicts_the_checkpoint(town: Town) -> None:
    note = note_of(town)
    with attack(town) as connection:
        rechain(connection, cheaper(2))
    assert check(town, None).entries == RIDES + 1  # alone, the forged log is flawless
    with pytest.raises(LogBroken, match="not those of the checkpoint"):
        check(town, note)


@pytest.mark.parametrize("keep", range(RIDES + 1))
def test_a_cut_tail_is_found_at_the_first_missing_entry(town: Town, keep: int) -> None:
    note = note_of(town)
    with attack(town) as connection:
        cut(connection, keep)
    assert check(town, None).entries == keep
    with pytest.raises(LogBroken, match="missing") as caught:
        check(town, note)
    assert caught.value.index == keep


def test_a_cut_tail_that_is_grown_again_contradicts_the_checkpoint(
    town: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Yesterday's backup, restored and appended to beyond today's size."""
    note = note_of(town)
    # Our own program refuses to; whoever rewrites a log uses another.
    monkeypatch.setattr("ledger.store.refuse_shorter_log", lambda session, size: None)
    with attack(town) as connection:
        cut(connection, 3)
    town.rides(9)
    assert check(town, None).entries == 12
    with pytest.raises(LogBroken, match="not those of the checkpoint"):
        check(town, note)


def test_two_rows_swapped_are_found(town: Town) -> None:
    with attack(town) as connection:
        swap(connection, 1, 2)
    with pytest.raises(LogBroken) as caught:
        check(town, note_of(town))
    assert caught.value.index == 1


def test_a_deleted_row_in_the_middle_is_found(town: Town) -> None:
    with attack(town) as connection:
        connection.execute("DELETE FROM entry WHERE seq = 3")
    with pytest.raises(LogBroken, match="missing") as caught:
        check(town, note_of(town))
    assert caught.value.index == 3


def test_a_back_dated_row_is_found_even_without_a_checkpoint(town: Town) -> None:
    def back_date(value: dict[str, Any]) -> None:
        if value["seq"] == 4:
            value["recorded_at"] = "2026-11-01T00:00:00.000Z"

    with attack(town) as connection:
        rechain(connection, back_date)
    with pytest.raises(LogBroken, match="recorded before") as caught:
        check(town, None)
    assert caught.value.index == 4


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("entry_id", "'other'"),
        ("kind", "'top_up'"),
        ("leaf_hash", "zeroblob(32)"),
        ("prev", "zeroblob(31)"),
        ("recorded_at", "'2026-11-22T12:59:59.000Z'"),
        ("occurred_at", "'2026-11-22T12:00:00.001Z'"),
        ("amount_minor", "100"),
        ("currency", "'EUR'"),
        ("gate", "'south-2'"),
        ("station", "'drum-tower'"),
        ("direction", "'out'"),
        ("medium", "'pass'"),
        ("rule", "'free'"),
        ("tap_hash", "'00'"),
        ("corrects", "'other'"),
        ("account_id", "(SELECT account_id FROM account WHERE account_id <> entry.account_id)"),
        ("made_by", "'somebody'"),
    ],
)
def test_a_changed_column_beside_unchanged_bytes_is_found(
    town: Town, column: str, value: str
) -> None:
    with attack(town) as connection:
        connection.execute(f"UPDATE entry SET {column} = {value} WHERE seq = 5")
    with pytest.raises(LogBroken) as caught:
        check(town, note_of(town))
    assert caught.value.index == 5


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE posting SET minor = -minor WHERE entry_seq = 5",
        "UPDATE posting SET minor = minor + 1 WHERE entry_seq = 5 AND line = 0",
        "UPDATE posting SET account = 'assets:suspense' WHERE entry_seq = 5 AND line = 1",
        "UPDATE posting SET account_id = NULL WHERE entry_seq = 5",
        "DELETE FROM posting WHERE entry_seq = 5 AND line = 1",
        "INSERT INTO posting VALUES (5, 2, 'assets:bank', NULL, 0, 'CNY')",
        "DELETE FROM tap WHERE entry_seq = 5",
        "UPDATE tap SET signed = signed || ' ' WHERE entry_seq = 5",
        "UPDATE tap SET signed = NULL WHERE entry_seq = 5",
        "UPDATE tap SET hash = 'other' WHERE entry_seq = 5",
        "UPDATE tap SET gate_seq = 99 WHERE entry_seq = 5",
        "UPDATE tap SET outcome = 'quarantined' WHERE entry_seq = 5",
        "UPDATE tap SET account_id = NULL WHERE entry_seq = 5",
        "UPDATE tap SET chain = 'gap' WHERE entry_seq = 5",
        "UPDATE tap SET answer = replace(answer, '200', '100') WHERE entry_seq = 5",
        "UPDATE tap SET answer = replace(answer, '200', '200.0') WHERE entry_seq = 5",
        "UPDATE tap SET answer = json_set(answer, '$.charge.words', 'free') WHERE entry_seq = 5",
    ],
)
def test_a_changed_row_beside_an_entry_is_found(town: Town, statement: str) -> None:
    with attack(town) as connection:
        connection.execute(statement)
    with pytest.raises(LogBroken) as caught:
        check(town, note_of(town))
    assert caught.value.index == 5


@pytest.mark.parametrize(
    "statement",
    [
        "INSERT INTO posting VALUES (99, 0, 'assets:bank', NULL, 0, 'CNY')",
        "UPDATE tap SET entry_seq = 99 WHERE entry_seq = 5",
        "UPDATE tap SET entry_seq = -1 WHERE entry_seq = 5",
        "INSERT INTO tap SELECT 'another', signed, hash, prev, gate, 99, chain, outcome, 5.5, "
        "answer, account_id, received_at FROM tap WHERE entry_seq = 5",
        "INSERT INTO tap SELECT 'another', signed, hash, prev, gate, 99, chain, outcome, NULL, "
        "answer, account_id, received_at FROM tap WHERE entry_seq = 5",
        "INSERT INTO posting VALUES (4.5, 0, 'assets:bank', NULL, 0, 'CNY')",
        "INSERT INTO posting VALUES (-1, 0, 'assets:bank', NULL, 0, 'CNY')",
        "UPDATE account SET balance_minor = balance_minor + 1",
        "DELETE FROM account",
        "INSERT INTO node VALUES (8, 0, zeroblob(32))",
        "UPDATE fare_state SET held_minor = held_minor + 1",
    ],
)
def test_a_changed_row_that_belongs_to_no_entry_is_found(town: Town, statement: str) -> None:
    with attack(town) as connection:
        connection.execute(statement)
    with pytest.raises(LogBroken):
        check(town, note_of(town))


def test_a_gap_between_a_gates_taps_cannot_be_hidden(tmp_path: Path) -> None:
    town = make_town(tmp_path / "data")
    account, lost = town.account(), town.gate.next_tap(town.account())
    town.gate.sign(lost)
    town.charge(*(town.gate.tap(account) for _ in range(2)))
    publish(town.ledger)
    assert check(town, note_of(town)).not_excluded == ()
    with attack(town) as connection:
        connection.execute(
            "UPDATE tap SET chain = 'ok', answer = replace(answer, 'gap', 'ok') WHERE gate_seq = 2"
        )
    with pytest.raises(LogBroken, match="tap 2 of gate south-1 is said to follow one that is not"):
        check(town, note_of(town))


def test_what_no_entry_vouches_for_is_said_not_to_be_excluded(tmp_path: Path) -> None:
    town = make_town(tmp_path / "data")
    town.charge(town.gate.tap("f" * 32))  # nobody's account: recorded, and refused
    publish(town.ledger)
    (gap,) = check(town, note_of(town)).not_excluded
    assert gap.startswith("what taps without an entry say (1)")
    town.rides(1)
    with attack(town) as connection:
        connection.execute("DELETE FROM tap WHERE entry_seq IS NULL")
    with pytest.raises(LogBroken, match="tap 2 of gate south-1 is said to follow one that is not"):
        check(town, note_of(town))


def test_what_is_held_for_an_account_is_what_its_journeys_and_open_holds_say(town: Town) -> None:
    with attack(town) as connection:
        (account,) = connection.execute("SELECT account_id FROM entry WHERE seq = 3").fetchone()
    for reason in ("deposit", "disputed"):
        until = town.clock() + timedelta(days=1)
        made = uuid4()
        hold(town.ledger, account, Money(150, "CNY"), reason, until, str(made), "desk")
    void_hold(town.ledger, str(made), "desk")
    check(town, None)
    with attack(town) as connection:
        connection.execute("UPDATE fare_state SET held_minor = 1 WHERE account_id = ?", (account,))
    with pytest.raises(LogBroken, match=f"for the account {account} another amount is held"):
        check(town, None)
    with attack(town) as connection:
        connection.execute("DELETE FROM fare_state")
    check(town, None)


NOT_VERIFIED = {"tap.received_at"}
CELLS = [
    (table, number, column.name)
    for table, number in (("entry", "seq"), ("posting", "entry_seq"), ("tap", "entry_seq"))
    for column in LedgerTable.metadata.tables[table].columns
    if f"{table}.{column.name}" not in NOT_VERIFIED
]


@pytest.mark.parametrize(("table", "number", "column"), CELLS)
def test_no_value_of_any_kind_can_replace_a_verified_cell(
    honest: Path, tmp_path: Path, table: str, number: str, column: str
) -> None:
    tried = 0
    for attempt, value in enumerate((None, 7, "x", b"x")):
        shutil.copytree(honest, tmp_path / str(attempt))
        town = _town_at(tmp_path / str(attempt))
        only = " AND line = 0" if table == "posting" else ""
        cell = f"FROM {table} WHERE {number} = 5{only}"
        with attack(town) as connection:
            (was,) = connection.execute(f"SELECT {column} {cell}").fetchone()
            if was == value:
                continue
            try:
                connection.execute(
                    f"UPDATE {table} SET {column} = ? {cell.partition(table)[2]}", (value,)
                )
            except sqlite3.IntegrityError:
                continue  # the schema itself refuses this value
        with pytest.raises(LogBroken):
            check(town, note_of(town))
        tried += 1
    assert tried


def test_a_checkpoint_signed_by_another_key_is_refused(town: Town) -> None:
    entries = check(town, None).entries
    forged = Checkpoint(ORIGIN, entries, bytes.fromhex(check(town, None).root))
    with pytest.raises(LogBroken, match="not signed by this log's key"):
        check(town, sign_checkpoint(forged, Ed25519PrivateKey.generate()))


def test_the_empty_log_verifies_against_its_empty_checkpoint(tmp_path: Path) -> None:
    town = make_town(tmp_path / "empty")
    publish(town.ledger)
    report = check(town, note_of(town))
    assert (report.entries, report.checkpoint_size) == (0, 0)
    assert report.root == root([]).hex()


def test_without_keys_it_says_whose_entries_could_not_be_proved(town: Town) -> None:
    key = town.ledger.log_key.public_key()
    report = verify(town.ledger.engine, ORIGIN, key, note_of(town))
    assert report.unproved == RIDES + 2  # a top-up commits to the rider and to staff
    assert any("could not be checked" in gap for gap in report.not_excluded)


def test_a_wrong_tree_node_is_found_at_the_entry_that_completed_it(tmp_path: Path) -> None:
    town = make_town(tmp_path / "data")
    account = town.account()
    town.charge(*(town.gate.tap(account) for _ in range(300)))
    publish(town.ledger)
    assert check(town, note_of(town)).entries == 300
    with attack(town) as connection:
        connection.execute("UPDATE node SET hash = zeroblob(32)")
    with pytest.raises(LogBroken) as caught:
        check(town, note_of(town))
    assert caught.value.index == 255


def test_the_command_prints_what_it_found_as_json(town: Town, tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    kept.write_text(note_of(town), encoding="utf-8")
    arguments = ["verify", "--data", str(town.data.path), "--checkpoint", str(kept)]
    result = CliRunner().invoke(command, [*arguments, "--json"])
    assert result.exit_code == 0
    assert json.loads(result.output)["entries"] == RIDES + 1
    assert "ok: 7 entries" in CliRunner().invoke(command, arguments).output


def test_the_command_fails_with_the_first_bad_index(town: Town) -> None:
    with attack(town) as connection:
        connection.execute("UPDATE entry SET station = 'x' WHERE seq = 1")
    result = CliRunner().invoke(command, ["verify", "--data", str(town.data.path)])
    assert isinstance(result.exception, FacefareError)
    assert "entry 1 is broken" in str(result.exception)


def test_the_command_compares_the_log_with_the_checkpoint_kept_here(town: Town) -> None:
    arguments = ["verify", "--data", str(town.data.path)]
    said = CliRunner().invoke(command, arguments).output
    assert "the first 7 are those of the checkpoint kept here" in said
    assert "prefix only: truncation is not excluded" in said
    with attack(town) as connection:
        rechain(connection, cheaper(2))
    changed = CliRunner().invoke(command, arguments).exception
    assert "its first 7 entries are not those of the checkpoint kept here" in str(changed)
    with attack(town) as connection:
        cut(connection, 5)
    assert "checkpoint kept here covers 7" in str(CliRunner().invoke(command, arguments).exception)
    town.data.checkpoint_file.unlink()
    assert isinstance(CliRunner().invoke(command, arguments).exception, CheckpointMissing)
    verified = last_verified(town.ledger)
    assert verified is not None and "is missing" in verified.trouble
