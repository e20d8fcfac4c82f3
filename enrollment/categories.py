"""The rider's fare category: proved at the desk, kept by the ledger, by service days.

A change counts from tomorrow's service day on, so that no ride of today changes its price. A
reduced fare ends when the fares say that a proof ends, or sooner with the proof itself; then
the rider pays the full fare until they prove it again. No copy of the proof is kept, only who
saw it.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

from flask_babel import gettext as _

from enrollment.category_port import CategoryKept
from enrollment.form import CATEGORIES, FULL_FARE, EnrollmentRefused
from enrollment.store import Enrollment
from models.database import writing
from models.tables.riders import Rider


@dataclass(frozen=True, slots=True)
class CategoryForm:
    """What staff chose, and whether they saw a proof and until when it is good."""

    category: str
    evidence_checked: bool
    until: str = ""


def change_category(enrollment: Enrollment, rider: Rider, form: CategoryForm, staff: str) -> None:
    """Give the rider another category from tomorrow on; raise ``EnrollmentRefused``."""
    today = enrollment.categories.ahead(rider.account_id)[0].first
    until = _check(form, today)
    try:
        enrollment.categories.change(rider.account_id, form.category, staff, until)
    except CategoryKept as error:
        raise EnrollmentRefused(
            _("This rider has no fare account any more; ask finance before you go on.")
        ) from error
    with writing(enrollment.riders) as session:
        row = session.get(Rider, rider.rider_id)
        if row is None:
            raise EnrollmentRefused(
                _("There is no rider %(reference)s; check the reference.", reference=rider.rider_id)
            )
        row.category = form.category
        row.evidence_by = None if form.category == FULL_FARE else staff
        session.add(row)


def _check(form: CategoryForm, today: date) -> date | None:
    """The last day of the proof, or None; raise ``EnrollmentRefused`` with every fault."""
    problems, until = [], None
    if form.category not in CATEGORIES:
        problems.append(_("Choose the rider's category from the list."))
    if form.category != FULL_FARE and not form.evidence_checked:
        problems.append(
            _("Look at the evidence for the reduced fare, and say that you did. Keep no copy.")
        )
    try:
        until = date.fromisoformat(form.until) if form.until else None
    except ValueError:
        problems.append(_("Write the last day of the evidence as year-month-day, or nothing."))
    if until is not None and until <= today:
        problems.append(_("The evidence has to be good tomorrow at least, when the change begins."))
    if problems:
        raise EnrollmentRefused(*problems)
    return None if form.category == FULL_FARE else until
