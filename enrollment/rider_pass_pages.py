"""The pass on the rider's phone: shown without a connection, kept there and nowhere else.

``/me/pass`` is the same page for everybody and holds no pass. A script on it takes the pass
from the address (``/me/pass#FF1:…``; what follows # is never sent to a server), keeps it in
the browser's own storage and draws the code. A service worker keeps the page itself.
"""

from __future__ import annotations

from pathlib import Path

from flask import Blueprint, Response, json, render_template, request, send_file, url_for
from flask_babel import gettext as _

from enrollment.consent_texts import current_consent
from enrollment.form import EnrollmentRefused
from enrollment.media import last_guardian
from enrollment.pass_pictures import as_pdf, as_svg
from enrollment.passes import IssuedPass, PassNotIssued
from enrollment.rider_media import change_medium, may_change_to, new_pass
from enrollment.rider_web import page_language, rider_guard, this_rider
from enrollment.store import Enrollment
from enrollment.words import pass_problem
from models.errors import FacefareError
from models.wire.passes import PassRefused

WORKER = Path(__file__).parent / "static" / "rider" / "worker.js"


def pass_pages(blueprint: Blueprint, enrollment: Enrollment) -> None:
    """The page, what makes it work offline, and the forms that issue a pass."""
    _offline_pages(blueprint, enrollment)
    _issuing_pages(blueprint, enrollment)


def _offline_pages(blueprint: Blueprint, enrollment: Enrollment) -> None:
    @blueprint.get("/pass")
    def show_pass() -> str:
        return render_template("rider/pass.html")

    @blueprint.get("/worker.js")
    def worker() -> Response:
        # Served from /me/, because a worker looks after the folder it comes from.
        return send_file(WORKER, mimetype="text/javascript")

    @blueprint.get("/manifest.webmanifest")
    def manifest() -> Response:
        icon = {"src": url_for("static", filename="mark.svg"), "type": "image/svg+xml"}
        answer = {
            "name": _("%(operator)s pass", operator=enrollment.settings.operator),
            "short_name": _("Pass"),
            "start_url": url_for("rider.show_pass"),
            "scope": "/me/",
            "display": "standalone",
            "background_color": "#ffffff",
            "theme_color": "#0b6e4f",
            "icons": [{**icon, "sizes": "any", "purpose": "any"}],
        }
        return _manifest(answer)


def _manifest(answer: dict[str, object]) -> Response:
    return Response(json.dumps(answer), content_type="application/manifest+json")


def _issuing_pages(blueprint: Blueprint, enrollment: Enrollment) -> None:
    signed_in = rider_guard(enrollment)

    @blueprint.post("/pass")
    @signed_in
    def issue() -> str | tuple[str, int]:
        try:
            return _issued(_new_pass(enrollment))
        except _REFUSALS as error:
            return _refused(error)

    @blueprint.post("/pass/paper")
    @signed_in
    def paper() -> Response | tuple[str, int]:
        try:
            issued, operator = _new_pass(enrollment), enrollment.settings.operator
            pdf = as_pdf(issued, operator, this_rider().rider_id)
        except _REFUSALS as error:
            return _refused(error)
        response = Response(pdf, content_type="application/pdf")
        response.headers["Content-Disposition"] = 'attachment; filename="pass.pdf"'
        return response

    @blueprint.get("/medium")
    @signed_in
    def medium() -> str:
        return _medium_page(enrollment)

    @blueprint.post("/medium")
    @signed_in
    def switch() -> str | tuple[str, int]:
        rider, fields = this_rider(), request.form
        wanted = next((m for m in may_change_to(rider) if m == fields.get("medium")), None)
        if wanted is None:
            return _refused(PassNotIssued(_("This change is made at the desk.")))
        if wanted == "face+pass" and last_guardian(enrollment, rider.rider_id) is not None:
            return _medium_page(enrollment), 409
        if wanted == "face+pass" and fields.get("agreed") != "yes":
            problem = _("Read the text and tick the box if you agree.")
            return _medium_page(enrollment, problem), 400
        text_id = fields.get("consent_text", "")
        try:
            return _issued(
                change_medium(
                    enrollment, rider, wanted, page_language(), text_id, enrollment.clock()
                )
            )
        except EnrollmentRefused as error:
            return _medium_page(enrollment, str(error)), 400
        except _REFUSALS as error:
            return _refused(error)


_REFUSALS = (PassNotIssued, PassRefused, EnrollmentRefused)


def _new_pass(enrollment: Enrollment) -> IssuedPass:
    fields = request.form
    return new_pass(
        enrollment,
        this_rider(),
        fields.get("pass", ""),
        fields.get("replaces", ""),
        enrollment.clock(),
    )


def _medium_page(enrollment: Enrollment, problem: str = "") -> str:
    rider = this_rider()
    return render_template(
        "rider/medium.html",
        rider=rider,
        changes=may_change_to(rider),
        guardian=last_guardian(enrollment, rider.rider_id),
        consent=current_consent(page_language(), "face+pass"),
        problem=problem,
    )


def _issued(issued: IssuedPass) -> str:
    """The pass, this once: the server forgets it with this page."""
    return render_template(
        "rider/issued.html", issued=issued, picture=as_svg(issued).decode("ascii")
    )


def _refused(error: FacefareError) -> tuple[str, int]:
    problem = pass_problem(error) if isinstance(error, PassRefused) else str(error)
    return render_template("rider/refused.html", problem=problem), 409
