"""A running kiosk for tests, and what stands behind it."""

from __future__ import annotations

from dataclasses import dataclass, field

from gate.errors import DoorError
from gate.faults import FaultBoard
from gate.kiosk.app import Kiosk, create_app
from gate.kiosk.keypad import Keypad
from gate.kiosk.screen import Screen
from gate.kiosk.server import LocalServer
from gate.settings import KioskSettings

TOKEN = "t" * 43


@dataclass
class Station:
    """A running kiosk server and what stands behind it."""

    settings: KioskSettings
    faults: FaultBoard = field(default_factory=FaultBoard)
    keypad: Keypad = field(default_factory=Keypad)
    released: list[str] = field(default_factory=list)
    problem: str = ""

    def __post_init__(self) -> None:
        self.screen = Screen(self.faults, self.keypad, self.settings.silhouette)
        self.server = LocalServer(create_app(self.kiosk()), 0, "kiosk")
        self.server.start()
        self.url = f"http://127.0.0.1:{self.server.port}"

    def kiosk(self) -> Kiosk:
        return Kiosk(
            settings=self.settings,
            gate="south-1",
            screen=self.screen,
            keypad=self.keypad,
            release=self._release,
            release_token=TOKEN,
            health=lambda: {"checks": []},
        )

    def _release(self, by: str) -> None:
        if self.problem:
            raise DoorError(self.problem)
        self.released.append(by)
