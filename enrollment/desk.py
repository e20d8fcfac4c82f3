"""Looking riders up at the desk: first the reason, then the access entry, then the page.

No page here shows a rider in any other way than through ``looked``, which writes the
access entries before it hands the data on.
"""

from __future__ import annotations

from collections.abc import Sequence

from flask import Blueprint, abort, redirect, render_template, request, url_for
from flask_babel import gettext as _
from werkzeug.wrappers import Response

from enrollment.access_log import record_looks
from enrollment.cases import (
    NOTE_CHARACTERS_MAX,
    REASONS,
    Case,
    NoReason,
    case_for,
    open_cases,
    read_case,
)
from enrollment.passes import list_passes
from enrollment.riders import (
    RIDERS_SHOWN_MAX,
    SEARCH_CHARACTERS_MIN,
    RiderDetails,
    RiderSummary,
    count_of_other_engines,
    find_rider,
    riders_of_other_engines,
    search_riders,
)
from enrollment.store import Enrollment
from models.access.web import require_role, signed_in

DESK_ROLES = ("enroller", "admin")


def looking_pages(blueprint: Blueprint, enrollment: Enrollment) -> None:
    """Search, the riders to be photographed anew, and the rider's record."""
    _search_pages(blueprint, enrollment)
    _record_pages(blueprint, enrollment)


def _search_pages(blueprint: Blueprint, enrollment: Enrollment) -> None:
    @blueprint.get("/")
    @require_role(*DESK_ROLES)
    def riders() -> str:
        return _search_page(enrollment)

    @blueprint.post("/")
    @require_role(*DESK_ROLES)
    def search() -> str | tuple[str, int]:
        words = " ".join(request.form.get("words", "").split())
        try:
            case = read_case(request.form.get("reason", ""), request.form.get("note", ""))
            if len(words) < SEARCH_CHARACTERS_MIN:
                raise NoReason(_("Write a reference, or at least two characters of the name."))
        except NoReason as error:
            return _search_page(enrollment, problem=str(error)), 400
        found = search_riders(enrollment, words)
        rider_ids = [entry.rider.rider_id for entry in found]
        open_cases(enrollment.riders, staff_name(), rider_ids, case, enrollment.clock())
        looked(enrollment, rider_ids, "search", case)
        return _search_page(enrollment, found, words)

    @blueprint.post("/renewals")
    @require_role(*DESK_ROLES)
    def renewals() -> str | tuple[str, int]:
        try:
            case = read_case(request.form.get("reason", ""), request.form.get("note", ""))
        except NoReason as error:
            return _search_page(enrollment, problem=str(error)), 400
        found = riders_of_other_engines(enrollment)
        rider_ids = [entry.rider.rider_id for entry in found]
        open_cases(enrollment.riders, staff_name(), rider_ids, case, enrollment.clock())
        looked(enrollment, rider_ids, "renewals", case)
        return _search_page(enrollment, found)


def _record_pages(blueprint: Blueprint, enrollment: Enrollment) -> None:
    @blueprint.get("/riders/<rider_id>")
    @require_role(*DESK_ROLES)
    def rider(rider_id: str) -> str:
        found = find_rider(enrollment, rider_id)
        if found is None:
            abort(404)
        case = case_for(enrollment.riders, staff_name(), rider_id, enrollment.clock())
        if case is None:
            return _reason_page(rider_id)
        looked(enrollment, [rider_id], "rider", case)
        held = next((p for p in list_passes(enrollment, rider_id) if not p.revoked_at), None)
        days = enrollment.categories.ahead(found.rider.account_id)
        return render_template("enrollment/rider.html", found=found, held=held, days=days)

    @blueprint.post("/riders/<rider_id>/open")
    @require_role(*DESK_ROLES)
    def open_record(rider_id: str) -> Response | tuple[str, int]:
        if find_rider(enrollment, rider_id) is None:
            abort(404)
        try:
            case = read_case(request.form.get("reason", ""), request.form.get("note", ""))
        except NoReason as error:
            return _reason_page(rider_id, str(error)), 400
        open_cases(enrollment.riders, staff_name(), [rider_id], case, enrollment.clock())
        return redirect(url_for("enrollment.rider", rider_id=rider_id), 303)


def staff_name() -> str:
    """The member of staff of this request; the page is for staff only."""
    staff = signed_in()
    if staff is None:
        abort(403)
    return staff.name


def looked(enrollment: Enrollment, rider_ids: Sequence[str], page: str, case: Case) -> None:
    """Write down that the member of staff of this request is about to see these riders."""
    record_looks(enrollment.access_log, rider_ids, staff_name(), page, case, enrollment.clock())


def opened(enrollment: Enrollment, rider_id: str, page: str) -> tuple[RiderDetails, Case]:
    """The rider, once the access entry is written; without a case their page asks for one."""
    found = find_rider(enrollment, rider_id)
    if found is None:
        abort(404)
    case = case_for(enrollment.riders, staff_name(), rider_id, enrollment.clock())
    if case is None:
        abort(redirect(url_for("enrollment.rider", rider_id=rider_id), 303))
    looked(enrollment, [rider_id], page, case)
    return found, case


def _search_page(
    enrollment: Enrollment,
    found: list[RiderSummary] | None = None,
    words: str = "",
    problem: str | None = None,
) -> str:
    return render_template(
        "enrollment/riders.html",
        found=found,
        words=words,
        full=found is not None and len(found) == RIDERS_SHOWN_MAX,
        reasons=REASONS,
        note_characters_max=NOTE_CHARACTERS_MAX,
        problem=problem,
        others=count_of_other_engines(enrollment),
    )


def _reason_page(rider_id: str, problem: str | None = None) -> str:
    return render_template(
        "enrollment/reason.html",
        rider_id=rider_id,
        reasons=REASONS,
        note_characters_max=NOTE_CHARACTERS_MAX,
        problem=problem,
    )
