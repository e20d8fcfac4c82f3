"""Serve an application as ``facefare serve`` does: gunicorn, one worker with eight threads.

WORKERS in the environment is another number of workers.

python -m bench.serving DATA PORT serves the ledger of a data directory and nothing else, so
that both sides of a comparison have the same server around them.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from flask import Flask
from gunicorn.app.base import BaseApplication

from facefare import upkeep
from ledger.app import create_blueprints
from ledger.checkpoints import Publisher
from ledger.ledger import Ledger
from models.access.gates import GateRegister
from models.database import open_sqlite
from models.settings import DataDirectory
from models.tables.access import AccessTable

THREADS = 8


class _Server(BaseApplication):  # type: ignore[misc]  # gunicorn has no types
    def __init__(self, make_app: Callable[[], Flask], port: int) -> None:
        self._make_app, self._port = make_app, port
        super().__init__()

    def load_config(self) -> None:
        for name, value in {
            "bind": f"127.0.0.1:{self._port}",
            "workers": int(os.environ.get("WORKERS", "1")),
            "worker_class": "gthread",
            "threads": THREADS,
            "loglevel": "error",
            "keepalive": 60,
            "post_worker_init": _start_publisher,
        }.items():
            self.cfg.set(name, value)

    def load(self) -> Flask:
        return self._make_app()  # in the worker: no database connection outlives a fork


def _start_publisher(worker: Any) -> None:
    upkeep.spare_collector(worker.wsgi)
    ledger = worker.wsgi.extensions.get("ledger")
    if ledger is not None:
        Publisher(ledger).start()


def serve(make_app: Callable[[], Flask], port: int) -> None:
    """Serve on loopback until stopped."""
    _Server(make_app, port).run()


def _ledger_app(path: str) -> Flask:
    data = DataDirectory(Path(path))
    ledger = Ledger.open(data)
    app = Flask("bench")
    register = GateRegister(open_sqlite(data.access_db, AccessTable.metadata))
    for blueprint in create_blueprints(ledger, register):
        app.register_blueprint(blueprint)
    app.extensions["ledger"] = ledger
    app.add_url_rule("/ready", view_func=lambda: "ready")
    return app


if __name__ == "__main__":
    serve(partial(_ledger_app, sys.argv[1]), int(sys.argv[2]))
