"""Disputes: what riders contested, how old each is, and how the last ones were settled."""

from __future__ import annotations

from flask import Blueprint, render_template
from sqlalchemy import select
from sqlmodel import Session, col

from ledger.console.refunds_pages import open_disputes
from ledger.console.roles import BOOKKEEPERS, READERS
from ledger.ledger import Ledger
from ledger.reconcile.closed import today
from models.access.web import require_role
from models.database import reading
from models.tables.ledger import EntryRow
from models.tables.reconcile import UNRESOLVED, DifferenceRow

_SETTLED = ("dispute_upheld", "dispute_rejected")
_SHOWN = 50


def disputes_pages(blueprint: Blueprint, ledger: Ledger) -> None:
    """Add the page to the finance pages; what it decides is posted to ``refunds_pages``."""

    @blueprint.get("/disputes")
    @require_role(*READERS)
    def disputes() -> str:
        with reading(ledger.engine) as session:
            waiting = open_disputes(session)
            return render_template(
                "finance/disputes.html",
                disputes=waiting,
                rides=_by_id(session, [row.corrects for row in waiting if row.corrects]),
                settled=_settled(session),
                chargebacks=_chargebacks(session),
                now=ledger.clock(),
                day=today(session, ledger.clock()),
                deciders=BOOKKEEPERS,
            )


def _by_id(session: Session, ids: list[str]) -> dict[str, EntryRow]:
    query = select(EntryRow).where(col(EntryRow.entry_id).in_(ids))
    return {row.entry_id: row for row in session.execute(query).scalars()}


def _settled(session: Session) -> list[EntryRow]:
    query = select(EntryRow).where(
        col(EntryRow.corrects).is_not(None), col(EntryRow.kind).in_(_SETTLED)
    )
    return list(session.execute(query.order_by(col(EntryRow.seq).desc()).limit(_SHOWN)).scalars())


def _chargebacks(session: Session) -> list[DifferenceRow]:
    """What cardholders' banks took back and nobody has resolved."""
    query = select(DifferenceRow).where(UNRESOLVED, col(DifferenceRow.kind) == "chargeback")
    return list(session.execute(query.order_by(col(DifferenceRow.day)).limit(_SHOWN)).scalars())
