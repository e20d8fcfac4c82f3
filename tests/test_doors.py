"""Doors: what they do with a command, with a sensor, and when something is broken."""

from __future__ import annotations

import hashlib
import hmac
import io
import json
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from gpiozero.pins.mock import MockFactory

from gate.doors.choices import make_door
from gate.doors.driven import COMMANDS_MAX, DrivenDoor, Moved
from gate.doors.events import GRACE_S, DoorEvent, DoorWatch
from gate.doors.http import HttpDriver
from gate.errors import DoorError, GateConfigError
from gate.settings import DoorSettings

SECRET = "a secret of a door"
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


# --- the pure rules -------------------------------------------------------------------

OPENED, CLOSED, HELD, FORCED = (
    DoorEvent.OPENED,
    DoorEvent.CLOSED,
    DoorEvent.HELD,
    DoorEvent.FORCED,
)


@pytest.mark.parametrize(
    ("story", "expected"),
    [
        ([(0, "unlock"), (1, "open"), (2, "closed")], [OPENED, CLOSED]),
        ([(0, "unlock"), (3 + GRACE_S, "open")], [OPENED]),
        ([(0, "unlock"), (3.1 + GRACE_S, "open")], [FORCED]),
        ([(0, "open"), (1, "closed")], [FORCED, CLOSED]),
        ([(0, "closed"), (1, "closed")], []),
        ([(0, "unlock"), (1, "open"), (1.1, "open")], [OPENED]),
        ([(0, "unlock"), (1, "open"), (12.9, "tick")], [OPENED]),
        ([(0, "unlock"), (1, "open"), (13, "tick"), (20, "tick")], [OPENED, HELD]),
        ([(0, "unlock"), (1, "open"), (13, "tick"), (14, "closed")], [OPENED, HELD, CLOSED]),
        # The next rider's pulse lets the door stand open for longer.
        ([(0, "unlock"), (1, "open"), (9, "unlock"), (13, "tick"), (22, "tick")], [OPENED, HELD]),
        ([(5, "found"), (14.9, "tick"), (15, "tick"), (16, "closed")], [HELD, CLOSED]),
        ([(5, "open"), (14.9, "tick"), (15, "tick")], [FORCED, HELD]),
    ],
)
def test_a_door_is_held_or_forced(
    story: list[tuple[float, str]], expected: list[DoorEvent]
) -> None:
    watch = DoorWatch(held_after_s=10)
    told: list[DoorEvent | None] = []
    for at_s, what in story:
        if what == "unlock":
            watch.unlocked(at_s, 3)
        elif what == "found":
            watch.found(at_s, True)
        elif what == "tick":
            told.append(watch.tick(at_s))
        else:
            told.append(watch.moved(at_s, what == "open"))
    assert [event for event in told if event] == expected


# --- the relay ------------------------------------------------------------------------


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
    door.open(ACCOUNT)
    wait_for(lambda: pin.state)
    opened = time.monotonic()
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
    wait_for(lambda: told.kinds() == [CLOSED])
    door.open(ACCOUNT)
    wait_for(lambda: pins.pin(17).state)
    pins.pin(27).drive_high()
    wait_for(lambda: DoorEvent.HELD in told.kinds())
    pins.pin(27).drive_low()
    wait_for(lambda: told.kinds() == [CLOSED, OPENED, HELD, CLOSED])
    pins.pin(27).drive_high()
    wait_for(lambda: told.kinds()[-1] is FORCED)
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


# --- the thread -----------------------------------------------------------------------


class Lever:
    """A driver of our own port: it can be slow, refuse, and break."""

    def __init__(self) -> None:
        self.unlocked = self.started = 0
        self.problem: Exception | None = None
        self.go = threading.Event()
        self.go.set()

    def start(self, moved: Moved, pressed: Callable[[], None]) -> None:
        self.started += 1
        if isinstance(self.problem, DoorError):
            raise self.problem

    def unlock(self, seconds: float) -> None:
        self.go.wait(10)
        if self.problem:
            raise self.problem
        self.unlocked += 1

    def lock(self) -> None:
        return

    def check(self) -> None:
        return

    def close(self) -> None:
        return


