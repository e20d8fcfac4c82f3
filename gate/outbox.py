"""The outbox: taps that are signed, chained and on disk before a door opens.

A tap leaves it only when the ledger has answered for it. ``seq`` and ``prev`` are taken
in the same transaction that stores the tap, so a gate that loses power at any moment
continues its chain where it stopped, with no number used twice.

Beside the taps lies what the gate remembers of each account's face, for the limits on what
a face alone may do: how often it opened since the pass was shown, and when it was shown but
not found to be a living one. It is counted in the tap's own transaction.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from gate.clock import AHEAD_S_MAX
from gate.errors import OutboxError
from gate.liveness.risk import Facts
from models.wire.tap import FIRST_PREV, Tap, sign_tap, tap_hash
from models.wire.times import format_utc

_SCHEMA = (
    """
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
""",
    """
CREATE TABLE IF NOT EXISTS face_opening (
    account TEXT NOT NULL,
    at TEXT NOT NULL
)
""",
    "CREATE INDEX IF NOT EXISTS tap_waiting ON tap (account) WHERE status = 'pending'",
    "CREATE INDEX IF NOT EXISTS face_opening_account ON face_opening (account, at)",
    "CREATE INDEX IF NOT EXISTS face_opening_at ON face_opening (at)",
    "CREATE TABLE IF NOT EXISTS pass_shown (account TEXT PRIMARY KEY, at TEXT NOT NULL)",
    "CREATE TABLE IF NOT EXISTS not_live (account TEXT NOT NULL, at TEXT NOT NULL)",
)

KEPT_AFTER_ANSWER = 1000
"""Answered taps that stay: the chain's head, and what the anti-passback rule looks back on."""

FACE_MEMORY = timedelta(days=30)
"""A face that opened nothing here for so long starts anew."""

A_DAY = timedelta(days=1)
AHEAD_MAX = timedelta(seconds=AHEAD_S_MAX)


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
        self.prepare()

    def prepare(self) -> None:
        """Make sure that a tap could be written now; raise ``OutboxError`` where it could not."""
        with self._connected() as connection:
            for statement in _SCHEMA:
                connection.execute(statement)
            # A write of the size of a tap, taken back: the schema alone may need no room.
            connection.execute("BEGIN IMMEDIATE")
            connection.execute("CREATE TABLE room AS SELECT zeroblob(16384)")
            connection.execute("DROP TABLE room")
            connection.execute("COMMIT")

    @contextmanager
    def _connected(self) -> Iterator[sqlite3.Connection]:
        try:
            with closing(sqlite3.connect(self._path, timeout=10, isolation_level=None)) as opened:
                opened.execute("PRAGMA journal_mode=WAL")
                opened.execute("PRAGMA synchronous=FULL")
                yield opened
        except sqlite3.Error as error:
            raise OutboxError(f"the outbox {self._path} cannot be used: {error}") from error

    def append(self, build: Callable[[int, str], Tap], key: Ed25519PrivateKey) -> Tap:
        """Store the tap that ``build(seq, prev)`` makes, signed with ``key``, and return it.

        Raises ``OutboxError`` where it is not durably on disk: then the door stays shut.
        """
        with self._connected() as connection:
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
            _count_opening(connection, tap)
            connection.execute("COMMIT")
        return tap

    def pending(self, limit: int) -> list[tuple[str, str]]:
        """The oldest taps without an answer: (tap_id, signed tap), in chain order."""
        with self._connected() as connection:
            return connection.execute(
                "SELECT tap_id, signed FROM tap WHERE status = 'pending' ORDER BY seq LIMIT ?",
                (limit,),
            ).fetchall()

    def settle(self, answers: list[tuple[str, str, str]], now: datetime) -> None:
        """Record the ledger's answers, (tap_id, status, answer), and prune old accepted taps.

        ``status`` is ``accepted``, ``refused`` or ``quarantined``; only accepted taps are ever
        pruned. One transaction: the door's next tap waits for one write, not for hundreds.
        ``now`` is the time as the server's answer put it right: a tap's own may be any.
        """
        with self._connected() as connection:
            connection.execute("BEGIN IMMEDIATE")
            connection.executemany(
                "UPDATE tap SET status = ?2, answer = ?3 WHERE tap_id = ?1", answers
            )
            connection.execute(
                "DELETE FROM tap WHERE status = 'accepted' "
                "AND seq <= (SELECT MAX(seq) FROM tap) - ?",
                (KEPT_AFTER_ANSWER,),
            )
            _forget_long_ago(connection, now)
            connection.execute("COMMIT")

    def recent(self) -> list[tuple[str, str]]:
        """(account, at) of the taps still kept, oldest first."""
        with self._connected() as connection:
            return connection.execute("SELECT account, at FROM tap ORDER BY seq").fetchall()

    def history(self, wall_clock: Callable[[], datetime]) -> FaceHistory:
        """What is remembered of faces, as of ``wall_clock``."""
        return FaceHistory(self._connected, wall_clock)

    def counts(self) -> Counts:
        """How many taps are in which state."""
        with self._connected() as connection:
            rows = dict(
                connection.execute("SELECT status, COUNT(*) FROM tap GROUP BY status").fetchall()
            )
        states = ("pending", "accepted", "refused", "quarantined")
        return Counts(*(rows.get(state, 0) for state in states))


