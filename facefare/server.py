"""The one-machine server: enrollment and ledger in one Flask application, served by gunicorn."""

from __future__ import annotations

import logging
import socket
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import click
from flask import Flask, Response, render_template, request
from flask_wtf.csrf import CSRFProtect
from gunicorn.app.base import BaseApplication
from werkzeug.exceptions import SecurityError
from werkzeug.middleware.proxy_fix import ProxyFix

from enrollment.app import create_blueprints as enrollment_blueprints
from enrollment.desk import DESK_ROLES
from enrollment.gallery_feed import WAITING_MAX
from enrollment.rider_help import HELP_ROLES, help_blueprint
from enrollment.rider_pages import rider_blueprint
from enrollment.store import Enrollment, no_pair
from enrollment.uploads import REQUEST_BYTES_MAX, TAKES_PHOTOS, UploadsInMemory
from facefare import capacity, languages, problems, upkeep
from facefare.addresses import Application
from facefare.categories import categories_of
from facefare.prints import pair_in
from facefare.rider_ledger import rider_money
from ledger.accounts import open_account
from ledger.app import create_blueprints as ledger_blueprints
from ledger.checkpoints import Publisher
from ledger.closing import Timer
from ledger.console.roles import READERS
from ledger.console.statements_pages import STATEMENT_BYTES_MAX, may_import
from ledger.erasure import erase_account
from ledger.ledger import Ledger, utc_now
from ledger.pages import PageMover
from ledger.processors.cashier import Cashier, open_processor, processor_blueprints
from ledger.processors.pretend import PretendProcessor
from ledger.stamper import Stamper
from ledger.witnessing import Submitter
from models.access.gates import GateRegister
from models.access.web import SESSION_LIFETIME, keep_sessions, signed_in
from models.errors import FacefareError
from models.faces.dlib_engine import DlibEngine
from models.log.notes import verifier_key
from models.options import data_option, models_option
from models.settings import DataDirectory

THREADS = 8
FORM_BYTES_MAX = 4_000_000  # forms and batches of taps; photos are allowed to signed-in staff

_POLICY = (
    "default-src 'none'; style-src 'self'; img-src 'self' data:; script-src 'self'; "
    "connect-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
)
_NO_DEVICES = "camera=(), microphone=(), geolocation=()"  # one page asks for the camera itself
_HTTPS_ONLY = "max-age=31536000"  # seconds: a year
_THIS_MACHINE = ("localhost", "127.0.0.1", "::1")


class PortInUse(FacefareError):
    """Another program listens at the address the server should use."""


class PretendRefused(FacefareError):
    """Cards without money behind them were asked for where riders could use them."""


