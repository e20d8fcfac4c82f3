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

from facefare.simulate.steps import Crash


class Died(BaseException):
    """The process is gone."""


class Fuse:
    """Burns once: at the first commit after it was lit, or at a later one."""

    def __init__(self, burnt: Callable[[], None] = lambda: None) -> None:
        self._crash: Crash = ""
        self._at_write, self._burnt = 1, burnt

    @property
    def lit(self) -> Crash:
        """How it will burn; empty: it will not."""
        return self._crash

    def light(self, crash: Crash, at_write: int = 1) -> None:
        """Burn at the ``at_write``-th commit from now on; an empty ``crash`` puts it out."""
        self._crash, self._at_write = crash, at_write

    def around(self, commit: Callable[[], Any]) -> None:
        """Commit, or die in it."""
        self._at_write -= 1
        if not self._crash or self._at_write > 0:
            commit()
            return
        crash, self._crash = self._crash, ""
        self._burnt()
        if crash == "after commit":
            commit()
        raise Died


def arm(engine: Engine, fuse: Fuse) -> None:
    """Let writing transactions of ``engine`` burn ``fuse`` when they commit."""
    dialect: Any = engine.dialect
    plain = dialect.do_commit
    dialect.do_commit = lambda connection: fuse.around(lambda: plain(connection))


class Disk:
    """What a gate's disk does to its outbox: it may be full, and a power cut may hit it."""

    def __init__(self, count: Callable[[str], None]) -> None:
        self.full = False
        self.fuse = Fuse(lambda: count("gate killed at a write"))
        self._count = count

    def connect(self, path: Any) -> sqlite3.Connection:
        """A connection to the outbox that lives on this disk."""
        disk = self

        class OnDisk(sqlite3.Connection):
            def execute(self, sql: str, *arguments: Any) -> sqlite3.Cursor:
                if sql == "COMMIT":
                    if disk.full:
                        disk._count("disk full")
                        raise sqlite3.OperationalError("database or disk is full")
                    disk.fuse.around(lambda: super(OnDisk, self).execute(sql))
                    return self.cursor()
                return super().execute(sql, *arguments)

        return sqlite3.connect(path, timeout=10, isolation_level=None, factory=OnDisk)
