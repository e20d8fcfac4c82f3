"""Move what was written to SQLite's log into the database file, beside the requests.

SQLite does that itself in whatever commit makes the log 16 MB long, which then takes a
second where the others take milliseconds: a rider in front of a gate is not to be that one.
Moved every second, little is left for it. It stays as the last resort, where no server runs.
"""

from __future__ import annotations

import logging
import threading

from sqlalchemy import Engine

from models.database import is_postgres, move_pages
from models.errors import sentence

INTERVAL_S = 1.0

_log = logging.getLogger(__name__)


class PageMover:
    """A thread that moves pages as long as the process lives; on PostgreSQL there are none."""

    def __init__(self, engine: Engine, interval_s: float = INTERVAL_S) -> None:
        self._engine, self._interval_s = engine, interval_s
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Go on alone until ``stop``."""
        if not is_postgres(self._engine):
            self._thread = threading.Thread(target=self._run, name="pages", daemon=True)
            self._thread.start()

    def stop(self) -> None:
        """End the thread."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join()

    def _run(self) -> None:
        while not self._stop.wait(self._interval_s):
            try:
                move_pages(self._engine)
            # The next writer moves them, or meets the trouble.
            except Exception as error:  # noqa: BLE001 - the thread must see the next round
                _log.warning("pages stay in SQLite's log: %s", sentence(error))
