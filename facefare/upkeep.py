"""How a worker of the server keeps its threads and its memory, so that no tap waits for it."""

from __future__ import annotations

import ctypes
import gc
import sys
from contextlib import suppress
from time import monotonic

from flask import Flask, request

from facefare.capacity import TAPS

BACKLOG_BYTES = 32_000  # some forty taps
SET_ASIDE_S = 1
FULL_LOOK_S = 3600

_M_ARENA_MAX = -8  # malloc.h of glibc


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

    Finding its address alone leaves a cycle (werkzeug's matcher calls itself by name). Of
    requests under way when another ends such cycles outlive the look; a look at a second's
    worth of what was left finds them, and what stays then is set aside. After a backlog of
    taps that is what is remembered of its riders; it is set aside unseen. Cycles of requests
    that are under way at that moment wait for the full look.
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
            if now - self._set_aside < SET_ASIDE_S:
                gc.collect(0)
                return
            gc.collect(1)
        self._set_aside = now
        gc.freeze()
        gc.collect(0)  # of nothing: Python's own count begins anew


def _is_backlog() -> bool:
    return request.endpoint == TAPS and (request.content_length or 0) > BACKLOG_BYTES