def _count_opening(connection: sqlite3.Connection, tap: Tap) -> None:
    """A face that opened alone is counted; a pass that was shown, alone or with it, renews it."""
    if tap.medium == "face":
        connection.execute(
            "INSERT INTO face_opening (account, at) VALUES (?, ?)", (tap.account, tap.at)
        )
    else:
        connection.execute(
            "INSERT OR REPLACE INTO pass_shown (account, at) VALUES (?, ?)", (tap.account, tap.at)
        )


def _forget_long_ago(connection: sqlite3.Connection, now: datetime) -> None:
    """Forget what a face did a month ago, and put right what a clock wrote that ran ahead: such
    an opening counts from now on, and such a pass has to be shown again."""
    oldest, newest = format_utc(now - FACE_MEMORY), format_utc(now + AHEAD_MAX)
    connection.execute("DELETE FROM face_opening WHERE at < ?", (oldest,))
    connection.execute("UPDATE face_opening SET at = ? WHERE at > ?", (format_utc(now), newest))
    connection.execute("DELETE FROM pass_shown WHERE at < ? OR at > ?", (oldest, newest))


class FaceHistory:
    """What a gate remembers of an account's face; see ``gate.sight.History``."""

    def __init__(
        self,
        connected: Callable[[], AbstractContextManager[sqlite3.Connection]],
        wall_clock: Callable[[], datetime],
    ) -> None:
        self._connected = connected
        self._wall_clock = wall_clock

    def facts(self, account: str) -> Facts:
        """Raises ``OutboxError`` where it cannot be read: then a face alone opens nothing."""
        since = format_utc(self._wall_clock() - A_DAY)
        with self._connected() as connection:
            today, since_pass = connection.execute(
                "SELECT COUNT(*) FILTER (WHERE at > ?2), COUNT(*) FILTER (WHERE at > "
                "COALESCE((SELECT at FROM pass_shown WHERE account = ?1), '')) "
                "FROM face_opening WHERE account = ?1",
                (account, since),
            ).fetchone()
            (not_live,) = connection.execute(
                "SELECT COUNT(*) FROM not_live WHERE account = ? AND at > ?", (account, since)
            ).fetchone()
            (waiting,) = connection.execute(
                "SELECT COUNT(*) FROM tap WHERE account = ? AND status = 'pending'", (account,)
            ).fetchone()
        return Facts(today, since_pass, not_live, waiting)

    def note_not_live(self, account: str) -> None:
        """Remember it for a day."""
        now = self._wall_clock()
        with self._connected() as connection:
            connection.execute("BEGIN IMMEDIATE")
            connection.execute("INSERT INTO not_live VALUES (?, ?)", (account, format_utc(now)))
            connection.execute("DELETE FROM not_live WHERE at < ?", (format_utc(now - A_DAY),))
            connection.execute("COMMIT")
