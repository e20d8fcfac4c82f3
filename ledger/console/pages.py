"""The finance pages. Reading is for finance, auditors and service; topping up is for service."""

from __future__ import annotations

import json
from datetime import datetime
from functools import partial
from typing import Any
from uuid import uuid4

from flask import Blueprint, abort, flash, redirect, render_template, request, url_for
from flask_babel import get_locale
from flask_babel import gettext as _
from sqlmodel import Session
from werkzeug.wrappers import Response

from ledger.accounts import AccountError
from ledger.checkpoints import health
from ledger.console import queries
from ledger.console.card_refunds_pages import card_refunds_pages
from ledger.console.differences_pages import differences_pages
from ledger.console.disputes_pages import disputes_pages
from ledger.console.drawer_pages import drawer_pages
from ledger.console.fares_pages import fares_pages
from ledger.console.holds_pages import holds_pages
from ledger.console.periods_pages import periods_pages
from ledger.console.refunds_pages import adjustment_pages
from ledger.console.roles import READERS, TILLS, who
from ledger.console.search_pages import search_pages
from ledger.console.standing_pages import standing_pages
from ledger.console.state import log_state
from ledger.console.statements_pages import statements_pages
from ledger.console.totals_pages import totals_pages
from ledger.console.words import label, note_words, reason, resolution
from ledger.entries import decode
from ledger.ledger import Ledger
from ledger.once import EntryRefused
from ledger.reconcile.closed import today
from ledger.reconcile.overview import overview as overview_of
from ledger.reconcile.said import sentence
from ledger.standings import standings_of
from ledger.topups import NoOpenDrawer, drawer_of, top_up
from models.access.web import require_role
from models.database import reading
from models.money import Money, MoneyError, parse_money
from models.tables.ledger import EntryRow

_SUBJECTS = (
    *(card_refunds_pages, holds_pages),
    *(adjustment_pages, fares_pages, standing_pages, totals_pages, differences_pages),
    *(disputes_pages, search_pages, periods_pages, drawer_pages, statements_pages),
)


def finance(ledger: Ledger) -> Blueprint:
    """The pages under /finance."""
    blueprint = Blueprint("finance", __name__, url_prefix="/finance",
                          template_folder="templates", static_folder="static")  # fmt: skip
    _reading_pages(blueprint, ledger)
    _top_up_page(blueprint, ledger)
    for add_pages in _SUBJECTS:
        add_pages(blueprint, ledger)

    @blueprint.context_processor
    def state_of_the_log() -> dict[str, Any]:
        return {"log_state": partial(log_state, ledger)}

    @blueprint.app_template_filter("money")
    def money(minor: int, currency: str) -> str:
        return amount(Money(minor, currency))

    @blueprint.app_template_filter("amount")
    def amount(money: Money) -> str:
        return money.text(str(get_locale() or "en"))

    blueprint.add_app_template_filter(label, "label")
    blueprint.add_app_template_filter(reason, "reason")
    blueprint.add_app_template_filter(resolution, "resolution")
    blueprint.add_app_template_filter(sentence, "sentence")
    blueprint.add_app_template_filter(note_words, "note_words")

    @blueprint.app_template_filter("when")
    def when(moment: datetime) -> str:
        return moment.astimezone().strftime("%Y-%m-%d %H:%M:%S")

    return blueprint


def _reading_pages(blueprint: Blueprint, ledger: Ledger) -> None:
    @blueprint.get("/")
    @require_role(*READERS)
    def overview() -> str:
        with reading(ledger.engine) as session:
            day = today(session, ledger.clock())
            return render_template(
                "finance/overview.html",
                found=overview_of(session, day),
                health=health(ledger),
                totals=queries.trial_balance(session),
                takings=queries.takings_of(session, day),
                troubles=queries.taps_with_trouble(session),
                recent=queries.RECENT,
                refusals=queries.refusals(session),
            )

    @blueprint.get("/entries")
    @require_role(*READERS)
    def entries() -> str:
        before = request.args.get("before", type=int)
        with reading(ledger.engine) as session:
            page = queries.entries_before(session, before)
            return render_template("finance/entries.html", entries=page, page_size=queries.PAGE)

    @blueprint.get("/entries/<int:seq>")
    @require_role(*READERS)
    def entry(seq: int) -> str:
        with reading(ledger.engine) as session:
            return _entry_page(session, seq)

    @blueprint.get("/accounts")
    @require_role(*READERS)
    def accounts() -> str:
        with reading(ledger.engine) as session:
            rows = queries.accounts_after(session, request.args.get("after", ""))
            found = standings_of(ledger, session, [row.account_id for row in rows])
            page = [(row, found[row.account_id]) for row in rows]
            return render_template("finance/accounts.html", accounts=page, page_size=queries.PAGE)


def _entry_page(session: Session, seq: int) -> str:
    row = session.get(EntryRow, seq) if seq < 2**63 else None
    if row is None:
        abort(404)
    value = decode(row.body)
    return render_template(
        "finance/entry.html",
        entry=row,
        value=value,
        pretty=json.dumps(value, indent=2, ensure_ascii=False),
        postings=queries.postings_of(session, seq),
        tap=queries.tap_of(session, seq),
    )


def _top_up_page(blueprint: Blueprint, ledger: Ledger) -> None:
    @blueprint.get("/top-up")
    @require_role(*TILLS)
    def top_up_form() -> str:
        # The id is made with the form: posting the same form twice tops up once.
        form = {"account": request.args.get("account", ""), "id": str(uuid4())}
        with reading(ledger.engine) as session:
            has_drawer = drawer_of(session, who()) is not None
        return _form(form, ledger, has_drawer=has_drawer)

    @blueprint.post("/top-up")
    @require_role(*TILLS)
    def take_top_up() -> Response | tuple[str, int]:
        form = request.form.to_dict()
        try:
            amount = parse_money(form.get("amount", ""), ledger.settings.currency)
            account = form.get("account", "").strip().lower()
            done = top_up(ledger, account, amount, form.get("id", ""), who())
        except NoOpenDrawer:
            return _form(form, ledger, has_drawer=False), 400
        except (MoneyError, EntryRefused, AccountError) as error:
            return _form(form, ledger, str(error)), 400
        shown = amount.text(str(get_locale() or "en"))
        flash(_("This top-up was recorded before; nothing was added.") if done.replayed
              else _("%(amount)s recorded.", amount=shown))  # fmt: skip
        return redirect(url_for("finance.entry", seq=done.entry))


def _form(
    form: dict[str, str], ledger: Ledger, trouble: str = "", *, has_drawer: bool = True
) -> str:
    return render_template(
        "finance/top_up.html",
        form=form,
        trouble=trouble,
        has_drawer=has_drawer,
        currency=ledger.settings.currency,
    )
