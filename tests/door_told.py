"""What a door under test told, and waiting for it."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from gate.doors.events import DoorEvent

ACCOUNT = "5f" * 16


def wait_for(true: Callable[[], Any], seconds: float = 20.0) -> None:
    until = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < until, "it did not happen in time"
        time.sleep(0.005)


class Told:
    """What a door told, in order."""

    def __init__(self) -> None:
        self.events: list[tuple[DoorEvent, str]] = []

    def __call__(self, event: DoorEvent, detail: str) -> None:
        self.events.append((event, detail))

    def kinds(self) -> list[DoorEvent]:
        return [event for event, _ in self.events]
