"""From a total down to the receipt, and the figures of the overview's chart."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

from flask import Blueprint, Response, abort, render_template, request
from sqlmodel import Session

from ledger.console import queries
from ledger.console.drill import (
    DAYS,
    LINES,
    DayTotal,
    days_of_account,
    lines_of_day,
    takings_by_day,
)
from ledger.console.roles import READERS
from ledger.exports.lines import decimals
from ledger.ledger import Ledger
from ledger.proving import receipt
from ledger.reconcile.closed import today
from models.access.web import require_role
from models.database import reading
from models.tables.ledger import EntryRow

_CHART_DAYS_MAX = 400


def totals_pages(blueprint: Blueprint, ledger: Ledger) -> None:
    """Add the drill-down and the chart's figures to the finance pages."""
    _drill_down(blueprint, ledger)

    @blueprint.get("/takings.json")
    @require_role(*READERS)
    def takings() -> dict[str, Any]:
        days = min(max(request.args.get("days", 30, type=int), 1), _CHART_DAYS_MAX)
        with reading(ledger.engine) as session:
            return _series(session, today(session, ledger.clock()), days)

    @blueprint.get("/entries/<int:seq>/receipt")
    @require_role(*READERS)
    def entry_receipt(seq: int) -> Response:
        """What shows to anyone that the entry is in the log."""
        with reading(ledger.engine) as session:
            row = session.get(EntryRow, seq) if seq < 2**63 else None
            if row is None:
                abort(404)
            entry_id = row.entry_id
        text = receipt(ledger, entry_id).text()
        name = f"entry-{seq}.tlog-proof"
        headers = {"Content-Disposition": f'attachment; filename="{name}"'}
        return Response(text, content_type="text/plain; charset=utf-8", headers=headers)


def _drill_down(blueprint: Blueprint, ledger: Ledger) -> None:
    @blueprint.get("/totals")
    @require_role(*READERS)
    def totals() -> str:
        with reading(ledger.engine) as session:
            return render_template("finance/totals.html", totals=queries.trial_balance(session))

    @blueprint.get("/totals/<account>/<currency>")
    @require_role(*READERS)
    def total_days(account: str, currency: str) -> str:
        before = request.args.get("before", "")
        with reading(ledger.engine) as session:
            days = _days(session, account, currency, before)
        return render_template("finance/total_days.html", account=account, currency=currency,
                               days=days, page_size=DAYS)  # fmt: skip

    @blueprint.get("/totals/<account>/<currency>/<day>")
    @require_role(*READERS)
    def total_lines(account: str, currency: str, day: str) -> str:
        _check_day(day)
        after = request.args.get("after", -1, type=int)
        with reading(ledger.engine) as session:
            found = [one for one in _days(session, account, currency, _next(day))[:1]
                     if one.day == day]  # fmt: skip
            if not found:
                abort(404)
            lines = lines_of_day(session, account, currency, day, after)
        return render_template("finance/total_lines.html", account=account, currency=currency,
                               day=found[0], lines=lines, page_size=LINES)  # fmt: skip


def _days(session: Session, account: str, currency: str, before: str) -> list[DayTotal]:
    days = days_of_account(session, account, currency, before)
    if not days and not before:
        abort(404)
    return days


def _check_day(day: str) -> None:
    try:
        date.fromisoformat(day)
    except ValueError:
        abort(404)


def _next(day: str) -> str:
    return (date.fromisoformat(day) + timedelta(days=1)).isoformat()


def _series(session: Session, last: str, count: int) -> dict[str, Any]:
    """Every day of the last ``count``, also those without a ride, by currency."""
    end = date.fromisoformat(last)
    days = [(end - timedelta(days=back)).isoformat() for back in reversed(range(count))]
    found = takings_by_day(session, days[0], last)
    return {
        "days": days,
        "series": [
            {
                "currency": currency,
                "decimals": decimals(currency),
                "rides": [sums.get(day, [0, 0])[0] for day in days],
                "minor": [sums.get(day, [0, 0])[1] for day in days],
            }
            for currency, sums in sorted(found.items())
        ],
    }
