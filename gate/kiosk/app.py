"""The local pages of a gate: the screen, the keys, and the staff's release.

    GET  /                    the page
    GET  /state?after=N       what the screen shows, once it is another than version N
    POST /digits  {"digits"}  the last four digits
    POST /release {"by"}      open by hand; needs the token from GATE/release.token
    GET  /health              what is right and wrong with this gate, without any rider

Everything else a browser could be talked into is refused: other host names (a page from
elsewhere that had itself resolved to this machine), other origins, forms, frames.
"""

from __future__ import annotations

import hmac
import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from flask import Flask, Response, abort, jsonify, render_template, request

from gate.errors import DoorError, OutboxError
from gate.kiosk.keypad import Keypad
from gate.kiosk.screen import Screen
from gate.settings import LOOPBACK, KioskSettings
from gate.words import Word, both

WAIT_S_MAX = 1.0
BODY_BYTES_MAX = 1000

_POLICY = (
    "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; "
    "img-src 'self'; form-action 'none'; frame-ancestors 'none'; base-uri 'none'"
)
_STAFF_NAME = re.compile(r"[\w .@-]{1,60}")


@dataclass(frozen=True, slots=True)
class Kiosk:
    """What the pages show and do. ``release(by)`` raises ``DoorError``."""

    settings: KioskSettings
    gate: str
    screen: Screen
    keypad: Keypad
    release: Callable[[str], None]
    release_token: str
    health: Callable[[], dict[str, Any]]


def create_app(kiosk: Kiosk) -> Flask:
    """The pages of one gate."""
    app = Flask("gate.kiosk", static_folder="static", template_folder="templates")
    app.config["MAX_CONTENT_LENGTH"] = BODY_BYTES_MAX
    app.before_request(_refuse_strangers)
    app.after_request(_protect)

    @app.get("/")
    def page() -> str:
        words = {name: both(word) for name, word in _PAGE_WORDS.items()}
        return render_template("kiosk/screen.html", kiosk=kiosk, words=words)

    @app.get("/state")
    def state() -> Response:
        return jsonify(kiosk.screen.after(request.args.get("after", 0, type=int), WAIT_S_MAX))

    @app.post("/digits")
    def digits() -> Response:
        taken = kiosk.keypad.press(_field("digits"))
        kiosk.screen.refresh()
        return jsonify({"taken": taken})

    @app.post("/release")
    def release() -> tuple[Response, int]:
        given = request.headers.get("Authorization", "").removeprefix("Bearer ")
        if not hmac.compare_digest(given.encode(), kiosk.release_token.encode()):
            abort(403)
        by = _field("by")
        if not _STAFF_NAME.fullmatch(by):
            abort(400)
        try:
            kiosk.release(by)
        except DoorError as error:
            return jsonify({"problem": str(error)}), 503
        return jsonify({"released": True}), 200

    @app.get("/health")
    def health() -> tuple[Response, int]:
        try:
            return jsonify(kiosk.health()), 200
        except OutboxError as error:
            return jsonify({"problem": str(error)}), 503

    return app


_PAGE_WORDS = {
    "silent": Word.GATE_SILENT,
    "fault": Word.FAULT,
    "erase": Word.CLEAR,
    "digits": Word.ENTER_DIGITS,
    "face": Word.HOLD_STILL,
}


def _refuse_strangers() -> None:
    """Only this machine, by its own names, and only pages of ours may post."""
    if (urlsplit(f"//{request.host}").hostname or "") not in LOOPBACK:
        abort(403)
    origin = request.headers.get("Origin")
    if origin is not None and origin != f"http://{request.host}":
        abort(403)
    if request.method == "POST" and request.mimetype != "application/json":
        abort(415)  # a form of another page could not send this


def _protect(response: Response) -> Response:
    response.headers["Content-Security-Policy"] = _POLICY
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.headers["Referrer-Policy"] = "no-referrer"
    response.headers["Cross-Origin-Resource-Policy"] = "same-origin"
    response.headers["Cache-Control"] = "no-store"
    return response


def _field(name: str) -> str:
    try:
        value = json.loads(request.get_data())[name]
    except (ValueError, KeyError, TypeError):
        abort(400)
    return value if isinstance(value, str) else ""
