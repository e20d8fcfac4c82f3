"""The desk's page where a rider's fare category is changed, and its days shown."""

from __future__ import annotations

from flask import Blueprint, flash, redirect, render_template, request, url_for
from flask_babel import gettext as _
from werkzeug.wrappers import Response

from enrollment.categories import CategoryForm, change_category
from enrollment.desk import DESK_ROLES, opened, staff_name
from enrollment.form import CATEGORIES, EnrollmentRefused
from enrollment.riders import RiderDetails
from enrollment.store import Enrollment
from models.access.web import require_role


def category_pages(blueprint: Blueprint, enrollment: Enrollment) -> None:
    """Add it to the desk's blueprint."""

    @blueprint.get("/riders/<rider_id>/category")
    @require_role(*DESK_ROLES)
    def category(rider_id: str) -> str:
        found, _case = opened(enrollment, rider_id, "category")
        return _page(enrollment, found, ())

    @blueprint.post("/riders/<rider_id>/category")
    @require_role(*DESK_ROLES)
    def choose_category(rider_id: str) -> Response | tuple[str, int]:
        found, _case = opened(enrollment, rider_id, "category")
        fields = request.form
        form = CategoryForm(
            fields.get("category", ""),
            fields.get("evidence_checked") == "yes",
            fields.get("until", "").strip(),
        )
        try:
            change_category(enrollment, found.rider, form, staff_name())
        except EnrollmentRefused as error:
            return _page(enrollment, found, error.problems), 400
        flash(_("The new category counts from tomorrow's first journey on."))
        return redirect(url_for("enrollment.category", rider_id=rider_id), 303)


def _page(enrollment: Enrollment, found: RiderDetails, problems: tuple[str, ...]) -> str:
    return render_template(
        "enrollment/category.html",
        found=found,
        problems=problems,
        fields=request.form,
        categories=CATEGORIES,
        days=enrollment.categories.ahead(found.rider.account_id),
    )
