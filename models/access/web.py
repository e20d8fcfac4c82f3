"""The sign-in session and the gate token as Flask requests carry them.

Shared by the two applications so that a member of staff signs in once. The pages that
sign in live in enrollment; here is only what a handler asks: who is this, and may they?
The session's cookie holds a random token; what it stands for is in the access database.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from functools import wraps
from typing import ParamSpec, TypeVar

from flask import Flask, abort, current_app, g, make_response, redirect, request, session, url_for
from flask.typing import ResponseReturnValue
from sqlalchemy import Engine
from werkzeug.wrappers import Response

from models.access import sessions
from models.access.gates import GateRegister, RegisteredGate
from models.access.sessions import LiveSession
from models.access.staff import SignedIn
from models.wire.tokens import Request, TokenRefused, check_gate_token

SESSION_LIFETIME = sessions.IDLE_MAX

P = ParamSpec("P")
R = TypeVar("R", bound=ResponseReturnValue)


@dataclass(frozen=True, slots=True)
class _Kept:
    database: Engine
    clock: Callable[[], datetime]


def keep_sessions(app: Flask, database: Engine, clock: Callable[[], datetime]) -> None:
    """Let ``app`` keep its staff sessions in the access database."""
    app.extensions["staff_sessions"] = _Kept(database, clock)


def _kept() -> _Kept:
    kept = current_app.extensions.get("staff_sessions")
    if not isinstance(kept, _Kept):
        raise RuntimeError("this application keeps no staff sessions: call keep_sessions(app, …)")
    return kept


def start_session(staff: SignedIn) -> None:
    """Begin a new session for ``staff``; whatever the browser held before is dropped."""
    end_session()
    kept = _kept()
    session["staff"] = sessions.begin_session(kept.database, staff.name, kept.clock())
    session.permanent = True
    g.pop("live_session", None)


def end_session() -> None:
    """Sign this browser out, here and in the database."""
    token = session.get("staff")
    if token is not None:
        sessions.end_session(_kept().database, token)
    session.clear()
    g.pop("live_session", None)


def live_session() -> LiveSession | None:
    """The session of this request, looked up once."""
    if "live_session" not in g:
        token, g.live_session = session.get("staff"), None
        if token is not None:
            kept = _kept()
            g.live_session = sessions.find_session(kept.database, token, kept.clock())
            if g.live_session is None:
                session.clear()
    found: LiveSession | None = g.live_session
    return found


def signed_in() -> SignedIn | None:
    """The member of staff of this request, or None."""
    live = live_session()
    return None if live is None else live.staff


def require_role(*roles: str) -> Callable[[Callable[P, R]], Callable[P, R | Response]]:
    """Let a page be seen by staff who have one of ``roles``; ask others to sign in, or refuse."""

    def decorate(view: Callable[P, R]) -> Callable[P, R | Response]:
        @wraps(view)
        def guarded(*args: P.args, **kwargs: P.kwargs) -> R | Response:
            staff = signed_in()
            if staff is None:
                here = request.full_path.rstrip("?") if request.method == "GET" else "/"
                return redirect(url_for("staff.sign_in", next=here))
            if not staff.roles.intersection(roles):
                abort(403)
            return view(*args, **kwargs)

        return guarded

    return decorate


def require_fresh_code(back: str) -> Callable[[Callable[P, R]], Callable[P, R | Response]]:
    """Ask for a new one-time code before something dangerous, unless one was just given.

    Stands below ``require_role``. ``back`` is the endpoint of the page to go on from; what
    was posted is not kept.
    """

    def decorate(view: Callable[P, R]) -> Callable[P, R | Response]:
        @wraps(view)
        def guarded(*args: P.args, **kwargs: P.kwargs) -> R | Response:
            live = live_session()
            if live is None or _kept().clock() > live.confirmed_until:
                return redirect(url_for("staff.confirm", next=url_for(back)), 303)
            return view(*args, **kwargs)

        return guarded

    return decorate


def confirm_session() -> None:
    """The owner of this session has shown a fresh one-time code."""
    live = live_session()
    if live is not None:
        sessions.confirm_session(_kept().database, live.token, _kept().clock())
        g.pop("live_session", None)


def with_camera(view: Callable[P, R]) -> Callable[P, Response]:
    """Let this page, and no other, use the camera of the machine it is shown on."""

    @wraps(view)
    def allowed(*args: P.args, **kwargs: P.kwargs) -> Response:
        response = make_response(view(*args, **kwargs))
        response.headers["Permissions-Policy"] = "camera=(self), microphone=(), geolocation=()"
        return response

    return allowed


def local_path(target: str) -> str:
    """``target`` if it is a path on this server, else the home page.

    Browsers read ``//host``, ``/\\host`` and a path with a tab or line break in it as
    another server.
    """
    plain = target.isprintable() and "\\" not in target
    return target if plain and target.startswith("/") and not target.startswith("//") else "/"


def authenticate_gate(register: GateRegister, audience: str) -> RegisteredGate:
    """The gate that made this request, or ``TokenRefused``."""
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    if scheme != "Bearer" or not token:
        raise TokenRefused("the request carries no gate token")
    bound = Request(request.method, request.full_path.rstrip("?"), request.get_data())
    return check_gate_token(
        token, register.gate_by_key, audience, bound, register.clock(), register.use_once
    )
