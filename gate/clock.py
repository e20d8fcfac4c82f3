"""The gate's time: its own clock, put right by the server's where the two disagree.

A gate whose clock was lost in a power cut would be refused by the server, and stamp its
taps with a time that never was. The server's answers carry its time (``Date``), over a
connection that proves who answers; so it counts until the gate's own clock is right.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

OFF_S_MAX = 10.0
"""Less may be the way and the whole seconds of the header; more is a wrong clock."""

AHEAD_S_MAX = 300.0
"""So far another clock than this one may run ahead of it."""

log = logging.getLogger(__name__)


def age_s(at: datetime, now: datetime) -> float:
    """Seconds from ``at`` to ``now``; endless where ``at`` lies ahead: then this clock was set
    back, and how long ago it was nobody knows."""
    seconds = (now - at).total_seconds()
    return seconds if seconds >= -AHEAD_S_MAX else math.inf


class GateClock:
    """Call it for the time. Used by several threads: one value is replaced, never changed."""

    def __init__(self, system: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._system = system
        self.behind = timedelta(0)

    def __call__(self) -> datetime:
        return self._system() + self.behind

    def learn(self, date: str) -> bool:
        """Hear the server's ``Date``; True where it changes what time it is here."""
        try:
            theirs = parsedate_to_datetime(date)
        except (TypeError, ValueError):
            return False
        if abs((theirs - self()).total_seconds()) <= OFF_S_MAX:
            return False
        off = theirs - self._system()
        self.behind = off if abs(off.total_seconds()) > OFF_S_MAX else timedelta(0)
        log.error("%s", self.problem or "this gate's clock is right again")
        return True

    @property
    def problem(self) -> str:
        """What is wrong with this machine's clock, in words; empty where nothing is."""
        off_s = self.behind.total_seconds()
        if not off_s:
            return ""
        return (
            f"this gate's clock is {abs(off_s):.0f} s {'behind' if off_s > 0 else 'ahead of'} the "
            "server's; set it, and see that it is kept right (NTP). Until then the server's counts"
        )
