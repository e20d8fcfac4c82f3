"""The rider's card: adding it at the processor, topping up from it, by hand or automatically.

    GET  /me/card                what is kept, what may be taken, what was tried
    POST /me/card                open the processor's page and say where it is
    GET  /me/card/back/PAGE      the way back from there
    POST /me/card/remove         /me/card/automatic   /me/card/stop   /me/top-up

A browser does not follow a form from here to another site (``form-action 'self'``): the page
after the button has a link to the processor instead, and says whose page it is.
"""

from __future__ import annotations

from uuid import UUID, uuid4

from flask import Blueprint, abort, flash, redirect, render_template, request, url_for
from flask_babel import get_locale
from flask_babel import gettext as _
from werkzeug.wrappers import Response

from enrollment.rider_card_words import kind_words, outcome_words, stopped_words
from enrollment.rider_cards import RiderCards
from enrollment.rider_money import NotNow, RiderMoney
from enrollment.rider_web import rider_guard, this_rider
from enrollment.store import Enrollment
from models.money import Money, MoneyError, parse_money

TOP_UP_AMOUNTS = ("10", "20", "50")
BELOW = ("5", "10", "20")
TAKE = ("20", "50", "100")
WEEK_MAX = ("50", "100", "200", "500")


def card_pages(blueprint: Blueprint, enrollment: Enrollment, money: RiderMoney) -> None:
    """Add the pages to the rider's; without a processor they are not there."""
    blueprint.add_app_template_filter(stopped_words, "stopped_words")
    _adding_pages(blueprint, enrollment, money)
    _paying_pages(blueprint, enrollment, money)


def _cards(money: RiderMoney) -> RiderCards:
    if money.cards is None:
        abort(404)
    return money.cards


def _adding_pages(blueprint: Blueprint, enrollment: Enrollment, money: RiderMoney) -> None:
    signed_in = rider_guard(enrollment)

    @blueprint.get("/card")
    @signed_in
    def card() -> str:
        return _page(enrollment, money)

    @blueprint.post("/card")
    @signed_in
    def add_card() -> str | tuple[str, int]:
        page_id = _form_id()
        try:
            address = _cards(money).add(
                this_rider().account_id,
                str(page_id),
                url_for("rider.card_back", page_id=page_id),
                url_for("rider.card"),
                str(get_locale() or "en"),
            )
        except NotNow as error:
            return _page(enrollment, money, str(error)), 409
        return render_template("rider/card_go.html", address=address)

    @blueprint.get("/card/back/<uuid:page_id>")
    @signed_in
    def card_back(page_id: UUID) -> Response:
        if _cards(money).came_back(this_rider().account_id, str(page_id)):
            flash(_("This is the card that is kept for you now."))
        else:
            flash(_("The processor has not told us of your card yet; load this page again soon."))
        return redirect(url_for("rider.card"), 303)

    @blueprint.post("/card/remove")
    @signed_in
    def remove_card() -> Response | tuple[str, int]:
        try:
            _cards(money).remove(this_rider().account_id)
        except NotNow as error:
            return _page(enrollment, money, str(error)), 409
        flash(_("Your card was removed here, and is being removed at the processor."))
        return redirect(url_for("rider.card"), 303)


def _paying_pages(blueprint: Blueprint, enrollment: Enrollment, money: RiderMoney) -> None:
    signed_in = rider_guard(enrollment)

    @blueprint.post("/top-up")
    @signed_in
    def top_up() -> Response | tuple[str, int]:
        account, call_id = this_rider().account_id, str(_form_id())
        try:
            _cards(money).top_up(account, _chosen(enrollment, "amount", TOP_UP_AMOUNTS), call_id)
        except MoneyError as error:
            return _page(enrollment, money, str(error)), 400
        except NotNow as error:
            return _page(enrollment, money, str(error)), 409
        flash(_("The top-up was sent to your card; it is on your account within a minute."))
        return redirect(url_for("rider.card"), 303)

    @blueprint.post("/card/automatic")
    @signed_in
    def automatic() -> Response | tuple[str, int]:
        cards = _cards(money)
        try:
            below = _chosen(enrollment, "below", BELOW)
            take = _chosen(enrollment, "take", TAKE)
            week_max = _chosen(enrollment, "week_max", WEEK_MAX)
            if take.minor > week_max.minor:
                raise MoneyError(
                    _("One top-up cannot be more than the most that is taken in seven days.")
                )
            cards.automatic(this_rider().account_id, below, take, week_max)
        except MoneyError as error:
            return _page(enrollment, money, str(error)), 400
        except NotNow as error:
            return _page(enrollment, money, str(error)), 409
        flash(_("Automatic top-up is on."))
        return redirect(url_for("rider.card"), 303)

    @blueprint.post("/card/stop")
    @signed_in
    def stop_automatic() -> Response:
        _cards(money).stop(this_rider().account_id)
        flash(_("Automatic top-up is off."))
        return redirect(url_for("rider.card"), 303)


def _form_id() -> UUID:
    """The id that was made with the form: sent twice, it orders once."""
    try:
        return UUID(request.form.get("id", ""))
    except ValueError:
        abort(400)


def _chosen(enrollment: Enrollment, name: str, choices: tuple[str, ...]) -> Money:
    """The amount of a list; raise ``MoneyError`` for one that is not on it."""
    text = request.form.get(name, "")
    if text not in choices:
        raise MoneyError(_("Choose an amount from the list."))
    return parse_money(text, enrollment.settings.currency)


def _page(enrollment: Enrollment, money: RiderMoney, problem: str = "") -> str:
    return render_template(
        "rider/card.html",
        desk=_cards(money).desk(this_rider().account_id),
        amounts=TOP_UP_AMOUNTS,
        choices={"below": BELOW, "take": TAKE, "week_max": WEEK_MAX},
        currency=enrollment.settings.currency,
        form_id=str(uuid4()),
        problem=problem,
        kind_words=kind_words,
        outcome_words=outcome_words,
    )
