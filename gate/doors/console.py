"""The door for desks and tests: it says that it opens."""

from __future__ import annotations

from typing import TextIO

from gate.doors.events import DoorEvent


class ConsoleDoor:
    """Writes a line for each opening."""

    fault = ""

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._events: list[DoorEvent] = []

    def open(self, account: str) -> None:
        """Say that it opens; whose account it is stays in the outbox."""
        print("door: open", file=self._out, flush=True)

    def release(self, by: str) -> None:
        """Say that it opens for a member of staff."""
        print(f"door: released by {by}", file=self._out, flush=True)
        self._events.append(DoorEvent.RELEASED)

    def events(self) -> list[DoorEvent]:
        """It has no sensors; it tells only of releases."""
        told, self._events = self._events, []
        return told

    def start(self) -> None:
        """There is nothing to start."""

    def stop(self) -> None:
        """There is nothing to stop."""
