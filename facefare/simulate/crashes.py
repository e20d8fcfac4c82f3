"""A process that dies at a chosen write, and a disk without room for one.

Every place where something becomes durable is armed: commits of the databases, statements of
the vaults, and files that are replaced whole. A write is struck just before it is durable, or
just after. ``Died`` is no ``Exception``: nothing inside the program can catch it and go on, as
nothing survives a power cut. What the dead process held in memory is thrown away by whoever
catches it outside.
"""

from __future__ import annotations

import errno
import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Engine

from facefare.simulate.chance import instead
from facefare.simulate.steps import Crash


class Died(BaseException):
    """The process is gone."""


def _no_room() -> Exception:
    return sqlite3.OperationalError("database or disk is full")


class Fuse:
    """Burns at the first write after it was lit, or at a later one.

    ``count`` hears ``<whose> killed at a write: <site>`` or ``<whose> disk full: <site>``.
    """

    def __init__(self, whose: str, count: Callable[[str], None]) -> None:
        self._whose, self._count = whose, count
        self._crash: Crash = ""
        self._at_write = 1
        self.full = False  # the disk has no room for any write

    @property
    def lit(self) -> Crash:
        """How it will burn; empty: it will not."""
        return self._crash

    def light(self, crash: Crash, at_write: int = 1) -> None:
        """Burn at the ``at_write``-th write from now on; an empty ``crash`` puts it out.

        With ``disk full`` there is no room for that write, nor for any after it until then.
        """
        self._crash, self._at_write = crash, at_write

    def around(
        self, site: str, write: Callable[[], Any], no_room: Callable[[], Exception] = _no_room
    ) -> Any:
        """Write at ``site``, or die in it, or find no room, as ``no_room`` says it."""
        self._at_write -= 1
        burns = self._crash and self._at_write <= 0
        if self.full or (burns and self._crash == "disk full"):
            self._count(f"{self._whose} disk full: {site}")
            raise no_room()
        if not burns:
            return write()
        crash, self._crash = self._crash, ""
        self._count(f"{self._whose} killed at a write: {site}")
        if crash == "after commit":
            write()
        raise Died


def arm(engine: Engine, fuse: Fuse, site: str) -> None:
    """Let writing transactions of ``engine`` burn ``fuse`` when they commit."""
    dialect: Any = engine.dialect
    plain = dialect.do_commit
    dialect.do_commit = lambda connection: fuse.around(site, lambda: plain(connection))


class _InVault:
    """A vault's connection, each statement of which is durable by itself."""

    def __init__(self, connection: sqlite3.Connection, fuse: Fuse, site: str) -> None:
        self._connection, self._fuse, self._site = connection, fuse, site
        self.close = connection.close

    def execute(self, sql: str, *arguments: Any) -> Any:
        """Execute a statement; one that writes burns the fuse."""
        if sql.startswith("SELECT"):
            return self._connection.execute(sql, *arguments)
        return self._fuse.around(self._site, lambda: self._connection.execute(sql, *arguments))


def arm_vault(vault: Any, fuse: Fuse, site: str) -> None:
    """Let the writes of ``vault`` burn ``fuse``."""
    plain = vault._connect
    vault._connect = lambda: _InVault(plain(), fuse, site)


Burning = Callable[[Path], tuple[Fuse, str] | None]
"""Whose fuse burns where a file is replaced, and what the site is called."""


@contextmanager
def armed_files(burning: Burning) -> Iterator[None]:
    """Within, let files that are replaced whole burn the fuse of whoever replaces them."""
    plain = Path.replace

    def replace(self: Path, target: Path) -> Path:
        found = burning(target)
        if found is None:
            return plain(self, target)
        fuse, site = found
        done: Path = fuse.around(site, lambda: plain(self, target), _no_space)
        return done

    with instead(Path, "replace", replace):
        yield


def _no_space() -> Exception:
    return OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


class Disk:
    """A gate's disk: it may be full, and a power cut may hit what is written to it."""

    def __init__(self, count: Callable[[str], None]) -> None:
        self.fuse = Fuse("gate", count)

    def connect(self, path: Any) -> sqlite3.Connection:
        """A connection to the outbox that lives on this disk."""
        fuse = self.fuse

        class OnDisk(sqlite3.Connection):
            def execute(self, sql: str, *arguments: Any) -> sqlite3.Cursor:
                if sql == "COMMIT":
                    fuse.around("outbox", lambda: super(OnDisk, self).execute(sql))
                    return self.cursor()
                return super().execute(sql, *arguments)

        return sqlite3.connect(path, timeout=10, isolation_level=None, factory=OnDisk)
