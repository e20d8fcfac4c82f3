"""A process that dies at a chosen write: just before it is durable, or just after.

``Died`` is no ``Exception``: nothing inside the program can catch it and go on, as nothing
survives a power cut. What the dead process held in memory is thrown away by whoever catches
it outside.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from typing import Any

from sqlalchemy import Engine

from facefare.simulate.story import Crash


class Died(BaseException):
    """The process is gone."""


class Fuse:
    """Burns once: at the next commit after it was lit."""

    def __init__(self) -> None:
        self.lit: Crash = ""

    def around(self, commit: Callable[[], Any]) -> None:
        """Commit, or die in it."""
        crash, self.lit = self.lit, ""
        if crash == "before commit":
            raise Died
        commit()
        if crash == "after commit":
            raise Died


def arm(engine: Engine, fuse: Fuse) -> None:
    """Let writing transactions of ``engine`` burn ``fuse`` when they commit."""
    dialect: Any = engine.dialect
    plain = dialect.do_commit
    dialect.do_commit = lambda connection: fuse.around(lambda: plain(connection))


class Disk:
    """What a gate's disk does to its outbox: it may be full, and a power cut may hit it."""

    def __init__(self) -> None:
        self.full = False
        self.fuse = Fuse()

    def connect(self, path: Any) -> sqlite3.Connection:
        """A connection to the outbox that lives on this disk."""
        disk = self

        class OnDisk(sqlite3.Connection):
            def execute(self, sql: str, *arguments: Any) -> sqlite3.Cursor:
                if sql == "COMMIT":
                    if disk.full:
                        raise sqlite3.OperationalError("database or disk is full")
                    disk.fuse.around(lambda: super(OnDisk, self).execute(sql))
                    return self.cursor()
                return super().execute(sql, *arguments)

        return sqlite3.connect(path, timeout=10, isolation_level=None, factory=OnDisk)
