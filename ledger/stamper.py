"""A thread that has the checkpoint time-stamped once a day; of all workers' one does."""

from __future__ import annotations

import logging
import threading
import time

import httpx

from ledger.election import STAMPER, election
from ledger.ledger import Ledger
from ledger.timestamps import (
    QUERY_TYPE,
    REPLY_BYTES_MAX,
    Ask,
    TimestampTrouble,
    stamp,
    stamped_today,
)
from models import bounded
from models.errors import sentence

TIMEOUT_S = 20.0
PAUSE_S_MAX = 3600.0
_TICK_S = 1.0
_BOUND = bounded.Bound(bytes_max=REPLY_BYTES_MAX, seconds_max=2 * TIMEOUT_S)

_log = logging.getLogger(__name__)


def ask_over_http(client: httpx.Client) -> Ask:
    """Send queries over HTTP; the certificate decides who may stamp, so redirects are refused."""

    def ask(url: str, query: bytes) -> bytes:
        try:
            response = bounded.ask(
                client,
                "POST",
                url,
                content=query,
                headers={"Content-Type": QUERY_TYPE},
                bound=_BOUND,
                timeout_s=TIMEOUT_S,
            )
        except httpx.HTTPError as error:
            raise TimestampTrouble(f"{url} cannot be reached: {error}") from error
        if response.status_code != 200:
            raise TimestampTrouble(f"{url} answered {response.status_code} and no time-stamp")
        return response.content

    return ask


class Stamper:
    """Stamps soon after the day began (UTC); a failure is tried again after growing pauses."""

    def __init__(self, ledger: Ledger, pause_s_first: float = 60.0) -> None:
        self._ledger, self._pause_s_first = ledger, pause_s_first
        self._pause_s, self._due = pause_s_first, 0.0
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._election = election(ledger, STAMPER)

    def start(self) -> None:
        """Begin; without an authority in the settings there is nothing to do."""
        if self._ledger.settings.timestamp is not None:
            self._thread = threading.Thread(target=self._run, name="time-stamps", daemon=True)
            self._thread.start()

    def stop(self) -> None:
        """End the thread after the query it is at."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join()
        self._election.resign()

    def _run(self) -> None:
        with httpx.Client(timeout=TIMEOUT_S) as client:
            ask = ask_over_http(client)
            while not self._stop.wait(_TICK_S):
                if time.monotonic() >= self._due:
                    self._step(ask)

    def _step(self, ask: Ask) -> None:
        settings = self._ledger.settings.timestamp
        try:
            if settings and self._election.won() and not stamped_today(self._ledger):
                stamp(self._ledger, settings, ask)
            self._pause_s = self._pause_s_first
        except Exception as error:  # noqa: BLE001 - the thread must see the next round
            _log.error("the checkpoint was not time-stamped: %s", sentence(error))
            self._due = time.monotonic() + self._pause_s
            self._pause_s = min(2 * self._pause_s, PAUSE_S_MAX)
