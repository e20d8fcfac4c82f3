"""The outbox: taps that are signed, chained and on disk before a door opens.

A tap leaves it only when the ledger has answered for it. ``seq`` and ``prev`` are taken
in the same transaction that stores the tap, so a gate that loses power at any moment
continues its chain where it stopped, with no number used twice.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from gate.errors import OutboxError
from models.wire.tap import FIRST_PREV, Tap, sign_tap, tap_hash

_SCHEMA = """
CREATE TABLE IF NOT EXISTS tap (
    seq INTEGER PRIMARY KEY,
    tap_id TEXT NOT NULL UNIQUE,
    account TEXT NOT NULL,
    at TEXT NOT NULL,
    signed TEXT NOT NULL,
    hash TEXT NOT NULL UNIQUE,
    status TEXT NOT NULL DEFAULT 'pending',
    answer TEXT
)
"""

KEPT_AFTER_ANSWER = 1000
"""Answered taps that stay: the chain's head, and what the anti-passback rule looks back on."""


@dataclass(frozen=True, slots=True)
class Counts:
    """How many taps wait for the ledger or were accepted; refused and quarantined ones were
    not charged and need somebody to look."""

    pending: int
    accepted: int
    refused: int
    quarantined: int


class Outbox:
    """The taps in the SQLite file at ``path``; safe to use from several threads."""

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            with closing(self._connect()) as connection:
                connection.execute(_SCHEMA)
        except sqlite3.Error as error:
            raise OutboxError(f"the outbox {path} cannot be opened: {error}") from error

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self._path, timeout=10, isolation_level=None)
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=FULL")
        return connection

    def append(self, build: Callable[[int, str], Tap], key: Ed25519PrivateKey) -> Tap:
        """Store the tap that ``build(seq, prev)`` makes, signed with ``key``, and return it.

        Raises ``OutboxError`` where it is not durably on disk: then the door stays shut.
        """
        try:
            with closing(self._connect()) as connection:
                connection.execute("BEGIN IMMEDIATE")
                head = connection.execute(
                    "SELECT seq, hash FROM tap ORDER BY seq DESC LIMIT 1"
                ).fetchone()
                seq, prev = (head[0] + 1, head[1]) if head else (1, FIRST_PREV)
                tap = build(seq, prev)
                signed = sign_tap(tap, key)
                connection.execute(
                    "INSERT INTO tap (seq, tap_id, account, at, signed, hash) "
                    "VALUES (?, ?, ?, ?, ?, ?)",
                    (seq, tap.tap_id, tap.account, tap.at, signed, tap_hash(signed)),
                )
                connection.execute("COMMIT")
        except sqlite3.Error as error:
            raise OutboxError(f"the outbox {self._path} cannot be written: {error}") from error
        return tap

    def pending(self, limit: int) -> list[tuple[str, str]]:
        """The oldest taps without an answer: (tap_id, signed tap), in chain order."""
        with closing(self._connect()) as connection:
            return connection.execute(
                "SELECT tap_id, signed FROM tap WHERE status = 'pending' ORDER BY seq LIMIT ?",
                (limit,),
            ).fetchall()

    def settle(self, answers: list[tuple[str, str, str]]) -> None:
        """Record the ledger's answers, (tap_id, status, answer), and prune old accepted taps.

        ``status`` is ``accepted``, ``refused`` or ``quarantined``; only accepted taps are ever
        pruned. One transaction: the door's next tap waits for one write, not for hundreds.
        """
        with closing(self._connect()) as connection:
            connection.execute("BEGIN IMMEDIATE")
            connection.executemany(
                "UPDATE tap SET status = ?2, answer = ?3 WHERE tap_id = ?1", answers
            )
            connection.execute(
                "DELETE FROM tap WHERE status = 'accepted' "
                "AND seq <= (SELECT MAX(seq) FROM tap) - ?",
                (KEPT_AFTER_ANSWER,),
            )
            connection.execute("COMMIT")

    def recent(self) -> list[tuple[str, str]]:
        """(account, at) of the taps still kept, oldest first."""
        with closing(self._connect()) as connection:
            return connection.execute("SELECT account, at FROM tap ORDER BY seq").fetchall()

    def counts(self) -> Counts:
        """How many taps are in which state."""
        with closing(self._connect()) as connection:
            rows = dict(
                connection.execute("SELECT status, COUNT(*) FROM tap GROUP BY status").fetchall()
            )
        states = ("pending", "accepted", "refused", "quarantined")
        return Counts(*(rows.get(state, 0) for state in states))
