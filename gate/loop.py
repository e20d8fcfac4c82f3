"""The gate's loop: frame in, door open. It carries out what the pure parts decide.

frame -> sight (track, liveness, match) -> decide \\
      -> second factor (pass, digits)   -> decide  -> passage.step -> tap in the outbox -> door

A gate that cannot do its work (no outbox, no door, no picture) shows that it is out of
service, opens for nobody, and goes on by itself as soon as it can: see ``gate.faults``.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from uuid6 import uuid7

from gate.decision import AskSecondFactor, Decision, Open, Refuse, Wait
from gate.display import Display
from gate.door import Door
from gate.doors.events import DoorEvent, Unopened
from gate.errors import DoorError, OutboxError
from gate.faults import Fault, FaultBoard
from gate.identity import GateIdentity
from gate.liveness.check import LivenessCheck, NoCheck
from gate.liveness.risk import SAFE, Limits
from gate.outbox import Outbox
from gate.passage import (
    NO_FACE,
    Candidate,
    Command,
    OpenDoor,
    Phase,
    Policy,
    Show,
    State,
    forget_gone,
    step,
    unopened,
)
from gate.presented import NoSecondFactor, Presented, PresentedDigits, SecondFactor, SeenFace
from gate.sight import Knowledge, Sight
from gate.words import Word
from models.faces.engine import Frame
from models.faces.tracking import Tracker
from models.wire.tap import Tap
from models.wire.times import format_utc, parse_utc

LOOK_S, LOOK_BUSY_S = 0.18, 0.2
"""How often a pass is looked for: on frames between two searches, and where there are none."""

log = logging.getLogger(__name__)


@dataclass
class Tally:
    """What happened since the gate started."""

    frames: int = 0
    opened: int = 0
    refused: int = 0
    asked: int = 0
    held: int = 0
    forced: int = 0


class GateLoop:
    """One gate at work. ``wall_clock`` stamps taps; frames bring their own time."""

    def __init__(
        self,
        identity: GateIdentity,
        knowledge: Knowledge,
        tracker: Tracker,
        outbox: Outbox,
        door: Door,
        display: Display,
        wall_clock: Callable[[], datetime],
        policy: Policy | None = None,
        check: LivenessCheck | None = None,
        second_factor: SecondFactor | None = None,
        limits: Limits = SAFE,
        faults: FaultBoard | None = None,
    ) -> None:
        self._identity = identity
        self._knowledge = knowledge
        self._sight = Sight(
            knowledge,
            tracker,
            check or NoCheck(),
            outbox.history(wall_clock),
            limits,
            identity.file.sees,
            wall_clock,
        )
        self._second_factor = second_factor or NoSecondFactor()
        self._outbox = outbox
        self._door = door
        self._display = display
        self._wall_clock = wall_clock
        self._policy = policy or Policy()
        self._state: State | None = None
        self._presented: Presented | None = None
        self._looked_s = float("-inf")
        self._tap_id: str | None = None
        self._faults = faults or FaultBoard()
        self._told: Word | None = None
        self.tally = Tally()

    def on_frame(self, frame: Frame, now_s: float) -> None:
        """Look at one frame taken at ``now_s`` (a clock that only runs forward)."""
        self.tally.frames += 1
        self.hear()
        try:
            state = self._state or self._remembered(now_s)
            # While something is presented, the face beside it is watched again.
            ended = frozenset() if self._presented else state.ended
            news = self._sight.observe(frame, now_s, ended)
            if self._door.fault:
                return  # a tap for a door that stays shut would charge a rider for nothing
            if news:
                self._display.face(self._sight.where(frame))
            presented = self._is_presented(frame, now_s, state, busy=news)
            if news or presented:
                after = self._step(frame, now_s, state)
                self._state = forget_gone(after, self._sight.tracks)
        except OutboxError as error:
            # No tap on disk, no open door. The state stays, so the passage is tried again.
            self._faults.set(Fault.RECORD, str(error))
            self.hear()

    def hear(self) -> None:
        """Hear the door, and tell riders of a fault, or that it is over."""
        for event in self._door.events():
            self._heard(event)
        self._faults.set(Fault.DOOR, self._door.fault)
        word = self._faults.for_riders()
        if word is self._told:
            return
        self._told = word
        if word is not None:
            self._show(Phase.OUT_OF_SERVICE, word)
        else:
            state = self._state or State()
            self._display.show(state.phase, state.text)

    def _heard(self, event: DoorEvent | Unopened) -> None:
        match event:
            case DoorEvent.HELD:
                self.tally.held += 1
                self._faults.set(Fault.DOOR_HELD, "the door is held open")
            case DoorEvent.FORCED:
                self.tally.forced += 1
                self._faults.set(Fault.DOOR_FORCED, "the door was forced: it opened by no command")
            case DoorEvent.CLOSED:
                self._faults.set(Fault.DOOR_HELD, "")
                self._faults.set(Fault.DOOR_FORCED, "")
            case Unopened(account=account):
                if self._state is not None:
                    self._state = self._unopened(self._state, account)
            case _:
                log.info("the door: %s", event)

    def _step(self, frame: Frame, now_s: float, state: State) -> State:
        candidate = self._candidate(frame, state)
        after, commands = step(state, candidate, now_s, self._policy)
        for command in commands:
            try:
                self._carry_out(command)
            except DoorError as error:
                log.error("a tap is recorded, but the door stays shut: %s", error)
                return self._unopened(after, after.account)
        return after

    def _unopened(self, state: State, account: str) -> State:
        """Tell the rider, who need not pay for another try."""
        after, commands = unopened(state, account)
        for command in commands:
            self._carry_out(command)
        return after

    def _is_presented(self, frame: Frame, now_s: float, state: State, busy: bool) -> bool:
        """Look for a pass while no door is open, on the frames between two searches for faces
        (``busy``), or on those too where there are none between."""
        if state.phase is Phase.OPEN:
            self._presented = None
        elif now_s - self._looked_s >= (LOOK_BUSY_S if busy else LOOK_S):
            self._looked_s = now_s
            self._presented = self._second_factor.look(frame, now_s)
        return self._presented is not None

    def _candidate(self, frame: Frame, state: State) -> Candidate | None:
        face = self._sight.candidate(frame, state, presented=self._presented is not None)
        if self._presented is None:
            return face
        seen = self._sight.seen(frame)
        decision = self._second_factor.decide(self._presented, seen)
        digits = isinstance(self._presented, PresentedDigits)
        if digits and not isinstance(decision, Wait):
            self._presented = None  # tried once, not on every frame until the next look
        track_id = NO_FACE if face is None else face.track_id
        return Candidate(track_id, self._permitted(decision, seen), presented=True)

    def _permitted(self, decision: Decision, seen: SeenFace | None) -> Decision:
        """Nothing opens for anybody on the deny list, or while there is none; and a face that
        digits made sure of opens no more than a face alone may."""
        if not isinstance(decision, Open):
            return decision
        blocked = self._knowledge.blocked
        if blocked is None:
            return Refuse(Word.OUT_OF_ORDER)
        if decision.account in blocked:
            return Refuse(blocked[decision.account])
        if decision.medium != "face":
            return decision
        reason = self._sight.reason_for_pass(decision.account, seen)
        return decision if reason is None else AskSecondFactor(reason)

    def _carry_out(self, command: Command) -> None:
        match command:
            case OpenDoor():
                self._open(command)
            case Show(phase=phase, text=text):
                self._show(phase, text)

    def _remembered(self, now_s: float) -> State:
        """The anti-passback memory of an earlier run, from the taps still on disk."""
        now = self._wall_clock()
        ages = {
            account: (now - parse_utc(at)).total_seconds() for account, at in self._outbox.recent()
        }
        # A tap "from the future" means that the clock was set back: it says nothing about when.
        return State(passed={account: now_s - age for account, age in ages.items() if age >= 0})

    def _open(self, command: OpenDoor) -> None:
        """First the tap on disk, then the door: an opened door always has its tap."""
        if command.on_record:
            self._tap_id = None  # another rider's may have come in between
        else:
            self._tap_id = self._recorded(command)
            self.tally.opened += 1
        self._presented = None
        self._second_factor.clear()
        self._door.open(command.account)

    def _recorded(self, command: OpenDoor) -> str:
        file = self._identity.file

        def build(seq: int, prev: str) -> Tap:
            return Tap(
                tap_id=str(uuid7()),
                gate=file.gate,
                station=file.station,
                direction=file.direction,
                at=format_utc(self._wall_clock()),
                account=command.account,
                medium=command.medium,
                evidence=command.evidence,
                seq=seq,
                prev=prev,
            )

        tap = self._outbox.append(build, self._identity.signing_key)
        self._faults.set(Fault.RECORD, "")
        return tap.tap_id

    def _show(self, phase: Phase, text: str) -> None:
        if phase is Phase.REFUSED:
            self.tally.refused += 1
        elif phase is Phase.SECOND_FACTOR:
            self.tally.asked += 1
        elif phase is Phase.IDLE:
            self._second_factor.clear()
        self._display.show(phase, text, self._tap_id if phase is Phase.OPEN else None)
