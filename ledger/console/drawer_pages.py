"""The cash desk: open a drawer, carry cash to the bank, close the drawer with what is counted."""

from __future__ import annotations

from uuid import uuid4

from flask import Blueprint, flash, redirect, render_template, request, url_for
from flask_babel import get_locale
from flask_babel import gettext as _
from sqlalchemy import select
from sqlmodel import Session, col
from werkzeug.wrappers import Response

from ledger.console.roles import READERS, TILLS, who
from ledger.ledger import Ledger
from ledger.once import EntryRefused
from ledger.reconcile.closed import today
from ledger.reconcile.drawer import (
    close_drawer,
    deposit_cash,
    deposits_under_way,
    open_drawer,
)
from ledger.reconcile.matching import days_between
from ledger.topups import drawer_of
from models.access.web import require_role
from models.database import reading
from models.money import MoneyError, parse_money
from models.tables.reconcile import DrawerRow

_SHOWN = 30
Page = Response | str | tuple[str, int]


def drawer_pages(blueprint: Blueprint, ledger: Ledger) -> None:
    """Add the cash desk to the finance pages."""

    @blueprint.get("/drawer")
    @require_role(*READERS)
    def drawer() -> str:
        return _shown(ledger)

    @blueprint.post("/drawer/open")
    @require_role(*TILLS)
    def begin_drawer() -> Page:
        try:
            counted = parse_money(request.form.get("counted", ""), ledger.settings.currency)
            open_drawer(ledger, request.form.get("id", ""), counted, who())
        except (MoneyError, EntryRefused) as error:
            return _shown(ledger, str(error)), 400
        flash(_("The drawer is open."))
        return redirect(url_for("finance.drawer"), 303)

    @blueprint.post("/drawer/deposit")
    @require_role(*TILLS)
    def send_cash() -> Page:
        form = request.form
        try:
            amount = parse_money(form.get("amount", ""), ledger.settings.currency)
            done = deposit_cash(ledger, form.get("id", ""), amount, form.get("slip", ""), who())
        except (MoneyError, EntryRefused) as error:
            return _shown(ledger, str(error)), 400
        shown = amount.text(str(get_locale() or "en"))
        flash(_("This was recorded before; nothing was added.") if done.replayed
              else _("%(amount)s is on its way to the bank.", amount=shown))  # fmt: skip
        return redirect(url_for("finance.drawer"), 303)

    @blueprint.post("/drawer/close")
    @require_role(*TILLS)
    def end_drawer() -> Page:
        drawer_id = request.form.get("id", "")
        try:
            counted = parse_money(request.form.get("counted", ""), ledger.settings.currency)
            _must_be_own(ledger, drawer_id)
            closed = close_drawer(ledger, drawer_id, counted, who())
        except (MoneyError, EntryRefused) as error:
            return _shown(ledger, str(error)), 400
        off = closed.over.text(str(get_locale() or "en"))
        flash(_("The drawer is closed; it agrees.") if closed.over.minor == 0
              else _("The drawer is closed; off by %(amount)s.", amount=off))  # fmt: skip
        return redirect(url_for("finance.drawer"), 303)


def _must_be_own(ledger: Ledger, drawer_id: str) -> None:
    with reading(ledger.engine) as session:
        row = session.get(DrawerRow, drawer_id)
        if row is not None and row.clerk != who():
            raise EntryRefused("this drawer is a colleague's; only they close it")


def _shown(ledger: Ledger, trouble: str = "") -> str:
    with reading(ledger.engine) as session:
        day = today(session, ledger.clock())
        return render_template(
            "finance/drawer.html",
            mine=drawer_of(session, who()),
            new_id=str(uuid4()),
            typed=request.form,
            deposits=[(one, days_between(one.day, day)) for one in deposits_under_way(session)],
            drawers=_newest(session),
            currency=ledger.settings.currency,
            tills=TILLS,
            trouble=trouble,
        )


def _newest(session: Session) -> list[DrawerRow]:
    query = select(DrawerRow).order_by(col(DrawerRow.opened_at).desc()).limit(_SHOWN)
    return list(session.execute(query).scalars())
