"""Is the rider before the desk's camera, or a print or a screen that shows them?

The desk is attended, so this is for what staff overlook: a photograph slipped in for somebody
who is not there. The networks are those of the gate (``models.faces.liveness_pair``); the
mean over all photos counts, as over a track. On the test data every print is found and no
living rider at a webcam; of single good photographs from elsewhere 4 in 100 look like prints
(docs/enrollment.md).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from models.faces.engine import Face, Frame
from models.faces.liveness_pair import LivenessPair

LIVE_SHARE_MIN = 0.1
"""As gates are shipped."""

PRESENTATION = "presentation_attack_detection"
"""ISO/IEC 30107-3 has the word; ISO/IEC 29794-5 knows no such component."""


def shows_a_print(pair: LivenessPair | None, seen: Sequence[tuple[Frame, Face]]) -> bool:
    """Whether the faces are those of prints or screens; False where nobody can tell."""
    if pair is None or not seen:
        return False
    shares = [pair.live_share(frame, face.box) for frame, face in seen]
    return float(np.mean(shares)) < LIVE_SHARE_MIN
