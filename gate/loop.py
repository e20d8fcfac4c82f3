"""The gate's loop: frame in, door open. It carries out what the pure parts decide.

frame -> tracker -> nearest usable face -> matcher -> decide -> passage.step
      -> tap in the outbox -> door
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from functools import partial

from uuid6 import uuid7

from gate.decision import (
    HOLD_STILL,
    NO_GALLERY,
    OUT_OF_ORDER,
    AskSecondFactor,
    Decision,
    Liveness,
    Wait,
    decide,
)
from gate.display import Display
from gate.door import Door
from gate.errors import OutboxError
from gate.identity import GateIdentity
from gate.outbox import Outbox
from gate.passage import (
    Candidate,
    Command,
    OpenDoor,
    Phase,
    Policy,
    Show,
    State,
    may_decide,
    step,
)
from gate.recognition import recognise
from models.faces.engine import Frame
from models.faces.matching import Matcher
from models.faces.tracking import Track, Tracker, nearest
from models.wire.tap import Tap
from models.wire.times import format_utc, parse_utc

log = logging.getLogger(__name__)


@dataclass
class Knowledge:
    """What the gate knows from elsewhere; the sync threads replace it, the loop reads it.

    ``matcher`` is None while there is no gallery that may be searched.
    """

    matcher: Matcher | None
    blocked: dict[str, str]


@dataclass
class Tally:
    """What happened since the gate started."""

    frames: int = 0
    opened: int = 0
    refused: int = 0
    asked: int = 0


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
    ) -> None:
        self._identity = identity
        self._knowledge = knowledge
        self._tracker = tracker
        self._outbox = outbox
        self._door = door
        self._display = display
        self._wall_clock = wall_clock
        self._policy = policy or Policy()
        self._state: State | None = None
        self.tally = Tally()

    def on_frame(self, frame: Frame, now_s: float) -> None:
        """Look at one frame taken at ``now_s`` (a clock that only runs forward)."""
        self.tally.frames += 1
        if not self._tracker.observe(frame, now_s):
            return
        if self._state is None:
            self._state = self._remembered(now_s)
        candidate = self._candidate(frame, self._state)
        after, commands = step(self._state, candidate, now_s, self._policy)
        try:
            for command in commands:
                self._carry_out(command)
        except OutboxError as error:
            # No tap on disk, no open door. The state stays, so the passage is tried again.
            log.error("%s", error)
            self._show(Phase.SECOND_FACTOR, OUT_OF_ORDER)
            return
        self._state = after

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

    def _candidate(self, frame: Frame, state: State) -> Candidate | None:
        in_zone = partial(self._identity.file.sees, frame=frame)
        track = nearest(self._tracker.tracks, in_zone)
        if track is None:
            return None
        if may_decide(state, track.track_id):
            track = self._tracker.embed(frame, track)
        decision = self._decision(track, state)
        return Candidate(track.track_id, decision, positioned=track.quality.usable)

    def _decision(self, track: Track, state: State) -> Decision:
        if not may_decide(state, track.track_id):
            return Wait("")
        if not track.quality.usable:
            return Wait(track.quality.advice())
        if not track.frames:
            return Wait(HOLD_STILL)
        matcher = self._knowledge.matcher
        if matcher is None:
            return AskSecondFactor(NO_GALLERY)
        verdict = recognise(matcher, track, self._tracker.engine_id)
        # No liveness check was run: the operator switched it off, and every tap says so.
        liveness = Liveness(score=None, threshold=1.0)
        return decide(verdict, track.looks, liveness, self._knowledge.blocked)

    def _open(self, command: OpenDoor) -> None:
        """First the tap on disk, then the door: an opened door always has its tap."""
        file = self._identity.file

        def build(seq: int, prev: str) -> Tap:
            return Tap(
                tap_id=str(uuid7()),
                gate=file.gate,
                station=file.station,
                direction=file.direction,
                at=format_utc(self._wall_clock()),
                account=command.account,
                medium="face",
                evidence=command.evidence,
                seq=seq,
                prev=prev,
            )

        self._outbox.append(build, self._identity.signing_key)
        self._door.open(command.account)
        self.tally.opened += 1

    def _show(self, phase: Phase, text: str) -> None:
        if phase is Phase.REFUSED:
            self.tally.refused += 1
        elif phase is Phase.SECOND_FACTOR:
            self.tally.asked += 1
        self._display.show(phase, text)
