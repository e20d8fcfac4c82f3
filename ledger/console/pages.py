"""The finance pages. Reading is for finance, auditors and service; topping up is for service."""

from __future__ import annotations

import json
from datetime import datetime
from uuid import uuid4

from flask import Blueprint, abort, flash, redirect, render_template, request, url_for
from sqlmodel import Session
from werkzeug.wrappers import Response

from ledger.accounts import AccountError
from ledger.checkpoints import health
from ledger.console import queries
from ledger.entries import decode
from ledger.fares.standing import standing
from ledger.ledger import Ledger
from ledger.once import EntryRefused
from ledger.topups import top_up
from models.access.web import require_role, signed_in
from models.database import reading
from models.money import Money, MoneyError, parse_money
from models.tables.ledger import EntryRow

READERS = ("finance", "auditor", "service", "admin")
TOP_UP_ROLES = ("service", "admin")


def finance(ledger: Ledger) -> Blueprint:
    """The pages under /finance."""
    blueprint = Blueprint("finance", __name__, url_prefix="/finance", template_folder="templates")
    _reading_pages(blueprint, ledger)
    _top_up_page(blueprint, ledger)

    @blueprint.app_template_filter("money")
    def money(minor: int, currency: str) -> str:
        return Money(minor, currency).text()

    @blueprint.app_template_filter("when")
    def when(moment: datetime) -> str:
        return moment.astimezone().strftime("%Y-%m-%d %H:%M:%S")

    return blueprint


def _reading_pages(blueprint: Blueprint, ledger: Ledger) -> None:
    @blueprint.get("/")
    @require_role(*READERS)
    def overview() -> str:
        now = ledger.clock().astimezone()
        midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
        with reading(ledger.engine) as session:
            return render_template(
                "finance/overview.html",
                now=now,
                health=health(ledger),
                totals=queries.trial_balance(session),
                takings=queries.takings_since(session, midnight),
                troubles=queries.taps_with_trouble(session),
                gaps=queries.open_gaps(session),
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
            page = [
                (row, standing(Money(row.balance_minor, row.currency), ledger.policy))
                for row in queries.accounts_after(session, request.args.get("after", ""))
            ]
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
    @require_role(*TOP_UP_ROLES)
    def top_up_form() -> str:
        # The id is made with the form: posting the same form twice tops up once.
        form = {"account": request.args.get("account", ""), "id": str(uuid4())}
        return _form(form, ledger)

    @blueprint.post("/top-up")
    @require_role(*TOP_UP_ROLES)
    def take_top_up() -> Response | tuple[str, int]:
        staff = signed_in()
        assert staff is not None  # require_role has seen to it
        form = request.form.to_dict()
        try:
            amount = parse_money(form.get("amount", ""), ledger.settings.currency)
            account = form.get("account", "").strip().lower()
            done = top_up(ledger, account, amount, form.get("id", ""), staff.name)
        except (MoneyError, EntryRefused, AccountError) as error:
            return _form(form, ledger, str(error)), 400
        flash("This top-up was recorded before; nothing was added." if done.replayed
              else f"{amount.text()} recorded.")  # fmt: skip
        return redirect(url_for("finance.entry", seq=done.entry))


def _form(form: dict[str, str], ledger: Ledger, trouble: str = "") -> str:
    return render_template(
        "finance/top_up.html", form=form, trouble=trouble, currency=ledger.settings.currency
    )
