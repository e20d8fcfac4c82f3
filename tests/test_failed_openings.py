"""A door that fails after the tap is on disk: its rider hears of it, and pays once."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from bench.gate_station import make_gate
from gate.door import Door
from gate.doors.driven import COMMANDS_MAX, DrivenDoor
from gate.loop import GateLoop
from gate.outbox import Outbox
from gate.passage import Phase
from gate.sight import Knowledge
from gate.words import Word
from models.faces.tracking import Tracker
from tests.door_told import Told, wait_for
from tests.offline_gate import FRAME, Blind, Passes
from tests.test_door_http import DoorController, controller, http_door
from tests.test_doors import Lever
from tests.test_gate_liveness import Notes

__all__ = ["controller"]  # a fixture of the tests beside these

ANNA, BORIS = "a" * 32, "b" * 32
NOW = datetime(2026, 11, 22, 19, 0, tzinfo=UTC)
DOOR_FAULT = (Phase.OUT_OF_SERVICE, Word.DOOR_FAULT)


class Station:
    """The gate's own loop before this door; riders show passes, ten frames a second."""

    def __init__(self, folder: Path, door: Door) -> None:
        identity = make_gate(folder)
        self.outbox, self.screen, self.passes = Outbox(identity.outbox_path), Notes(), Passes()
        self.loop = GateLoop(
            identity,
            Knowledge(None, {}),
            Tracker(Blind(), fused_frames=3),
            self.outbox,
            door,
            self.screen,
            wall_clock=lambda: NOW,
            second_factor=self.passes,
        )
        self._frames = 0

    def see(self, seconds: float) -> None:
        for _ in range(round(seconds * 10)):
            self.loop.on_frame(FRAME, self._frames / 10)
            self._frames += 1

    def anna_shows_her_pass(self) -> None:
        self.passes.next = (ANNA, True)
        self.see(0.5)
        self.passes.next = None

    @property
    def taps(self) -> int:
        return len(self.outbox.pending(9))


def test_who_stood_before_a_door_that_failed_passes_later_and_pays_once(
    tmp_path: Path, controller: str
) -> None:
    door = http_door(tmp_path, controller, "bearer", Told())
    try:
        wait_for(lambda: not door.fault)
        station = Station(tmp_path / "gate", door)
        DoorController.status = 500
        station.anna_shows_her_pass()
        wait_for(lambda: door.fault)
        station.see(0.1)
        assert station.screen.shown[-1] == DOOR_FAULT
        DoorController.status = 204
        wait_for(lambda: not door.fault)
        station.see(2.0)
        assert station.screen.shown[-1] == (Phase.IDLE, "")
        told_before = len(opening_commands())
        station.anna_shows_her_pass()
        assert station.screen.shown[-1] == (Phase.OPEN, "")
        wait_for(lambda: len(opening_commands()) == told_before + 1)
        station.see(2.0)
        station.anna_shows_her_pass()
        assert station.screen.shown[-1] == (Phase.ALREADY_PASSED, Word.JUST_PASSED)
    finally:
        door.stop()
    assert station.taps == 1


def opening_commands() -> list[bytes]:
    return [body for _, body in DoorController.heard if b'"open"' in body]


def test_a_door_that_takes_no_more_commands_lets_nobody_believe_that_it_opens(
    tmp_path: Path,
) -> None:
    lever, told = Lever(), Told()
    door = DrivenDoor(lever, pulse_s=0.2, held_after_s=5, told=told)
    door.start()
    try:
        wait_for(lambda: not door.fault)
        station = Station(tmp_path, door)
        lever.go.clear()
        door.open(BORIS)
        wait_for(door._inbox.empty)
        for _ in range(COMMANDS_MAX):
            door.open(BORIS)
        station.anna_shows_her_pass()
        assert station.screen.shown == [DOOR_FAULT]
        lever.go.set()
        wait_for(door._inbox.empty)
        station.see(1.0)
        station.anna_shows_her_pass()
        assert station.screen.shown[-1] == (Phase.OPEN, "")
        wait_for(lambda: lever.unlocked + len(told.events) == COMMANDS_MAX + 2)
    finally:
        lever.go.set()
        door.stop()
    assert station.taps == 1
