"""What staff do with a rider's record: passes, the medium, new photos, freezing, a new PIN.

Every action asks for an open case, writes its access entry, and then acts.
"""

from __future__ import annotations

from typing import Any

from flask import Blueprint, flash, redirect, render_template, request, url_for
from flask_babel import gettext as _
from werkzeug.wrappers import Response

from enrollment.consent_texts import current_consent, languages
from enrollment.desk import DESK_ROLES, opened, staff_name
from enrollment.duplicates import AlreadyEnrolled
from enrollment.erase import erase_rider
from enrollment.form import EnrollmentRefused, read_face_form, read_pin
from enrollment.form_pages import (
    check_named,
    chosen_language,
    face_choices,
    papers_page,
    read_approval,
    remember_twins,
    sent_photos,
    show_alike,
)
from enrollment.freeze import freeze_rider, thaw_rider
from enrollment.media import (
    carry_face,
    last_guardian,
    pass_only,
    reissue,
    revoke,
    take_face,
)
from enrollment.passes import PassNotIssued
from enrollment.riders import RiderDetails
from enrollment.start_codes import new_start_code, set_pin
from enrollment.store import Enrollment
from models.access.web import require_role, with_camera

FACE_MEDIA = ("face", "face+pass")


def action_pages(blueprint: Blueprint, enrollment: Enrollment) -> None:
    """The buttons of a rider's record."""
    _pass_actions(blueprint, enrollment)
    _photo_pages(blueprint, enrollment)
    _rider_actions(blueprint, enrollment)


def _pass_actions(blueprint: Blueprint, enrollment: Enrollment) -> None:
    @blueprint.post("/riders/<rider_id>/pass")
    @require_role(*DESK_ROLES)
    def new_pass(rider_id: str) -> Response | str:
        opened(enrollment, rider_id, "pass")
        try:
            issued = reissue(
                enrollment, rider_id, request.form.get("replaces", ""), enrollment.clock()
            )
        except (EnrollmentRefused, PassNotIssued) as error:
            return _back(rider_id, str(error))
        return papers_page(enrollment, rider_id, issued)

    @blueprint.post("/riders/<rider_id>/revoke")
    @require_role(*DESK_ROLES)
    def revoke_pass(rider_id: str) -> Response:
        opened(enrollment, rider_id, "pass")
        try:
            revoke(enrollment, rider_id, enrollment.clock())
        except EnrollmentRefused as error:
            return _back(rider_id, str(error))
        return _back(rider_id, _("The pass is revoked: it opens nothing any more."))

    @blueprint.post("/riders/<rider_id>/pass-only")
    @require_role(*DESK_ROLES)
    def without_face(rider_id: str) -> Response | str:
        opened(enrollment, rider_id, "medium")
        try:
            issued = pass_only(enrollment, rider_id, enrollment.clock())
        except EnrollmentRefused as error:
            return _back(rider_id, str(error))
        return papers_page(enrollment, rider_id, issued)


def _photo_pages(blueprint: Blueprint, enrollment: Enrollment) -> None:
    @blueprint.get("/riders/<rider_id>/photos")
    @require_role(*DESK_ROLES)
    @with_camera
    def photos(rider_id: str) -> str:
        found, _case = opened(enrollment, rider_id, "photos")
        return _photo_page(enrollment, found, ())

    @blueprint.post("/riders/<rider_id>/photos")
    @require_role(*DESK_ROLES)
    @with_camera
    def take_photos(rider_id: str) -> Response | str | tuple[str, int]:
        found, _case = opened(enrollment, rider_id, "photos")
        sent, staff, now = sent_photos(), staff_name(), enrollment.clock()
        try:
            if sent:
                check_named(enrollment)
            form = read_face_form(_face_fields(found))
            if not sent and form.medium == "face+pass" and found.rider.medium == "face":
                issued = carry_face(enrollment, rider_id, form, staff, now)
                return papers_page(enrollment, rider_id, issued)
            approval = read_approval(enrollment)
            carrying, alike = take_face(enrollment, rider_id, form, sent, staff, now, approval)
        except AlreadyEnrolled as error:
            shown = show_alike(enrollment, error, sent)
            return _photo_page(enrollment, found, error.problems, shown), 400
        except EnrollmentRefused as error:
            return _photo_page(enrollment, found, error.problems), 400
        except PassNotIssued as error:
            return _photo_page(enrollment, found, (str(error),)), 400
        remember_twins(enrollment, alike, approval)
        if carrying is not None:
            return papers_page(enrollment, rider_id, carrying)
        return _back(rider_id, _("The new template is in use."))


