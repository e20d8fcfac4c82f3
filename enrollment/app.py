"""The pages of the enrollment desk, and all of enrollment's blueprints together.

Handlers translate between requests and the use cases; nothing is decided here.
"""

from __future__ import annotations

from typing import Any

from flask import Blueprint, abort, flash, redirect, render_template, request, url_for
from werkzeug.datastructures import MultiDict
from werkzeug.wrappers import Response

from enrollment.api import api_blueprint
from enrollment.consent_texts import current_consent, languages
from enrollment.enroll import PHOTOS_MAX, PHOTOS_RECOMMENDED, enroll_rider
from enrollment.erase import erase_rider
from enrollment.form import CATEGORIES, STATIONS_MAX, EnrollmentRefused, read_form
from enrollment.photos import PHOTO_BYTES_MAX
from enrollment.riders import RIDERS_SHOWN_MAX, find_rider, list_riders
from enrollment.staff import staff_blueprint
from enrollment.store import Enrollment
from models.access.gates import GateRegister
from models.access.web import require_role, signed_in

DEFAULT_LANGUAGE = "en"
DESK_ROLES = ("enroller", "admin")


def create_blueprints(enrollment: Enrollment, register: GateRegister) -> list[Blueprint]:
    """The blueprints ``staff``, ``enrollment`` and ``enrollment_api``.

    The application protects forms against cross-site requests and exempts the last one,
    which knows no cookies; it takes uploads as ``enrollment.uploads`` says.
    """
    return [
        staff_blueprint(enrollment),
        desk_blueprint(enrollment),
        api_blueprint(enrollment, register),
    ]


def desk_blueprint(enrollment: Enrollment) -> Blueprint:
    """The pages under ``/enrollment``, for staff who may enroll."""
    blueprint = Blueprint(
        "enrollment", __name__, url_prefix="/enrollment", template_folder="templates"
    )

    @blueprint.get("/")
    @require_role(*DESK_ROLES)
    def riders() -> str:
        shown = list_riders(enrollment)
        full = len(shown) == RIDERS_SHOWN_MAX
        return render_template("enrollment/riders.html", riders=shown, full=full)

    @blueprint.get("/new")
    @require_role(*DESK_ROLES)
    def new() -> str:
        return _form_page(enrollment, request.args)

    @blueprint.post("/new")
    @require_role(*DESK_ROLES)
    def enroll() -> Response | tuple[str, int]:
        try:
            form = read_form(_fields(request.form))
            enrolled = enroll_rider(enrollment, form, _photos(), _staff_name(), enrollment.clock())
        except EnrollmentRefused as error:
            return _form_page(enrollment, request.form, error.problems), 400
        return redirect(url_for("enrollment.rider", rider_id=enrolled.rider_id), 303)

    @blueprint.get("/riders/<rider_id>")
    @require_role(*DESK_ROLES)
    def rider(rider_id: str) -> str:
        found = find_rider(enrollment, rider_id)
        if found is None:
            abort(404)
        return render_template("enrollment/rider.html", found=found)

    @blueprint.post("/riders/<rider_id>/erase")
    @require_role(*DESK_ROLES)
    def erase(rider_id: str) -> Response:
        erase_rider(enrollment, rider_id)
        flash(
            f"Rider {rider_id} is erased: the data key, the template and the personal details "
            "are gone. Every gate follows within a minute."
        )
        return redirect(url_for("enrollment.riders"), 303)

    return blueprint


def _fields(form: MultiDict[str, str]) -> dict[str, Any]:
    """The form as the model names it; what was left empty is left out."""
    names = ("name", "category", "language", "age_group", "guardian", "consent_text")
    fields: dict[str, Any] = {name: form[name] for name in names if form.get(name, "").strip()}
    fields["stations"] = tuple(form.getlist("stations"))
    fields["consent_given"] = form.get("consent_given") == "yes"
    return fields


def _photos() -> list[bytes]:
    # A browser sends one nameless, empty file where none was chosen. One byte above the
    # limit is enough to refuse a photo.
    chosen = (upload for upload in request.files.getlist("photos") if upload.filename)
    return [upload.read(PHOTO_BYTES_MAX + 1) for upload in chosen]


def _staff_name() -> str:
    staff = signed_in()
    if staff is None:
        abort(403)
    return staff.name


def _form_page(
    enrollment: Enrollment, fields: MultiDict[str, str], problems: tuple[str, ...] = ()
) -> str:
    language = fields.get("language", DEFAULT_LANGUAGE)
    known = languages()
    return render_template(
        "enrollment/new.html",
        fields=fields,
        problems=problems,
        categories=CATEGORIES,
        languages=known,
        stations=enrollment.settings.stations,
        stations_max=STATIONS_MAX,
        photos_max=PHOTOS_MAX,
        photos_recommended=PHOTOS_RECOMMENDED,
        operator=enrollment.settings.operator,
        consent=current_consent(language if language in known else DEFAULT_LANGUAGE),
    )
