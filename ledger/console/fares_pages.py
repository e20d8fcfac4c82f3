"""The finance page about fares: the feeds in force, what a ride costs and why, rides without a
price."""

from __future__ import annotations

from datetime import timedelta

from flask import Blueprint, render_template, request
from sqlalchemy import select
from sqlmodel import Session, col

from ledger.asking import Answered, ask
from ledger.fare_entries import UNPRICED
from ledger.fares.problems import FareError
from ledger.feeds import feed_rows
from ledger.ledger import Ledger
from models.access.web import require_role
from models.database import reading
from models.tables.ledger import DayCloseRow, EntryRow

FARE_READERS = ("finance", "auditor", "service", "admin")
UNPRICED_WITHIN = timedelta(days=7)
_SHOWN = 20
_ASKED = ("from", "to", "at", "category", "network")


def fares_pages(blueprint: Blueprint, ledger: Ledger) -> None:
    """Add the page to the finance pages."""

    @blueprint.get("/fares")
    @require_role(*FARE_READERS)
    def fares() -> str:
        asked = {name: request.args.get(name, "").strip() for name in _ASKED}
        answered, trouble = _answer(ledger, asked)
        with reading(ledger.engine) as session:
            return render_template(
                "finance/fares.html",
                asked=asked,
                answered=answered,
                trouble=trouble,
                feeds=feed_rows(session),
                flat=ledger.settings.fare,
                closed=session.execute(
                    select(DayCloseRow).order_by(col(DayCloseRow.day).desc()).limit(1)
                ).scalar(),
                unpriced=_unpriced(session, ledger),
            )


def _answer(ledger: Ledger, asked: dict[str, str]) -> tuple[Answered | None, str]:
    if not asked["from"]:
        return None, ""
    try:
        return ask(ledger, *(asked[name] for name in _ASKED)), ""
    except FareError as error:
        return None, str(error)


def _unpriced(session: Session, ledger: Ledger) -> list[EntryRow]:
    """The newest rides that no rule prices."""
    query = select(EntryRow).where(
        col(EntryRow.recorded_at) > ledger.clock() - UNPRICED_WITHIN,
        col(EntryRow.rule).in_(UNPRICED),
    )
    return list(session.execute(query.order_by(col(EntryRow.seq).desc()).limit(_SHOWN)).scalars())
