"""The one place where errors become HTTP: problems (RFC 9457) for programs, a page for people."""

from __future__ import annotations

import logging

from flask import Flask, Response, jsonify, render_template, request
from flask_babel import gettext as _
from flask_wtf.csrf import CSRFError
from werkzeug.exceptions import HTTPException, SecurityError

from ledger.accounts import AccountError
from ledger.kept import CheckpointMoved, CheckpointRefused
from ledger.once import EntryConflict
from ledger.proving import NothingToProve
from models.database import DatabaseUnusable
from models.errors import FacefareError
from models.faces.errors import EngineUnavailable, ModelFileError
from models.vault import VaultError
from models.wire.tokens import TokenRefused

log = logging.getLogger(__name__)

_STATUS: tuple[tuple[type[FacefareError], int], ...] = (
    (TokenRefused, 401),
    (DatabaseUnusable, 503),
    (CheckpointRefused, 503),
    (CheckpointMoved, 503),
    (VaultError, 503),
    (EngineUnavailable, 503),
    (ModelFileError, 503),
    (EntryConflict, 409),
    (AccountError, 404),
    (NothingToProve, 404),
)


def status_of(error: FacefareError) -> int:
    """The HTTP status for ``error``; what is not listed was asked wrongly."""
    return next((status for kind, status in _STATUS if isinstance(error, kind)), 400)


def register(app: Flask) -> None:
    """Answer every error of this project and of HTTP itself in the form the caller reads."""

    @app.errorhandler(FacefareError)
    def ours(error: FacefareError) -> tuple[Response | str, int]:
        return _answer(type(error).__name__, str(error), status_of(error))

    @app.errorhandler(CSRFError)
    def forged(error: CSRFError) -> tuple[Response | str, int]:
        del error
        return _answer(
            "CSRFError", _("The form is too old or came from another page. Load it again."), 400
        )

    @app.errorhandler(SecurityError)
    def other_host(error: SecurityError) -> tuple[str, int, dict[str, str]]:
        # No page: what stands behind another name is not ours to show or to sign in to.
        del error
        sentence = "This server does not answer to that name; see 'hosts' in facefare.toml.\n"
        return sentence, 400, {"Content-Type": "text/plain; charset=utf-8"}

    @app.errorhandler(HTTPException)
    def http(error: HTTPException) -> tuple[Response | str, int]:
        return _answer(error.name, _plain(error), error.code or 500)

    @app.errorhandler(Exception)
    def unexpected(error: Exception) -> tuple[Response | str, int]:
        # The rule and not the path, in which a one-time link's token or a rider's reference stands.
        log.exception("unexpected error in %s %s", request.method, request.url_rule)
        del error
        return _answer(
            "InternalError", _("The server made a mistake; it is logged. Try again later."), 500
        )


def _plain(error: HTTPException) -> str:
    said: dict[int, str] = {
        403: _("Your role does not allow this."),
        404: _("There is nothing at this address."),
        405: _("This address cannot be used in this way."),
        413: _("What you sent is too large."),
    }
    return said.get(error.code or 500, error.description or error.name)


def _answer(title: str, detail: str, status: int) -> tuple[Response | str, int]:
    if request.path.startswith(("/api/", "/log/", "/health")):
        response = jsonify(type="about:blank", title=title, detail=detail, status=status)
        response.mimetype = "application/problem+json"
        return response, status
    return render_template("problem.html", detail=detail, status=status), status
