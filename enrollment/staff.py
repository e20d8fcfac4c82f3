"""The pages of every member of staff: the one-time link, sign-in and out, the own account.

Everything that changes something is a POST.
"""

from __future__ import annotations

import segno
from flask import Blueprint, flash, redirect, render_template, request
from flask_babel import gettext as _
from werkzeug.wrappers import Response

from enrollment.store import Enrollment
from models.access import recovery
from models.access.invitations import accept_invitation, find_invitation
from models.access.sign_in import SignInRefused, confirm, sign_in
from models.access.staff import (
    PASSWORD_CHARACTERS_MAX,
    PASSWORD_CHARACTERS_MIN,
    ROLES,
    SignedIn,
    StaffError,
    StaffRegister,
    end_sessions_of,
)
from models.access.web import (
    confirm_session,
    end_session,
    local_path,
    require_fresh_code,
    require_role,
    signed_in,
    start_session,
)
from models.database import reading, writing


def staff_blueprint(enrollment: Enrollment) -> Blueprint:
    """The pages under ``/staff`` that need no admin."""
    blueprint = Blueprint("staff", __name__, url_prefix="/staff", template_folder="templates")
    _sign_in_pages(blueprint, enrollment)
    _join_pages(blueprint, enrollment)
    _confirm_pages(blueprint, enrollment)
    _account_pages(blueprint, enrollment.staff)
    return blueprint


def _sign_in_pages(blueprint: Blueprint, enrollment: Enrollment) -> None:
    @blueprint.get("/sign-in", endpoint="sign_in")
    def show() -> str:
        return _sign_in_page(request.args.get("next", "/"))

    @blueprint.post("/sign-in", endpoint="check_sign_in")
    def check() -> Response | tuple[str, int]:
        fields = request.form
        target = fields.get("next", "/")
        name = fields.get("name", "").strip().lower()
        try:
            staff = sign_in(
                enrollment.staff,
                name,
                fields.get("password", ""),
                fields.get("code", ""),
                request.remote_addr,
                enrollment.clock(),
            )
        except SignInRefused as error:
            return _sign_in_page(target, problem=str(error), name=name), 401
        start_session(staff)
        return redirect(local_path(target), 303)

    @blueprint.post("/sign-out")
    def sign_out() -> Response:
        end_session()
        return redirect("/staff/sign-in", 303)


def _sign_in_page(target: str, problem: str | None = None, name: str = "") -> str:
    return render_template(
        "staff/sign_in.html", next=local_path(target), problem=problem, name=name
    )


def _join_pages(blueprint: Blueprint, enrollment: Enrollment) -> None:
    @blueprint.get("/join/<token>")
    def join(token: str) -> str:
        return _join_page(enrollment, token)

    @blueprint.post("/join/<token>")
    def accept(token: str) -> str | tuple[str, int]:
        fields = request.form
        password = fields.get("password", "")
        try:
            if password != fields.get("again", ""):
                raise StaffError(_("the two passwords differ; type them again"))
            codes = accept_invitation(
                enrollment.staff, token, password, fields.get("code", ""), enrollment.clock()
            )
        except StaffError as error:
            return _join_page(enrollment, token, str(error)), 400
        return render_template("staff/recovery_codes.html", codes=codes, joined=True)


def _join_page(enrollment: Enrollment, token: str, problem: str | None = None) -> str:
    invited = find_invitation(enrollment.staff, token, enrollment.clock())
    return render_template(
        "staff/join.html",
        token=token,
        invited=invited,
        picture=segno.make(invited.provisioning_uri, error="m").svg_data_uri(
            scale=5, light="white"
        ),
        characters_min=PASSWORD_CHARACTERS_MIN,
        characters_max=PASSWORD_CHARACTERS_MAX,
        problem=problem,
    )


def _confirm_pages(blueprint: Blueprint, enrollment: Enrollment) -> None:
    @blueprint.get("/confirm", endpoint="confirm")
    @require_role(*ROLES)
    def show() -> str:
        return _confirm_page(request.args.get("next", "/"))

    @blueprint.post("/confirm")
    @require_role(*ROLES)
    def check_confirm() -> Response | tuple[str, int]:
        target = request.form.get("next", "/")
        code = request.form.get("code", "")
        try:
            confirm(enrollment.staff, _member().name, code, request.remote_addr, enrollment.clock())
        except SignInRefused as error:
            return _confirm_page(target, str(error)), 401
        confirm_session()
        return redirect(local_path(target), 303)


def _confirm_page(target: str, problem: str | None = None) -> str:
    return render_template("staff/confirm.html", next=local_path(target), problem=problem)


def _account_pages(blueprint: Blueprint, register: StaffRegister) -> None:
    @blueprint.get("/account")
    @require_role(*ROLES)
    def account() -> str:
        with reading(register.database) as session:
            left = recovery.codes_left(session, _member().name)
        return render_template("staff/account.html", member=_member(), codes_left=left)

    @blueprint.post("/account/recovery-codes")
    @require_role(*ROLES)
    @require_fresh_code("staff.account")
    def new_recovery_codes() -> str:
        drawn = recovery.draw_codes()
        with writing(register.database) as session:
            recovery.keep_codes(session, _member().name, drawn)
        return render_template("staff/recovery_codes.html", codes=drawn.codes, joined=False)

    @blueprint.post("/account/sign-out-everywhere")
    @require_role(*ROLES)
    def sign_out_everywhere() -> Response:
        with writing(register.database) as session:
            end_sessions_of(session, _member().name)
        end_session()
        flash(_("You are signed out everywhere."))
        return redirect("/staff/sign-in", 303)


def _member() -> SignedIn:
    staff = signed_in()
    assert staff is not None  # require_role has seen to it
    return staff
