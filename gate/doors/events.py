"""What a door tells of itself, and the pure rules for held and forced doors.

unlocked -> opened -> closed             a passage
unlocked -> opened -> held -> closed     somebody keeps it open
forced -> closed                         it opened without being told to
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

GRACE_S = 0.7
"""A leaf that was pushed in the last moment of the pulse may tell of it this much later."""


class DoorEvent(StrEnum):
    """What happened at a door."""

    OPENED = "opened"
    CLOSED = "closed"
    HELD = "held"  # somebody keeps it open
    FORCED = "forced"  # it opened without being told to
    RELEASED = "released"  # staff opened it by hand
    FAILED = "failed"  # it was told to open, and did not take the command


@dataclass(frozen=True, slots=True)
class Unopened:
    """The door failed for a passage; ``account`` is whose tap stands for nothing so far."""

    account: str


@dataclass
class DoorWatch:
    """Follows one door with a sensor. Times are seconds of a clock that only runs forward."""

    held_after_s: float
    unlocked_until_s: float = float("-inf")
    is_open: bool = False
    _held_told: bool = False

    def unlocked(self, now_s: float, seconds: float) -> None:
        """The door was told to open for ``seconds``."""
        self.unlocked_until_s = max(self.unlocked_until_s, now_s + seconds)
        self._held_told = False

    def found(self, now_s: float, is_open: bool) -> DoorEvent | None:
        """How the door stood when the gate began to look: nobody forced it just now, but it
        may have closed while nobody looked."""
        self.unlocked_until_s = max(self.unlocked_until_s, now_s)
        if not is_open:
            return self.moved(now_s, is_open)
        self.is_open = True
        return None

    def moved(self, now_s: float, is_open: bool) -> DoorEvent | None:
        """The sensor says where the door is now; None where that is no news."""
        if is_open == self.is_open:
            return None
        self.is_open = is_open
        if not is_open:
            self._held_told = False
            return DoorEvent.CLOSED
        expected = now_s <= self.unlocked_until_s + GRACE_S
        if not expected:
            self.unlocked_until_s = now_s  # held_after_s counts from here
        return DoorEvent.OPENED if expected else DoorEvent.FORCED

    def tick(self, now_s: float) -> DoorEvent | None:
        """``HELD`` once, when the door has stood open for too long."""
        if not self.is_open or self._held_told:
            return None
        if now_s < self.unlocked_until_s + self.held_after_s:
            return None
        self._held_told = True
        return DoorEvent.HELD
