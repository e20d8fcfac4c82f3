"""The rider's own pages, under ``/me``: what one has, did, owes and is known by, and the way out.

Handlers translate; what they show belongs to the rider of the session. A ride is looked up
by its id and the rider's own account, so another's is not there.
"""

from __future__ import annotations

import json
from pathlib import Path

from flask import Blueprint, Response, abort, flash, redirect, render_template, request, url_for
from flask_babel import gettext as _
from werkzeug.wrappers import Response as AnyResponse

from enrollment.access_log import who_looked
from enrollment.cases import page_words, reason_words
from enrollment.form import EnrollmentRefused
from enrollment.freeze import freeze_rider, thaw_rider
from enrollment.media import active_pass
from enrollment.rider_card_pages import card_pages
from enrollment.rider_data import Gone, everything, leave
from enrollment.rider_media import may_change_to
from enrollment.rider_money import MOVEMENTS_MAX, NotNow, NotThere, RiderMoney
from enrollment.rider_pass_pages import pass_pages
from enrollment.rider_sign_in import RiderSignInRefused, confirm_pin
from enrollment.rider_sign_in_pages import sign_in_pages
from enrollment.rider_web import protect, rider_guard, stop_rider_session, this_rider
from enrollment.rider_words import DISPUTE_REASONS, dispute_words, table_words
from enrollment.riders import find_rider
from enrollment.station_pages import rider_station_pages
from enrollment.store import Enrollment
from models.wire.keys import base64url
from models.wire.times import format_utc


def rider_blueprint(enrollment: Enrollment, money: RiderMoney) -> Blueprint:
    """The blueprint ``rider``, which the application registers beside enrollment's others."""
    blueprint = Blueprint(
        "rider",
        __name__,
        url_prefix="/me",
        template_folder="templates",
        static_folder=str(Path(__file__).parent / "static" / "rider"),
        static_url_path="/static",
    )
    blueprint.add_app_template_filter(format_utc, "utc")
    blueprint.add_app_template_filter(table_words, "table_words")
    blueprint.add_app_template_filter(dispute_words, "dispute_words")
    blueprint.add_app_template_filter(base64url, "passkey_name")
    protect(blueprint)
    sign_in_pages(blueprint, enrollment)
    pass_pages(blueprint, enrollment)
    rider_station_pages(blueprint, enrollment)
    _home_pages(blueprint, enrollment, money)
    card_pages(blueprint, enrollment, money)
    _ride_pages(blueprint, enrollment, money)
    _data_pages(blueprint, enrollment, money)
    _leave_pages(blueprint, enrollment, money)
    return blueprint


def _home_pages(blueprint: Blueprint, enrollment: Enrollment, money: RiderMoney) -> None:
    signed_in = rider_guard(enrollment)

    @blueprint.get("/")
    @signed_in
    def home() -> str:
        return _home(enrollment, money)

    @blueprint.post("/freeze")
    @signed_in
    def freeze() -> AnyResponse | tuple[str, int]:
        try:
            freeze_rider(enrollment, this_rider().rider_id, enrollment.clock())
        except EnrollmentRefused:
            return _home(enrollment, money, _("Your account cannot be paused now.")), 409
        flash(_("Paused: no gate opens for your face or your pass any more."))
        return redirect(url_for("rider.home"), 303)

    @blueprint.post("/thaw")
    @signed_in
    def thaw() -> AnyResponse | tuple[str, int]:
        try:
            thaw_rider(enrollment, this_rider().rider_id)
        except EnrollmentRefused:
            return _home(enrollment, money, _("Your account is not paused.")), 409
        flash(_("You can ride again. Your old pass stays invalid: make a new one."))
        return redirect(url_for("rider.home"), 303)


def _home(enrollment: Enrollment, money: RiderMoney, problem: str = "") -> str:
    rider = this_rider()
    return render_template(
        "rider/home.html",
        rider=rider,
        found=find_rider(enrollment, rider.rider_id),
        account=money.account(rider.account_id),
        held_pass=active_pass(enrollment, rider.rider_id),
        changes=may_change_to(rider),
        processor=money.cards is not None,
        problem=problem,
    )


