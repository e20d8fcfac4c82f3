"""The admin's pages: who works here, in which roles, and which gates are trusted.

Every change asks for a fresh one-time code. One-time links are shown once, in the answer
to the request that made them.
"""

from __future__ import annotations

from flask import Blueprint, flash, redirect, render_template, request, url_for
from flask_babel import gettext as _
from werkzeug.wrappers import Response

from enrollment.desk import staff_name
from enrollment.store import Enrollment
from enrollment.words import role_name
from models.access.gates import GateRegisterError, list_gates, revoke_gate
from models.access.introductions import newest_introductions
from models.access.invitations import invite_staff, join_path, reset_staff
from models.access.staff import (
    ROLES,
    StaffError,
    change_roles,
    disable_staff,
    enable_staff,
    list_staff,
)
from models.access.web import require_fresh_code, require_role

MEMBERS = "staff_admin.members"
GATES = "staff_admin.gates"


def staff_admin_blueprint(enrollment: Enrollment) -> Blueprint:
    """The pages under ``/staff`` for admins."""
    blueprint = Blueprint("staff_admin", __name__, url_prefix="/staff")
    _member_pages(blueprint, enrollment)
    _change_pages(blueprint, enrollment)
    _gate_pages(blueprint, enrollment)
    return blueprint


def _member_pages(blueprint: Blueprint, enrollment: Enrollment) -> None:
    @blueprint.get("/")
    @require_role("admin")
    def members() -> str:
        return _members_page(enrollment)

    @blueprint.post("/")
    @require_role("admin")
    @require_fresh_code(MEMBERS)
    def add() -> str | tuple[str, int]:
        name = request.form.get("name", "").strip().lower()
        roles = request.form.getlist("roles")
        try:
            token = invite_staff(enrollment.staff, name, roles, enrollment.clock(), by=staff_name())
        except StaffError as error:
            return _members_page(enrollment, str(error)), 400
        return _link_page(name, token)

    @blueprint.post("/members/<name>/reset")
    @require_role("admin")
    @require_fresh_code(MEMBERS)
    def reset(name: str) -> str | tuple[str, int]:
        try:
            token = reset_staff(enrollment.staff, name, enrollment.clock(), by=staff_name())
        except StaffError as error:
            return _members_page(enrollment, str(error)), 400
        return _link_page(name, token)


def _change_pages(blueprint: Blueprint, enrollment: Enrollment) -> None:
    @blueprint.post("/members/<name>/roles")
    @require_role("admin")
    @require_fresh_code(MEMBERS)
    def roles(name: str) -> Response | tuple[str, int]:
        try:
            change_roles(enrollment.staff, name, request.form.getlist("roles"))
        except StaffError as error:
            return _members_page(enrollment, str(error)), 400
        return _changed(_("%(name)s has new roles and has to sign in again.", name=name))

    @blueprint.post("/members/<name>/disable")
    @require_role("admin")
    @require_fresh_code(MEMBERS)
    def disable(name: str) -> Response | tuple[str, int]:
        try:
            disable_staff(enrollment.staff, name, enrollment.clock())
        except StaffError as error:
            return _members_page(enrollment, str(error)), 400
        return _changed(_("%(name)s is disabled and signed out everywhere.", name=name))

    @blueprint.post("/members/<name>/enable")
    @require_role("admin")
    @require_fresh_code(MEMBERS)
    def enable(name: str) -> Response | tuple[str, int]:
        try:
            enable_staff(enrollment.staff, name)
        except StaffError as error:
            return _members_page(enrollment, str(error)), 400
        return _changed(_("%(name)s may sign in again.", name=name))


def _gate_pages(blueprint: Blueprint, enrollment: Enrollment) -> None:
    @blueprint.get("/gates")
    @require_role("admin")
    def gates() -> str:
        return _gates_page(enrollment)

    @blueprint.post("/gates/<name>/revoke")
    @require_role("admin")
    @require_fresh_code(GATES)
    def revoke(name: str) -> Response | tuple[str, int]:
        try:
            revoke_gate(enrollment.access, name, enrollment.clock())
        except GateRegisterError as error:
            return _gates_page(enrollment, str(error)), 400
        flash(_("%(name)s is revoked: its requests are refused from now on.", name=name))
        return redirect(url_for(GATES), 303)


def _members_page(enrollment: Enrollment, problem: str | None = None) -> str:
    return render_template(
        "staff/members.html",
        members=list_staff(enrollment.staff),
        let_in=newest_introductions(enrollment.access),
        roles={role: role_name(role) for role in ROLES},
        problem=problem,
    )


def _gates_page(enrollment: Enrollment, problem: str | None = None) -> str:
    return render_template(
        "staff/gates.html",
        gates=list_gates(enrollment.access),
        stations=enrollment.settings.stations,
        problem=problem,
    )


def _link_page(name: str, token: str) -> str:
    link = request.host_url.rstrip("/") + join_path(token)
    return render_template("staff/link.html", name=name, link=link)


def _changed(sentence: str) -> Response:
    flash(sentence)
    return redirect(url_for(MEMBERS), 303)
