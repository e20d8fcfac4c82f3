"""The page where a rider is enrolled, the consent texts to print, and the pass that comes of it.

Photos arrive as files in the form: chosen on a disk, or put there by the page's script from
the frames that ``enrollment.capture`` found good. Handlers translate between requests and
the use cases; nothing is decided here.
"""

from __future__ import annotations

import base64
import io
import secrets
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from flask import Blueprint, abort, flash, redirect, render_template, request, url_for
from flask_babel import get_locale
from flask_babel import gettext as _
from PIL import Image
from werkzeug.datastructures import MultiDict
from werkzeug.wrappers import Response

from enrollment.access_log import looks_since, record_looks
from enrollment.cases import ENROLLED_NOW, LOOKS_ALIKE, TWIN, Case, open_cases
from enrollment.consent_texts import NoConsentText, consent_text, current_consent, languages
from enrollment.desk import DESK_ROLES, looked, staff_name
from enrollment.duplicates import NOT_ASKED, Alike, AlreadyEnrolled, Approval
from enrollment.enroll import FormUsed, enroll_rider
from enrollment.form import CATEGORIES, MEDIA, STATIONS_MAX, EnrollmentRefused, read_form
from enrollment.hands_free import full_stations, riders_max
from enrollment.likeness import Likeness
from enrollment.pass_pictures import as_pdf, as_png, as_svg
from enrollment.passes import IssuedPass
from enrollment.photos import PHOTO_BYTES_MAX, PhotoRefused, read_photo
from enrollment.start_codes import START_PATH, StartCode
from enrollment.start_sheet import start_sheet
from enrollment.store import Enrollment
from enrollment.templating import PHOTOS_MAX, PHOTOS_RECOMMENDED
from models.access.sign_in import SignInRefused, confirm
from models.access.web import require_role, with_camera
from models.database import reading
from models.faces.operating_points import NoOperatingPoint

DEFAULT_LANGUAGE = "en"
SECOND_ROLES = ("service", "admin")
"""Who may confirm, besides the member of staff at the desk, that two who look alike are two."""

NAMED_A_DAY_MAX = 50
"""Riders whom a new face resembles, shown to one member of staff."""

_SHOWN_PX = 320


def form_pages(blueprint: Blueprint, enrollment: Enrollment) -> None:
    """Enrolling, and the consent texts."""

    @blueprint.get("/new")
    @require_role(*DESK_ROLES)
    @with_camera
    def new() -> str:
        return _form_page(enrollment, request.args)

    @blueprint.post("/new")
    @require_role(*DESK_ROLES)
    @with_camera
    def enroll() -> Response | str | tuple[str, int]:
        photos = sent_photos()
        try:
            if photos:
                check_named(enrollment)
            form = read_form(_fields(request.form))
            approval = read_approval(enrollment)
            enrolled = enroll_rider(
                enrollment, form, photos, staff_name(), enrollment.clock(), approval
            )
        except FormUsed as error:
            flash(str(error))
            return redirect(url_for("enrollment.rider", rider_id=error.rider_id), 303)
        except AlreadyEnrolled as error:
            alike = show_alike(enrollment, error, photos)
            return _form_page(enrollment, request.form, error.problems, alike), 400
        except EnrollmentRefused as error:
            return _form_page(enrollment, request.form, error.problems), 400
        remember_twins(enrollment, enrolled.alike, approval)
        staff, now = staff_name(), enrollment.clock()
        open_cases(enrollment.riders, staff, [enrolled.rider_id], Case(ENROLLED_NOW), now)
        if enrolled.issued is not None or enrolled.start is not None:
            return papers_page(enrollment, enrolled.rider_id, enrolled.issued, enrolled.start)
        return redirect(url_for("enrollment.rider", rider_id=enrolled.rider_id), 303)

    @blueprint.get("/consent/<text_id>")
    def consent(text_id: str) -> str:
        try:
            text = consent_text(text_id)
        except NoConsentText:
            abort(404)
        return render_template(
            "enrollment/consent.html", consent=text, operator=enrollment.settings.operator
        )


def _fields(form: MultiDict[str, str]) -> dict[str, Any]:
    """The form as the model names it; what was left empty is left out."""
    names = (
        "name", "category", "language", "age_group", "guardian", "phone_digits", "pin",
        "pin_again", "medium", "consent_text", "form_id",
    )  # fmt: skip
    fields: dict[str, Any] = {name: form[name] for name in names if form.get(name, "").strip()}
    fields["stations"] = tuple(form.getlist("stations"))
    fields["evidence_checked"] = form.get("evidence_checked") == "yes"
    fields["consent_given"] = form.get("consent_given") == "yes"
    return fields


def sent_photos() -> list[bytes]:
    """The photos of this request."""
    # A browser sends one nameless, empty file where none was chosen. One byte above the
    # limit is enough to refuse a photo.
    chosen = (upload for upload in request.files.getlist("photos") if upload.filename)
    return [upload.read(PHOTO_BYTES_MAX + 1) for upload in chosen]


def check_named(enrollment: Enrollment) -> None:
    """Refuse a new face from staff to whom too many riders were named within a day.

    Whoever tries the photographs of people they meet would learn who rides.
    """
    since = enrollment.clock() - timedelta(days=1)
    if looks_since(enrollment.access_log, staff_name(), LOOKS_ALIKE, since) >= NAMED_A_DAY_MAX:
        raise EnrollmentRefused(
            _(
                "Within a day you were shown %(max)s riders whom a new face resembles. "
                "Let a colleague take this face, or take it tomorrow.",
                max=NAMED_A_DAY_MAX,
            )
        )


