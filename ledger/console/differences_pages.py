"""The queue of differences: filter, look into one, comment, hand over, resolve.

Each form carries the version of the difference it was made from. Where somebody else was
faster nothing is recorded: the page comes again as it is now, says so, marks what is new, and
keeps what was typed.
"""

from __future__ import annotations

from collections.abc import Callable
from urllib.parse import urlencode

from flask import Blueprint, abort, flash, redirect, render_template, request, url_for
from flask_babel import gettext as _
from werkzeug.wrappers import Response

from ledger.accounts import AccountError
from ledger.console.differences import AGES, STATES, beside, choices, evidence, queue
from ledger.console.filters import (
    FIELDS,
    FilterRefused,
    forget_filter,
    save_filter,
    saved_filters,
)
from ledger.console.roles import BOOKKEEPERS, READERS, who
from ledger.ledger import Ledger
from ledger.once import EntryRefused
from ledger.reconcile.closed import today
from ledger.reconcile.resolve import (
    DifferenceChanged,
    Proposed,
    ResolutionRefused,
    comment,
    hand_over,
    reasons_for,
    resolve,
)
from models.access.web import require_role
from models.database import reading
from models.tables.reconcile import DifferenceRow

Page = Response | str | tuple[str, int]


def differences_pages(blueprint: Blueprint, ledger: Ledger) -> None:
    """Add the queue, its saved filters and the page of one difference to the finance pages."""
    _queue_pages(blueprint, ledger)
    _one_difference(blueprint, ledger)


def _queue_pages(blueprint: Blueprint, ledger: Ledger) -> None:
    @blueprint.get("/differences")
    @require_role(*READERS)
    def differences() -> str:
        return _queue(ledger)

    @blueprint.post("/differences/filters")
    @require_role(*READERS)
    def keep_filter() -> Page:
        asked = {field: request.form.get(field, "") for field in FIELDS}
        try:
            save_filter(ledger, who(), request.form.get("name", ""), asked)
        except FilterRefused as error:
            return _queue(ledger, str(error)), 400
        return redirect(f"{url_for('finance.differences')}?{urlencode(asked)}", 303)

    @blueprint.post("/differences/filters/delete")
    @require_role(*READERS)
    def drop_filter() -> Response:
        forget_filter(ledger, who(), request.form.get("name", ""))
        return redirect(url_for("finance.differences"), 303)


def _queue(ledger: Ledger, trouble: str = "") -> str:
    asked = {"state": "open", **{field: request.values[field].strip()[:200]
             for field in FIELDS if field in request.values}}  # fmt: skip
    after, before = (request.args.get(side, "") for side in ("after", "before"))
    with reading(ledger.engine) as session:
        day = today(session, ledger.clock())
        queued = queue(session, asked, day, after=after, before=before)
        return render_template(
            "finance/differences.html",
            asked=asked,
            queued=queued,
            beside=beside(session, asked, day, queued),
            choices=choices(session),
            states=STATES,
            ages=AGES,
            saved=saved_filters(ledger, who()),
            trouble=trouble,
        )


def _one_difference(blueprint: Blueprint, ledger: Ledger) -> None:
    @blueprint.get("/differences/<difference_id>")
    @require_role(*READERS)
    def difference(difference_id: str) -> Page:
        return _shown(ledger, difference_id)

    @blueprint.post("/differences/<difference_id>/comment")
    @require_role(*READERS)
    def add_comment(difference_id: str) -> Page:
        return _change(ledger, difference_id, lambda version, words: comment(
            ledger, difference_id, version, words, who()))  # fmt: skip

    @blueprint.post("/differences/<difference_id>/owner")
    @require_role(*BOOKKEEPERS, "service")
    def change_owner(difference_id: str) -> Page:
        owner = request.form.get("owner", "")
        return _change(ledger, difference_id, lambda version, words: hand_over(
            ledger, difference_id, version, owner, who()))  # fmt: skip

    @blueprint.post("/differences/<difference_id>/resolve")
    @require_role(*BOOKKEEPERS)
    def close_difference(difference_id: str) -> Page:
        reason = request.form.get("reason", "")
        return _change(ledger, difference_id, lambda version, words: resolve(
            ledger, difference_id, version, reason, words, who()))  # fmt: skip


def _change(ledger: Ledger, difference_id: str, change: Callable[[int, str], object]) -> Page:
    """Make one change, at the version that was looked at."""
    version = request.form.get("version", -1, type=int)
    try:
        done = change(version, request.form.get("words", ""))
    except DifferenceChanged:
        return _shown(ledger, difference_id, seen=version), 409
    except (ResolutionRefused, EntryRefused, AccountError) as error:
        return _shown(ledger, difference_id, trouble=str(error)), 400
    if isinstance(done, Proposed):
        flash(_("This takes two persons: a colleague has to resolve it for the same reason."))
    else:
        flash(_("Recorded."))
    return redirect(url_for("finance.difference", difference_id=difference_id), 303)


def _shown(
    ledger: Ledger, difference_id: str, *, trouble: str = "", seen: int | None = None
) -> str:
    """The page of a difference; ``seen`` is the version that a form was made from too early."""
    with reading(ledger.engine) as session:
        row = session.get(DifferenceRow, difference_id)
        if row is None:
            abort(404)
        return render_template(
            "finance/difference.html",
            row=row,
            found=evidence(session, row),
            reasons=reasons_for(row),
            typed=request.form,
            trouble=trouble,
            seen=seen,
            bookkeepers=BOOKKEEPERS,
        )
