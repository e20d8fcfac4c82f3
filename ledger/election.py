"""Which of several workers signs: one at a time, and another as soon as it is gone.

On SQLite all workers are on one machine, and whoever holds the lock of a file beside the
checkpoint is elected. On PostgreSQL it is whoever holds an advisory lock in a session of
its own. Either lock ends with its process, however that ends, so a killed worker needs no
one to notice: the next one that asks has won.

An election spares work and makes clear who is responsible. It is not what keeps the log
from being signed in two versions: the checkpoint's compare-and-swap is (``ledger.kept``).
"""

from __future__ import annotations

import fcntl
import os
import socket
from contextlib import suppress
from pathlib import Path
from typing import IO, Protocol

from sqlalchemy import Connection, text
from sqlalchemy.exc import SQLAlchemyError

from ledger.ledger import Ledger
from models.database import is_postgres

SIGNER = "signer"
SUBMITTER = "submitter"
STAMPER = "stamper"
_KEYS = {
    SIGNER: 0x0FAC_EFA8_E000_0003,
    SUBMITTER: 0x0FAC_EFA8_E000_0004,
    STAMPER: 0x0FAC_EFA8_E000_0005,
}


class Election(Protocol):
    """An office that one process holds at a time."""

    def won(self) -> bool:
        """Whether this process holds the office; asking is standing for it."""
        ...

    def resign(self) -> None:
        """Let another one have it."""
        ...


def election(ledger: Ledger, office: str) -> Election:
    """The election for ``office`` (``SIGNER``, …) among this ledger's workers."""
    if is_postgres(ledger.engine):
        return _Session(ledger, office)
    return _LockedFile(_lock_file(ledger, office))


def holder(ledger: Ledger, office: str) -> str:
    """Who holds the office now, as ``host:process``; empty if nobody does."""
    if is_postgres(ledger.engine):
        return _session_holder(ledger, office)
    return _file_holder(_lock_file(ledger, office))


def _lock_file(ledger: Ledger, office: str) -> Path:
    return ledger.checkpoint_file.with_name(f"{office}.lock")


def _me() -> str:
    return f"{socket.gethostname()}:{os.getpid()}"


class _LockedFile:
    """Whoever holds the file's lock is elected; its name is in the file."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: IO[str] | None = None

    def won(self) -> bool:
        if self._file is not None:
            return True
        file = self._path.open("a+", encoding="utf-8")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.close()
            return False
        file.truncate(0)
        file.write(_me())
        file.flush()
        self._file = file
        return True

    def resign(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None


def _file_holder(path: Path) -> str:
    if not path.exists():
        return ""
    with path.open(encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return file.read()
    return ""


class _Session:
    """Whoever's session holds the advisory lock is elected; the session carries its name."""

    def __init__(self, ledger: Ledger, office: str) -> None:
        self._engine, self._office = ledger.engine, office
        self._connection: Connection | None = None

    def won(self) -> bool:
        try:
            return self._still_mine() or self._try()
        except SQLAlchemyError:
            self.resign()  # the server is away, and with it the lock
            return False

    def _still_mine(self) -> bool:
        if self._connection is None:
            return False
        self._connection.execute(text("SELECT 1"))  # the lock is gone if its session is
        return True

    def _try(self) -> bool:
        connection = self._engine.connect().execution_options(isolation_level="AUTOCOMMIT")
        lock = text("SELECT pg_try_advisory_lock(:key)")
        if not connection.execute(lock, {"key": _KEYS[self._office]}).scalar_one():
            connection.close()
            return False
        connection.execute(
            text("SELECT set_config('application_name', :name, false)"), {"name": _me()}
        )
        self._connection = connection
        return True

    def resign(self) -> None:
        if self._connection is not None:
            connection, self._connection = self._connection, None
            with suppress(SQLAlchemyError):  # where the session is gone, so is its lock
                unlock = text("SELECT pg_advisory_unlock(:key)")
                connection.execute(unlock, {"key": _KEYS[self._office]})
            connection.invalidate()  # a session with this name does not go back to the pool
            connection.close()


def _session_holder(ledger: Ledger, office: str) -> str:
    query = text(
        "SELECT application_name FROM pg_stat_activity JOIN pg_locks USING (pid) "
        "WHERE locktype = 'advisory' AND granted AND objsubid = 1 "
        "AND classid::bigint = :high AND objid::bigint = :low "
        "AND pg_locks.database = (SELECT oid FROM pg_database WHERE datname = current_database())"
    )
    key = _KEYS[office]
    with ledger.engine.connect() as connection:
        found = connection.execute(query, {"high": key >> 32, "low": key & 0xFFFF_FFFF}).scalar()
    return "" if found is None else str(found)