def _rider_actions(blueprint: Blueprint, enrollment: Enrollment) -> None:
    @blueprint.post("/riders/<rider_id>/freeze")
    @require_role(*DESK_ROLES)
    def freeze(rider_id: str) -> Response:
        opened(enrollment, rider_id, "freeze")
        try:
            freeze_rider(enrollment, rider_id, enrollment.clock())
        except EnrollmentRefused as error:
            return _back(rider_id, str(error))
        return _back(rider_id, _("Frozen: no gate opens for this rider, and the pass is revoked."))

    @blueprint.post("/riders/<rider_id>/thaw")
    @require_role(*DESK_ROLES)
    def thaw(rider_id: str) -> Response:
        opened(enrollment, rider_id, "freeze")
        try:
            thaw_rider(enrollment, rider_id)
        except EnrollmentRefused as error:
            return _back(rider_id, str(error))
        return _back(rider_id, _("The rider may ride again. A pass has to be issued anew."))

    @blueprint.post("/riders/<rider_id>/pin")
    @require_role(*DESK_ROLES)
    def new_pin(rider_id: str) -> Response:
        opened(enrollment, rider_id, "pin")
        names = ("pin", "pin_again")
        try:
            set_pin(enrollment, rider_id, read_pin({n: request.form.get(n, "") for n in names}))
        except EnrollmentRefused as error:
            return _back(rider_id, str(error))
        return _back(rider_id, _("The new PIN is in use."))

    @blueprint.post("/riders/<rider_id>/start-code")
    @require_role(*DESK_ROLES)
    def start_code(rider_id: str) -> Response | str:
        opened(enrollment, rider_id, "pin")
        try:
            start = new_start_code(enrollment, rider_id, enrollment.clock())
        except EnrollmentRefused as error:
            return _back(rider_id, str(error))
        return papers_page(enrollment, rider_id, start=start)

    @blueprint.post("/riders/<rider_id>/erase")
    @require_role(*DESK_ROLES)
    def erase(rider_id: str) -> Response:
        opened(enrollment, rider_id, "erase")
        erase_rider(enrollment, rider_id)
        flash(
            _(
                "Rider %(reference)s is erased: the data key, the template and the personal "
                "details are gone. Every gate follows within a minute.",
                reference=rider_id,
            )
        )
        return redirect(url_for("enrollment.riders"), 303)


def _back(rider_id: str, message: str) -> Response:
    flash(message)
    return redirect(url_for("enrollment.rider", rider_id=rider_id), 303)


def _face_fields(found: RiderDetails) -> dict[str, Any]:
    form = request.form
    names = ("medium", "language", "age_group", "guardian", "consent_text")
    fields: dict[str, Any] = {name: form[name] for name in names if form.get(name, "").strip()}
    fields["stations"] = tuple(form.getlist("stations"))
    fields["consent_given"] = form.get("consent_given") == "yes"
    return fields


def _photo_page(
    enrollment: Enrollment,
    found: RiderDetails,
    problems: tuple[str, ...],
    alike: dict[str, Any] | None = None,
) -> str:
    fields = request.values
    medium = fields.get("medium", found.rider.medium)
    medium = medium if medium in FACE_MEDIA else "face"
    language = chosen_language(fields) if "language" in fields else found.rider.language
    language = language if language in languages() else "en"
    return render_template(
        "enrollment/photos.html",
        found=found,
        fields=fields,
        problems=problems,
        alike=alike,
        medium=medium,
        chosen=fields.getlist("stations") or found.station_names,
        keeps=found.rider.medium == "face",
        guardian=last_guardian(enrollment, found.rider.rider_id),
        consent=current_consent(language, medium),
        **face_choices(enrollment, found.rider.rider_id),
    )