@pytest.fixture
def lever() -> Lever:
    return Lever()


@pytest.fixture
def told() -> Told:
    return Told()


@pytest.fixture
def door(lever: Lever, told: Told) -> Iterator[DrivenDoor]:
    made = DrivenDoor(lever, pulse_s=0.2, held_after_s=5, told=told)
    made.start()
    wait_for(lambda: not made.fault)
    yield made
    lever.go.set()
    made.stop()


def test_a_slow_door_does_not_hold_up_the_caller(door: DrivenDoor, lever: Lever) -> None:
    lever.go.clear()
    began = time.monotonic()
    door.open(ACCOUNT)
    door.open(ACCOUNT)
    assert time.monotonic() - began < 1.0
    assert lever.unlocked == 0


def test_a_door_that_does_not_keep_up_says_so(door: DrivenDoor, lever: Lever) -> None:
    lever.go.clear()
    with pytest.raises(DoorError, match="commands wait"):
        for _ in range(COMMANDS_MAX + 2):
            door.open(ACCOUNT)


def test_a_command_that_waited_too_long_opens_for_nobody(
    door: DrivenDoor, lever: Lever, told: Told
) -> None:
    lever.go.clear()
    door.open(ACCOUNT)
    time.sleep(0.1)
    door.open(ACCOUNT)  # waits behind the first for longer than anybody stands there
    time.sleep(2.1)
    lever.go.set()
    wait_for(lambda: told.kinds() == [DoorEvent.FAILED])
    assert lever.unlocked == 1


def test_a_broken_driver_is_a_fault_until_it_works_again(
    door: DrivenDoor, lever: Lever, told: Told
) -> None:
    lever.problem = DoorError("the lever is jammed; grease it")
    door.open(ACCOUNT)
    wait_for(lambda: door.fault == "the lever is jammed; grease it")
    assert told.events == [(DoorEvent.FAILED, "the lever is jammed; grease it")]
    with pytest.raises(DoorError, match="jammed"):
        door.open(ACCOUNT)
    with pytest.raises(DoorError, match="jammed"):
        door.release("ada")
    lever.problem = None
    wait_for(lambda: not door.fault)
    assert lever.unlocked == 0, "the old command opens for nobody"
    door.open(ACCOUNT)
    wait_for(lambda: lever.unlocked == 1)


def test_a_bug_in_a_driver_does_not_end_the_doors_thread(
    door: DrivenDoor, lever: Lever, caplog: pytest.LogCaptureFixture
) -> None:
    lever.problem = ZeroDivisionError()
    door.open(ACCOUNT)
    wait_for(lambda: "unexpectedly" in door.fault)
    assert "ZeroDivisionError" in caplog.text
    lever.problem = None
    wait_for(lambda: not door.fault)


def test_a_release_by_staff_is_told_by_name(door: DrivenDoor, lever: Lever, told: Told) -> None:
    door.release("ada")
    wait_for(lambda: told.events == [(DoorEvent.RELEASED, "ada")])
    assert lever.unlocked == 1


def test_the_console_says_that_it_opens_and_for_nobody_by_name() -> None:
    said = io.StringIO()
    made = make_door(DoorSettings(), Path("nowhere"), said, Told())
    made.open(ACCOUNT)
    made.release("ada")
    assert said.getvalue() == "door: open\ndoor: released by ada\n"
    assert made.events() == [DoorEvent.RELEASED]
    assert made.events() == []


# --- HTTP -----------------------------------------------------------------------------


class DoorController(BaseHTTPRequestHandler):
    """A controller that notes what it is told."""

    heard: list[tuple[dict[str, str], bytes]]
    status: int
    slow_s: float

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        type(self).heard.append((dict(self.headers), body))
        time.sleep(type(self).slow_s)
        self.send_response(type(self).status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        return


@pytest.fixture
def controller() -> Iterator[str]:
    DoorController.heard, DoorController.status, DoorController.slow_s = [], 204, 0.0
    server = ThreadingHTTPServer(("127.0.0.1", 0), DoorController)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}/door"
    server.shutdown()
    server.server_close()
    thread.join()


