"""The fares database has this program's schema, or is refused with a sentence."""

from __future__ import annotations

from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from click.testing import CliRunner
from sqlalchemy import MetaData, text

from ledger.db_cli import db
from ledger.ledger import Ledger
from ledger.schema import HEAD, SchemaRefused, check_schema, known_revisions, upgrade
from models.database import open_sqlite, writing
from models.tables.ledger import LedgerTable
from tests.town import Town, make_town


@pytest.fixture
def town(tmp_path: Path) -> Town:
    return make_town(tmp_path / "data")


def set_revision(town: Town, statement: str) -> None:
    with writing(town.ledger.engine) as session:
        session.execute(text(statement))


def test_the_newest_revision_is_the_programs() -> None:
    assert known_revisions()[0] == HEAD


def test_the_migrations_make_the_tables_the_program_knows(town: Town) -> None:
    with town.ledger.engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, LedgerTable.metadata) == []


def test_an_upgrade_of_a_new_database_is_complete_and_again_changes_nothing(
    tmp_path: Path,
) -> None:
    engine = open_sqlite(tmp_path / "fares.sqlite", MetaData(), create=True)
    with pytest.raises(SchemaRefused, match=r"has no schema .* run 'facefare db upgrade'"):
        check_schema(engine)
    assert upgrade(engine) is None
    check_schema(engine)
    assert upgrade(engine) == HEAD


def test_an_upgrade_that_fails_changes_nothing(tmp_path: Path) -> None:
    engine = open_sqlite(tmp_path / "fares.sqlite", MetaData(), create=True)
    with writing(engine) as session:
        session.execute(text("CREATE TABLE tap (mine TEXT)"))
    with pytest.raises(SchemaRefused, match="nothing was changed"):
        upgrade(engine)
    with engine.connect() as connection:
        names = connection.execute(text("SELECT name FROM sqlite_master WHERE type = 'table'"))
        assert list(names.scalars()) == ["tap"]


def test_a_newer_schema_is_refused(town: Town) -> None:
    set_revision(town, "UPDATE alembic_version SET version_num = 'from-the-future'")
    with pytest.raises(SchemaRefused, match="a newer program made it"):
        Ledger.open(town.data)
    with pytest.raises(SchemaRefused, match="a newer program made it"):
        upgrade(town.ledger.engine)


@pytest.mark.parametrize("statement", ["DROP TABLE alembic_version", "DELETE FROM alembic_version"])
def test_a_schema_without_a_number_is_refused(town: Town, statement: str) -> None:
    set_revision(town, statement)
    with pytest.raises(SchemaRefused, match="facefare db upgrade"):
        Ledger.open(town.data)


def test_the_command_says_what_it_did(town: Town) -> None:
    done = CliRunner().invoke(db, ["upgrade", "--data", str(town.data.path)])
    assert done.exit_code == 0, done.output
    assert done.output == f"The fares database has the schema {HEAD!r} already.\n"
