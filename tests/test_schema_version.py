"""A data directory of another version is refused in words, not with an SQL error."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import MetaData

from models.database import SCHEMA_VERSION, DatabaseUnusable, open_sqlite
from models.tables.access import AccessTable
from models.tables.riders import RidersTable

TABLES = [RidersTable.metadata, AccessTable.metadata]


def set_version(file: Path, version: int) -> None:
    with closing(sqlite3.connect(file)) as connection:
        connection.execute(f"PRAGMA user_version = {version}")


@pytest.mark.parametrize("tables", TABLES)
def test_a_new_database_opens_again(tmp_path: Path, tables: MetaData) -> None:
    file = tmp_path / "new.sqlite"
    open_sqlite(file, tables, create=True).dispose()
    open_sqlite(file, tables).dispose()
    open_sqlite(file, tables, create=True).dispose()
    with closing(sqlite3.connect(file)) as connection:
        assert connection.execute("PRAGMA user_version").fetchone() == (
            tables.info[SCHEMA_VERSION],
        )


@pytest.mark.parametrize("tables", TABLES)
@pytest.mark.parametrize("create", [False, True])
def test_the_database_of_an_older_version_is_refused(
    tmp_path: Path, tables: MetaData, create: bool
) -> None:
    file = tmp_path / "old.sqlite"
    open_sqlite(file, tables, create=True).dispose()
    set_version(file, 0)
    with pytest.raises(DatabaseUnusable, match=r"made by an older version .* version 0, .*init"):
        open_sqlite(file, tables, create=create)


@pytest.mark.parametrize("tables", TABLES)
def test_the_database_of_a_newer_version_is_refused(tmp_path: Path, tables: MetaData) -> None:
    file = tmp_path / "new.sqlite"
    open_sqlite(file, tables, create=True).dispose()
    set_version(file, 99)
    with pytest.raises(DatabaseUnusable, match="made by a newer version"):
        open_sqlite(file, tables)


def test_an_old_file_is_not_half_changed_on_the_way(tmp_path: Path) -> None:
    """The riders of before version 1: their table had no column for digits."""
    file = tmp_path / "riders.sqlite"
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("CREATE TABLE rider (rider_id TEXT PRIMARY KEY)")
    with pytest.raises(DatabaseUnusable, match="older version"):
        open_sqlite(file, RidersTable.metadata, create=True)
    with closing(sqlite3.connect(file)) as connection:
        names = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
    assert names == [("rider",)]
