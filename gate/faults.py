"""The faults that stand at this gate now: one board that screen, metrics and status share.

Whoever finds a fault puts it up with what is wrong, and takes it down when it is over. A
fault has a name that stays the same for good; riders see the words of its name, staff the
detail as well.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from enum import StrEnum

from gate.words import Word

log = logging.getLogger(__name__)


class Fault(StrEnum):
    """The names, worst first: the screen shows the first that stands."""

    RECORD = "record"  # the outbox cannot be written: no door may open
    EYES = "eyes"  # weights are missing or broken: nothing can be looked at
    CAMERA = "camera"
    DOOR = "door"
    DOOR_FORCED = "door_forced"
    DOOR_HELD = "door_held"
    OFFLINE = "offline"
    CLOCK = "clock"
    DISK = "disk"
    GALLERY = "gallery"


FOR_RIDERS: dict[Fault, Word] = {
    Fault.RECORD: Word.RECORD_FAULT,
    Fault.EYES: Word.GATE_SILENT,
    Fault.CAMERA: Word.CAMERA_FAULT,
    Fault.DOOR: Word.DOOR_FAULT,
    Fault.DOOR_FORCED: Word.DOOR_FORCED,
    Fault.DOOR_HELD: Word.DOOR_HELD,
}
"""What riders are told; of a fault that does not keep them from riding the screen shows staff
the name, below."""


class FaultBoard:
    """Fault -> what is wrong, in words. Safe to use from several threads.

    ``changed`` is called after each change, by whoever made it.
    """

    def __init__(self) -> None:
        self.changed: Callable[[], None] = lambda: None
        self._standing: dict[Fault, str] = {}
        self._lock = threading.Lock()

    def set(self, fault: Fault, detail: str) -> None:
        """Put the fault up, or take it down where ``detail`` is empty; log each change."""
        with self._lock:
            before = self._standing.pop(fault, "")
            if detail:
                self._standing[fault] = detail
        if detail and detail != before:
            log.error("fault: %s", detail, extra={"fault": str(fault)})
        elif before and not detail:
            log.info("fault over", extra={"fault": str(fault)})
        if detail != before:
            self.changed()

    def standing(self) -> dict[Fault, str]:
        """The faults that stand now, worst first."""
        with self._lock:
            return {fault: self._standing[fault] for fault in Fault if fault in self._standing}

    def for_riders(self) -> Word | None:
        """What the screen says; None while riders can ride."""
        return next((FOR_RIDERS[fault] for fault in self.standing() if fault in FOR_RIDERS), None)
