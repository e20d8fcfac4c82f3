"""Open a database so that its promises hold: durable commits, one writer, foreign keys.

Two kinds. SQLite is the embedded default: its driver begins transactions late and shared,
and a reader that then wants to write fails at once however long the busy timeout is.
Writers therefore begin with ``BEGIN IMMEDIATE`` and wait in line. ``synchronous=FULL``
keeps an acknowledged commit through a power failure.

They wait in a line of their own before that (``_in_line``): SQLite's busy timeout only asks
again after growing pauses, which costs several processes half of what they could write.

PostgreSQL gets the same behaviour from an advisory lock: ``writing`` holds it alone, as
on SQLite. ``sharing`` holds it together with others, for work that many requests do at
once and that orders itself; such work never overlaps with a ``writing`` session.
"""

from __future__ import annotations

import fcntl
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from sqlalchemy import (
    Connection,
    Engine,
    MetaData,
    create_engine,
    event,
    inspect,
    make_url,
)
from sqlalchemy.exc import ArgumentError, DatabaseError, OperationalError
from sqlmodel import Session

from models.errors import FacefareError

BUSY_TIMEOUT_MS = 10_000
_ASK_AGAIN_S = 0.0005
_BUSY = "the database is being written by others all the time; nothing was recorded, try again"
CONNECTIONS_MAX = 16
SCHEMA_VERSION = "schema_version"
"""The key in ``MetaData.info`` of the number that a change of the tables moves."""

WRITER_LOCK = 0x0FAC_EFA8_E000_0001
"""The PostgreSQL advisory lock of whoever writes; a number nobody else is likely to use."""


class DatabaseUnusable(FacefareError):
    """The database cannot be opened or written."""


class DatabaseBusy(DatabaseUnusable):
    """Others write for longer than anyone can wait; nothing was written, try again."""


def open_sqlite(path: Path, metadata: MetaData, *, create: bool = False) -> Engine:
    """Return an engine on the SQLite file at ``path``; ``create`` makes the missing tables.

    Raises ``DatabaseUnusable`` where the file is missing, read-only, not a database, or made
    by another version of Facefare.
    """
    if not create and not path.is_file():
        raise DatabaseUnusable(f"the database {path} is missing; run 'facefare init' first")
    engine = create_engine(
        f"sqlite:///{path}",
        connect_args={"timeout": BUSY_TIMEOUT_MS / 1000},
        pool_use_lifo=True,  # each connection keeps pages and statements of its own
        hide_parameters=True,  # names and secrets are among them, and errors are logged
    )
    event.listen(engine, "connect", _prepare)
    event.listen(engine, "begin", _begin)
    try:
        with engine.connect().execution_options(write=True) as connection, connection.begin():
            if create:
                _create(connection, metadata)
            _check_version(connection, metadata, path)
    except DatabaseUnusable:
        engine.dispose()
        raise
    except (OperationalError, DatabaseError) as error:
        engine.dispose()
        raise DatabaseUnusable(f"the database {path} cannot be written: {error.orig}") from error
    return engine


def _create(connection: Connection, metadata: MetaData) -> None:
    """Make the tables; a file that had none yet gets their version."""
    fresh = not inspect(connection).get_table_names()
    metadata.create_all(connection)
    if fresh:
        connection.exec_driver_sql(f"PRAGMA user_version = {_version(metadata)}")


def _check_version(connection: Connection, metadata: MetaData, path: Path) -> None:
    wanted = _version(metadata)
    found = connection.exec_driver_sql("PRAGMA user_version").scalar_one()
    if wanted and found != wanted:
        age = "an older" if found < wanted else "a newer"
        raise DatabaseUnusable(
            f"the database {path} was made by {age} version of Facefare (its tables have version "
            f"{found}, this program's {wanted}); go on with that version, or start a new data "
            "directory with 'facefare init' and enroll the riders again"
        )


def _version(metadata: MetaData) -> int:
    return int(metadata.info.get(SCHEMA_VERSION, 0))


_SECRET_OPTIONS = ("password", "sslpassword")
"""What libpq also takes behind the question mark; SQLAlchemy hides the password before the @."""


def open_postgres(url: str) -> Engine:
    """Return an engine on the PostgreSQL database at ``postgresql://user:password@host/name``.

    Raises ``DatabaseUnusable`` for another kind of URL, where no connection can be made, and
    where the server is set up to lose acknowledged commits.
    """
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):  # neither names the URL, in which a password may stand
        raise DatabaseUnusable(
            "the database URL cannot be read; write postgresql://user@host:5432/name"
        ) from None
    if parsed.drivername not in ("postgresql", "postgresql+psycopg"):
        raise DatabaseUnusable(f"a database URL starts with postgresql://, not {parsed.drivername}")
    engine = create_engine(
        parsed.set(drivername="postgresql+psycopg"),
        pool_size=CONNECTIONS_MAX,
        max_overflow=0,
        pool_use_lifo=True,  # each connection keeps statements of its own
        pool_pre_ping=True,  # a server that was restarted is found again
        hide_parameters=True,
    )
    try:
        with engine.connect() as connection:
            _check_durable(connection)
    except DatabaseError as error:
        engine.dispose()
        where = parsed.difference_update_query(_SECRET_OPTIONS).render_as_string(hide_password=True)
        raise DatabaseUnusable(f"the database {where} cannot be used: {error.orig}") from error
    except DatabaseUnusable:
        engine.dispose()
        raise
    return engine


