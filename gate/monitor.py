"""What watches the gate's program: figures, health, systemd's watchdog, and its lock.

with alone(identity): ...        one program per gate directory
monitor.turned(saw_frame)        from the frame loop, at every turn
"""

from __future__ import annotations

import fcntl
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from typing import Any

from gate.errors import GateConfigError
from gate.faults import Fault
from gate.health import Facts, as_json, checks, look
from gate.identity import GateIdentity
from gate.kiosk.server import LocalServer
from gate.metrics import Metrics
from gate.notify import Watchdog
from gate.outbox import Outbox


class Monitor:
    """Watches one gate; ``standing()`` are its faults, ``wall_clock`` its time."""

    def __init__(
        self,
        identity: GateIdentity,
        standing: Callable[[], Mapping[Fault, str]],
        wall_clock: Callable[[], datetime],
        watchdog: Watchdog | None = None,
    ) -> None:
        self._identity = identity
        self._standing = standing
        self._wall_clock = wall_clock
        self._outbox: Outbox | None = None
        self._watchdog = watchdog or Watchdog()
        self.metrics = Metrics(self.facts)
        port = identity.file.metrics.port
        self._server = LocalServer(self.metrics.app(), port, "metrics") if port else None

    def start(self) -> None:
        """Serve the figures, and tell systemd that the gate is there."""
        if self._server is not None:
            self._server.start()
        self._watchdog.ready()

    def stop(self) -> None:
        """The gate stops on purpose."""
        self._watchdog.stopping()
        if self._server is not None:
            self._server.stop()

    def turned(self, saw_frame: bool) -> None:
        """The loop turned once, with a frame or while it waits for the camera."""
        self._watchdog.beat()
        if saw_frame:
            self.metrics.frame()

    def facts(self) -> Facts:
        """What the gate knows of itself now; raises ``OutboxError``."""
        if self._outbox is None:
            self._outbox = Outbox(self._identity.outbox_path)
        return look(self._identity, self._outbox, self._wall_clock(), self._standing())

    def health(self) -> dict[str, Any]:
        """The screen of health as /health serves it; raises ``OutboxError``."""
        return as_json(checks(self.facts()))


@contextmanager
def alone(identity: GateIdentity) -> Iterator[None]:
    """Hold the gate's directory: a second program would share its taps, door and camera.

    Raises ``GateConfigError`` where another program holds it. The lock goes with the process,
    however that ends.
    """
    with (identity.path / "running.lock").open("a", encoding="ascii") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise GateConfigError(
                f"another program runs the gate in {identity.path}; stop it first"
            ) from error
        yield
