"""The help desk's page about one account: its standing, as gates and rider see it, and blocks."""

from __future__ import annotations

from flask import Blueprint, flash, redirect, render_template, request, url_for
from flask_babel import gettext as _
from werkzeug.wrappers import Response

from ledger.accounts import AccountError
from ledger.categories import category_now
from ledger.fares.standing import BLOCK_REASONS
from ledger.ledger import Ledger
from ledger.standings import BlockRefused, account_standing, block, blocks_of, lift
from models.access.staff import SignedIn
from models.access.web import require_role, signed_in
from models.database import reading

STANDING_READERS = ("finance", "auditor", "service", "admin")
BLOCKERS = ("service", "finance")


def standing_pages(blueprint: Blueprint, ledger: Ledger) -> None:
    """Add the page and its two forms to the finance pages."""

    @blueprint.get("/standing")
    @require_role(*STANDING_READERS)
    def standing() -> str | tuple[str, int]:
        account = request.args.get("account", "").strip().lower()
        return _page(ledger, account)

    @blueprint.post("/standing/block")
    @require_role(*BLOCKERS)
    def block_account() -> Response | tuple[str, int]:
        account, note = _posted()
        try:
            block(ledger, account, request.form.get("reason", ""), note, _staff().name)
        except (BlockRefused, AccountError) as error:
            return _refused(ledger, account, str(error))
        flash(_("The account is blocked; every gate follows within a minute."))
        return redirect(url_for("finance.standing", account=account), 303)

    @blueprint.post("/standing/lift")
    @require_role(*BLOCKERS)
    def lift_block() -> Response | tuple[str, int]:
        account, note = _posted()
        staff = _staff()
        try:
            lift(ledger, account, note, staff.name, staff.roles)
        except (BlockRefused, AccountError) as error:
            return _refused(ledger, account, str(error))
        flash(_("The block is lifted; every gate follows within a minute."))
        return redirect(url_for("finance.standing", account=account), 303)


def _posted() -> tuple[str, str]:
    return request.form.get("account", "").strip().lower(), request.form.get("note", "")


def _staff() -> SignedIn:
    staff = signed_in()
    assert staff is not None  # require_role has seen to it
    return staff


def _refused(ledger: Ledger, account: str, trouble: str) -> tuple[str, int]:
    page = _page(ledger, account, trouble)
    return (page if isinstance(page, str) else page[0]), 400


def _page(ledger: Ledger, account: str, trouble: str = "") -> str | tuple[str, int]:
    found = category = None
    status = 200
    if account:
        try:
            found = account_standing(ledger, account)
        except AccountError as error:
            trouble, status = trouble or str(error), 404
    with reading(ledger.engine) as session:
        today, _feed = ledger.fares.book(session).at(ledger.clock())
        category = category_now(session, account, today)
        page = render_template(
            "finance/standing.html",
            account=account,
            standing=found,
            category=category,
            blocks=blocks_of(session, account),
            reasons=BLOCK_REASONS,
            may_block=not _staff().roles.isdisjoint(BLOCKERS),
            trouble=trouble,
        )
    return page, status
