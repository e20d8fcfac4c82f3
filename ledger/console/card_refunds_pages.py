"""Paying a card top-up back to its card: the form of finance, and what became of each.

    GET  /finance/card-refunds      the form, the refunds under way, and the newest others
    POST /finance/card-refunds      asks for one; above the limit a second person decides

The id is made with the form, so the same form sent twice pays once. The money leaves the
rider's account at once and waits on ``liabilities:card_refunds`` until the processor has paid
it; where the processor will not, it goes back to the account.
"""

from __future__ import annotations

from typing import Any
from uuid import uuid4

from flask import Blueprint, flash, redirect, render_template, request, url_for
from flask_babel import gettext as _
from sqlalchemy import case, select
from sqlmodel import Session, col
from werkzeug.wrappers import Response

from ledger.accounts import AccountError
from ledger.console.roles import BOOKKEEPERS, READERS, who
from ledger.ledger import Ledger
from ledger.once import EntryRefused
from ledger.processors.state import troubles
from ledger.requests import Asked, adjust
from ledger.wanted import CARD_REASONS, TO_THE_CARD, Wanted
from models.access.web import require_role
from models.database import reading
from models.money import MoneyError, parse_money
from models.tables.reconcile import ProcessorCallRow

SHOWN = 50


def card_refunds_pages(blueprint: Blueprint, ledger: Ledger) -> None:
    """Add the form and the list to the finance pages, and the processor's state to all."""

    @blueprint.get("/card-refunds")
    @require_role(*READERS)
    def card_refunds() -> str:
        return _page(ledger, {"id": str(uuid4()), "about": request.args.get("top_up", "")})

    @blueprint.post("/card-refunds")
    @require_role(*BOOKKEEPERS)
    def take_card_refund() -> Response | tuple[str, int]:
        form = request.form.to_dict()
        try:
            done = adjust(ledger, _wanted(form, ledger), who())
        except (MoneyError, EntryRefused, AccountError) as error:
            return _page(ledger, form, str(error)), 400
        if isinstance(done, Asked):
            flash(_("This is above the limit of one person: a colleague has to approve it."))
            return redirect(url_for("finance.waiting"), 303)
        flash(_("This was recorded before; nothing was added.") if done.entry.replayed
              else _("The refund is on its way to the card."))  # fmt: skip
        return redirect(url_for("finance.card_refunds"), 303)

    @blueprint.context_processor
    def state_of_the_processor() -> dict[str, Any]:
        return {"processor_troubles": lambda: troubles(ledger)}


def _wanted(form: dict[str, str], ledger: Ledger) -> Wanted:
    return Wanted(
        entry_id=form.get("id", ""),
        kind=TO_THE_CARD,
        about=form.get("about", "").strip().lower(),
        amount=parse_money(form.get("amount", ""), ledger.settings.currency),
        reason=form.get("reason", ""),
        case=form.get("case", "").strip(),
    )


def _page(ledger: Ledger, form: dict[str, str], trouble: str = "") -> str:
    with reading(ledger.engine) as session:
        return render_template(
            "finance/card_refunds.html",
            form=form,
            trouble=trouble,
            reasons=CARD_REASONS,
            may_ask=BOOKKEEPERS,
            limit=ledger.settings.refund_limit_amount,
            refunds=_refunds(session),
        )


def _refunds(session: Session) -> list[ProcessorCallRow]:
    """Those under way first, then those that failed or were paid, the newest first."""
    state = col(ProcessorCallRow.state)
    under_way = case((state.in_(("due", "sent")), 0), else_=1)
    query = select(ProcessorCallRow).where(col(ProcessorCallRow.kind) == "refund")
    newest = query.order_by(under_way, col(ProcessorCallRow.made_at).desc()).limit(SHOWN)
    return list(session.execute(newest).scalars())
