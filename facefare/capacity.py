"""What the server does when more comes than it can take: it says so at once, and loses nothing.

Taps are charged one batch after another, so a request that cannot begin soon would only hold
a thread that pages and health need. A train that lets fifteen riders out at once is no such
case: some requests may wait a moment in threads of their own. Beyond that the answer is 503
with ``Retry-After``, before anything of the request was read; the gate keeps its taps and
sends them again.
"""

from __future__ import annotations

import gc
import threading

from flask import Flask, Response, g, jsonify, request
from sqlalchemy.exc import OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from models.database import DatabaseBusy

RETRY_AFTER_S = 1
THREADS_KEPT_FREE = 2
WAITING_MAX = 24
WAIT_S_MAX = 0.25
"""How many requests with taps may wait for room, each in a thread of its own, and how long."""


def limit(app: Flask, threads: int) -> None:
    """Let taps have all but two of a worker's ``threads``; answer 503 to what is beyond.

    The worker needs ``WAITING_MAX`` threads more, for those that wait.
    """
    room = threading.BoundedSemaphore(max(1, threads - THREADS_KEPT_FREE))
    places = threading.BoundedSemaphore(WAITING_MAX)

    @app.before_request
    def enter() -> Response | None:
        if request.endpoint != "ledger_api.taps":
            return None
        g.entered = room.acquire(blocking=False) or _wait(places, room)
        return None if g.entered else _later("more taps are being charged than this server can")

    @app.teardown_request
    def leave(_error: BaseException | None) -> None:
        if g.pop("entered", False):
            room.release()

    @app.errorhandler(DatabaseBusy)
    @app.errorhandler(OperationalError)
    @app.errorhandler(PoolTimeoutError)
    def away(_error: Exception) -> Response:
        app.logger.warning("the database is busy or away: %s", _error)
        return _later("the database is busy or away for the moment")


def _wait(places: threading.Semaphore, room: threading.Semaphore) -> bool:
    """Wait for room where there is a place to wait in; whether there was any in time."""
    if not places.acquire(blocking=False):
        return False
    try:
        return room.acquire(timeout=WAIT_S_MAX)
    finally:
        places.release()


def spare_collector() -> None:
    """Let Python look for cycles seldom, and not among what is loaded and stays.

    A batch of taps makes many rows that live for a moment and hold no cycles; looking through
    everything else each time took a tenth of all the time.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)


def _later(why: str) -> Response:
    response = jsonify(
        type="about:blank", title="Try again later", status=503,
        detail=f"{why}; nothing of this request was recorded, send it again",
    )  # fmt: skip
    response.status_code, response.mimetype = 503, "application/problem+json"
    response.headers["Retry-After"] = str(RETRY_AFTER_S)
    return response