def _check_durable(connection: Connection) -> None:
    for name in ("fsync", "full_page_writes", "synchronous_commit"):
        if connection.exec_driver_sql(f"SHOW {name}").scalar_one() == "off":
            raise DatabaseUnusable(
                f"the PostgreSQL server runs with {name} = off, so an acknowledged fare could be "
                "lost in a power failure; switch it on"
            )


def is_postgres(connected: Engine | Connection) -> bool:
    """Whether this is PostgreSQL; otherwise it is SQLite."""
    return connected.dialect.name == "postgresql"


def _prepare(connection: Any, _record: Any) -> None:
    connection.isolation_level = None  # SQLAlchemy's begin event below speaks for itself
    cursor = connection.cursor()
    cursor.execute("PRAGMA journal_mode=WAL")
    cursor.execute("PRAGMA synchronous=FULL")
    cursor.execute("PRAGMA wal_autocheckpoint=4000")  # pages: move 16 MB at a time, not 4
    cursor.execute("PRAGMA cache_size=-4000")  # KiB: the indexes' edges stay in memory
    cursor.execute("PRAGMA foreign_keys=ON")
    cursor.execute("PRAGMA secure_delete=ON")
    # INSERT OR REPLACE deletes too, and shall meet the triggers that refuse it.
    cursor.execute("PRAGMA recursive_triggers=ON")
    cursor.close()


def _begin(connection: Any) -> None:
    write = connection.get_execution_options().get("write", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if write else "BEGIN")


@contextmanager
def writing(engine: Engine) -> Iterator[Session]:
    """A session that holds the write lock from its start; commits unless an error leaves it."""
    with _transaction(engine) as session:
        if is_postgres(engine):
            lock(session, WRITER_LOCK)
        yield session


@contextmanager
def sharing(engine: Engine) -> Iterator[Session]:
    """On PostgreSQL, a session beside other ``sharing`` ones; on SQLite the same as ``writing``.

    What two such sessions may not do at once, they lock among themselves.
    """
    with _transaction(engine) as session:
        if is_postgres(engine):
            session.connection().exec_driver_sql(
                "SELECT pg_advisory_xact_lock_shared(%s)", (WRITER_LOCK,)
            )
        yield session


@contextmanager
def sequencing(engine: Engine, key: int) -> Iterator[Session | None]:
    """On PostgreSQL, a session that holds the lock ``key``; None while another one holds it."""
    with _transaction(engine) as session:
        got = session.connection().exec_driver_sql("SELECT pg_try_advisory_xact_lock(%s)", (key,))
        yield session if got.scalar_one() else None


@contextmanager
def _transaction(engine: Engine) -> Iterator[Session]:
    with (
        _in_line(engine),
        engine.connect().execution_options(write=True) as connection,
        connection.begin(),
        Session(connection, expire_on_commit=False) as session,
    ):
        yield session
        session.flush()


_lines: defaultdict[str, threading.Lock] = defaultdict(threading.Lock)


@contextmanager
def _in_line(engine: Engine) -> Iterator[None]:
    """On SQLite, be the only one of all threads and processes that is about to write.

    The lock of a file beside the database ends with its process, however that ends. SQLite's
    own lock stays the one that counts: whoever does not stand in this line waits there.
    """
    path = engine.url.database
    if is_postgres(engine) or not path:
        yield
        return
    until = time.monotonic() + BUSY_TIMEOUT_MS / 1000
    here = _lines[path]
    if not here.acquire(timeout=BUSY_TIMEOUT_MS / 1000):
        raise DatabaseBusy(_BUSY)
    try:
        with Path(f"{path}-line").open("a") as file:
            while not _locked(file):  # one thread of each process asks, so asking often is cheap
                if time.monotonic() > until:
                    raise DatabaseBusy(_BUSY)
                time.sleep(_ASK_AGAIN_S)
            yield
    finally:
        here.release()


def _locked(file: IO[str]) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def lock(session: Session, *key: int) -> None:
    """Hold the PostgreSQL advisory lock ``key`` until the transaction ends; wait for it.

    ``key`` is one number of 64 bits or two of 32.
    """
    marks = ", ".join(["%s"] * len(key))
    session.connection().exec_driver_sql(f"SELECT pg_advisory_xact_lock({marks})", key)


@contextmanager
def reading(engine: Engine) -> Iterator[Session]:
    """A session on one consistent snapshot, which never waits for a writer."""
    snapshot = {"isolation_level": "REPEATABLE READ", "postgresql_readonly": True}
    options = snapshot if is_postgres(engine) else {}
    with (
        engine.connect().execution_options(**options) as connection,
        Session(connection) as session,
    ):
        yield session


def move_pages(engine: Engine) -> None:
    """Move SQLite's write-ahead log into the database as far as that makes nobody wait."""
    with engine.connect() as connection:
        # Not in a transaction, which would keep the log's newest pages from being moved.
        connection.connection.driver_connection.execute(  # type: ignore[union-attr]
            "PRAGMA wal_checkpoint(PASSIVE)"
        ).fetchone()


def forget_old_pages(engine: Engine) -> None:
    """Move SQLite's write-ahead log into the database and empty it: deleted rows are gone.

    While another connection reads, SQLite empties the log at the next opportunity instead.
    PostgreSQL keeps dead rows until its own ``VACUUM``.
    """
    if engine.dialect.name != "sqlite":
        return
    connection = engine.raw_connection()
    try:
        connection.cursor().execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    finally:
        connection.close()
