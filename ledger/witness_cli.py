"""``facefare witness``: run a witness for logs of other people.

    POST /add-checkpoint    C2SP tlog-witness: cosign a checkpoint that continues the last
    GET  /health            200 while it answers

It needs none of Facefare's data, only its own folder. Put a proxy with HTTPS in front of
it; checkpoints are no secret, and every answer is signed, but the proxy keeps time limits.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import click
from flask import Flask, Response, request
from gunicorn.app.base import BaseApplication

from ledger.witness import (
    Conflict,
    Malformed,
    NotSigned,
    ProofWrong,
    SubmissionRefused,
    UnknownLog,
    Witness,
    add_checkpoint,
    create_witness,
    open_witness,
)
from models.log.notes import NOTE_CHARS_MAX
from models.log.submissions import PROOF_LINES_MAX, SIZE_TYPE

THREADS = 8
_BODY_BYTES_MAX = 2 * NOTE_CHARS_MAX + 64 * (PROOF_LINES_MAX + 1)
_STATUS = {Malformed: 400, NotSigned: 403, UnknownLog: 404, ProofWrong: 422}


def create_app(witness: Witness) -> Flask:
    """The witness over HTTP; the handler only translates."""
    app = Flask("witness")
    app.config["MAX_CONTENT_LENGTH"] = _BODY_BYTES_MAX

    @app.post("/add-checkpoint")
    def add() -> Response:
        try:
            text = request.get_data().decode("utf-8")
        except UnicodeDecodeError:
            return _text("the request is not UTF-8 text", 400)
        return _text(add_checkpoint(witness, text), 200)

    @app.get("/health")
    def health() -> Response:
        return _text(f"{witness.cosigner.text()} knows {len(witness.logs)} logs", 200)

    @app.errorhandler(Conflict)
    def conflict(error: Conflict) -> Response:
        return Response(f"{error.size}\n", 409, content_type=SIZE_TYPE)

    @app.errorhandler(SubmissionRefused)
    def refused(error: SubmissionRefused) -> Response:
        return _text(str(error), _STATUS[type(error)])

    return app


def _text(text: str, status: int) -> Response:
    body = text if text.endswith("\n") else f"{text}\n"
    return Response(body, status, content_type="text/plain; charset=utf-8")


class _Server(BaseApplication):  # type: ignore[misc]  # gunicorn has no types
    """gunicorn with threads; the memory's own transactions keep them apart."""

    def __init__(self, witness: Witness, host: str, port: int) -> None:
        self._witness, self._bind = witness, f"{host}:{port}"
        super().__init__()

    def load_config(self) -> None:
        settings: dict[str, Any] = {
            "bind": self._bind,
            "workers": 1,
            "worker_class": "gthread",
            "threads": THREADS,
            "timeout": 30,
            "graceful_timeout": 5,
            "errorlog": "-",
            "loglevel": "warning",
        }
        for name, value in settings.items():
            self.cfg.set(name, value)

    def load(self) -> Flask:
        return create_app(self._witness)


folder_argument = click.argument("folder", type=click.Path(path_type=Path))


@click.group()
def witness() -> None:
    """Cosign checkpoints of fare logs, each only if it continues the one before."""


@witness.command("init")
@folder_argument
@click.option("--name", required=True, help="Like a host name and path: witness.example/w1")
def init_command(folder: Path, name: str) -> None:
    """Make a new witness in FOLDER and print its public key."""
    create_witness(folder, name)
    click.echo(open_witness(folder, time.time).cosigner.text())


@witness.command("key")
@folder_argument
def key_command(folder: Path) -> None:
    """Print the public key that logs put under [[witnesses]] in their facefare.toml."""
    click.echo(open_witness(folder, time.time).cosigner.text())


@witness.command("run")
@folder_argument
@click.option("--host", default="127.0.0.1", show_default=True)
@click.option("--port", default=8421, show_default=True, type=click.IntRange(1, 65535))
def run_command(folder: Path, host: str, port: int) -> None:
    """Answer submissions until it is stopped."""
    opened = open_witness(folder, time.time)
    click.echo(f"{opened.name} witnesses {len(opened.logs)} logs at http://{host}:{port}/")
    _Server(opened, host, port).run()
