"""What a walk over a stretch of the log is given, what it reads, and what it answers.

Part of ``ledger.verify``. It travels between processes, so it knows neither SQLAlchemy nor
the tables.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from models.vault import Vault


class Cursor(Protocol):
    """A DB-API cursor inside a transaction that sees one state of the database."""

    def execute(self, statement: str) -> Any: ...
    def fetchall(self) -> Sequence[Any]: ...


@dataclass(frozen=True, slots=True)
class Setup:
    """What every stretch is walked with, and how ``long`` it is: a power of two from 256 on.

    ``others`` are the columns of an entry besides ``OWN_COLUMNS``. A rider's key has the
    account's id behind ``rider_key`` as its name in the ``vault``, a member of staff's
    their name behind ``staff_key``.
    """

    long: int
    others: tuple[str, ...]
    checkpoint_size: int | None
    vault: Vault | None
    rider_key: str
    staff_key: str


@dataclass(slots=True)
class Walked:
    """What was found in entries ``start`` up to ``end``.

    ``peaks`` and ``at_checkpoint`` are the roots of perfect subtrees, largest first, over
    all of the stretch and over its part below the checkpoint. ``beyond`` has, by tap, what its
    answer says that the entries here do not.
    """

    start: int
    end: int
    peaks: list[bytes] = field(default_factory=list)
    at_checkpoint: list[bytes] | None = None
    broken: tuple[int | None, str] | None = None
    counts: Counter[str] = field(default_factory=Counter)
    beyond: Counter[str] = field(default_factory=Counter)


def fetch(
    cursor: Cursor, columns: Sequence[str], table: str, start: int, end: int, order: str
) -> Sequence[Any]:
    """The rows of entries ``start`` up to ``end``; ``order`` begins with the entry's number."""
    by = order.partition(",")[0]
    cursor.execute(
        f"SELECT {', '.join(columns)} FROM {table} "  # noqa: S608 - names and numbers of ours
        f"WHERE {by} >= {start} AND {by} < {end} ORDER BY {order}"
    )
    return cursor.fetchall()
