"""What stands around the camera: door, screen, keys and pass reader, as ``gate.toml`` says."""

from __future__ import annotations

import logging
import os
import secrets
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TextIO

from gate.decision import Decision
from gate.display import ConsoleDisplay, Display, FaceBox
from gate.door import Door
from gate.doors.choices import make_door
from gate.doors.events import DoorEvent
from gate.faults import FaultBoard
from gate.identity import GateIdentity
from gate.kiosk.app import Kiosk, create_app
from gate.kiosk.keypad import Keypad
from gate.kiosk.screen import Screen
from gate.kiosk.server import LocalServer
from gate.monitor import Monitor, alone
from gate.passage import Phase
from gate.presented import Presented, SeenFace
from gate.second_factor import Claims, PassAndDigits
from models.faces.engine import Frame

log = logging.getLogger(__name__)


class Displays:
    """Several screens that show the same."""

    def __init__(self, displays: list[Display]) -> None:
        self._displays = displays

    def show(self, phase: Phase, text: str, tap_id: str | None = None) -> None:
        for display in self._displays:
            display.show(phase, text, tap_id)

    def settled(self, tap_id: str, answer: Mapping[str, Any]) -> None:
        for display in self._displays:
            display.settled(tap_id, answer)

    def face(self, box: FaceBox | None) -> None:
        for display in self._displays:
            display.face(box)


class PassDigitsAndKeys:
    """The second factor with the screen's keys before it."""

    def __init__(self, passes: PassAndDigits, keypad: Keypad) -> None:
        self._passes = passes
        self._keypad = keypad

    def look(self, frame: Frame, now_s: float) -> Presented | None:
        """A pass in the frame, or digits just typed."""
        digits = self._keypad.take()
        if digits is not None:
            self._passes.typed(digits)
        return self._passes.look(frame, now_s)

    def decide(self, presented: Presented, seen: SeenFace | None) -> Decision:
        return self._passes.decide(presented, seen)

    def clear(self) -> None:
        self._passes.clear()


@dataclass(frozen=True, slots=True)
class Equipment:
    """What the loop talks to beside the camera."""

    door: Door
    display: Display
    second_factor: PassDigitsAndKeys
    faults: FaultBoard
    monitor: Monitor


@contextmanager
def equipped(
    identity: GateIdentity,
    out: TextIO,
    claims: Callable[[], Claims | None],
    wall_clock: Callable[[], datetime],
) -> Iterator[Equipment]:
    """The equipment, started; it is stopped on the way out.

    Raises ``GateConfigError`` where ``gate.toml`` asks for what cannot be had.
    """
    with alone(identity):
        yield from _started(identity, out, claims, wall_clock)


def _started(
    identity: GateIdentity,
    out: TextIO,
    claims: Callable[[], Claims | None],
    wall_clock: Callable[[], datetime],
) -> Iterator[Equipment]:
    file, faults, keypad = identity.file, FaultBoard(), Keypad()
    screen = Screen(faults, keypad, file.kiosk.silhouette)
    monitor = Monitor(identity, faults.standing, wall_clock)

    def told(event: DoorEvent, detail: str) -> None:
        monitor.metrics.door(event, detail)
        screen.refresh()

    door = make_door(file.door, identity.door_secret_path, out, told)
    server = None
    if file.kiosk.port:
        kiosk = Kiosk(
            file.kiosk, file.gate, screen, keypad, door.release, _release_token(identity),
            health=monitor.health,
        )  # fmt: skip
        server = LocalServer(create_app(kiosk), file.kiosk.port, "kiosk")
        server.start()
    monitor.start()
    door.start()
    try:
        passes = PassDigitsAndKeys(PassAndDigits(claims, wall_clock), keypad)
        displays = Displays([ConsoleDisplay(out), screen, monitor.metrics])
        yield Equipment(door, displays, passes, faults, monitor)
    finally:
        door.stop()
        monitor.stop()
        if server is not None:
            server.stop()


def _release_token(identity: GateIdentity) -> str:
    """Made anew at each start: who can read the gate's directory may open the door by hand.

    On a full disk nobody can until the next start; the gate has a screen all the same.
    """
    token = secrets.token_urlsafe(24)
    try:
        descriptor = os.open(
            identity.release_token_path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode=0o600
        )
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            file.write(token + "\n")
    except OSError as error:
        log.error("the door cannot be opened by 'facefare gate release': %s", error)
    return token
