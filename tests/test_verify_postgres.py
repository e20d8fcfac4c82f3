"""Verification against an attacker who owns the PostgreSQL database (``tests.forging``)."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from uuid import uuid4

import pytest

from bench.postgres import Postgres
from ledger.checkpoints import publish
from ledger.kept import CheckpointFile
from ledger.ledger import Ledger
from ledger.sequencer import sequence
from ledger.topups import top_up
from ledger.verify import LogBroken, VerifyReport, verify
from models.money import Money
from models.settings import DataDirectory
from tests.forging import Attacked, attack_postgres, cheaper, cut, rechain, swap
from tests.postgres import a_server, make_postgres_town
from tests.town import ORIGIN, Clock

RIDES = 6
SIZE = RIDES + 1
_numbers = count()


@dataclass(frozen=True)
class Victim:
    """A ledger whose database is attacked at ``url``, and the checkpoint kept elsewhere."""

    ledger: Ledger
    url: str
    note: str

    def attack(self, forge: Callable[[Attacked], object]) -> None:
        with attack_postgres(self.url) as connection:
            forge(connection)

    def check(self, note: str | None) -> VerifyReport:
        key = self.ledger.log_key.public_key()
        return verify(self.ledger.engine, ORIGIN, key, note, self.ledger.vault)


@pytest.fixture(scope="module")
def server() -> Iterator[Postgres]:
    yield from a_server()


@pytest.fixture(scope="module")
def honest(server: Postgres, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A data directory with two riders' entries and their checkpoint, and its database's name."""
    town = make_postgres_town(tmp_path_factory.mktemp("honest") / "data", server)
    first = town.rides(RIDES // 2)
    top_up(town.ledger, first, Money(2000, "CNY"), str(uuid4()), "desk")
    town.rides(RIDES // 2)
    sequence(town.ledger)
    publish(town.ledger)
    town.ledger.engine.dispose()
    return town.data.path, str(town.ledger.engine.url.database)


@pytest.fixture
def victim(server: Postgres, honest: tuple[Path, str], tmp_path: Path) -> Iterator[Victim]:
    """A copy of the honest data and database, to be broken."""
    path, database = honest
    shutil.copytree(path, tmp_path / "data")
    data, name = DataDirectory(tmp_path / "data"), f"attacked_{next(_numbers)}"
    server.sql(f"CREATE DATABASE {name} TEMPLATE {database}")
    settings = data.settings_file.read_text(encoding="utf-8")
    settings = settings.replace(server.url(database), server.url(name))
    data.settings_file.write_text(settings, encoding="utf-8")
    clock = Clock()
    clock.forward(3600)
    ledger = Ledger.open(data, clock)
    assert ledger.engine.url.database == name
    yield Victim(ledger, server.url(name), CheckpointFile(data.checkpoint_file).read())
    ledger.engine.dispose()


def test_an_edit_with_everything_after_it_rechained_contradicts_the_checkpoint(
    victim: Victim,
) -> None:
    victim.attack(lambda connection: rechain(connection, cheaper(2)))
    assert victim.check(None).entries == SIZE  # alone, the forged log is flawless
    with pytest.raises(LogBroken, match="not those of the checkpoint"):
        victim.check(victim.note)


def test_a_cut_tail_is_found_at_the_first_missing_entry_until_nothing_is_left(
    victim: Victim,
) -> None:
    for keep in reversed(range(SIZE)):
        victim.attack(lambda connection, keep=keep: cut(connection, keep))
        assert victim.check(None).entries == keep
        with pytest.raises(LogBroken, match="missing") as caught:
            victim.check(victim.note)
        assert caught.value.index == keep


def test_two_rows_swapped_are_found(victim: Victim) -> None:
    victim.attack(lambda connection: swap(connection, 1, 2))
    with pytest.raises(LogBroken) as caught:
        victim.check(victim.note)
    assert caught.value.index == 1


CELLS = {
    "entry": {
        "entry_id": "'other'", "kind": "'top_up'", "leaf_hash": "'\\x00'", "prev": "'\\x00'",
        "recorded_at": "'2026-11-22T12:59:59.000Z'", "occurred_at": "'2026-11-22T12:00:00.001Z'",
        "amount_minor": "100", "currency": "'EUR'", "gate": "'south-2'", "station": "NULL",
        "direction": "'out'", "medium": "'pass'", "rule": "'free'", "tap_hash": "'00'",
        "corrects": "'other'", "made_by": "'somebody'",
        "account_id": "(SELECT account_id FROM account WHERE account_id <> entry.account_id)",
    },
    "posting": {
        "minor": "-minor", "account": "'assets:suspense'", "account_id": "'other'",
        "currency": "'EUR'",
    },
    "tap": {
        "tap_id": "'other'", "signed": "NULL", "hash": "'other'", "prev": "'other'",
        "gate": "'other'", "gate_seq": "99", "outcome": "'quarantined'", "account_id": "NULL",
        "entry_seq": "NULL",
    },
}  # fmt: skip


def test_a_changed_column_beside_unchanged_bytes_is_found(victim: Victim) -> None:
    """Each column is changed, found, and put back, so that the next one is found alone."""
    numbers = {"entry": "seq", "posting": "entry_seq", "tap": "entry_seq"}
    for table, cells in CELLS.items():
        row = f"{numbers[table]} = 5" + " AND line = 0" * (table == "posting")
        for column, value in cells.items():
            change_and_put_back(victim, table, row, column, value)
    report = victim.check(victim.note)
    assert (report.entries, report.unproved, report.not_excluded) == (SIZE, 0, ())


def change_and_put_back(victim: Victim, table: str, row: str, column: str, value: str) -> None:
    with attack_postgres(victim.url) as connection:
        was, place = connection.execute(
            f"SELECT {column}, ctid FROM {table} WHERE {row}"
        ).fetchone()
        (place,) = connection.execute(
            f"UPDATE {table} SET {column} = {value} WHERE ctid = ? RETURNING ctid", (place,)
        ).fetchone()
    with pytest.raises(LogBroken) as caught:
        victim.check(victim.note)
    assert caught.value.index == 5, (table, column)
    with attack_postgres(victim.url) as connection:
        connection.execute(f"UPDATE {table} SET {column} = ? WHERE ctid = ?", (was, place))
