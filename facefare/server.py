"""The one-machine server: enrollment and ledger in one Flask application, served by gunicorn."""

from __future__ import annotations

import logging
import socket
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import click
from flask import Flask, Response, render_template, request
from flask_wtf.csrf import CSRFProtect
from gunicorn.app.base import BaseApplication

from enrollment.app import DESK_ROLES
from enrollment.app import create_blueprints as enrollment_blueprints
from enrollment.store import Enrollment
from enrollment.uploads import REQUEST_BYTES_MAX, UploadsInMemory
from facefare import problems
from ledger.accounts import open_account
from ledger.app import create_blueprints as ledger_blueprints
from ledger.checkpoints import Publisher
from ledger.console.pages import READERS
from ledger.erasure import erase_account
from ledger.ledger import Ledger, utc_now
from ledger.witnessing import Submitter
from models.access.gates import GateRegister
from models.access.web import SESSION_LIFETIME, signed_in
from models.errors import FacefareError
from models.faces.dlib_engine import DlibEngine
from models.log.notes import verifier_key
from models.options import data_option
from models.settings import DataDirectory

THREADS = 8
FORM_BYTES_MAX = 4_000_000  # forms and batches of taps; photos are allowed to signed-in staff

_POLICY = (
    "default-src 'none'; style-src 'self'; img-src 'self' data:; script-src 'self'; "
    "connect-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
)


class PortInUse(FacefareError):
    """Another program listens at the address the server should use."""


def create_app(
    data: DataDirectory, *, https: bool = False, clock: Callable[[], datetime] = utc_now
) -> Flask:
    """Wire the whole application on ``data``. Nothing heavy is loaded until it is needed."""
    settings = data.settings()
    app = Flask("facefare", template_folder="templates", static_folder="static")
    app.request_class = UploadsInMemory
    app.config.update(
        SECRET_KEY=data.session_key.read_bytes(),
        SESSION_COOKIE_HTTPONLY=True,
        SESSION_COOKIE_SAMESITE="Lax",
        SESSION_COOKIE_SECURE=https,
        PERMANENT_SESSION_LIFETIME=SESSION_LIFETIME,
        MAX_CONTENT_LENGTH=FORM_BYTES_MAX,
        WTF_CSRF_SSL_STRICT=https,
    )

    @app.before_request  # before CSRFProtect, which reads the whole form
    def allow_photos() -> None:
        staff = signed_in()
        if request.endpoint == "enrollment.enroll" and staff and staff.roles & set(DESK_ROLES):
            request.max_content_length = REQUEST_BYTES_MAX

    csrf = CSRFProtect(app)
    ledger = Ledger.open(data, clock)
    enrollment = Enrollment.open(
        data,
        engine_id=DlibEngine.engine_id,
        dimensions=DlibEngine.dimensions,
        load_engine=DlibEngine.load,
        open_account=lambda account_id: open_account(ledger, account_id),
        close_account=lambda account_id: _close(ledger, account_id),
        log_verifier_key=verifier_key(settings.origin, ledger.log_key.public_key()),
        clock=clock,
    )
    register = GateRegister(enrollment.access, clock)
    for blueprint in (
        *enrollment_blueprints(enrollment, register),
        *ledger_blueprints(ledger, register),
    ):
        app.register_blueprint(blueprint)
        if blueprint.name.endswith("_api"):
            csrf.exempt(blueprint)  # gates carry a token for each request, never a cookie
    problems.register(app)
    app.extensions["ledger"] = ledger

    @app.get("/")
    def home() -> str:
        return render_template("home.html")

    @app.context_processor
    def names() -> dict[str, Any]:
        staff = signed_in()
        roles = staff.roles if staff else frozenset()
        return {
            "operator": settings.operator,
            "origin": settings.origin,
            "staff": staff,
            "may_enroll": not roles.isdisjoint(DESK_ROLES),
            "may_see_money": not roles.isdisjoint(READERS),
        }

    @app.after_request
    def protect(response: Response) -> Response:
        response.headers.setdefault("Content-Security-Policy", _POLICY)
        response.headers.setdefault("X-Content-Type-Options", "nosniff")
        response.headers.setdefault("Referrer-Policy", "same-origin")
        response.headers.setdefault("Cache-Control", "no-store")
        return response

    return app


def _close(ledger: Ledger, account_id: str) -> None:
    erase_account(ledger, account_id)


class _Server(BaseApplication):  # type: ignore[misc]  # gunicorn has no types
    """gunicorn with our settings: one worker process with threads, for one SQLite writer."""

    def __init__(self, data: DataDirectory, host: str, port: int, https: bool) -> None:
        self._data, self._host, self._port, self._https = data, host, port, https
        super().__init__()

    def load_config(self) -> None:
        for name, value in {
            "bind": f"[{self._host}]:{self._port}"
            if ":" in self._host
            else f"{self._host}:{self._port}",
            "workers": 1,
            "worker_class": "gthread",
            "threads": THREADS,
            "timeout": 60,
            "graceful_timeout": 5,
            "errorlog": "-",
            "loglevel": "warning",
            "post_worker_init": _start_publisher,
        }.items():
            self.cfg.set(name, value)

    def load(self) -> Flask:
        return create_app(self._data, https=self._https)


def _start_publisher(worker: Any) -> None:
    """The worker process alone writes the log: it signs checkpoints and shows them to witnesses."""
    ledger = worker.wsgi.extensions["ledger"]
    Publisher(ledger).start()
    Submitter(ledger).start()


def check_port(host: str, port: int) -> None:
    """Raise ``PortInUse`` where something else already listens."""
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise PortInUse(
                f"{host}:{port} cannot be used ({error.strerror}); stop the other program or "
                "choose another --port"
            ) from error


@click.command()
@data_option
@click.option("--host", default="127.0.0.1", show_default=True)
@click.option("--port", default=8420, show_default=True, type=click.IntRange(1, 65535))
@click.option(
    "--https",
    is_flag=True,
    help="A proxy in front of this server speaks HTTPS: cookies are marked secure.",
)
def serve(data: Path, host: str, port: int, https: bool) -> None:
    """Run enrollment and ledger on this machine."""
    if host not in ("127.0.0.1", "::1", "localhost") and not https:
        raise PortInUse(
            f"{host} can be reached from other machines, and passwords would travel in the "
            "clear; put a proxy with HTTPS in front and add --https"
        )
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
    directory = DataDirectory(data)
    create_app(directory, https=https)  # every fault of the data directory shows here, in words
    check_port(host, port)
    click.echo(f"Facefare runs at http://{host}:{port}/  (stop with Ctrl-C)")
    _Server(directory, host, port, https).run()