def _ride_pages(blueprint: Blueprint, enrollment: Enrollment, money: RiderMoney) -> None:
    signed_in = rider_guard(enrollment)

    @blueprint.get("/rides")
    @signed_in
    def rides() -> str:
        before = request.args.get("before", type=int)
        shown = money.movements(this_rider().account_id, before)
        return render_template(
            "rider/rides.html", movements=shown, before=before, page_size=MOVEMENTS_MAX
        )

    @blueprint.get("/rides/<uuid:entry_id>")
    @signed_in
    def ride(entry_id: object) -> str:
        return _ride(enrollment, money, str(entry_id))

    @blueprint.get("/rides/<uuid:entry_id>/receipt")
    @signed_in
    def receipt(entry_id: object) -> Response:
        try:
            text = money.receipt(this_rider().account_id, str(entry_id))
        except (NotThere, NotNow) as error:
            return _no_receipt(error)
        return _receipt_file(text, str(entry_id))

    @blueprint.post("/rides/<uuid:entry_id>/dispute")
    @signed_in
    def dispute(entry_id: object) -> AnyResponse | tuple[str, int]:
        try:
            came = money.dispute(
                this_rider().account_id, str(entry_id), request.form.get("why", "")
            )
        except NotThere:
            abort(404)
        except NotNow as error:
            return _ride(enrollment, money, str(entry_id), str(error)), 409
        flash(dispute_words(came))
        return redirect(url_for("rider.ride", entry_id=entry_id), 303)


def _ride(enrollment: Enrollment, money: RiderMoney, entry_id: str, problem: str = "") -> str:
    try:
        shown = money.ride(this_rider().account_id, entry_id)
    except NotThere:
        abort(404)
    return render_template(
        "rider/ride.html",
        ride=shown,
        reasons=DISPUTE_REASONS,
        verifier_key=enrollment.log_verifier_key,
        problem=problem,
    )


def _no_receipt(error: NotThere | NotNow) -> Response:
    status = 404 if isinstance(error, NotThere) else 409
    return Response(f"{error}\n", status, content_type="text/plain; charset=utf-8")


def _receipt_file(text: str, entry_id: str) -> Response:
    response = Response(text, content_type="text/plain; charset=utf-8")
    response.headers["Content-Disposition"] = f'attachment; filename="{entry_id}.tlog-proof"'
    return response


def _data_pages(blueprint: Blueprint, enrollment: Enrollment, money: RiderMoney) -> None:
    signed_in = rider_guard(enrollment)

    @blueprint.get("/looks")
    @signed_in
    def looks() -> str:
        return render_template(
            "rider/looks.html",
            looks=who_looked(enrollment.access_log, this_rider().rider_id),
            page_words=page_words,
            reason_words=reason_words,
        )

    @blueprint.get("/data")
    @signed_in
    def data() -> Response:
        held = everything(enrollment, money, this_rider())
        text = json.dumps(held, ensure_ascii=False, indent=2)
        response = Response(text, content_type="application/json; charset=utf-8")
        response.headers["Content-Disposition"] = 'attachment; filename="my-data.json"'
        return response


def _leave_pages(blueprint: Blueprint, enrollment: Enrollment, money: RiderMoney) -> None:
    signed_in = rider_guard(enrollment)

    @blueprint.get("/leave")
    @signed_in
    def leaving() -> str:
        return _leave_page(money)

    @blueprint.post("/leave")
    @signed_in
    def erase() -> AnyResponse | tuple[str, int]:
        rider, fields = this_rider(), request.form
        if fields.get("sure") != "yes":
            return _leave_page(money, _("Tick the box if you want to leave for good.")), 400
        try:
            confirm_pin(
                enrollment, rider, fields.get("pin", ""), request.remote_addr, enrollment.clock()
            )
        except RiderSignInRefused as error:
            return _leave_page(money, str(error)), 401
        page = Response(_gone_page(enrollment, leave(enrollment, money, rider)))
        stop_rider_session(enrollment, page)
        return page

    @blueprint.get("/left/<uuid:entry_id>")
    def farewell(entry_id: object) -> Response:
        """The receipt of the closing entry, which says nothing about whose it was."""
        try:
            return _receipt_file(money.farewell_receipt(str(entry_id)), str(entry_id))
        except (NotThere, NotNow) as error:
            return _no_receipt(error)


def _leave_page(money: RiderMoney, problem: str = "") -> str:
    account = money.account(this_rider().account_id)
    return render_template("rider/leave.html", account=account, problem=problem)


def _gone_page(enrollment: Enrollment, gone: Gone) -> str:
    return render_template("rider/gone.html", gone=gone, verifier_key=enrollment.log_verifier_key)
