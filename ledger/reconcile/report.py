"""The reconciliation report of a day: what was paired, what differs, what remains. JSON."""

from __future__ import annotations

import json
from typing import Any

from sqlalchemy import func, or_, select
from sqlmodel import Session, col

from ledger.reconcile.clearing import ClearingAccount, clearing_accounts
from ledger.reconcile.differences import bucket
from ledger.reconcile.matching import days_between
from models.tables.reconcile import DifferenceRow, PairingRow, StatementRow
from models.wire.canonical import canonical_bytes

Json = dict[str, Any]


def report_bytes(session: Session, day: str) -> bytes:
    """The report of a day; made again from the same books it is the same, byte for byte."""
    return canonical_bytes(reconciliation(session, day))


def reconciliation(session: Session, day: str) -> Json:
    """Where the three books stand at the end of ``day``."""
    differences = open_differences(session, day)
    accounts = clearing_accounts(session, day)
    return {
        "v": 1,
        "day": day,
        "statements": _statements(session, day),
        "paired": _paired(session, day),
        "differences": differences,
        "by_age": by_age(differences),
        "clearing": [_account(account) for account in accounts],
        "unexplained": sum(abs(account.unexplained) for account in accounts),
    }


def _statements(session: Session, day: str) -> list[Json]:
    query = select(StatementRow).where(
        col(StatementRow.first_day) <= day, col(StatementRow.last_day) >= day
    )
    rows = session.execute(query.order_by(col(StatementRow.digest))).scalars()
    names = ("digest", "profile", "source", "name", "lines", "first_day", "last_day")
    return [{name: getattr(row, name) for name in names} for row in rows]


def _paired(session: Session, day: str) -> list[Json]:
    key = (col(PairingRow.leg), col(PairingRow.rule), col(PairingRow.confidence_percent))
    rows = session.execute(
        select(*key, func.count().label("pairs"))
        .where(col(PairingRow.day) == day)
        .group_by(*key)
        .order_by(*key)
    )
    return [dict(row._mapping) for row in rows]


def open_differences(session: Session, day: str) -> list[Json]:
    """The differences that were open at the end of ``day``, the oldest first."""
    query = select(DifferenceRow).where(
        col(DifferenceRow.day) <= day,
        or_(col(DifferenceRow.state) == "open", col(DifferenceRow.closed_day) > day),
    )
    order = (col(DifferenceRow.day), col(DifferenceRow.kind), col(DifferenceRow.subject))
    return [_difference(row, day) for row in session.execute(query.order_by(*order)).scalars()]


def _difference(row: DifferenceRow, day: str) -> Json:
    age = days_between(row.day, day)
    return {
        "id": row.difference_id,
        "kind": row.kind,
        "subject": row.subject,
        "other": row.other,
        "account": row.account,
        "minor": row.minor,
        "at_stake_minor": row.at_stake_minor,
        "currency": row.currency,
        "day": row.day,
        "age_days": age,
        "bucket": bucket(age),
        "severity": row.severity,
        "owner": row.owner,
        "said": json.loads(row.said),
        "version": row.version,
    }


def by_age(differences: list[Json]) -> Json:
    """How many differences each age bucket has."""
    counts = dict.fromkeys(("0-1", "2-7", "8-30", ">30"), 0)
    for difference in differences:
        counts[difference["bucket"]] += 1
    return counts


def _account(account: ClearingAccount) -> Json:
    return {
        "account": account.account,
        "currency": account.currency,
        "balance": account.balance,
        "unexplained": account.unexplained,
        "remains": [
            {"minor": r.minor, "what": r.what, "subject": r.subject, "day": r.day}
            for r in account.residues
        ],
    }
