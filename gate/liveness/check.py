"""What the gate asks of a liveness check, and what it is told.

    observe(frame, track, now_s, waiting)    for the nearest face, at every frame
    score(track_id) -> LivenessScore    finding, figures, and the reason in words

    LOOKING -> LIVE | PICTURE | STILL

Unsure is never a guess and never a refusal for ever: a rider who is not found to be live
in time is asked for the pass. Pure: no picture is touched here.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from gate.words import Word
from models.faces.engine import Frame
from models.faces.tracking import Track


class Finding(StrEnum):
    """What is known about a track so far; in the zone all but ``LOOKING`` are final."""

    LOOKING = "looking"
    LIVE = "live"
    PICTURE = "picture"  # it looks like a print or a screen
    STILL = "still"  # nothing moved that a still picture could not


REASONS: dict[Finding, str] = {
    Finding.LOOKING: Word.HOLD_STILL,
    Finding.LIVE: "",
    Finding.PICTURE: Word.NOT_LIVE,
    Finding.STILL: Word.NO_MOVEMENT,
}
"""What the kiosk tells the rider; it accuses nobody, since a live rider may get it too."""


@dataclass(frozen=True, slots=True)
class LivenessScore:
    """``pair``: 0 to 1, 1 is live. ``stirring``: ‰ of the face's width. None: not measured.

    ``weak``: found live, but closer to a threshold than live riders usually are.
    """

    finding: Finding
    pair: float | None = None
    stirring: float | None = None
    weak: bool = False

    @property
    def reason(self) -> str:
        """What to tell the rider."""
        if self.finding is Finding.LOOKING and self.stirring is not None:
            return Word.MOVE_A_LITTLE
        return REASONS[self.finding]

    @property
    def evidence(self) -> float | None:
        """The one number for the tap: the pair's, or the stirring cut at 10 ‰ and put on 0 to 1."""
        if self.pair is not None:
            return round(self.pair, 4)
        return None if self.stirring is None else round(min(1.0, self.stirring / 10), 4)


class LivenessCheck(Protocol):
    """Gathers evidence about tracks; one instance belongs to one camera and one thread."""

    def looks_at(self, track_id: int, now_s: float, waiting: bool = True) -> bool:
        """False where a view of the track now would change nothing."""
        ...

    def observe(self, frame: Frame, track: Track, now_s: float, waiting: bool = True) -> None:
        """Take the track's face as it is in ``frame``; a view that is not usable is passed over.

        ``waiting``: the rider stands in the zone. Then a finding is final.
        """
        ...

    def drop(self, track_id: int) -> None:
        """Forget the track: what was seen of it belonged to another face."""
        ...

    def forget(self, now_s: float) -> None:
        """Let go of old views; for searched frames in which nobody is observed."""
        ...

    def score(self, track_id: int) -> LivenessScore | None:
        """What is known about the track; None before its first usable view."""
        ...


class NoCheck:
    """The operator runs no check, and every tap says so: its liveness is null."""

    def looks_at(self, track_id: int, now_s: float, waiting: bool = True) -> bool:
        """There is nothing to look for."""
        return False

    def observe(self, frame: Frame, track: Track, now_s: float, waiting: bool = True) -> None:
        """Look at nothing."""

    def drop(self, track_id: int) -> None:
        """Nothing was kept."""

    def forget(self, now_s: float) -> None:
        """Nothing was kept."""

    def score(self, track_id: int) -> LivenessScore | None:
        """Live without evidence, and therefore weak."""
        return LivenessScore(Finding.LIVE, weak=True)
