"""What really happened in the city. The programs under test never see any of this."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from datetime import date, datetime

from facefare.simulate.feed import SPRING, SPRING_FROM, Prices
from models.log.notes import Checkpoint
from models.log.tree import EMPTY_ROOT, Frontier
from models.wire.tap import Tap

LogRow = tuple[int, str, str, bytes, bytes, bytes]
"""An entry as it lies in the database: number, kind, id, bytes, leaf hash, and the one before."""


@dataclass
class Passage:
    """A door that opened, or a tap that was on disk when its gate died."""

    tap: Tap
    box: str
    opened: bool
    at_s: float  # true time
    skew_s: float  # by how much its gate's clock was wrong
    lost: bool = False  # the only copy of the tap was destroyed before it was sent

    @property
    def tap_id(self) -> str:
        return self.tap.tap_id

    @property
    def account(self) -> str:
        return self.tap.account


@dataclass
class Rider:
    """A person. ``left_at`` is when they were erased."""

    number: int
    rider_id: str
    account: str
    name: str
    category: str
    left_at: datetime | None = None

    @property
    def customer(self) -> str:
        """What the payment processor calls them."""
        return f"cus-canary-{self.number:05}"


@dataclass
class Truth:
    """Riders, passages, money handed over, and every checkpoint an outsider ever kept.

    ``happened`` counts what befell the city, so that a fault that never strikes is noticed.
    """

    riders: list[Rider] = field(default_factory=list)
    passages: dict[str, Passage] = field(default_factory=dict)
    top_ups: dict[str, tuple[str, int]] = field(default_factory=dict)  # id -> account, minor
    feeds: list[tuple[Prices, date]] = field(default_factory=lambda: [(SPRING, SPRING_FROM)])
    prices: Prices = SPRING
    checkpoints: list[Checkpoint] = field(default_factory=list)
    log: list[LogRow] = field(default_factory=list)
    tree: Frontier = field(default_factory=Frontier)
    roots: list[bytes] = field(default_factory=lambda: [EMPTY_ROOT])  # of the log at each size
    charged: set[str] = field(default_factory=set)  # passages
    rated: dict[str, int] = field(default_factory=dict)  # account -> its last entry looked at
    blocked: dict[str, datetime] = field(default_factory=dict)  # account -> since when
    steps: int = 0
    refunds: int = 0
    calls: int = 0
    happened: Counter[str] = field(default_factory=Counter)
    notes: list[str] = field(default_factory=list)

    def say(self, line: str) -> None:
        """Add a line to what is told when a rule is broken."""
        self.notes.append(line)

    def count(self, what: str) -> None:
        """Note that something befell the city."""
        self.happened[what] += 1

    def left(self, account: str) -> bool:
        """Has the rider of this account been erased?"""
        return any(r.account == account and r.left_at is not None for r in self.riders)
