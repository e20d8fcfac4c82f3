"""All that is held about a rider, for the rider: to download, and to be told it is gone.

The tables are walked by their columns, not by a list: a table that is added later and names
the rider is in the download, and in the count of what was deleted, without anybody thinking
of it. Secrets that would let whoever finds the file act as the rider are named and left out.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Table, func, select
from sqlmodel import Session, col

from enrollment.access_log import who_looked
from enrollment.erase import erase_rider
from enrollment.gallery import data_key_name, open_digits, open_template
from enrollment.rider_money import Farewell, RiderMoney
from enrollment.store import Enrollment
from models.database import reading
from models.tables.riders import Rider, RidersTable, Template
from models.wire.times import format_utc

_NOT_SHOWN = {"pin_hash", "code_hash", "token_hash", "challenge"}
_KEPT_UNLINKED = {"access_entry", "pass"}
"""Of these the rows stay without the rider: what was signed, and which passes are revoked."""


@dataclass(frozen=True, slots=True)
class Gone:
    """What leaving deleted: rows by table, and the account's last entry."""

    rider_id: str
    at: datetime
    deleted: dict[str, int]
    unlinked: dict[str, int]
    farewell: Farewell | None


def everything(enrollment: Enrollment, money: RiderMoney, rider: Rider) -> dict[str, Any]:
    """What is held about the rider, as JSON values."""
    with reading(enrollment.riders) as session:
        tables = {table.name: _rows(session, table, rider.rider_id) for table in _tables()}
    looks = [
        {"at": format_utc(look.at), "staff": look.staff, "page": look.page,
         "reason": look.reason, "note": look.note}
        for look in who_looked(enrollment.access_log, rider.rider_id)
    ]  # fmt: skip
    return {
        "made_at": format_utc(enrollment.clock()),
        "operator": enrollment.settings.operator,
        "rider": tables,
        "unsealed": _unsealed(enrollment, rider),
        "who_looked": looks,
        "ledger": money.export(rider.account_id),
    }


def leave(enrollment: Enrollment, money: RiderMoney, rider: Rider) -> Gone:
    """Delete the rider and close the account; say what is gone."""
    find_farewell = money.leaving(rider.account_id)
    before = _counts(enrollment, rider.rider_id)
    erase_rider(enrollment, rider.rider_id)
    after = _counts(enrollment, rider.rider_id)
    gone = {name: count - after[name] for name, count in before.items() if count > after[name]}
    return Gone(
        rider_id=rider.rider_id,
        at=enrollment.clock(),
        deleted={name: count for name, count in gone.items() if name not in _KEPT_UNLINKED},
        unlinked={name: count for name, count in gone.items() if name in _KEPT_UNLINKED},
        farewell=find_farewell(),
    )


def _tables() -> list[Table]:
    return [table for table in RidersTable.metadata.sorted_tables if "rider_id" in table.c]


def _counts(enrollment: Enrollment, rider_id: str) -> dict[str, int]:
    with reading(enrollment.riders) as session:
        return {
            table.name: session.execute(
                select(func.count()).select_from(table).where(table.c.rider_id == rider_id)
            ).scalar_one()
            for table in _tables()
        }


def _rows(session: Session, table: Table, rider_id: str) -> list[dict[str, Any]]:
    found = session.execute(select(table).where(table.c.rider_id == rider_id)).mappings()
    return [{name: _plain(name, value) for name, value in row.items()} for row in found]


def _plain(name: str, value: Any) -> Any:
    if name in _NOT_SHOWN and value is not None:
        return "kept, and not shown: it could be used to sign in as you"
    if isinstance(value, datetime):
        return format_utc(value)
    return base64.b64encode(value).decode("ascii") if isinstance(value, bytes) else value


def _unsealed(enrollment: Enrollment, rider: Rider) -> dict[str, Any]:
    """What lies sealed, opened: the template's numbers and the digits of the telephone."""
    key = enrollment.vault.key(data_key_name(rider.rider_id))
    with reading(enrollment.riders) as session:
        kept = session.execute(select(Template).where(col(Template.rider_id) == rider.rider_id))
        opened = {
            row.engine_id: base64.b64encode(
                open_template(key, row.sealed, rider.account_id, row.engine_id)
            ).decode("ascii")
            for row in kept.scalars()
        }
    digits = rider.phone_digits
    return {
        "templates_float32_little_endian": opened,
        "phone_digits": None if digits is None else open_digits(key, digits, rider.account_id),
    }
