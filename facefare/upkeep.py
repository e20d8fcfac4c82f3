"""How a worker of the server keeps its threads and its memory, so that no tap waits for it."""

from __future__ import annotations

import ctypes
import gc
import sys
from contextlib import suppress
from http import HTTPStatus
from time import monotonic

from flask import Flask, Response, g, request

from facefare.capacity import TAPS

SET_ASIDE_S = 0.5
LOOK_TWICE_S = 1
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
    looks = _Looks()
    app.after_request(looks.answered)
    app.teardown_request(looks)


class _Looks:
    """After a page next to nothing of it is left, and a look at that takes microseconds.

    Of pages under way when another ends, cycles outlive the look; a look at a second's worth
    of what was left finds them. A tap that was charged leaves no cycles, only what is remembered
    of its rider, and that is set aside unseen, so that no look after a page meets it. One that
    failed counts as a page: an error names where it was raised, and that names the error. Cycles
    of a page that is under way when something is set aside wait for the full look.
    """

    def __init__(self) -> None:
        self._set_aside = self._twice = self._full = monotonic()

    def answered(self, response: Response) -> Response:
        """Note whether taps were charged."""
        g.charged = request.endpoint == TAPS and response.status_code == HTTPStatus.OK
        return response

    def __call__(self, _error: BaseException | None) -> None:
        # The request and its environ name each other, and with them they keep the body.
        request.environ.pop("werkzeug.request", None)
        now = monotonic()
        if now - self._full > FULL_LOOK_S:
            self._full = now
            gc.unfreeze()
            gc.collect()
            gc.freeze()
        elif g.pop("charged", False):
            if now - self._set_aside > SET_ASIDE_S:
                self._set_aside = now
                gc.freeze()
        elif now - self._twice > LOOK_TWICE_S:
            self._twice = now
            gc.collect(1)
        else:
            gc.collect(0)
