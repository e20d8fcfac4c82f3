"""One person going through one gate: a pure step from observation to commands.

    idle -> position -> look -> open -> (clear) -> idle
                            \\-> refused | second factor | already passed

Only the nearest face in the gate's zone is ever looked at, one decision runs at a time,
and one passage makes at most one tap, whatever was seen: a face, a pass, or both. The state
is a value, the clock is handed in, and nothing here opens a door: the loop carries the
commands out. A door that fails is no passage: the tap stands, and is good for the rider's
next try.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import StrEnum

from gate.decision import AskSecondFactor, Decision, Open, Refuse, Wait
from gate.words import Word
from models.wire.tap import AnyEvidence, Medium


class Phase(StrEnum):
    """Where a passage stands; the display shows one picture for each."""

    IDLE = "idle"
    POSITION = "position"
    LOOK = "look"
    OPEN = "open"
    REFUSED = "refused"
    SECOND_FACTOR = "second factor"
    ALREADY_PASSED = "already passed"
    OUT_OF_SERVICE = "out of service"


ENDED = frozenset({Phase.OPEN, Phase.REFUSED, Phase.SECOND_FACTOR, Phase.ALREADY_PASSED})
"""Phases after which this track is not looked at again."""


@dataclass(frozen=True, slots=True)
class Policy:
    """``clear_s``: how long a face must be gone before the passage is over.

    ``anti_passback_s``: how long the same account cannot open this gate again, so that a
    rider who turns round, or two cameras' worth of frames, is charged once.
    """

    clear_s: float = 0.6
    anti_passback_s: float = 300.0


NO_FACE = 0
"""The track of a pass that is shown while no face is in the zone; faces count from 1."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """The nearest face in the zone, or a pass: its track and what is known about it so far.

    ``presented``: a pass or digits are shown. That is decided on also where the face alone
    was decided before: a rider who is not recognised may show a pass.
    """

    track_id: int
    decision: Decision
    positioned: bool = True  # False while the face is too far, turned away, too dark ...
    presented: bool = False


@dataclass(frozen=True, slots=True)
class State:
    """``ended`` are tracks whose passage is over: they are not looked at again, also after
    somebody else stood nearer for a moment. ``account`` is for whom the door was opened last,
    and ``opened_track`` the track. ``passed`` maps an account to when it last opened this gate,
    in seconds. ``owed`` are accounts with a tap for which the door did not open.
    """

    phase: Phase = Phase.IDLE
    track_id: int | None = None
    last_seen_s: float = 0.0
    text: str = ""
    account: str = ""
    opened_track: int = NO_FACE
    ended: frozenset[int] = frozenset()
    passed: dict[str, float] = field(default_factory=dict)
    owed: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class OpenDoor:
    """Record the tap, then open; where its tap is on record already, only open."""

    account: str
    evidence: AnyEvidence
    medium: Medium = "face"
    on_record: bool = False


@dataclass(frozen=True, slots=True)
class Show:
    """Tell the rider."""

    phase: Phase
    text: str


Command = OpenDoor | Show


def may_decide(state: State, track_id: int) -> bool:
    """False for a track whose passage has ended: its face need not be embedded again."""
    return track_id not in state.ended


def forget_gone(state: State, tracks: frozenset[int]) -> State:
    """The state without what ended for faces that are not among the ``tracks`` any more."""
    return replace(state, ended=state.ended & tracks)


def step(
    state: State, candidate: Candidate | None, now_s: float, policy: Policy
) -> tuple[State, tuple[Command, ...]]:
    """Return the next state and what to do, given who is seen or shown at ``now_s``."""
    if candidate is None or _someone_else_too_early(state, candidate, now_s, policy):
        return _nobody(state, now_s, policy)
    if _is_decided(state, candidate):
        mine = candidate.track_id == state.track_id
        return (replace(state, last_seen_s=now_s) if mine else state), ()
    match candidate.decision:
        case Wait(advice=advice):
            phase = Phase.LOOK if candidate.positioned else Phase.POSITION
            return _show(state, candidate, phase, advice, now_s)
        case Refuse(reason=reason):
            return _show(state, candidate, Phase.REFUSED, reason, now_s)
        case AskSecondFactor(reason=reason):
            return _show(state, candidate, Phase.SECOND_FACTOR, reason, now_s)
        case Open() as decision:
            return _open(state, candidate, decision, now_s, policy)


def unopened(state: State, account: str) -> tuple[State, tuple[Command, ...]]:
    """The door did not open for ``account`` after all: within the anti-passback time its next
    opening needs no tap, and whoever still stands there is looked at again."""
    state = replace(state, owed=state.owed | {account})
    if account != state.account:
        return state, ()  # the door was opened for somebody else since
    state = replace(state, ended=state.ended - {state.opened_track})
    if state.phase is not Phase.OPEN:
        return state, ()
    told = Show(Phase.OUT_OF_SERVICE, Word.DOOR_FAULT)
    return replace(state, phase=told.phase, text=told.text), (told,)


def _is_decided(state: State, candidate: Candidate) -> bool:
    """A face is decided once; a pass as often as it is shown, but not while its door is open."""
    if not candidate.presented:
        return not may_decide(state, candidate.track_id)
    decision = candidate.decision
    return (
        state.phase is Phase.OPEN
        and isinstance(decision, Open)
        and decision.account == state.account
    )


def _someone_else_too_early(
    state: State, candidate: Candidate, now_s: float, policy: Policy
) -> bool:
    """While the door is open for one rider, the next face waits until that one has gone."""
    return (
        state.phase is Phase.OPEN
        and candidate.track_id != state.track_id
        and now_s - state.last_seen_s < policy.clear_s
    )


def _nobody(state: State, now_s: float, policy: Policy) -> tuple[State, tuple[Command, ...]]:
    if state.phase is Phase.IDLE or now_s - state.last_seen_s < policy.clear_s:
        return state, ()
    idle = replace(state, phase=Phase.IDLE, track_id=None, text="")
    return idle, (Show(Phase.IDLE, ""),)


def _show(
    state: State, candidate: Candidate, phase: Phase, text: str, now_s: float
) -> tuple[State, tuple[Command, ...]]:
    told = (state.phase, state.text) == (phase, text) and state.track_id == candidate.track_id
    ended = state.ended | {candidate.track_id} if phase in ENDED else state.ended
    after = replace(
        state,
        phase=phase,
        track_id=candidate.track_id,
        last_seen_s=now_s,
        text=text,
        ended=ended,
    )
    return after, () if told else (Show(phase, text),)


def _open(
    state: State, candidate: Candidate, decision: Open, now_s: float, policy: Policy
) -> tuple[State, tuple[Command, ...]]:
    account = decision.account
    last_s = state.passed.get(account)
    on_record = last_s is not None and now_s - last_s < policy.anti_passback_s
    if on_record and account not in state.owed:
        return _show(state, candidate, Phase.ALREADY_PASSED, Word.JUST_PASSED, now_s)
    recent = {
        other: at_s for other, at_s in state.passed.items() if now_s - at_s < policy.anti_passback_s
    }
    opened = State(
        Phase.OPEN,
        candidate.track_id,
        now_s,
        account=account,
        opened_track=candidate.track_id,
        ended=state.ended | {candidate.track_id},
        passed={**recent, account: now_s},
        owed=state.owed.intersection(recent) - {account},
    )
    command = OpenDoor(account, decision.evidence, decision.medium, on_record)
    return opened, (command, Show(Phase.OPEN, ""))
