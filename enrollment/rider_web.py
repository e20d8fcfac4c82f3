"""The rider's session as Flask requests carry it: a cookie of its own, beside that of staff.

The cookie holds a random token and is sent to the rider's pages only. A session of staff does
not open these pages, nor this one theirs.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar

from flask import Blueprint, current_app, g, redirect, request, url_for
from flask.typing import ResponseReturnValue
from flask_babel import get_locale
from werkzeug.wrappers import Response

from enrollment.consent_texts import languages
from enrollment.rider_sign_in import (
    LIFETIME_MAX,
    SignedInRider,
    begin_rider_session,
    end_rider_session,
    find_rider_session,
)
from enrollment.store import Enrollment
from models.tables.riders import Rider

P = ParamSpec("P")
R = TypeVar("R", bound=ResponseReturnValue)

POLICY = (
    "default-src 'none'; style-src 'self'; img-src 'self' data:; script-src 'self'; "
    "connect-src 'self'; manifest-src 'self'; worker-src 'self'; form-action 'self'; "
    "frame-ancestors 'none'; base-uri 'none'"
)


def _cookie() -> str:
    return "__Host-rider" if current_app.config["SESSION_COOKIE_SECURE"] else "rider"


def start_rider_session(enrollment: Enrollment, rider_id: str, response: Response) -> None:
    """Sign the rider in with ``response``; whatever session the browser held before ends."""
    end_session_of_request(enrollment)
    token = begin_rider_session(enrollment, rider_id, enrollment.clock())
    response.set_cookie(
        _cookie(),
        token,
        max_age=int(LIFETIME_MAX.total_seconds()),
        secure=bool(current_app.config["SESSION_COOKIE_SECURE"]),
        httponly=True,
        samesite="Lax",
    )


def stop_rider_session(enrollment: Enrollment, response: Response) -> None:
    """Sign this browser out."""
    end_session_of_request(enrollment)
    secure = bool(current_app.config["SESSION_COOKIE_SECURE"])
    response.delete_cookie(_cookie(), secure=secure, httponly=True, samesite="Lax")


def end_session_of_request(enrollment: Enrollment) -> None:
    """Delete the row of the session that came with this request."""
    token = request.cookies.get(_cookie())
    if token:
        end_rider_session(enrollment, token)


def rider_guard(
    enrollment: Enrollment,
) -> Callable[[Callable[P, R]], Callable[P, R | Response]]:
    """A decorator: this page is for a rider who is signed in, and shows their own things."""

    def guard(view: Callable[P, R]) -> Callable[P, R | Response]:
        @wraps(view)
        def guarded(*args: P.args, **kwargs: P.kwargs) -> R | Response:
            token = request.cookies.get(_cookie(), "")
            found = find_rider_session(enrollment, token, enrollment.clock()) if token else None
            if found is None:
                return redirect(url_for("rider.sign_in"), 303)
            g.signed_in_rider = found
            return view(*args, **kwargs)

        return guarded

    return guard


def this_rider() -> Rider:
    """The rider of this request; the page has a ``rider_guard``."""
    found: SignedInRider = g.signed_in_rider
    return found.rider


def page_language() -> str:
    """The language of the page, in which the rider reads a consent text."""
    code = str(get_locale() or "en")[:2]
    return code if code in languages() else "en"


def protect(blueprint: Blueprint) -> None:
    """Let the pages have a service worker and a manifest, which no other page has."""

    @blueprint.after_request
    def policy(response: Response) -> Response:
        response.headers["Content-Security-Policy"] = POLICY
        return response
