"""Telling systemd that the gate lives: READY=1 once, then WATCHDOG=1 from the frame loop.

Without systemd (no NOTIFY_SOCKET in the environment) nothing is sent. See sd_notify(3).
"""

from __future__ import annotations

import logging
import os
import socket
import time
from collections.abc import Callable, Mapping

log = logging.getLogger(__name__)


class Watchdog:
    """``beat`` may be called at every frame; it sends twice in a watchdog's period."""

    def __init__(
        self,
        environment: Mapping[str, str] = os.environ,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._address = environment.get("NOTIFY_SOCKET", "")
        self._period_s = int(environment.get("WATCHDOG_USEC", "0")) / 2e6
        self._clock = clock
        self._next_s = 0.0

    def ready(self) -> None:
        """The gate works now."""
        self._send("READY=1")

    def beat(self) -> None:
        """The frame loop turns."""
        now_s = self._clock()
        if self._period_s and now_s >= self._next_s:
            self._next_s = now_s + self._period_s
            self._send("WATCHDOG=1")

    def stopping(self) -> None:
        """The gate stops on purpose."""
        self._send("STOPPING=1")

    def _send(self, message: str) -> None:
        if not self._address:
            return
        path = "\0" + self._address[1:] if self._address.startswith("@") else self._address
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as out:
                out.connect(path)
                out.sendall(message.encode())
        except OSError as error:
            log.warning("systemd cannot be told %s: %s", message, error)
