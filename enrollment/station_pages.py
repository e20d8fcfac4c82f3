"""Changing "my stations": at the desk on the rider's record, and by the rider under ``/me``."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, abort, flash, redirect, render_template, request, url_for
from flask_babel import gettext as _
from werkzeug.wrappers import Response

from enrollment.consent_texts import current_consent, languages
from enrollment.desk import DESK_ROLES, opened, staff_name
from enrollment.form import EnrollmentRefused, FaceForm, read_face_form
from enrollment.form_pages import chosen_language, face_choices
from enrollment.media import last_guardian
from enrollment.own_stations import change_stations, may_change_stations
from enrollment.rider_media import BY_THE_RIDER
from enrollment.rider_web import page_language, rider_guard, this_rider
from enrollment.riders import RiderDetails, find_rider
from enrollment.store import Enrollment
from models.access.web import require_role


def desk_station_pages(blueprint: Blueprint, enrollment: Enrollment) -> None:
    """Add them to the desk's blueprint."""

    @blueprint.get("/riders/<rider_id>/stations")
    @require_role(*DESK_ROLES)
    def stations(rider_id: str) -> str:
        found, _case = opened(enrollment, rider_id, "stations")
        return _desk_page(enrollment, found, ())

    @blueprint.post("/riders/<rider_id>/stations")
    @require_role(*DESK_ROLES)
    def choose_stations(rider_id: str) -> Response | tuple[str, int]:
        found, _case = opened(enrollment, rider_id, "stations")
        try:
            form = _form(chosen_language(request.form), "age_group", "guardian")
            change_stations(enrollment, rider_id, form, staff_name(), enrollment.clock())
        except EnrollmentRefused as error:
            return _desk_page(enrollment, found, error.problems), 400
        flash(_("The gates of these stations know the rider within a minute."))
        return redirect(url_for("enrollment.rider", rider_id=rider_id), 303)


def rider_station_pages(blueprint: Blueprint, enrollment: Enrollment) -> None:
    """Add them to the rider's blueprint."""
    signed_in = rider_guard(enrollment)

    @blueprint.get("/stations")
    @signed_in
    def stations() -> str:
        return _rider_page(enrollment, ())

    @blueprint.post("/stations")
    @signed_in
    def choose_stations() -> Response | str | tuple[str, int]:
        rider = this_rider()
        if last_guardian(enrollment, rider.rider_id) is not None:
            return _rider_page(enrollment, ()), 409
        try:
            form = _form(page_language())
            change_stations(enrollment, rider.rider_id, form, BY_THE_RIDER, enrollment.clock())
        except EnrollmentRefused as error:
            return _rider_page(enrollment, error.problems), 400
        flash(_("The gates of these stations know you within a minute; the others forget you."))
        return redirect(url_for("rider.home"), 303)


def _form(language: str, *more: str) -> FaceForm:
    """The form of this request, with the fields ``more``; raises ``EnrollmentRefused``."""
    fields: dict[str, Any] = {
        "medium": "face",
        "language": language,
        "stations": tuple(request.form.getlist("stations")),
        "consent_text": request.form.get("consent_text", ""),
        "consent_given": request.form.get("consent_given") == "yes",
    }
    written = {name: request.form[name] for name in more if request.form.get(name, "").strip()}
    return read_face_form({**fields, **written})


def _desk_page(enrollment: Enrollment, found: RiderDetails, problems: tuple[str, ...]) -> str:
    fields, rider = request.values, found.rider
    language = chosen_language(fields) if "language" in fields else rider.language
    return render_template(
        "enrollment/stations.html",
        found=found,
        fields=fields,
        problems=problems,
        guardian=last_guardian(enrollment, rider.rider_id),
        may_change=may_change_stations(enrollment, rider),
        consent=current_consent(language if language in languages() else "en", "face"),
        **_choices(enrollment, found),
    )


def _rider_page(enrollment: Enrollment, problems: tuple[str, ...]) -> str:
    rider = this_rider()
    found = find_rider(enrollment, rider.rider_id)
    if found is None:  # erased at the desk a moment ago
        abort(404)
    return render_template(
        "rider/stations.html",
        problems=problems,
        guardian=last_guardian(enrollment, rider.rider_id),
        may_change=may_change_stations(enrollment, rider),
        consent=current_consent(page_language(), "face"),
        **_choices(enrollment, found),
    )


def _choices(enrollment: Enrollment, found: RiderDetails) -> dict[str, Any]:
    """The stations; one that is full is not closed to those who are in it."""
    choices = face_choices(enrollment, found.rider.rider_id)
    sent = request.form.getlist("stations")
    chosen = sent if request.method == "POST" else found.station_names
    return {**choices, "full": choices["full"] - set(found.station_names), "chosen": chosen}
