"""Statements of the processor and the bank: upload one, see what was imported; and exports."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from datetime import date
from pathlib import Path

from flask import Blueprint, Response, flash, redirect, render_template, request, url_for
from flask_babel import gettext as _
from sqlalchemy import select
from sqlmodel import col
from werkzeug.wrappers import Response as Answer

from ledger.console.roles import BOOKKEEPERS, EXPORTERS, READERS
from ledger.exports.export import ENDINGS, FORMATS, export
from ledger.exports.lines import ExportRefused, Span
from ledger.ledger import Ledger
from ledger.reconcile.closed import today
from ledger.reconcile.importing import import_statement
from ledger.reconcile.statements.lines import StatementRefused
from ledger.reconcile.statements.profiles import PROFILES
from models.access.staff import SignedIn
from models.access.web import require_role
from models.database import reading
from models.tables.reconcile import StatementRow

_SHOWN = 50
EXPORT_DAYS_MAX = 31
"""What a browser waits for; more is for ``facefare ledger export``."""

STATEMENT_BYTES_MAX = 64 * 1024 * 1024
"""What is taken from a browser, held in memory; more is for ``facefare reconcile import``."""

_PIECE = 1 << 16
Page = Answer | str | tuple[str, int]


def may_import(staff: SignedIn | None) -> bool:
    """Whether a member of staff may send files as long as that."""
    return staff is not None and not staff.roles.isdisjoint(BOOKKEEPERS)


def statements_pages(blueprint: Blueprint, ledger: Ledger) -> None:
    """Add the statements and the exports to the finance pages."""

    @blueprint.get("/statements")
    @require_role(*READERS)
    def statements() -> str:
        return _shown(ledger)

    @blueprint.post("/statements")
    @require_role(*BOOKKEEPERS)
    def upload_statement() -> Page:
        file = request.files.get("file")
        if file is None or not file.filename:
            return _shown(ledger, _("Choose a file.")), 400
        profile = request.form.get("profile", "")
        try:
            done = import_statement(
                ledger, file.read(), file.filename, profile if profile in PROFILES else None
            )
        except StatementRefused as error:
            return _shown(ledger, str(error)), 400
        flash(_("This file was imported before; nothing was added.") if done.replayed
              else _("%(lines)s lines, %(new)s new, %(entries)s entries booked.",
                     lines=done.lines, new=done.new, entries=done.entries))  # fmt: skip
        return redirect(url_for("finance.statements"), 303)

    @blueprint.get("/export")
    @require_role(*EXPORTERS)
    def download_export() -> Page:
        kind = request.args.get("format", "")
        try:
            span = _short(request.args.get("from", ""), request.args.get("to", ""))
            return _made(ledger, kind, span)
        except ExportRefused as error:
            return _shown(ledger, str(error)), 400


def _shown(ledger: Ledger, trouble: str = "") -> str:
    with reading(ledger.engine) as session:
        query = select(StatementRow).order_by(col(StatementRow.imported_at).desc()).limit(_SHOWN)
        return render_template(
            "finance/statements.html",
            statements=list(session.execute(query).scalars()),
            profiles=list(PROFILES),
            formats=FORMATS,
            today=today(session, ledger.clock()),
            days_max=EXPORT_DAYS_MAX,
            bookkeepers=BOOKKEEPERS,
            exporters=EXPORTERS,
            trouble=trouble,
        )


def _short(first: str, last: str) -> Span:
    """The days between two, if they are few enough for a browser to wait for."""
    if not first or not last:
        raise ExportRefused("name the first and the last day")
    span = Span(first, last)
    if (date.fromisoformat(last) - date.fromisoformat(first)).days >= EXPORT_DAYS_MAX:
        raise ExportRefused(
            f"here at most {EXPORT_DAYS_MAX} days are exported; for more there is "
            "'facefare ledger export'"
        )
    return span


def _made(ledger: Ledger, kind: str, span: Span) -> Response:
    """The export as a download; its file is gone once it was opened for sending."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "export"
        export(ledger, kind, path, span)
        size, file = path.stat().st_size, os.open(path, os.O_RDONLY)
    name = f"ledger-{span.first}-{span.last}.{ENDINGS.get(kind, kind)}"
    headers = {"Content-Disposition": f'attachment; filename="{name}"', "Content-Length": str(size)}
    return Response(_pieces(file), content_type="application/octet-stream", headers=headers)


def _pieces(file: int) -> Iterator[bytes]:
    with os.fdopen(file, "rb") as opened:
        while piece := opened.read(_PIECE):
            yield piece
