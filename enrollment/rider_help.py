"""The help desk's view of one rider: the same standing and rides that the rider sees.

A rider is found by the reference or the number of the pass, which the rider says or shows;
there is nothing to leaf through. First the reason, then the access entry, then the page.
"""

from __future__ import annotations

from flask import Blueprint, abort, redirect, render_template, request, url_for
from flask_babel import gettext as _
from werkzeug.wrappers import Response

from enrollment.cases import (
    NOTE_CHARACTERS_MAX,
    REASONS,
    NoReason,
    case_for,
    open_cases,
    read_case,
)
from enrollment.desk import looked, staff_name
from enrollment.media import active_pass
from enrollment.rider_money import RiderMoney
from enrollment.rider_sign_in import rider_of
from enrollment.riders import find_rider
from enrollment.store import Enrollment
from models.access.web import require_role

HELP_ROLES = ("service", "admin")


def help_blueprint(enrollment: Enrollment, money: RiderMoney) -> Blueprint:
    """The pages under ``/help``, for the service desk."""
    blueprint = Blueprint("help", __name__, url_prefix="/help", template_folder="templates")

    @blueprint.get("/")
    @require_role(*HELP_ROLES)
    def ask() -> str:
        return _ask_page()

    @blueprint.post("/")
    @require_role(*HELP_ROLES)
    def find() -> Response | tuple[str, int]:
        given, now = request.form.get("who", ""), enrollment.clock()
        try:
            case = read_case(request.form.get("reason", ""), request.form.get("note", ""))
        except NoReason as error:
            return _ask_page(str(error)), 400
        rider = rider_of(enrollment, given, now)
        if rider is None:
            return _ask_page(_("There is no rider with this reference or pass number.")), 404
        open_cases(enrollment.riders, staff_name(), [rider.rider_id], case, now)
        return redirect(url_for("help.rider", rider_id=rider.rider_id), 303)

    @blueprint.get("/riders/<rider_id>")
    @require_role(*HELP_ROLES)
    def rider(rider_id: str) -> str | Response:
        case = case_for(enrollment.riders, staff_name(), rider_id, enrollment.clock())
        if case is None:
            return redirect(url_for("help.ask", who=rider_id), 303)
        found = find_rider(enrollment, rider_id)
        if found is None:
            abort(404)
        looked(enrollment, [rider_id], "help", case)
        account_id = found.rider.account_id
        return render_template(
            "rider/help.html",
            found=found,
            rider=found.rider,
            account=money.account(account_id),
            held_pass=active_pass(enrollment, rider_id),
            movements=money.movements(account_id, request.args.get("before", type=int)),
        )

    return blueprint


def _ask_page(problem: str = "") -> str:
    return render_template(
        "rider/help_ask.html",
        who=request.values.get("who", ""),
        reasons=REASONS,
        note_characters_max=NOTE_CHARACTERS_MAX,
        problem=problem,
    )
