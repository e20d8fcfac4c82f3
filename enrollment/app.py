"""All of enrollment's blueprints together, and the desk's pages in one of them."""

from __future__ import annotations

from flask import Blueprint

from enrollment.api import api_blueprint
from enrollment.capture import capture_pages
from enrollment.category_pages import category_pages
from enrollment.desk import DESK_ROLES, looking_pages
from enrollment.desk_actions import action_pages
from enrollment.form_pages import form_pages
from enrollment.staff import staff_blueprint
from enrollment.staff_admin import staff_admin_blueprint
from enrollment.station_pages import desk_station_pages
from enrollment.store import Enrollment
from enrollment.words import language_name, word
from models.access.gates import GateRegister


def create_blueprints(enrollment: Enrollment, register: GateRegister) -> list[Blueprint]:
    """The blueprints ``staff``, ``staff_admin``, ``enrollment`` and ``enrollment_api``.

    The application protects forms against cross-site requests and exempts the last one,
    which knows no cookies; it takes uploads as ``enrollment.uploads`` says.
    """
    return [
        staff_blueprint(enrollment),
        staff_admin_blueprint(enrollment),
        desk_blueprint(enrollment),
        api_blueprint(enrollment, register),
    ]


def desk_blueprint(enrollment: Enrollment) -> Blueprint:
    """The pages under ``/enrollment``, for staff who may enroll."""
    blueprint = Blueprint(
        "enrollment",
        __name__,
        url_prefix="/enrollment",
        template_folder="templates",
        static_folder="static",
    )
    blueprint.add_app_template_filter(word, "word")
    blueprint.add_app_template_filter(language_name, "language_name")

    looking_pages(blueprint, enrollment)
    form_pages(blueprint, enrollment)
    capture_pages(blueprint, enrollment, *DESK_ROLES)
    action_pages(blueprint, enrollment)
    desk_station_pages(blueprint, enrollment)
    category_pages(blueprint, enrollment)
    return blueprint
