"""What the server does when more comes than it can take: it says so at once, and loses nothing.

Requests with taps that come at one moment are charged together (``models.together``), so a
train that lets fifteen riders out at once is no trouble: each waits for its turn in a thread
kept for that, and pages and health have theirs. Beyond ``TAPS_MAX`` such requests the
answer is 503 with ``Retry-After``, before anything of the request was read; the gate keeps
its taps and sends them again.
"""

from __future__ import annotations

import ctypes
import gc
import sys
import threading
from contextlib import suppress
from time import monotonic

from flask import Flask, Response, g, jsonify, request
from sqlalchemy.exc import OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from models.database import DatabaseBusy

TAPS = "ledger_api.taps"
RETRY_AFTER_S = 1
TAPS_MAX = 32
"""How many requests with taps a worker takes at once, each in a thread of its own."""
BACKLOG_BYTES = 32_000  # some forty taps
SET_ASIDE_S = 1
FULL_LOOK_S = 3600

_M_ARENA_MAX = -8  # malloc.h of glibc


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


def take_short_turns() -> None:
    """Let a thread that computes for long give way to others five times as often.

    A request goes to the database some twenty times and waits for its turn after each; beside
    a thread that prices a backlog that is twenty of Python's own 5 ms.
    """
    sys.setswitchinterval(0.001)


def share_one_heap() -> None:
    """Let all threads take memory from one place, with glibc; elsewhere nothing is done.

    glibc gives up to eight places a core, and what one thread frees in its own is not taken
    by another: of ever more memory that the process held, ever less was in use.
    """
    with suppress(OSError, AttributeError):
        ctypes.CDLL("libc.so.6").mallopt(_M_ARENA_MAX, 1)


def spare_collector(app: Flask) -> None:
    """Let Python look for cycles between requests, and never among what stays.

    What is remembered of riders is some three hundred thousand objects that hold no cycles
    and are freed as soon as nobody refers to them. Python looks for cycles when much more was
    made than freed, which histories that take each other's place hide from it; when it does
    look, it looks at them all, and everybody waits for 0.4 s.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(200_000, 20, 50)
    app.teardown_request(_Looks())


class _Looks:
    """After a request next to nothing of it is left, and a look at that takes microseconds.

    After a backlog of taps what is left is what is remembered of its riders; it is set aside
    unseen. Cycles of requests that were under way at that moment wait for the full look.
    """

    def __init__(self) -> None:
        self._set_aside = self._full = monotonic()

    def __call__(self, _error: BaseException | None) -> None:
        # The request and its environ name each other, and with them they keep the body.
        request.environ.pop("werkzeug.request", None)
        now = monotonic()
        if now - self._full > FULL_LOOK_S:
            self._full = now
            gc.unfreeze()
            gc.collect()
        elif not _is_backlog():
            gc.collect(0)
            if now - self._set_aside < SET_ASIDE_S:
                return
        self._set_aside = now
        gc.freeze()
        gc.collect(0)  # of nothing: Python's own count begins anew


def _is_backlog() -> bool:
    return request.endpoint == TAPS and (request.content_length or 0) > BACKLOG_BYTES


def _later(why: str) -> Response:
    response = jsonify(
        type="about:blank", title="Try again later", status=503,
        detail=f"{why}; send it again",
    )  # fmt: skip
    response.status_code, response.mimetype = 503, "application/problem+json"
    response.headers["Retry-After"] = str(RETRY_AFTER_S)
    return response
