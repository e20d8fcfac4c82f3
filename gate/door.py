"""Doors. A door is told to open once per passage; it closes by itself."""

from __future__ import annotations

from typing import Protocol, TextIO


class Door(Protocol):
    """What opens when a rider may pass."""

    def open(self, account: str) -> None:
        """Open for one passage. ``account`` is the pseudonym, for the door's own log."""
        ...


class ConsoleDoor:
    """A door for desks and tests: it says that it opens."""

    def __init__(self, out: TextIO) -> None:
        self._out = out

    def open(self, account: str) -> None:
        print(f"door: open for account {account[:8]}…", file=self._out, flush=True)
