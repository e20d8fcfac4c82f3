"""Days and months: run the reconciliation, close, open again by two persons, take the report."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from flask import Blueprint, Response, abort, flash, redirect, render_template, request, url_for
from flask_babel import gettext as _
from sqlalchemy import func, select
from sqlmodel import Session, col
from werkzeug.wrappers import Response as Answer

from ledger.console.filters import data_folder
from ledger.console.roles import BOOKKEEPERS, READERS, who
from ledger.exports.day_pdf import report_pdf
from ledger.ledger import Ledger
from ledger.once import EntryRefused
from ledger.reconcile.closed import today
from ledger.reconcile.periods import PeriodRefused, check_period, close_period, closed_report
from ledger.reconcile.reopening import ask_to_reopen, reopen_asked, reopen_period
from ledger.reconcile.rules import RulesError, read_rules
from ledger.reconcile.run import run_day
from models.access.web import require_role
from models.database import reading
from models.tables.reconcile import (
    DifferenceRow,
    PeriodCloseRow,
    PeriodReopeningRow,
    PostingTotalRow,
)

_DAYS = 35
_MONTHS = 12
Page = Answer | str | tuple[str, int]


@dataclass(frozen=True, slots=True)
class Period:
    """A day or month, how often it was closed, and who wants it open again."""

    name: str
    revision: int
    closed: bool
    asked_by: str | None
    reason: str
    differences: int


def periods_pages(blueprint: Blueprint, ledger: Ledger) -> None:
    """Add the list of periods, what is done with them, and their reports to the finance pages."""
    _acts(blueprint, ledger)

    @blueprint.get("/periods")
    @require_role(*READERS)
    def periods() -> str:
        return _shown(ledger)

    @blueprint.get("/periods/<period>/report")
    @require_role(*READERS)
    def period_report(period: str) -> Response:
        try:
            closed = closed_report(ledger, period)
        except PeriodRefused:
            abort(404)
        name = f"{closed.period}-revision-{closed.revision}.json"
        return _download(closed.report, "application/json", name)

    @blueprint.get("/periods/<period>/pdf")
    @require_role(*READERS)
    def period_pdf(period: str) -> Response:
        try:
            return _download(report_pdf(ledger, period), "application/pdf", f"{period}.pdf")
        except PeriodRefused:
            abort(404)


def _download(data: bytes, kind: str, name: str) -> Response:
    headers = {"Content-Disposition": f'attachment; filename="{name}"'}
    return Response(data, content_type=kind, headers=headers)


def _acts(blueprint: Blueprint, ledger: Ledger) -> None:
    @blueprint.post("/periods/<period>/run")
    @require_role(*BOOKKEEPERS)
    def run_period(period: str) -> Page:
        def act() -> str:
            if len(check_period(period)) != 10:
                raise PeriodRefused(f"{period} is a month; a reconciliation runs for a day")
            done = run_day(ledger, period, read_rules(data_folder(ledger)))
            return str(_("%(paired)s pairs, %(found)s new differences, %(cleared)s cleared.",
                         paired=done.paired, found=done.found, cleared=done.cleared))  # fmt: skip

        return _acted(ledger, act)

    @blueprint.post("/periods/<period>/close")
    @require_role(*BOOKKEEPERS)
    def close(period: str) -> Page:
        def act() -> str:
            closed = close_period(ledger, period, who())
            return str(_("%(period)s is closed, revision %(revision)s.",
                         period=period, revision=closed.revision))  # fmt: skip

        return _acted(ledger, act)

    @blueprint.post("/periods/<period>/reopen")
    @require_role(*BOOKKEEPERS)
    def ask_reopen(period: str) -> Page:
        def act() -> str:
            ask_to_reopen(ledger, period, request.form.get("reason", ""), who())
            return str(_("Asked; another person has to agree."))

        return _acted(ledger, act)

    @blueprint.post("/periods/<period>/approve")
    @require_role(*BOOKKEEPERS)
    def approve_reopen(period: str) -> Page:
        def act() -> str:
            reopen_period(ledger, period, who())
            return str(_("%(period)s is open again.", period=period))

        return _acted(ledger, act)


def _acted(ledger: Ledger, act: Callable[[], str]) -> Page:
    try:
        flash(act())
    except (PeriodRefused, RulesError, EntryRefused) as error:
        return _shown(ledger, str(error)), 409
    return redirect(url_for("finance.periods"), 303)


def _shown(ledger: Ledger, trouble: str = "") -> str:
    with reading(ledger.engine) as session:
        current = today(session, ledger.clock())
        days, months = _names(session)
        return render_template(
            "finance/periods.html",
            today=current,
            days=[_period(session, name) for name in days],
            months=[_period(session, name) for name in months],
            bookkeepers=BOOKKEEPERS,
            trouble=trouble,
        )


def _names(session: Session) -> tuple[list[str], list[str]]:
    """The days and months in which something was posted, newest first."""
    day = col(PostingTotalRow.day)
    days = list(
        session.execute(select(day).distinct().order_by(day.desc()).limit(_MONTHS * 31)).scalars()
    )
    return days[:_DAYS], list(dict.fromkeys(name[:7] for name in days))[:_MONTHS]


def _period(session: Session, name: str) -> Period:
    revision = _newest(session, PeriodCloseRow, name)
    is_closed = revision > _newest(session, PeriodReopeningRow, name)
    asked = reopen_asked(session, name, revision) if is_closed else None
    by, reason = asked or (None, "")
    return Period(name, revision, is_closed, by, reason, _differences(session, name))


def _newest(session: Session, row: type[PeriodCloseRow | PeriodReopeningRow], name: str) -> int:
    query = select(func.coalesce(func.max(col(row.revision)), 0)).where(col(row.period) == name)
    return int(session.execute(query).scalar_one())


def _differences(session: Session, name: str) -> int:
    """How many differences of a period are open."""
    row = DifferenceRow
    query = select(func.count()).where(
        col(row.state) == "open", col(row.day) >= name, col(row.day) <= f"{name}-31"
    )
    return int(session.execute(query).scalar_one())
