"""The decision: who is this, surely enough to charge them?

A door opens by face only if the score and its margin reach the measured operating point
over enough frames, the liveness check (where one runs) passes, and the account may ride.
Anything less sure is never a guess: the rider is asked for another way to show who they
are. Pure: everything that matters is handed in.
"""

from __future__ import annotations

from dataclasses import dataclass

from models.faces.matching import Ambiguous, Match, Unknown
from models.wire.tap import Evidence

FRAMES_MIN = 3
"""One embedding alone never decides, whatever its score."""

LOOKS_TO_REFUSE = 8
"""After this many embeddings without a match the answer is no: looking on for as long as a
stranger stands there would only collect chances of a false match."""


@dataclass(frozen=True, slots=True)
class Open:
    """Open the door and charge ``account``."""

    account: str
    evidence: Evidence


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

NOT_RECOGNISED = "Not recognised. Please use your card, ticket or the staffed gate."
TWO_RIDERS = "Two riders look alike here. Please use your card, ticket or the staffed gate."
NOT_LIVE = "This looks like a picture. Please use your card, ticket or the staffed gate."
NO_GALLERY = "Faces are not recognised here now. Please use your card, ticket or the staffed gate."
OUT_OF_ORDER = "This gate cannot record rides now. Please use another gate."
HOLD_STILL = "Look at the camera."


@dataclass(frozen=True, slots=True)
class Liveness:
    """A liveness score and the threshold it must reach; ``score`` is None if none was run."""

    score: float | None
    threshold: float

    @property
    def passed(self) -> bool:
        """Where the operator runs no check there is nothing to fail."""
        return self.score is None or self.score >= self.threshold


def decide(
    verdict: Match | Ambiguous | Unknown,
    looks: int,
    liveness: Liveness,
    blocked: dict[str, str],
) -> Decision:
    """Turn what the matcher and the liveness check say of a track into one decision.

    ``looks`` counts the embeddings made of this track. ``blocked`` maps accounts on the
    deny list to the reason the rider also sees.
    """
    match verdict:
        case Unknown():
            return Refuse(NOT_RECOGNISED) if looks >= LOOKS_TO_REFUSE else Wait(HOLD_STILL)
        case Ambiguous():
            return AskSecondFactor(TWO_RIDERS) if looks >= LOOKS_TO_REFUSE else Wait(HOLD_STILL)
        case Match():
            return _decide_match(verdict, liveness, blocked)


def _decide_match(match: Match, liveness: Liveness, blocked: dict[str, str]) -> Decision:
    if match.frames < FRAMES_MIN:
        return Wait(HOLD_STILL)
    if not liveness.passed:
        return AskSecondFactor(NOT_LIVE)
    if match.account in blocked:
        return Refuse(blocked[match.account])
    evidence = Evidence(
        engine=match.engine_id,
        score=round(match.score, 4),
        margin=round(match.margin, 4),
        frames=match.frames,
        liveness=None if liveness.score is None else round(liveness.score, 4),
        gallery_version=match.gallery_version,
    )
    return Open(match.account, evidence)
