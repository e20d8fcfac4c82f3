"""The sign-in session and the gate token as Flask requests carry them.

Shared by the two applications so that a member of staff signs in once. The pages that
sign in live in enrollment; here is only what a handler asks: who is this, and may they?
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import wraps
from typing import ParamSpec, TypeVar

from flask import abort, redirect, request, session, url_for
from werkzeug.wrappers import Response

from models.access.gates import GateRegister, RegisteredGate
from models.access.staff import SignedIn
from models.wire.tokens import Request, TokenRefused, check_gate_token

SESSION_LIFETIME = timedelta(minutes=30)

P = ParamSpec("P")
R = TypeVar("R")


def start_session(staff: SignedIn) -> None:
    """Begin a new session for ``staff``; whatever the browser held before is dropped."""
    session.clear()
    session["staff"] = staff.name
    session["roles"] = sorted(staff.roles)
    session["since"] = datetime.now(UTC).isoformat()
    session.permanent = True


def signed_in() -> SignedIn | None:
    """The member of staff of this request, or None."""
    since = session.get("since")
    if "staff" not in session or since is None:
        return None
    if datetime.now(UTC) - datetime.fromisoformat(since) > SESSION_LIFETIME:
        session.clear()
        return None
    return SignedIn(name=session["staff"], roles=frozenset(session["roles"]))


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


def authenticate_gate(register: GateRegister, audience: str) -> RegisteredGate:
    """The gate that made this request, or ``TokenRefused``."""
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    if scheme != "Bearer" or not token:
        raise TokenRefused("the request carries no gate token")
    bound = Request(request.method, request.full_path.rstrip("?"), request.get_data())
    name = check_gate_token(
        token, register.key_by_id, audience, bound, register.clock(), register.use_once
    )
    gate = register.gate(name)
    if gate is None:
        raise TokenRefused(f"the gate {name} is not registered")
    return gate
