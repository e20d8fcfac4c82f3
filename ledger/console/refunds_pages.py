"""Refunds and other credits: the form of the service desk, and what waits for a second person.

The id is made with the form, so the same form sent twice gives once. Whoever asked does not
decide; both are in the log.
"""

from __future__ import annotations

from uuid import uuid4

from flask import Blueprint, flash, redirect, render_template, request, url_for
from flask_babel import gettext as _
from sqlalchemy import select
from sqlalchemy.orm import aliased
from sqlmodel import Session, col
from werkzeug.wrappers import Response

from ledger.accounts import AccountError
from ledger.adjustments import DISPUTE, settle_dispute
from ledger.console.roles import ASKERS, BOOKKEEPERS, READERS, who
from ledger.ledger import Ledger
from ledger.once import EntryRefused, Recorded
from ledger.requests import Asked, adjust, approve, decline, open_requests
from ledger.wanted import KINDS, OF_A_RIDE, Wanted
from models.access.web import require_role
from models.database import reading
from models.money import MoneyError, parse_money
from models.tables.ledger import EntryRow


def adjustment_pages(blueprint: Blueprint, ledger: Ledger) -> None:
    """Add the form, the list of what waits, and its buttons to the finance pages."""
    _form_pages(blueprint, ledger)
    _decision_pages(blueprint, ledger)


def _form_pages(blueprint: Blueprint, ledger: Ledger) -> None:
    @blueprint.get("/adjust")
    @require_role(*ASKERS)
    def adjust_form() -> str:
        asked = {name: request.args.get(name, "") for name in ("kind", "about", "amount")}
        return _form({**asked, "id": str(uuid4())}, ledger)

    @blueprint.post("/adjust")
    @require_role(*ASKERS)
    def take_adjustment() -> Response | tuple[str, int]:
        form = request.form.to_dict()
        try:
            done = adjust(ledger, _wanted(form, ledger), who())
        except (MoneyError, EntryRefused, AccountError) as error:
            return _form(form, ledger, str(error)), 400
        if isinstance(done, Asked):
            flash(_("This is above the limit of one person: a colleague has to approve it."))
            return redirect(url_for("finance.waiting"))
        return _recorded(done.entry)


def _decision_pages(blueprint: Blueprint, ledger: Ledger) -> None:
    @blueprint.get("/waiting")
    @require_role(*READERS)
    def waiting() -> str:
        return _waiting(ledger)

    @blueprint.post("/waiting/<uuid:entry_id>")
    @require_role(*BOOKKEEPERS)
    def decide(entry_id: object) -> Response | tuple[str, int]:
        give = approve if request.form.get("decision") == "approve" else decline
        try:
            return _recorded(give(ledger, str(entry_id), who()))
        except (EntryRefused, AccountError) as error:
            return _waiting(ledger, str(error)), 409

    @blueprint.post("/disputes/<uuid:credit_id>")
    @require_role(*BOOKKEEPERS)
    def settle(credit_id: object) -> Response | tuple[str, int]:
        upheld = request.form.get("decision") == "upheld"
        try:
            return _recorded(settle_dispute(ledger, str(credit_id), upheld=upheld, made_by=who()))
        except EntryRefused as error:
            return _waiting(ledger, str(error)), 409


def open_disputes(session: Session) -> list[EntryRow]:
    """The dispute credits that nobody has settled, the oldest first."""
    settling = aliased(EntryRow)
    settled = select(col(settling.seq)).where(
        col(settling.corrects) == col(EntryRow.entry_id),
        col(settling.kind).in_(("dispute_upheld", "dispute_rejected")),
    )
    query = select(EntryRow).where(
        col(EntryRow.corrects).is_not(None), col(EntryRow.rule) == DISPUTE,
        col(EntryRow.kind) == "refund", ~settled.exists(),
    )  # fmt: skip
    return list(session.execute(query.order_by(col(EntryRow.seq))).scalars())


def _wanted(form: dict[str, str], ledger: Ledger) -> Wanted:
    kind, _, reason = form.get("reason", "").partition(":")
    if kind not in KINDS:
        raise EntryRefused("choose from the list what is given, and why")
    return Wanted(
        entry_id=form.get("id", ""),
        kind=kind,
        about=form.get("about", "").strip().lower(),
        amount=parse_money(form.get("amount", ""), ledger.settings.currency),
        reason=reason,
        case=form.get("case", "").strip(),
    )


def _recorded(done: Recorded) -> Response:
    flash(_("This was recorded before; nothing was added.") if done.replayed else _("Recorded."))
    return redirect(url_for("finance.entry", seq=done.entry))


def _form(form: dict[str, str], ledger: Ledger, trouble: str = "") -> str:
    return render_template(
        "finance/adjust.html",
        form=form,
        trouble=trouble,
        kinds=KINDS,
        of_a_ride=OF_A_RIDE,
        limit=ledger.settings.refund_limit_amount,
    )


def _waiting(ledger: Ledger, trouble: str = "") -> str:
    with reading(ledger.engine) as session:
        return render_template(
            "finance/waiting.html",
            trouble=trouble,
            requests=open_requests(session),
            disputes=open_disputes(session),
            deciders=BOOKKEEPERS,
        )
