"""Everything the ledger holds of an account, for its rider to download.

The tables are walked by their columns: one that is added later and names the account is in
the download without anybody thinking of it.
"""

from __future__ import annotations

import base64
from datetime import datetime
from typing import Any

from sqlalchemy import Table, select

from ledger.accounts import key_name
from ledger.ledger import Ledger
from models.database import reading
from models.tables.ledger import LedgerTable
from models.wire.times import format_utc


def export_account(ledger: Ledger, account_id: str) -> dict[str, Any]:
    """Every row of every table of the ledger that says whose it is, and the account's key."""
    tables = {
        name: _rows(ledger, table, account_id)
        for name, table in sorted(LedgerTable.metadata.tables.items())
        if "account_id" in table.c
    }
    key = ledger.vault.key(key_name(account_id))
    return {"commitment_key": key.hex(), "tables": tables}


def _rows(ledger: Ledger, table: Table, account_id: str) -> list[dict[str, Any]]:
    with reading(ledger.engine) as session:
        found = session.execute(select(table).where(table.c.account_id == account_id)).mappings()
        return [{name: _plain(value) for name, value in row.items()} for row in found]


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return format_utc(value)
    return base64.b64encode(value).decode("ascii") if isinstance(value, bytes) else value
