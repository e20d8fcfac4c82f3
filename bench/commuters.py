"""Riders with some days behind them, put into a ledger's tables at once.

What a tap costs the server depends on how many its rider made in the week and before it,
because those are read and priced again. So riders begin with as many as commuters have. Of
those only the passages are made, which fares come from, and no entries: to charge two million
taps would take longer than the measurement, and nothing of it looks at their entries.
"""

from __future__ import annotations

import os
import random
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from datetime import UTC, datetime, timedelta

from uuid6 import uuid7

from ledger.accounts import key_name
from ledger.ledger import MASTER_KEY, VAULT, Ledger
from ledger.store import table
from models.bulk import insert_rows
from models.database import writing
from models.settings import DataDirectory
from models.tables.ledger import AccountRow, FareStateRow, PassageRow
from models.vault import KEY_BYTES, seal
from models.wire.times import format_utc

PASSAGES = 20
"""Of each rider, in the days that count toward this week's fares on any weekday."""
DAYS = 8
_AT_ONCE = 2_000
_ACCOUNT = ("account_id", "currency", "balance_minor", "opened_at", "changed_at")
_STATE = ("account_id", "version", "held_minor")
_PASSAGE = (
    "account_id", "at", "tap_id", "gate", "station", "direction", "received_at", "version",
)  # fmt: skip


def put_commuters(
    data: DataDirectory, ledger: Ledger, count: int, station: str, rng: random.Random
) -> list[str]:
    """``count`` new accounts that each went in at ``station`` ``PASSAGES`` times; their ids."""
    accounts = sorted(f"{rng.getrandbits(128):032x}" for _ in range(count))
    _put_keys(data, accounts)
    now = datetime.now(UTC)
    for first in range(0, count, _AT_ONCE):
        _put(ledger, accounts[first : first + _AT_ONCE], station, now, rng)
    return accounts


def _put_keys(data: DataDirectory, accounts: Sequence[str]) -> None:
    """The accounts' keys, in one transaction: the vault makes each last by itself."""
    master = (data.vault / MASTER_KEY).read_bytes()
    keys = [(name, seal(master, os.urandom(KEY_BYTES), name)) for name in map(key_name, accounts)]
    with closing(sqlite3.connect(data.vault / VAULT)) as connection, connection:
        connection.executemany("INSERT INTO data_key VALUES (?, ?)", keys)


def _put(
    ledger: Ledger, accounts: Sequence[str], station: str, now: datetime, rng: random.Random
) -> None:
    opened = format_utc(now - timedelta(days=DAYS))
    passages = [
        (account, at, str(uuid7()), "before-1", station, "in", at, version)
        for account in accounts
        for version, at in enumerate(_moments(now, rng), start=1)
    ]
    with writing(ledger.engine) as session:
        currency = ledger.settings.currency
        rows = [(account, currency, 0, opened, opened) for account in accounts]
        insert_rows(session, table(AccountRow), _ACCOUNT, rows)
        states = [(account, PASSAGES, 0) for account in accounts]
        insert_rows(session, table(FareStateRow), _STATE, states)
        insert_rows(session, table(PassageRow), _PASSAGE, passages)


def _moments(now: datetime, rng: random.Random) -> list[str]:
    whole_s = DAYS * 24 * 3600
    return sorted(
        format_utc(now - timedelta(seconds=rng.uniform(3600, whole_s))) for _ in range(PASSAGES)
    )
