"""The search page: an id, a number, an amount, or a whole receipt."""

from __future__ import annotations

from flask import Blueprint, render_template, request

from ledger.console.finding import DAYS_MAX, check, find, since
from ledger.console.roles import READERS
from ledger.ledger import Ledger
from models.access.web import require_role
from models.database import reading

_DAYS = 31
_ASKED_MAX = 200


def search_pages(blueprint: Blueprint, ledger: Ledger) -> None:
    """Add the search to the finance pages."""

    @blueprint.get("/search")
    @require_role(*READERS)
    def search() -> str:
        asked = request.args.get("q", "").strip()[:_ASKED_MAX]
        days = request.args.get("days", _DAYS, type=int)
        if not asked:
            return render_template("finance/search.html", asked="", days=days, days_max=DAYS_MAX)
        with reading(ledger.engine) as session:
            found = find(session, asked, ledger.settings.currency, since(ledger.clock(), days))
            return render_template(
                "finance/search.html", asked=asked, days=days, days_max=DAYS_MAX, found=found
            )

    @blueprint.post("/search/receipt")
    @require_role(*READERS)
    def search_receipt() -> str:
        text = request.form.get("receipt", "")
        return render_template(
            "finance/search.html", asked="", days=_DAYS, days_max=DAYS_MAX, text=text,
            receipt=check(ledger, text),
        )  # fmt: skip
