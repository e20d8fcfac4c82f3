"""The languages of the pages: English, and Chinese in simplified characters.

Which one: what was chosen with the switch at the top of a page (a cookie), else what the
member of staff chose before, else what the browser asks for, else English. The words are
in ``facefare/translations``, one catalogue for all rooms; ``scripts/translate`` keeps it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from flask import Flask, redirect, request
from flask_babel import Babel
from werkzeug.wrappers import Response

from models.access.staff import StaffRegister, choose_language
from models.access.web import local_path, signed_in

LANGUAGES = {"en": "English", "zh": "中文"}
COOKIE = "language"
COOKIE_LIFETIME_S = 365 * 24 * 3600
CATALOGUES = Path(__file__).parent / "translations"

_HTML = {"en": "en", "zh": "zh-Hans"}


def speak(app: Flask) -> None:
    """Let the pages of ``app`` be read in every language there is a catalogue for."""
    app.config["BABEL_TRANSLATION_DIRECTORIES"] = str(CATALOGUES)
    Babel(app, locale_selector=current_language)

    @app.context_processor
    def words() -> dict[str, Any]:
        return {
            "language": current_language(),
            "html_language": _HTML[current_language()],
            "all_languages": LANGUAGES,
            "here": request.full_path.rstrip("?") if request.method == "GET" else "/",
        }


def add_switch(app: Flask, register: StaffRegister) -> None:
    """``POST /language``: choose, and go back to the page one was on."""

    @app.post("/language")
    def choose() -> Response:
        language = request.form.get("language", "")
        back = redirect(local_path(request.form.get("next", "")), 303)
        if language not in LANGUAGES:
            return back
        staff = signed_in()
        if staff is not None:
            choose_language(register, staff.name, language)
        back.set_cookie(
            COOKIE,
            language,
            max_age=COOKIE_LIFETIME_S,
            secure=app.config["SESSION_COOKIE_SECURE"],
            httponly=True,
            samesite="Lax",
        )
        return back


def current_language() -> str:
    """The language of this request."""
    chosen = request.cookies.get(COOKIE)
    if chosen in LANGUAGES:
        return str(chosen)
    staff = signed_in()
    if staff is not None and staff.language in LANGUAGES:
        return str(staff.language)
    return request.accept_languages.best_match(LANGUAGES, "en")
