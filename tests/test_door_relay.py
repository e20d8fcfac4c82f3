"""A door on a relay: pulses, sensors and the staff's button, on pretended pins."""

from __future__ import annotations

import io
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from gpiozero.pins.mock import MockFactory

from gate.doors.choices import make_door
from gate.doors.driven import DrivenDoor
from gate.doors.events import DoorEvent
from gate.errors import DoorError
from gate.settings import DoorSettings
from tests.door_told import ACCOUNT, Told, wait_for


@pytest.fixture
def pins() -> Iterator[MockFactory]:
    factory = MockFactory()
    yield factory
    factory.close()


Relay = Callable[..., tuple[DrivenDoor, Told]]


@pytest.fixture
def relay(pins: MockFactory) -> Iterator[Relay]:
    """Makes a started door on the pretended pins; it is stopped at the end."""
    doors: list[DrivenDoor] = []

    def make(**settings: Any) -> tuple[DrivenDoor, Told]:
        told = Told()
        wanted = DoorSettings(driver="gpio", pin=17, pulse_s=0.3, held_after_s=1.0, **settings)
        door = make_door(wanted, Path("nowhere"), io.StringIO(), told, pins)
        assert isinstance(door, DrivenDoor)
        door.start()
        doors.append(door)
        wait_for(lambda: not door.fault)
        return door, told

    yield make
    for door in doors:
        door.stop()


def test_a_relay_is_on_for_one_pulse(relay: Relay, pins: MockFactory) -> None:
    door, _ = relay()
    pin = pins.pin(17)
    assert not pin.state
    opened = time.monotonic()
    door.open(ACCOUNT)
    wait_for(lambda: pin.state)
    wait_for(lambda: not pin.state)
    assert 0.2 <= time.monotonic() - opened <= 3.0


def test_a_second_rider_prolongs_the_pulse(relay: Relay, pins: MockFactory) -> None:
    door, _ = relay()
    pin = pins.pin(17)
    door.open(ACCOUNT)
    wait_for(lambda: pin.state)
    time.sleep(0.2)
    door.open(ACCOUNT)
    time.sleep(0.2)
    assert pin.state
    wait_for(lambda: not pin.state)


def test_a_lock_that_fails_open_is_held_by_current(relay: Relay, pins: MockFactory) -> None:
    door, _ = relay(fail_open=True)
    pin = pins.pin(17)
    assert pin.state, "the magnet holds"
    door.open(ACCOUNT)
    wait_for(lambda: not pin.state)
    wait_for(lambda: pin.state)
    door.stop()
    assert not pin.state, "without the program the door is free"


def test_a_lock_that_fails_shut_has_no_current_after_the_program(
    relay: Relay, pins: MockFactory
) -> None:
    door, _ = relay()
    pin = pins.pin(17)
    door.open(ACCOUNT)
    wait_for(lambda: pin.state)
    door.stop()
    assert not pin.state


@pytest.mark.parametrize(("fail_open", "at_rest"), [(False, True), (True, False)])
def test_a_board_that_switches_on_low(
    relay: Relay, pins: MockFactory, fail_open: bool, at_rest: bool
) -> None:
    door, _ = relay(active_high=False, fail_open=fail_open)
    pin = pins.pin(17)
    assert pin.state is at_rest
    door.open(ACCOUNT)
    wait_for(lambda: pin.state is not at_rest)
    door.stop()
    assert pin.state, "the relay is off"


def test_the_sensor_tells_of_passages_held_and_forced_doors(
    relay: Relay, pins: MockFactory
) -> None:
    door, told = relay(sensor_pin=27)
    pins.pin(27).drive_low()  # the contact to ground is closed: the door is shut
    wait_for(lambda: told.kinds() == [DoorEvent.CLOSED])
    door.open(ACCOUNT)
    wait_for(lambda: pins.pin(17).state)
    pins.pin(27).drive_high()
    wait_for(lambda: DoorEvent.HELD in told.kinds())
    pins.pin(27).drive_low()
    wait_for(
        lambda: (
            told.kinds() == [DoorEvent.CLOSED, DoorEvent.OPENED, DoorEvent.HELD, DoorEvent.CLOSED]
        )
    )
    pins.pin(27).drive_high()
    wait_for(lambda: told.kinds()[-1] is DoorEvent.FORCED)
    assert door.events() == told.kinds()
    assert door.events() == []


def test_the_staffs_button_opens_and_is_told(relay: Relay, pins: MockFactory) -> None:
    door, told = relay(release_pin=22)
    pins.pin(22).drive_low()
    wait_for(lambda: pins.pin(17).state)
    wait_for(lambda: told.events == [(DoorEvent.RELEASED, "button")])
    assert door.events() == [DoorEvent.RELEASED]


def test_a_pin_that_another_device_holds_is_a_fault_in_words(
    relay: Relay, pins: MockFactory
) -> None:
    relay()
    second = make_door(
        DoorSettings(driver="gpio", pin=17), Path("nowhere"), io.StringIO(), Told(), pins
    )
    second.start()
    try:
        wait_for(lambda: "check door.pin" in second.fault)
        with pytest.raises(DoorError, match=r"check door\.pin"):
            second.open(ACCOUNT)
    finally:
        second.stop()
