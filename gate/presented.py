"""What a rider shows besides a face: a pass held before the camera, or digits typed in.

    look(frame, now_s) -> Presented | None      something is shown, or nothing
    decide(presented, seen) -> Decision         what it is worth, with the face that was seen

The loop asks ``look`` on frames between two searches for faces, while no door is open, and
carries out what ``decide`` says, as it does for a face alone: ``Open`` with the medium
``pass`` or ``face+pass``, ``Wait`` while the face is still to be seen, ``Refuse`` or
``AskSecondFactor`` in words. Whether a pass is genuine, whose it is and whether the face
fits it is decided there; what may open a door is decided in ``gate.passage`` for all media.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from gate.decision import Decision, Wait
from gate.liveness.check import LivenessScore
from models.faces.engine import Frame
from models.faces.matching import Ambiguous, Match, Unknown


@dataclass(frozen=True, slots=True)
class PresentedPass:
    """The text of a pass as the camera read it; nothing in it has been checked."""

    text: str


@dataclass(frozen=True, slots=True)
class PresentedDigits:
    """The digits a rider typed at the kiosk."""

    digits: str


Presented = PresentedPass | PresentedDigits


@dataclass(frozen=True, slots=True)
class SeenFace:
    """The face in the zone while something was presented, as far as it was looked at.

    ``embedding``: (dimensions,) float32 of unit length, fused from ``frames`` frames by
    ``engine_id``. ``verdict``: what the gallery says of it; None where there is none.
    ``liveness``: None before the first view.
    """

    embedding: npt.NDArray[np.float32]
    frames: int
    engine_id: str
    verdict: Match | Ambiguous | Unknown | None
    liveness: LivenessScore | None


class SecondFactor(Protocol):
    """A reader of passes and digits; asked from the loop's thread only, but for typing."""

    def look(self, frame: Frame, now_s: float) -> Presented | None:
        """What is presented now. What was read or typed stays presented for some seconds,
        so that a rider can lower the phone and look up; ``clear`` ends it."""
        ...

    def decide(self, presented: Presented, seen: SeenFace | None) -> Decision:
        """Turn it into a decision; ``seen`` is None where no face was embedded."""
        ...

    def clear(self) -> None:
        """The passage is over: forget what was presented."""
        ...


class NoSecondFactor:
    """A gate without a reader: riders whose face is not enough go elsewhere."""

    def look(self, frame: Frame, now_s: float) -> Presented | None:
        """Nothing is ever presented."""
        return None

    def decide(self, presented: Presented, seen: SeenFace | None) -> Decision:
        """Never reached: there is nothing to decide on."""
        return Wait("")

    def clear(self) -> None:
        """Nothing was kept."""
