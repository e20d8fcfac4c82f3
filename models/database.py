"""Open a database so that its promises hold: durable commits, one writer, foreign keys.

SQLite's driver begins transactions late and shared; a reader that then wants to write
fails at once however long the busy timeout is. Writers therefore begin with
``BEGIN IMMEDIATE`` and wait in line. ``synchronous=FULL`` keeps an acknowledged commit
through a power failure.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, MetaData, create_engine, event
from sqlalchemy.exc import DatabaseError, OperationalError
from sqlmodel import Session

from models.errors import FacefareError

BUSY_TIMEOUT_MS = 10_000


class DatabaseUnusable(FacefareError):
    """The database cannot be opened or written."""


def open_sqlite(path: Path, metadata: MetaData, *, create: bool = False) -> Engine:
    """Return an engine on the SQLite file at ``path``; ``create`` makes the missing tables.

    Raises ``DatabaseUnusable`` where the file is missing, read-only or not a database.
    """
    if not create and not path.is_file():
        raise DatabaseUnusable(f"the database {path} is missing; run 'facefare init' first")
    engine = create_engine(f"sqlite:///{path}", connect_args={"timeout": BUSY_TIMEOUT_MS / 1000})
    event.listen(engine, "connect", _prepare)
    event.listen(engine, "begin", _begin)
    try:
        with engine.connect().execution_options(write=True) as connection, connection.begin():
            if create:
                metadata.create_all(connection)
    except (OperationalError, DatabaseError) as error:
        engine.dispose()
        raise DatabaseUnusable(f"the database {path} cannot be written: {error.orig}") from error
    return engine


def _prepare(connection: Any, _record: Any) -> None:
    connection.isolation_level = None  # SQLAlchemy's begin event below speaks for itself
    cursor = connection.cursor()
    cursor.execute("PRAGMA journal_mode=WAL")
    cursor.execute("PRAGMA synchronous=FULL")
    cursor.execute("PRAGMA foreign_keys=ON")
    cursor.execute("PRAGMA secure_delete=ON")
    cursor.close()


def _begin(connection: Any) -> None:
    write = connection.get_execution_options().get("write", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if write else "BEGIN")


@contextmanager
def writing(engine: Engine) -> Iterator[Session]:
    """A session that holds the write lock from its start; commits unless an error leaves it."""
    with engine.connect().execution_options(write=True) as connection:
        with connection.begin(), Session(connection, expire_on_commit=False) as session:
            yield session
            session.flush()


@contextmanager
def reading(engine: Engine) -> Iterator[Session]:
    """A session on one consistent snapshot, which never waits for a writer."""
    with engine.connect() as connection, Session(connection) as session:
        yield session


def forget_old_pages(engine: Engine) -> None:
    """Move the write-ahead log into the database and empty it, so that deleted rows are gone.

    While another connection reads, SQLite empties the log at the next opportunity instead.
    """
    with engine.connect() as connection:
        connection.exec_driver_sql("ROLLBACK")  # a checkpoint cannot run inside a transaction
        connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
        connection.exec_driver_sql("BEGIN")
