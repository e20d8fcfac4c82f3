"""A door on a relay, wired to the pins of a Raspberry Pi or a board like it.

``fail_open`` says what the lock does without current, and so how the relay is used:

    fail_open = true     the lock is held by current (a magnet): the relay is on while the
                         door is shut, and off for each opening; no power, no lock
    fail_open = false    the lock is opened by current (a strike): the relay is off while
                         the door is shut, and on for each opening

In both cases letting go of the pin, by a stop or a crash, leaves the relay off.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from gate.doors.driven import Moved
from gate.errors import DoorError
from gate.settings import DoorSettings

BOUNCE_S = 0.05


class GpioDriver:
    """The relay, and where they are wired the door contact and the staff's button.

    ``pins`` is a gpiozero pin factory; None: the one of the machine.
    """

    def __init__(self, settings: DoorSettings, pins: Any = None) -> None:
        self._settings = settings
        self._pins = pins
        self._devices: list[Any] = []
        self._relay: Any = None

    def start(self, moved: Moved, pressed: Callable[[], None]) -> None:
        """Take the pins, the door shut; tell where the door stands."""
        try:
            import gpiozero
        except ImportError as error:
            raise DoorError(
                "the relay needs the package gpiozero; install facefare[gpio]"
            ) from error
        try:
            self._take_pins(gpiozero, moved, pressed)
        except (gpiozero.GPIOZeroError, OSError, RuntimeError) as error:
            raise DoorError(
                f"the pins of the relay cannot be used: {error or type(error).__name__}; check "
                "door.pin, and that this user may use the pins and no other program does"
            ) from error

    def _take_pins(self, gpiozero: Any, moved: Moved, pressed: Callable[[], None]) -> None:
        wanted = self._settings
        self._relay = gpiozero.OutputDevice(
            wanted.pin,
            active_high=wanted.active_high,
            initial_value=wanted.fail_open,
            pin_factory=self._pins,
        )
        self._devices.append(self._relay)
        if wanted.sensor_pin is not None:
            contact = self._input(gpiozero, wanted.sensor_pin)
            contact.when_pressed = lambda: moved(False, False)
            contact.when_released = lambda: moved(True, False)
            moved(not contact.is_pressed, True)
        if wanted.release_pin is not None:
            self._input(gpiozero, wanted.release_pin).when_pressed = pressed

    def _input(self, gpiozero: Any, pin: int) -> Any:
        device = gpiozero.Button(pin, pull_up=True, bounce_time=BOUNCE_S, pin_factory=self._pins)
        self._devices.append(device)
        return device

    def unlock(self, seconds: float) -> None:
        """Take the current away from a magnet, or give it to a strike."""
        self._relay.value = not self._settings.fail_open

    def lock(self) -> None:
        """The other way round."""
        self._relay.value = self._settings.fail_open

    def check(self) -> None:
        """A pin that is held works."""

    def close(self) -> None:
        """Relay off, pins free."""
        if self._relay is not None:
            self._relay.off()
            self._relay = None
        while self._devices:
            self._devices.pop().close()
