"""What must add up beside the log: rows that belong to no entry, and the riders' balances.

Part of ``ledger.verify``.
"""

from __future__ import annotations

from collections.abc import Mapping

from sqlalchemy import case, func, literal, select, union_all
from sqlmodel import Session

from ledger.beside import LogBroken
from ledger.store import table
from models.tables.ledger import AccountRow, NodeRow, PostingRow, TapRow


def count_rows(session: Session) -> dict[str, int]:
    """How many rows stand beside the log."""
    taps = table(TapRow)
    accepted = func.count(case((taps.c.outcome == "accepted", 1)))
    claims, good = session.execute(  # of the table itself: one pass, and no index is trusted
        select(func.count(case((taps.c.entry_seq.is_not(None), 1))), accepted)
    ).one()
    postings, nodes = (
        session.execute(select(func.count()).select_from(table(row))).scalar_one()
        for row in (PostingRow, NodeRow)
    )
    return {
        "postings": postings,
        "tree nodes": nodes,
        "taps with an entry": claims,
        "accepted taps": good,
    }


def check_totals(size: int, counts: Mapping[str, int], rows: Mapping[str, int]) -> None:
    """Compare what the log's ``size`` entries have with the ``rows`` that are there.

    Rows that belong to no entry are found so, and accounts that were taken away unannounced.
    """
    for name, seen in (
        ("postings", counts["postings"]),
        ("tree nodes", counts["nodes"]),
        ("taps with an entry", counts["taps"]),
        ("accepted taps", counts["taps"]),
    ):
        if rows[name] != seen:
            raise LogBroken(size, f"there are {rows[name]} {name}, the entries have {seen}")
    if counts["erased"] != counts["unlinked"]:
        raise LogBroken(
            None,
            f"{counts['erased']} entries lost their account, but the closing entries of erased "
            f"riders unlinked {counts['unlinked']}",
        )


def wrong_balance(session: Session) -> str:
    """An account whose balance is not the sum of its postings, in words; empty if none is."""
    accounts, postings = table(AccountRow), table(PostingRow)
    summed = (
        select(postings.c.account_id, (-func.sum(postings.c.minor)).label("owed"))
        .where(postings.c.account_id.is_not(None))
        .group_by(postings.c.account_id)
        .cte("summed")  # both questions below share one pass over the postings
    )
    lost = (
        select(summed.c.account_id, literal("has postings but no account").label("reason"))
        .select_from(summed.outerjoin(accounts, accounts.c.account_id == summed.c.account_id))
        .where(accounts.c.account_id.is_(None))
    )
    other = (
        select(accounts.c.account_id, literal("has another balance than the sum of its postings"))
        .select_from(accounts.outerjoin(summed, accounts.c.account_id == summed.c.account_id))
        .where(accounts.c.balance_minor != func.coalesce(summed.c.owed, 0))
    )
    found = session.execute(union_all(lost, other).limit(1)).first()
    return "" if found is None else f"the account {found[0]} {found[1]}"