def create_app(
    data: DataDirectory,
    *,
    https: bool = False,
    proxies: int = 0,
    hosts: Sequence[str] = (),
    pretend_cards: bool = False,
    models: Path | None = None,
    clock: Callable[[], datetime] = utc_now,
) -> Flask:
    """Wire the whole application on ``data``. Nothing heavy is loaded until it is needed.

    ``https`` says that browsers reach it over HTTPS, ``proxies`` through how many proxies of
    ours; without any, what a request says of its own way here is ignored. ``hosts`` are
    names of the server besides those in the settings and this machine's own. With
    ``pretend_cards`` riders add cards that have no money behind them. ``models`` is the folder
    with the weights that tell prints from people; without it nothing does.
    """
    settings = data.settings()
    app = Application("facefare", template_folder="templates", static_folder="static")
    app.request_class = UploadsInMemory
    app.url_map.merge_slashes = False  # //x is not /x, and nothing is sent there
    app.config.update(
        SECRET_KEY=data.session_key.read_bytes(),
        # A browser sends a __Host- cookie only to the one host that set it, over HTTPS.
        SESSION_COOKIE_NAME="__Host-session" if https else "session",
        SESSION_COOKIE_HTTPONLY=True,
        SESSION_COOKIE_SAMESITE="Lax",
        SESSION_COOKIE_SECURE=https,
        PERMANENT_SESSION_LIFETIME=SESSION_LIFETIME,
        MAX_CONTENT_LENGTH=FORM_BYTES_MAX,
        WTF_CSRF_SSL_STRICT=https,
    )

    capacity.limit(app)
    if proxies:
        app.wsgi_app = ProxyFix(app.wsgi_app, x_for=proxies, x_proto=proxies, x_host=proxies)  # type: ignore[method-assign]
    languages.speak(app)
    names_of_ours = {*_THIS_MACHINE, *settings.hosts, *map(str.lower, hosts)}

    @app.before_request
    def answer_to_our_names_only() -> None:
        # Not by TRUSTED_HOSTS, which takes no IPv6 address.
        if urlsplit(f"//{request.host}").hostname not in names_of_ours:
            raise SecurityError

    @app.before_request  # before CSRFProtect, which reads the whole form
    def allow_files() -> None:
        staff = signed_in() if request.endpoint in TAKES_PHOTOS else None
        if staff and staff.roles & set(DESK_ROLES):
            request.max_content_length = REQUEST_BYTES_MAX
        if request.endpoint == "finance.upload_statement" and may_import(signed_in()):
            request.max_content_length = STATEMENT_BYTES_MAX

    csrf = CSRFProtect(app)
    ledger = Ledger.open(data, clock)
    enrollment = Enrollment.open(
        data,
        engine_id=DlibEngine.engine_id,
        dimensions=DlibEngine.dimensions,
        load_engine=DlibEngine.load,
        open_account=lambda account_id, category: open_account(ledger, account_id, category),
        close_account=lambda account_id: _close(ledger, account_id),
        categories=categories_of(ledger),
        log_verifier_key=verifier_key(settings.origin, ledger.log_key.public_key()),
        clock=clock,
        load_pair=no_pair if models is None else pair_in(models),
    )
    register = GateRegister(enrollment.access, clock)
    processor = PretendProcessor.at_play(clock) if pretend_cards else open_processor(data)
    money = rider_money(ledger, processor)
    keep_sessions(app, enrollment.access, clock)
    for blueprint in (
        *enrollment_blueprints(enrollment, register),
        *ledger_blueprints(ledger, register),
        *processor_blueprints(ledger, processor),
        rider_blueprint(enrollment, money),
        help_blueprint(enrollment, money),
    ):
        app.register_blueprint(blueprint)
        if blueprint.name.endswith("_api"):
            csrf.exempt(blueprint)  # gates carry a token for each request, never a cookie
    problems.register(app)
    languages.add_switch(app, enrollment.staff)
    app.extensions["ledger"], app.extensions["enrollment"] = ledger, enrollment
    app.extensions["processor"] = processor

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
            "may_help": not roles.isdisjoint(HELP_ROLES),
            "is_admin": "admin" in roles,
        }

    @app.after_request
    def protect(response: Response) -> Response:
        response.headers.setdefault("Content-Security-Policy", _POLICY)
        response.headers.setdefault("X-Content-Type-Options", "nosniff")
        response.headers.setdefault("Referrer-Policy", "same-origin")
        response.headers.setdefault("Cache-Control", "no-store")
        response.headers.setdefault("Permissions-Policy", _NO_DEVICES)
        response.headers.setdefault("Cross-Origin-Opener-Policy", "same-origin")
        if https:
            response.headers.setdefault("Strict-Transport-Security", _HTTPS_ONLY)
        return response

    return app


def _close(ledger: Ledger, account_id: str) -> None:
    erase_account(ledger, account_id)


