"""Doors: what they do with a command, with a sensor, and when something is broken."""

from __future__ import annotations

import io
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from gate.doors.choices import make_door
from gate.doors.driven import COMMANDS_MAX, DrivenDoor, Moved
from gate.doors.events import GRACE_S, DoorEvent, DoorWatch
from gate.errors import DoorError
from gate.settings import DoorSettings
from tests.door_told import ACCOUNT, Told, wait_for

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
        # It closed while nobody looked.
        ([(0, "open"), (5, "found closed"), (6, "closed")], [FORCED, CLOSED]),
        ([(0, "unlock"), (1, "open"), (13, "tick"), (14, "found closed")], [OPENED, HELD, CLOSED]),
        ([(0, "found closed"), (2, "open")], [FORCED]),
        ([(0, "open"), (5, "found"), (6, "closed")], [FORCED, CLOSED]),
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
        elif what.startswith("found"):
            told.append(watch.found(at_s, what == "found"))
        elif what == "tick":
            told.append(watch.tick(at_s))
        else:
            told.append(watch.moved(at_s, what == "open"))
    assert [event for event in told if event] == expected


# --- the thread -----------------------------------------------------------------------


class Lever:
    """A driver of our own port: it can be slow, refuse, and break."""

    def __init__(self) -> None:
        self.unlocked = self.started = 0
        self.problem: Exception | None = None
        self.go = threading.Event()
        self.go.set()
        self.moved: Moved = lambda is_open, as_found: None

    def start(self, moved: Moved, pressed: Callable[[], None]) -> None:
        self.started += 1
        if isinstance(self.problem, DoorError):
            raise self.problem
        self.moved = moved
        moved(False, True)

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


def test_a_door_that_closed_while_its_driver_was_away_is_told_of(
    door: DrivenDoor, lever: Lever, told: Told
) -> None:
    lever.moved(True, False)
    wait_for(lambda: len(told.events) == 1)
    lever.problem = ZeroDivisionError()
    door.open(ACCOUNT)
    wait_for(lambda: lever.started > 1)
    wait_for(lambda: told.kinds()[1:] == [DoorEvent.FAILED, DoorEvent.CLOSED])


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
