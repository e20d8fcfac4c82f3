"""Bring the fares database to this program's schema, and refuse any other.

Every change of the schema is an Alembic revision under ``ledger/migrations``. The database
says in ``alembic_version`` which one it has. A program that met a newer or older schema
could write rows the other one reads wrongly, so it stops with a sentence instead.
"""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import Engine, inspect, text
from sqlalchemy.exc import DatabaseError

from models.database import DatabaseUnusable, writing

HEAD = "sixth"
"""The newest revision; a test compares it with the files."""


class SchemaRefused(DatabaseUnusable):
    """The database has another schema than this program."""


def check_schema(engine: Engine) -> None:
    """Raise ``SchemaRefused`` unless the database has exactly this program's schema."""
    found = _revision(engine)
    if found == HEAD:
        return
    if found is None:
        reason = "has no schema or one from before schemas were numbered"
    elif found in known_revisions():
        reason = f"has the older schema {found!r}; this program needs {HEAD!r}"
    else:
        raise SchemaRefused(
            f"the fares database has the schema {found!r}, which this program does not know; a "
            "newer program made it: install that version again"
        )
    raise SchemaRefused(f"the fares database {reason}; run 'facefare db upgrade'")


def _revision(engine: Engine) -> str | None:
    with engine.connect() as connection:
        if not inspect(connection).has_table("alembic_version"):
            return None
        found = connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
    return None if found is None else str(found)


def known_revisions() -> list[str]:
    """All revisions, newest first."""
    from alembic.script import ScriptDirectory

    scripts = ScriptDirectory(str(_SCRIPTS))
    return [script.revision for script in scripts.walk_revisions()]


def upgrade(engine: Engine) -> str | None:
    """Bring the database to ``HEAD`` in one transaction; return the revision it had before.

    Raises ``SchemaRefused`` for a database of a newer program, or with tables that no
    revision made.
    """
    from alembic import command
    from alembic.config import Config

    before = _revision(engine)
    if before is not None and before not in known_revisions():
        check_schema(engine)
    config = Config()
    config.set_main_option("script_location", str(_SCRIPTS))
    try:
        with writing(engine) as session:
            config.attributes["connection"] = session.connection()
            command.upgrade(config, "head")
    except DatabaseError as error:
        raise SchemaRefused(
            f"the fares database could not be brought to the schema {HEAD!r} ({error.orig}); "
            "nothing was changed"
        ) from error
    return before


_SCRIPTS = Path(__file__).with_name("migrations")