class _Server(BaseApplication):  # type: ignore[misc]  # gunicorn has no types
    """gunicorn with our settings: workers with threads, each an application of its own."""

    def __init__(self, data: DataDirectory, host: str, port: int, workers: int, **how: Any) -> None:
        self._data, self._host, self._port, self._how = data, host, port, how
        self._workers = workers
        super().__init__()

    def load_config(self) -> None:
        for name, value in {
            "bind": f"[{self._host}]:{self._port}"
            if ":" in self._host
            else f"{self._host}:{self._port}",
            "workers": self._workers,
            "worker_class": "gthread",
            # Whoever waits, for news or for the turn of its taps, holds a thread.
            "threads": THREADS + WAITING_MAX + capacity.TAPS_MAX,
            "timeout": 60,
            "graceful_timeout": 5,
            "errorlog": "-",
            "loglevel": "warning",
            "post_worker_init": _start_publisher,
            "worker_exit": _stop_publisher,
        }.items():
            self.cfg.set(name, value)

    def load(self) -> Flask:
        return create_app(self._data, **self._how)


def _start_publisher(worker: Any) -> None:
    """Every worker is ready to sign checkpoints and show them to witnesses; one is elected."""
    upkeep.take_short_turns()
    upkeep.share_one_heap()
    upkeep.spare_collector(worker.wsgi)
    ledger = worker.wsgi.extensions["ledger"]
    publisher = worker.wsgi.extensions["publisher"] = Publisher(ledger)
    publisher.start()
    PageMover(ledger.engine).start()
    Submitter(ledger).start()
    Stamper(ledger).start()
    Timer(ledger).start()
    Cashier(ledger, worker.wsgi.extensions["processor"]).start()


def _stop_publisher(_arbiter: Any, worker: Any) -> None:
    """A worker that is told to stop leaves no tap without its number, nor unsigned."""
    publisher = worker.wsgi and worker.wsgi.extensions.get("publisher")
    if publisher:  # else it was killed, and its parent is asked
        publisher.stop()


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
@models_option
@click.option("--host", default="127.0.0.1", show_default=True)
@click.option("--port", default=8420, show_default=True, type=click.IntRange(1, 65535))
@click.option(
    "--workers",
    default=1,
    show_default=True,
    type=click.IntRange(1, 64),
    help="Processes that answer. On PostgreSQL one per core is right. With fares in a SQLite "
    "file one charges fastest; a second keeps pages quick while many taps come.",
)
@click.option(
    "--https",
    is_flag=True,
    help="A proxy in front of this server speaks HTTPS: cookies are marked secure.",
)
@click.option(
    "--proxies",
    type=click.IntRange(0, 9),
    help="How many proxies of yours stand in front, exactly; their X-Forwarded headers are "
    "believed.  [default: 1 with --https, else 0]",
)
@click.option(
    "--pretend-cards",
    is_flag=True,
    help="Riders add and use cards that do not exist: for the demo, on this machine only.",
)
@click.option(
    "--host-name",
    "host_names",
    multiple=True,
    help="A name by which browsers and gates reach this server; may repeat.",
)
def serve(
    data: Path,
    models: Path,
    host: str,
    port: int,
    workers: int,
    https: bool,
    proxies: int | None,
    pretend_cards: bool,
    host_names: tuple[str, ...],
) -> None:
    """Run enrollment and ledger on this machine."""
    if host not in ("127.0.0.1", "::1", "localhost") and not https:
        raise PortInUse(
            f"{host} can be reached from other machines, and passwords would travel in the "
            "clear; put a proxy with HTTPS in front and add --https"
        )
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
    directory = DataDirectory(data)
    if pretend_cards and (host not in _THIS_MACHINE or https or workers > 1):
        raise PretendRefused(
            "--pretend-cards tops accounts up without any money: it is for one worker on this "
            "machine alone, without --https"
        )
    if proxies is None:
        proxies = 1 if https else 0
    how: dict[str, Any] = {
        "https": https, "proxies": proxies, "hosts": (host, *host_names),
        "pretend_cards": pretend_cards, "models": models,
    }  # fmt: skip
    create_app(directory, **how)  # every fault of the data directory shows here, in words
    check_port(host, port)
    click.echo(f"Facefare runs at http://{host}:{port}/  (stop with Ctrl-C)")
    _Server(directory, host, port, workers, **how).run()
