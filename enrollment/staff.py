"""The pages where staff sign in and out. Everything is one POST; nothing changes by GET."""

from __future__ import annotations

from flask import Blueprint, redirect, render_template, request, session
from werkzeug.wrappers import Response

from enrollment.store import Enrollment
from models.access.staff import SignInRefused, sign_in
from models.access.web import start_session

HOME = "/"


def staff_blueprint(enrollment: Enrollment) -> Blueprint:
    """``/staff/sign-in`` and ``/staff/sign-out``."""
    blueprint = Blueprint("staff", __name__, url_prefix="/staff", template_folder="templates")

    @blueprint.get("/sign-in", endpoint="sign_in")
    def show() -> str:
        return _page(request.args.get("next", HOME))

    @blueprint.post("/sign-in", endpoint="check_sign_in")
    def check() -> Response | tuple[str, int]:
        fields = request.form
        target = fields.get("next", HOME)
        name = fields.get("name", "").strip().lower()
        try:
            staff = sign_in(
                enrollment.access,
                name,
                fields.get("password", ""),
                fields.get("code", ""),
                enrollment.clock(),
            )
        except SignInRefused as error:
            return _page(target, problem=str(error), name=name), 401
        start_session(staff)
        return redirect(local_path(target), 303)

    @blueprint.post("/sign-out")
    def sign_out() -> Response:
        session.clear()
        return redirect("/staff/sign-in", 303)

    return blueprint


def _page(target: str, problem: str | None = None, name: str = "") -> str:
    return render_template(
        "enrollment/sign_in.html", next=local_path(target), problem=problem, name=name
    )


def local_path(target: str) -> str:
    """``target`` if it is a path on this server, else the home page.

    Browsers read ``//host``, ``/\\host`` and a path with a tab or line break in it as
    another server.
    """
    plain = target.isprintable() and "\\" not in target
    return target if plain and target.startswith("/") and not target.startswith("//") else HOME
