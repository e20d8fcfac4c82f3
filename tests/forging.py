"""What whoever holds the database can do to the log in it, on SQLite and on PostgreSQL.

He drops the triggers, writes what he likes and makes everything after it fit. Only the
checkpoint kept elsewhere is out of his reach, and the log's signing key.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Protocol

import psycopg

from ledger.entries import FIRST_PREV, encode
from models.log.tree import leaf_hash


class Attacked(Protocol):
    """A connection whose statements mark values by ``?``."""

    def execute(self, statement: str, values: Sequence[Any] = (), /) -> Any: ...


class _OnPostgres:
    def __init__(self, connection: psycopg.Connection) -> None:
        self._connection = connection

    def execute(self, statement: str, values: Sequence[Any] = (), /) -> Any:
        return self._connection.execute(statement.replace("?", "%s").encode(), values)


@contextmanager
def attack_postgres(url: str) -> Iterator[Attacked]:
    """A connection to a database without its triggers and foreign keys; it commits."""
    with psycopg.connect(url) as connection:
        attacked = _OnPostgres(connection)
        for kind, name, table in attacked.execute(
            "SELECT 'TRIGGER', tgname, tgrelid::regclass::text FROM pg_trigger "
            "WHERE NOT tgisinternal UNION ALL "
            "SELECT 'CONSTRAINT', conname, conrelid::regclass::text FROM pg_constraint "
            "WHERE contype = 'f'"
        ).fetchall():
            if kind == "TRIGGER":
                attacked.execute(f"DROP TRIGGER {name} ON {table}")
            else:
                attacked.execute(f"ALTER TABLE {table} DROP CONSTRAINT {name}")
        yield attacked


def rechain(connection: Attacked, edit: Callable[[dict[str, Any]], None]) -> None:
    """Apply ``edit`` to every entry and make hashes, chain and columns fit again."""
    prev = FIRST_PREV
    for seq, body in connection.execute("SELECT seq, body FROM entry ORDER BY seq").fetchall():
        value = json.loads(body)
        edit(value)
        value["prev"] = prev.hex()
        changed = encode(value)
        connection.execute(
            "UPDATE entry SET body = ?, leaf_hash = ?, prev = ?, amount_minor = ?, "
            "recorded_at = ? WHERE seq = ?",
            (changed, leaf_hash(changed), prev, value["amount"]["minor"],
             value["recorded_at"], seq),
        )  # fmt: skip
        for line, posting in enumerate(value["postings"]):
            connection.execute(
                "UPDATE posting SET minor = ? WHERE entry_seq = ? AND line = ?",
                (posting["minor"], seq, line),
            )
        for tap_id, kept in connection.execute(
            "SELECT tap_id, answer FROM tap WHERE entry_seq = ?", (seq,)
        ).fetchall():
            answer = json.loads(kept)
            answer["charge"]["amount"] = value["amount"]
            connection.execute(
                "UPDATE tap SET answer = ? WHERE tap_id = ?", (json.dumps(answer), tap_id)
            )
        prev = leaf_hash(changed)
    connection.execute(
        "UPDATE account SET balance_minor = (SELECT COALESCE(-SUM(minor), 0) FROM posting "
        "WHERE posting.account_id = account.account_id)"
    )


def cheaper(seq: int) -> Callable[[dict[str, Any]], None]:
    """An edit that halves the fare of one ride."""

    def edit(value: dict[str, Any]) -> None:
        if value["seq"] == seq:
            value["amount"]["minor"] = 100
            value["postings"][0]["minor"], value["postings"][1]["minor"] = 100, -100

    return edit


def cut(connection: Attacked, keep: int) -> None:
    """Delete everything after the first ``keep`` entries."""
    connection.execute("DELETE FROM posting WHERE entry_seq >= ?", (keep,))
    connection.execute("DELETE FROM tap WHERE entry_seq >= ?", (keep,))
    connection.execute("DELETE FROM entry WHERE seq >= ?", (keep,))
    rechain(connection, lambda value: None)


def swap(connection: Attacked, one: int, other: int) -> None:
    """Let two entries change places, with all that stands beside them."""
    for old, new in ((one, 99), (other, one), (99, other)):
        connection.execute("UPDATE entry SET seq = ? WHERE seq = ?", (new, old))
        connection.execute("UPDATE posting SET entry_seq = ? WHERE entry_seq = ?", (new, old))
        connection.execute("UPDATE tap SET entry_seq = ? WHERE entry_seq = ?", (new, old))
