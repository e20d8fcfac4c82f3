"""What the server does when more comes than it can take: it says so at once, and loses nothing.

Requests with taps that come at one moment are charged together (``models.together``), so a
train that lets fifteen riders out at once is no trouble: each waits for its turn in a thread
kept for that, and pages and health have theirs. Beyond ``TAPS_MAX`` such requests the
answer is 503 with ``Retry-After``, before anything of the request was read; the gate keeps
its taps and sends them again.
"""

from __future__ import annotations

import threading

from flask import Flask, Response, g, jsonify, request
from sqlalchemy.exc import OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from models.database import DatabaseBusy

TAPS = "ledger_api.taps"
RETRY_AFTER_S = 1
TAPS_MAX = 32
"""How many requests with taps a worker takes at once, each in a thread of its own."""


def limit(app: Flask, taps_max: int = TAPS_MAX) -> None:
    """Let ``taps_max`` requests with taps in at once; answer 503 to what is beyond."""
    room = threading.BoundedSemaphore(taps_max)

    @app.before_request
    def enter() -> Response | None:
        if request.endpoint != TAPS:
            return None
        g.entered = room.acquire(blocking=False)
        if g.entered:
            return None
        why = "more taps are being charged than this server can"
        return _later(f"{why}; nothing of this request was recorded")

    @app.teardown_request
    def leave(_error: BaseException | None) -> None:
        if g.pop("entered", False):
            room.release()

    @app.errorhandler(DatabaseBusy)
    @app.errorhandler(OperationalError)
    @app.errorhandler(PoolTimeoutError)
    def away(_error: Exception) -> Response:
        app.logger.warning("the database is busy or away: %s", _error)
        return _later(
            "the database is busy or away for the moment; what was recorded is not recorded twice"
        )


def _later(why: str) -> Response:
    response = jsonify(
        type="about:blank", title="Try again later", status=503,
        detail=f"{why}; send it again",
    )  # fmt: skip
    response.status_code, response.mimetype = 503, "application/problem+json"
    response.headers["Retry-After"] = str(RETRY_AFTER_S)
    return response
