"""What really happened in the city. The programs under test never see any of this."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from models.log.notes import Checkpoint


@dataclass
class Passage:
    """A door that opened, or a tap that was on disk when its gate died."""

    tap_id: str
    account: str
    box: str
    opened: bool
    at_s: float  # true time
    skew_s: float  # by how much its gate's clock was wrong
    lost: bool = False  # the only copy of the tap was destroyed before it was sent


@dataclass
class Rider:
    """A person. ``left_at`` is when they were erased."""

    number: int
    rider_id: str
    account: str
    name: str
    left_at: datetime | None = None


@dataclass
class Truth:
    """Riders, passages, money handed over, and every checkpoint an outsider ever kept."""

    riders: list[Rider] = field(default_factory=list)
    passages: dict[str, Passage] = field(default_factory=dict)
    top_ups: dict[str, tuple[str, int]] = field(default_factory=dict)  # id -> account, minor
    refunds: dict[str, tuple[str, int]] = field(default_factory=dict)  # id -> ride, minor
    checkpoints: list[Checkpoint] = field(default_factory=list)
    leaves: list[bytes] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def say(self, line: str) -> None:
        """Add a line to what is told when a rule is broken."""
        self.notes.append(line)
