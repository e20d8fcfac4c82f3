"""What must add up beside the log: rows that belong to no entry, what riders have and what is
held for them, and the gates' numbers.

Part of ``ledger.verify``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Select,
    and_,
    case,
    func,
    literal,
    literal_column,
    select,
    union_all,
)
from sqlmodel import Session

from ledger.beside import LogBroken
from ledger.holds import HELD, RESOLUTIONS
from ledger.store import table
from models.tables.ledger import (
    AccountRow,
    EntryRow,
    FareStateRow,
    InboxRow,
    NodeRow,
    PostingRow,
    TapRow,
)


def count_rows(session: Session) -> dict[str, int]:
    """How many rows stand beside the log."""
    taps = table(TapRow)
    accepted = func.count(case((taps.c.outcome == "accepted", 1)))
    claims, good, seen = session.execute(  # of the table itself: one pass, and no index is trusted
        select(func.count(case((taps.c.entry_seq.is_not(None), 1))), accepted, func.count())
    ).one()
    postings, nodes, inbox = (
        session.execute(select(func.count()).select_from(table(row))).scalar_one()
        for row in (PostingRow, NodeRow, InboxRow)
    )
    return {
        "postings": postings,
        "tree nodes": nodes,
        "taps with an entry": claims,
        "accepted taps": good,
        "taps without an entry": seen - claims,
        "entries in the inbox": inbox,
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


def what_is_wrong(session: Session) -> str:
    """The first total that does not come out, in words; empty if all do."""
    return _wrong_balance(session) or _wrong_hold(session) or _hidden_gap(session)


def _wrong_balance(session: Session) -> str:
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


def _wrong_hold(session: Session) -> str:
    """An account for which other money is held than its journeys and holds say; or empty.

    Of journeys the amount stands in ``fare_state``, and it moves when a tap is accepted: an
    account is left out while an entry of it waits in the inbox for its number.
    """
    held, states, waiting = _held().cte("held"), table(FareStateRow), table(InboxRow)
    unknown = (
        select(held.c.account_id)
        .select_from(held.outerjoin(states, states.c.account_id == held.c.account_id))
        .where(held.c.minor != func.coalesce(states.c.held_minor, 0) + held.c.open_minor)
    )
    missing = (
        select(states.c.account_id)
        .select_from(states.outerjoin(held, held.c.account_id == states.c.account_id))
        .where(held.c.account_id.is_(None), states.c.held_minor != 0)
    )
    either = union_all(unknown, missing).subquery("either")
    in_the_inbox = select(waiting.c.account_id).where(waiting.c.account_id == either.c.account_id)
    query = select(either.c.account_id).where(~in_the_inbox.exists()).limit(1)
    found = session.execute(query).scalar()
    if found is None:
        return ""
    return f"for the account {found} another amount is held than its journeys and holds say"


def _held() -> Select[Any]:
    """By account: what its entries hold in all, and what its holds without a resolution are."""
    entries, postings = table(EntryRow), table(PostingRow)
    resolving = entries.alias("resolving")
    resolved = select(resolving.c.seq).where(
        resolving.c.corrects == entries.c.entry_id, resolving.c.kind.in_(RESOLUTIONS)
    )
    still_open = and_(entries.c.kind == "hold", ~resolved.exists())
    return (
        select(
            entries.c.account_id,
            (-func.sum(postings.c.minor)).label("minor"),
            func.sum(case((still_open, entries.c.amount_minor), else_=0)).label("open_minor"),
        )
        .select_from(postings.join(entries, entries.c.seq == postings.c.entry_seq))
        .where(postings.c.account == HELD, entries.c.account_id.is_not(None))
        .group_by(entries.c.account_id)
    )


def _hidden_gap(session: Session) -> str:
    """A tap that is said to follow another one which is not here, in words; empty if none is.

    The taps that follow nothing are few, and an index of both numbers finds them; a tap that
    says so itself (``gap``) is none.
    """
    taps = table(TapRow)
    before = taps.alias("before")
    fork: ColumnElement[str] = literal_column("'fork'")  # written out, as the index has it
    follows = select(before.c.gate_seq).where(
        before.c.gate == taps.c.gate,
        before.c.gate_seq == taps.c.gate_seq - 1,
        before.c.chain != fork,
    )
    alone = select(taps.c.gate, taps.c.gate_seq, taps.c.chain).where(
        taps.c.chain != fork, taps.c.gate_seq > 1, ~follows.exists()
    )
    for gate, number, chain in session.execute(alone):
        if chain != "gap":
            return f"tap {number} of gate {gate} is said to follow one that is not here"
    return ""
