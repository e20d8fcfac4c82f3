"""The pretend processor's own page, on which a rider pretends to type in a card.

    GET  /pretend/cards/SESSION     two cards to choose from: one that works, one that is declined
    POST /pretend/cards/SESSION     keeps it and goes back to us, as a real processor's page does

For the demo and for tests in a browser, on loopback only: there is no money behind it.
"""

from __future__ import annotations

from flask import Blueprint, abort, redirect, render_template, request
from werkzeug.wrappers import Response

from ledger.processors.pretend import PretendPage, PretendProcessor

BRAND = "Visa"
CARDS = {"4242": False, "0341": True}
"""Last four digits of the cards there are, and whether they are declined."""


def pretend_pages(processor: PretendProcessor) -> Blueprint:
    """The pages under /pretend, for the application that serves them."""
    blueprint = Blueprint("pretend", __name__, url_prefix="/pretend", template_folder="templates")

    @blueprint.get("/cards/<session>")
    def card_page(session: str) -> str:
        page = _open(processor, session)
        return render_template("pretend/card.html", page=page, brand=BRAND, cards=CARDS)

    @blueprint.post("/cards/<session>")
    def type_card(session: str) -> Response:
        page, last4 = _open(processor, session), request.form.get("card", "")
        if last4 not in CARDS:
            abort(400)
        processor.type_card(session, last4, declined=CARDS[last4])
        return redirect(page.order.done_url, 303)

    return blueprint


def _open(processor: PretendProcessor, session: str) -> PretendPage:
    page = processor.pages.get(session)
    if page is None or processor.clock() >= page.order.until:
        abort(404)
    return page
