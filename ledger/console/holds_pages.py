"""Money set aside by hand: finance holds it for a case, then charges it or gives it back.

    GET  /finance/holds             the form, and every hold that nobody has resolved
    POST /finance/holds             sets an amount of an account aside, for some days
    POST /finance/holds/<id>        charges as much of it as was needed, or gives it back

Nothing need be done to give it back: it expires by itself. The id is made with the form, so
the same form sent twice holds once. What is charged above the limit of one person is charged
by another one than who set it aside.
"""

from __future__ import annotations

from datetime import timedelta
from uuid import uuid4

from flask import Blueprint, flash, redirect, render_template, request, url_for
from flask_babel import gettext as _
from werkzeug.wrappers import Response

from ledger.accounts import AccountError
from ledger.console.roles import BOOKKEEPERS, READERS, who
from ledger.holds import HOLD_REASONS, hold, open_holds, post_hold, void_hold
from ledger.ledger import Ledger
from ledger.once import EntryRefused, Recorded
from models.access.web import require_role
from models.database import reading
from models.money import MoneyError, parse_money

DAYS_MAX = 90


def holds_pages(blueprint: Blueprint, ledger: Ledger) -> None:
    """Add the page and what is posted from it to the finance pages."""

    @blueprint.get("/holds")
    @require_role(*READERS)
    def holds() -> str:
        form = {"id": str(uuid4()), "account": request.args.get("account", ""), "days": "14"}
        return _page(ledger, form)

    @blueprint.post("/holds")
    @require_role(*BOOKKEEPERS)
    def take_hold() -> Response | tuple[str, int]:
        form = request.form.to_dict()
        try:
            return _recorded(_hold(ledger, form, request.form.get("days", 0, type=int)))
        except (MoneyError, EntryRefused, AccountError) as error:
            return _page(ledger, form, str(error)), 400

    @blueprint.post("/holds/<uuid:hold_id>")
    @require_role(*BOOKKEEPERS)
    def resolve_hold(hold_id: object) -> Response | tuple[str, int]:
        try:
            return _recorded(_resolve(ledger, str(hold_id), request.form.to_dict()))
        except (MoneyError, EntryRefused) as error:
            return _page(ledger, {"id": str(uuid4())}, str(error)), 409


def _hold(ledger: Ledger, form: dict[str, str], days: int) -> Recorded:
    if not 1 <= days <= DAYS_MAX:
        raise EntryRefused(f"money is held for 1 to {DAYS_MAX} days")
    return hold(
        ledger,
        form.get("account", "").strip().lower(),
        parse_money(form.get("amount", ""), ledger.settings.currency),
        form.get("reason", ""),
        ledger.clock() + timedelta(days=days),
        form.get("id", ""),
        who(),
        form.get("case", "").strip(),
    )


def _resolve(ledger: Ledger, hold_id: str, form: dict[str, str]) -> Recorded:
    if form.get("decision") != "charge":
        return void_hold(ledger, hold_id, who())
    amount = parse_money(form.get("amount", ""), ledger.settings.currency)
    return post_hold(ledger, hold_id, amount, who())


def _recorded(done: Recorded) -> Response:
    flash(_("This was recorded before; nothing was added.") if done.replayed else _("Recorded."))
    return redirect(url_for("finance.holds"), 303)


def _page(ledger: Ledger, form: dict[str, str], trouble: str = "") -> str:
    with reading(ledger.engine) as session:
        return render_template(
            "finance/holds.html",
            form=form,
            trouble=trouble,
            reasons=HOLD_REASONS,
            days_max=DAYS_MAX,
            may_hold=BOOKKEEPERS,
            limit=ledger.settings.refund_limit_amount,
            holds=open_holds(session),
        )