def http_door(tmp_path: Path, url: str, auth: str, told: Told) -> DrivenDoor:
    secret = tmp_path / "door.secret"
    secret.touch(mode=0o600)
    secret.write_text(SECRET + "\n", encoding="utf-8")
    settings = DoorSettings.model_validate({"driver": "http", "url": url, "auth": auth})
    door = make_door(settings, secret, io.StringIO(), told)
    assert isinstance(door, DrivenDoor)
    door.start()
    return door


def test_a_controller_is_told_over_http_with_a_bearer_token(
    tmp_path: Path, controller: str, told: Told
) -> None:
    door = http_door(tmp_path, controller, "bearer", told)
    try:
        wait_for(lambda: not door.fault)
        door.open(ACCOUNT)
        wait_for(lambda: len(DoorController.heard) == 2)
    finally:
        door.stop()
    commands = [json.loads(body) for _, body in DoorController.heard]
    assert [command["command"] for command in commands] == ["check", "open"]
    assert commands[1]["seconds"] == 3.0
    assert commands[0]["id"] != commands[1]["id"]
    for headers, body in DoorController.heard:
        assert headers["Authorization"] == f"Bearer {SECRET}"
        assert ACCOUNT.encode() not in body


def test_a_shared_secret_signs_and_never_travels(
    tmp_path: Path, controller: str, told: Told
) -> None:
    door = http_door(tmp_path, controller, "hmac", told)
    try:
        wait_for(lambda: not door.fault)
    finally:
        door.stop()
    ((headers, body),) = DoorController.heard
    expected = hmac.new(SECRET.encode(), body, hashlib.sha256).hexdigest()
    assert headers["Facefare-Signature"] == expected
    assert "Authorization" not in headers
    assert SECRET not in str(headers)


@pytest.mark.parametrize("status", [302, 403, 500])
def test_a_controller_that_refuses_is_a_fault_in_words(
    tmp_path: Path, controller: str, told: Told, status: int
) -> None:
    DoorController.status = status
    door = http_door(tmp_path, controller, "bearer", told)
    try:
        wait_for(lambda: f"status {status}" in door.fault)
        DoorController.status = 200
        wait_for(lambda: not door.fault)
    finally:
        door.stop()


def test_a_controller_that_is_not_there_is_a_fault_in_words(tmp_path: Path, told: Told) -> None:
    door = http_door(tmp_path, "http://127.0.0.1:1/door", "bearer", told)
    try:
        wait_for(lambda: "does not answer" in door.fault)
        assert SECRET not in door.fault
    finally:
        door.stop()


def test_a_command_without_an_answer_ends_after_two_seconds(controller: str) -> None:
    driver = HttpDriver(DoorSettings(driver="http", url=controller), SECRET)
    driver.start(lambda is_open, as_found: None, lambda: None)
    DoorController.slow_s = 4.0
    began = time.monotonic()
    with pytest.raises(DoorError, match="does not answer"):
        driver.unlock(3.0)
    assert time.monotonic() - began < 3.9
    driver.close()


@pytest.mark.parametrize(
    ("mode", "text", "said"),
    [(0o644, SECRET, "chmod 600"), (0o600, "short", "at least 16"), (None, "", "write it there")],
)
def test_a_secret_that_is_not_one_is_refused(
    tmp_path: Path, mode: int | None, text: str, said: str
) -> None:
    secret = tmp_path / "door.secret"
    if mode is not None:
        secret.write_text(text, encoding="utf-8")
        secret.chmod(mode)
    settings = DoorSettings(driver="http", url="https://door.example/x")
    with pytest.raises(GateConfigError, match=said):
        make_door(settings, secret, io.StringIO(), Told())
