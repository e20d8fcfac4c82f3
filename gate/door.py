"""What the loop needs of a door; the drivers are in ``gate.doors``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from gate.doors.events import DoorEvent, Unopened


class Door(Protocol):
    """What opens when a rider may pass. It is told once per passage, and closes by itself.

    ``fault``: why it would not open now, in words; empty while it works.
    """

    fault: str

    def open(self, account: str) -> None:
        """Open for one passage, and return at once. ``account`` is the pseudonym.

        Raises ``DoorError`` where the door does not take commands.
        """
        ...

    def events(self) -> Sequence[DoorEvent | Unopened]:
        """What happened since this was last asked, oldest first; a door without sensors: []."""
        ...
