"""What an operator may choose for a gate, and the check made from it."""

from __future__ import annotations

from pathlib import Path

from gate.errors import NotReady
from gate.liveness.check import LivenessCheck, NoCheck
from gate.liveness.fused import FusedCheck
from gate.liveness.rigid import Rigidity
from gate.liveness.thresholds import LivenessThreshold, load_threshold
from models.faces.cards import CardError
from models.faces.errors import ModelFileError
from models.faces.liveness_pair import LivenessPair

CHOICES: dict[str, str] = {
    "full": "prints, screens and moved stills are asked for the pass; needs the MiniFASNet weights",
    "pair": "prints and screens are asked for the pass; a clean still filling the view gets in",
    "still": "rigid stills are asked for the pass; a video on a screen or waved paper gets in",
    "off": "no check that the face is a living one; a photograph would open the door",
}
"""Each choice, and in words what it stops and what it lets in. ``full`` is the default."""


def make_check(choice: str, models: Path, threshold: LivenessThreshold) -> LivenessCheck:
    """The check of ``choice``; ``models`` is the folder with the weights.

    Raises ``ModelFileError`` or ``CardError`` where ``full`` or ``pair`` lack their weights:
    a gate never falls back to less than its operator chose.
    """
    if choice not in CHOICES:
        raise ValueError(f"{choice!r} is no liveness choice; there are {', '.join(CHOICES)}")
    if choice == "off":
        return NoCheck()
    return FusedCheck(
        LivenessPair.load(models) if choice in ("full", "pair") else None,
        Rigidity() if choice in ("full", "still") else None,
        threshold,
    )


def chosen_check(choice: str, models: Path, threshold: Path) -> LivenessCheck:
    """The check of ``choice`` with the camera's own thresholds, where it was calibrated.

    Raises ``NotReady`` with how to get what is missing, or to do without it knowingly, and
    ``NotCalibrated`` for a threshold file that cannot be used.
    """
    try:
        return make_check(choice, models, load_threshold(threshold))
    except (ModelFileError, CardError) as error:
        raise NotReady(
            f"the liveness check {choice!r} cannot be made: {error}. Until the weights are there, "
            f"--liveness still does without them ({CHOICES['still']}), and --liveness off does "
            f"without any check ({CHOICES['off']})"
        ) from error
