"""A long log: walked in stretches, by several processes, with the same findings as alone."""

from __future__ import annotations

import shutil
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from uuid import uuid4

import pytest
from sqlmodel import select

from bench.log import Writer
from ledger.checkpoints import publish
from ledger.erasure import erase_account
from ledger.kept import CheckpointFile
from ledger.ledger import Ledger
from ledger.topups import top_up
from ledger.verify import LogBroken, VerifyReport, verify
from models.database import reading
from models.log.tree import root
from models.money import Money
from models.settings import DataDirectory
from models.tables.ledger import EntryRow
from tests.town import open_drawers

STRETCH = 1024
SIZE = 2 * STRETCH + 300
MIDDLE = STRETCH + 77


@pytest.fixture(autouse=True)
def short_stretches(monkeypatch: pytest.MonkeyPatch) -> None:
    """The real ones are sixteen times as long."""
    monkeypatch.setattr("ledger.verify.STRETCH", STRETCH)


@pytest.fixture(scope="module")
def honest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A log of two full stretches and a bit, and checkpoints at several sizes."""
    writer = Writer(tmp_path_factory.mktemp("long") / "data", seed=7)
    for until in (MIDDLE, 2 * STRETCH, SIZE):
        writer.rides(until - writer.size)
        publish(writer.ledger)
        note = CheckpointFile(writer.data.checkpoint_file).read()
        (writer.data.path / f"kept-{until}").write_text(note, encoding="utf-8")
    writer.ledger.engine.dispose()
    return writer.data.path


@pytest.fixture
def copied(honest: Path, tmp_path: Path) -> Path:
    shutil.copytree(honest, tmp_path / "data")
    return tmp_path / "data"


def check(path: Path, kept: int | None = SIZE, processes: int | None = 2) -> VerifyReport:
    ledger = Ledger.open(DataDirectory(path))
    note = None if kept is None else (path / f"kept-{kept}").read_text(encoding="utf-8")
    key = ledger.log_key.public_key()
    try:
        return verify(
            ledger.engine, ledger.settings.origin, key, note, ledger.vault, processes=processes
        )
    finally:
        ledger.engine.dispose()


@contextmanager
def attack(path: Path) -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(path / "fares.sqlite")) as connection:
        triggers = connection.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'")
        for (name,) in triggers.fetchall():
            connection.execute(f"DROP TRIGGER {name}")
        connection.execute("PRAGMA foreign_keys=OFF")
        yield connection
        connection.commit()


@pytest.mark.parametrize("kept", [None, MIDDLE, 2 * STRETCH, SIZE])
def test_alone_and_side_by_side_report_the_same(honest: Path, kept: int | None) -> None:
    alone, shared = (check(honest, kept, processes) for processes in (1, 2))
    assert alone == shared
    assert (alone.entries, alone.unproved, alone.checkpoint_size) == (SIZE, 0, kept)
    assert bool(alone.not_excluded) == (kept != SIZE)


def test_the_root_of_the_stretches_is_the_root_over_all_leaves(honest: Path) -> None:
    ledger = Ledger.open(DataDirectory(honest))
    with reading(ledger.engine) as session:
        leaves = session.exec(select(EntryRow.leaf_hash).order_by(EntryRow.seq)).all()
    ledger.engine.dispose()
    assert check(honest).root == root(leaves).hex()


@pytest.mark.parametrize(
    ("statement", "index"),
    [
        ("UPDATE entry SET station = 'x' WHERE seq IN (40, 1500)", 40),
        ("UPDATE entry SET station = 'x' WHERE seq >= 1500", 1500),
        ("UPDATE entry SET tap_hash = 'x' WHERE seq = 1024", STRETCH),
        ("UPDATE entry SET leaf_hash = zeroblob(32) WHERE seq = 1023", STRETCH - 1),
        ("UPDATE entry SET prev = zeroblob(32) WHERE seq = 1024", STRETCH),
        ("UPDATE entry SET recorded_at = '2026-01-01T00:00:00.000Z' WHERE seq = 1024", STRETCH),
        ("DELETE FROM entry WHERE seq = 1023", STRETCH - 1),
        ("DELETE FROM entry WHERE seq = 1024", STRETCH),
        ("DELETE FROM entry WHERE seq < 100", 0),
        ("UPDATE posting SET minor = minor + 1 WHERE entry_seq = 2113 AND line = 1", 2113),
        ("UPDATE posting SET account_id = NULL WHERE entry_seq = 2113", 2113),
        ("INSERT INTO posting VALUES (2113, 9, 'assets:bank', NULL, 0, 'CNY')", 2113),
        ("UPDATE tap SET signed = NULL WHERE entry_seq = 2113", 2113),
        ("UPDATE tap SET gate_seq = 999999 WHERE entry_seq = 2113", 2113),
        ("UPDATE tap SET prev = hash WHERE entry_seq = 2113", 2113),
        ("UPDATE node SET hash = zeroblob(32) WHERE level = 8 AND position = 7", 7 * 256 + 255),
    ],
)
def test_the_first_bad_entry_is_found_in_any_stretch(
    copied: Path, statement: str, index: int
) -> None:
    with attack(copied) as connection:
        connection.execute(statement)
    with pytest.raises(LogBroken) as caught:
        check(copied)
    assert caught.value.index == index


@pytest.mark.parametrize("processes", [1, 2])
def test_a_row_before_the_first_entry_is_found(copied: Path, processes: int) -> None:
    with attack(copied) as connection:
        connection.execute("UPDATE entry SET seq = -1 WHERE seq = 0")
    with pytest.raises(LogBroken) as caught:
        check(copied, processes=processes)
    assert caught.value.index == 0


@pytest.mark.parametrize("kept", [MIDDLE, 2 * STRETCH])
def test_a_log_that_contradicts_the_checkpoint_is_found_before_a_later_fault(
    copied: Path, kept: int
) -> None:
    other = Writer(copied.parent / "other", seed=8)
    other.rides(kept)
    publish(other.ledger)
    forged = Ledger.open(DataDirectory(copied))
    with attack(copied) as connection:
        connection.execute(f"UPDATE entry SET station = 'x' WHERE seq >= {kept}")
    honest_note = (copied / f"kept-{kept}").read_text(encoding="utf-8")
    with pytest.raises(LogBroken, match="not those of the checkpoint"):
        verify(
            other.ledger.engine,
            forged.settings.origin,
            forged.log_key.public_key(),
            honest_note,
            other.ledger.vault,
            processes=2,
        )
    with pytest.raises(LogBroken) as caught:
        check(copied, kept)
    assert caught.value.index == kept


def test_a_log_that_grows_and_loses_a_rider_meanwhile_is_not_called_broken(copied: Path) -> None:
    ledger = Ledger.open(DataDirectory(copied))
    with reading(ledger.engine) as session:
        accounts = sorted(set(session.exec(select(EntryRow.account_id)).all()) - {None})
    open_drawers(ledger, "desk")
    stop = threading.Event()

    def live() -> None:
        for account in accounts:
            if stop.is_set():
                return
            top_up(ledger, accounts[-1], Money(100, "CNY"), str(uuid4()), "desk")
            if account != accounts[-1]:
                erase_account(ledger, account)

    living = threading.Thread(target=live)
    living.start()
    try:
        reports = [check(copied, kept=MIDDLE) for _ in range(2)]
    finally:
        stop.set()
        living.join()
    assert reports[0].entries < reports[1].entries
    assert reports[1].erased > 0


def test_progress_is_told_from_nothing_to_everything(honest: Path) -> None:
    ledger = Ledger.open(DataDirectory(honest))
    told: list[tuple[int, int]] = []
    key = ledger.log_key.public_key()
    verify(ledger.engine, ledger.settings.origin, key, progress=lambda *seen: told.append(seen))
    ledger.engine.dispose()
    assert told == [(0, SIZE), (STRETCH, SIZE), (2 * STRETCH, SIZE), (SIZE, SIZE)]