def read_approval(enrollment: Enrollment) -> Approval:
    """What staff said of the riders whom the face resembles; a second one shows a fresh code.

    Raises ``EnrollmentRefused`` where the second may not confirm this.
    """
    fields = request.form
    if fields.get("is_other") != "yes":
        return NOT_ASKED
    second = fields.get("second_name", "").strip().lower()
    if second:
        _check_second(enrollment, second, fields.get("second_code", ""))
    return Approval(
        frozenset(fields.getlist("other_than")), second or None, fields.get("is_twin") == "yes"
    )


def _check_second(enrollment: Enrollment, second: str, code: str) -> None:
    problem = _(
        "Another member of staff, from the service desk or an admin, has to confirm it with "
        "their own name and a one-time code."
    )
    if second == staff_name():
        raise EnrollmentRefused(problem)
    try:
        member = confirm(enrollment.staff, second, code, request.remote_addr, enrollment.clock())
    except SignInRefused as error:
        raise EnrollmentRefused(problem) from error
    if member.roles.isdisjoint(SECOND_ROLES):
        raise EnrollmentRefused(problem)


def show_alike(
    enrollment: Enrollment, error: AlreadyEnrolled, photos: Sequence[bytes]
) -> dict[str, Any]:
    """What the page says of them, after the access entries: no photo of anybody is kept, so
    the only picture beside the names is the new one."""
    rider_ids = [alike.rider.rider_id for alike in error.found]
    looked(enrollment, rider_ids, "enroll", Case(LOOKS_ALIKE))
    return {
        "found": error.found,
        "needs_second": error.needs_second,
        "picture": _picture(photos[0]) if photos else None,
        "same": Likeness.SAME,
    }


def remember_twins(enrollment: Enrollment, alike: Sequence[Alike], approval: Approval) -> None:
    """Write down for those riders who said that somebody else is not them."""
    note = "" if approval.second is None else f"+ {approval.second}"
    record_looks(
        enrollment.access_log,
        [found.rider.rider_id for found in alike],
        staff_name(),
        "enroll",
        Case(TWIN, note),
        enrollment.clock(),
    )


def papers_page(
    enrollment: Enrollment,
    rider_id: str,
    issued: IssuedPass | None = None,
    start: StartCode | None = None,
) -> str:
    """What the rider takes home, this once: neither the pass nor the start code is kept here."""
    operator = enrollment.settings.operator
    papers: dict[str, str] = {}
    if issued is not None:
        papers["svg"] = _data_uri("image/svg+xml", as_svg(issued))
        papers["png"] = _data_uri("image/png", as_png(issued))
        papers["pdf"] = _data_uri("application/pdf", as_pdf(issued, operator, rider_id))
    if start is not None:
        server = enrollment.settings.public_url or request.host_url
        sheet = start_sheet(start, rider_id, operator, server.rstrip("/") + START_PATH)
        papers["sheet"] = _data_uri("application/pdf", sheet)
    return render_template(
        "enrollment/papers.html", rider_id=rider_id, issued=issued, start=start, **papers
    )


def face_choices(enrollment: Enrollment, but_for: str | None = None) -> dict[str, Any]:
    """What the pages that take photos need to know besides the form."""
    try:
        most = riders_max(enrollment.engine_id)
        with reading(enrollment.riders) as session:
            full = full_stations(enrollment, session, but_for)
    except NoOperatingPoint:
        most, full = 0, frozenset(enrollment.settings.stations)
    return {
        "stations": enrollment.settings.stations,
        "stations_max": STATIONS_MAX,
        "full": full,
        "riders_max": most,
        "photos_max": PHOTOS_MAX,
        "photos_recommended": PHOTOS_RECOMMENDED,
        "operator": enrollment.settings.operator,
    }


def chosen_language(fields: MultiDict[str, str]) -> str:
    """The language of the consent text: the rider's, else that of the page."""
    language = fields.get("language", str(get_locale() or DEFAULT_LANGUAGE))
    return language if language in languages() else DEFAULT_LANGUAGE


def _form_page(
    enrollment: Enrollment,
    fields: MultiDict[str, str],
    problems: tuple[str, ...] = (),
    alike: dict[str, Any] | None = None,
) -> str:
    medium = fields.get("medium", "face")
    medium = medium if medium in MEDIA else "face"
    return render_template(
        "enrollment/new.html",
        fields=fields,
        problems=problems,
        alike=alike,
        media=MEDIA,
        medium=medium,
        categories=CATEGORIES,
        languages=languages(),
        consent=current_consent(chosen_language(fields), medium),
        form_id=fields.get("form_id") or secrets.token_hex(16),
        **face_choices(enrollment),
    )


def _picture(photo: bytes) -> str | None:
    """The new photo, small, for this one page; None for what is no photo."""
    try:
        image = Image.fromarray(read_photo(photo))
    except PhotoRefused:
        return None
    image.thumbnail((_SHOWN_PX, _SHOWN_PX))
    out = io.BytesIO()
    image.save(out, "JPEG", quality=85)
    return _data_uri("image/jpeg", out.getvalue())


def _data_uri(kind: str, data: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(data).decode()}"
