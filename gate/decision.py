"""The decision: who is this, surely enough to charge them?

A door opens by face only if the score and its margin reach the measured operating point
over enough frames, the face was found to be a living one, the account may ride, and what a
face alone may do (``gate.liveness.risk``) is not used up. Anything less sure is never a
guess: the rider is asked for another way to show who they are. Pure: everything that
matters is handed in.
"""

from __future__ import annotations

from dataclasses import dataclass

from gate.liveness.check import Finding, LivenessScore
from gate.liveness.risk import Facts, Limits, reason_for_pass
from gate.words import Word
from models.faces.matching import Ambiguous, Match, Unknown
from models.wire.tap import AnyEvidence, Evidence, Medium

FRAMES_MIN = 3
"""One embedding alone never decides, whatever its score."""

LOOKS_TO_REFUSE = 8
"""After this many embeddings without a match the answer is no: looking on for as long as a
stranger stands there would only collect chances of a false match."""


@dataclass(frozen=True, slots=True)
class Open:
    """Open the door and charge ``account``."""

    account: str
    evidence: AnyEvidence
    medium: Medium = "face"


@dataclass(frozen=True, slots=True)
class Wait:
    """Not decided yet: look on."""

    advice: str


@dataclass(frozen=True, slots=True)
class AskSecondFactor:
    """The face is not enough; the rider may use another medium."""

    reason: str


@dataclass(frozen=True, slots=True)
class Refuse:
    """The door stays shut, and the rider is told why."""

    reason: str


Decision = Open | Wait | AskSecondFactor | Refuse


def decide(
    verdict: Match | Ambiguous | Unknown,
    looks: int,
    liveness: LivenessScore,
    blocked: dict[str, str],
    facts: Facts,
    limits: Limits,
) -> Decision:
    """Turn what the matcher and the liveness check say of a track into one decision.

    ``looks`` counts the embeddings made of this track. ``blocked`` maps accounts on the
    deny list to the reason the rider also sees. ``facts`` are those of the matched account.
    """
    match verdict:
        case Unknown():
            return (
                Refuse(Word.NOT_RECOGNISED) if looks >= LOOKS_TO_REFUSE else Wait(Word.HOLD_STILL)
            )
        case Ambiguous():
            return (
                AskSecondFactor(Word.TWO_RIDERS)
                if looks >= LOOKS_TO_REFUSE
                else Wait(Word.HOLD_STILL)
            )
        case Match():
            return _decide_match(verdict, liveness, blocked, facts, limits)


def _decide_match(
    match: Match, liveness: LivenessScore, blocked: dict[str, str], facts: Facts, limits: Limits
) -> Decision:
    if match.frames < FRAMES_MIN:
        return Wait(Word.HOLD_STILL)
    if liveness.finding is Finding.LOOKING:
        return Wait(liveness.reason)
    if liveness.finding is not Finding.LIVE:
        return AskSecondFactor(liveness.reason)
    if match.account in blocked:
        return Refuse(blocked[match.account])
    reason = reason_for_pass(facts, liveness, limits)
    if reason is not None:
        return AskSecondFactor(reason)
    evidence = Evidence(
        engine=match.engine_id,
        score=round(match.score, 4),
        margin=round(match.margin, 4),
        frames=match.frames,
        liveness=liveness.evidence,
        gallery_version=match.gallery_version,
    )
    return Open(match.account, evidence)
