"""One screen of health: what is right and wrong with this gate, and what to do about it.

    look(identity, outbox, now, faults) -> Facts      reads the gate's directory
    checks(facts) -> (Check, ...)                     pure: the facts judged

``facefare gate status`` prints the checks, the kiosk's /health serves them, the metrics
carry the same figures, and ``facefare gate doctor`` adds what only a trial can show.
"""

from __future__ import annotations

import shutil
import uuid
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any

from gate.faults import Fault
from gate.identity import GateIdentity
from gate.outbox import Counts, Outbox

DISK_FREE_MB_BAD = 50
DISK_FREE_MB_LOW = 500
CONTACT_LATE = timedelta(minutes=5)
TAP_LATE = timedelta(minutes=5)


class Level(StrEnum):
    """How a check stands."""

    OK = "ok"
    WARN = "warn"
    BAD = "bad"


@dataclass(frozen=True, slots=True)
class Check:
    """One line: what was looked at, how it stands, and where needed what to do."""

    name: str
    level: Level
    says: str
    do: str = ""

    def line(self) -> str:
        """As a terminal shows it."""
        return f"{self.level:4} {self.name:13} {self.says}" + (f": {self.do}" if self.do else "")


@dataclass(frozen=True, slots=True)
class Facts:
    """What the gate's directory and its program tell. ``contact_at``: the server's last answer;
    ``oldest_at``: when the oldest tap was made that still waits for the ledger."""

    now: datetime
    taps: Counts
    disk_free_mb: int
    contact_at: datetime | None = None
    oldest_at: datetime | None = None
    pass_only_after_h: float = 24.0
    faults: Mapping[Fault, str] = field(default_factory=dict)

    @property
    def contact_age_s(self) -> float | None:
        """How long ago the server answered."""
        return None if self.contact_at is None else _seconds(self.now - self.contact_at)

    @property
    def oldest_age_s(self) -> float:
        """How long the oldest tap waits; 0 where none does."""
        return 0.0 if self.oldest_at is None else _seconds(self.now - self.oldest_at)


def look(
    identity: GateIdentity, outbox: Outbox, now: datetime, faults: Mapping[Fault, str]
) -> Facts:
    """Read the facts; raise ``OutboxError`` where the outbox cannot be read."""
    waiting = outbox.pending(1)
    return Facts(
        now=now,
        taps=outbox.counts(),
        disk_free_mb=shutil.disk_usage(identity.path).free // 2**20,
        contact_at=_changed_at(identity),
        oldest_at=_made_at(waiting[0][0]) if waiting else None,
        pass_only_after_h=identity.file.policy.pass_only_after_h,
        faults=faults,
    )


def checks(facts: Facts) -> tuple[Check, ...]:
    """Judge the facts; the order is that of the screen."""
    return (_server(facts), _taps(facts), _uncharged(facts), _disk(facts), *_faults(facts))


def as_json(found: tuple[Check, ...]) -> dict[str, Any]:
    """What ``--json`` prints and /health serves."""
    return {
        "ok": all(check.level is not Level.BAD for check in found),
        "checks": [asdict(check) for check in found],
    }


def _server(facts: Facts) -> Check:
    age_s = facts.contact_age_s
    if age_s is None:
        return Check(
            "server", Level.BAD, "it has never answered", "check the network and run 'gate doctor'"
        )
    says = f"it answered {_duration(age_s)} ago"
    if age_s >= facts.pass_only_after_h * 3600:
        return Check(
            "server", Level.BAD, f"{says}; faces alone open nothing now", "restore the network"
        )
    if age_s >= CONTACT_LATE.total_seconds():
        return Check("server", Level.WARN, says, "check the network")
    return Check("server", Level.OK, says)


def _taps(facts: Facts) -> Check:
    waiting = facts.taps.pending
    if not waiting:
        return Check("outbox", Level.OK, f"no tap waits; {facts.taps.accepted} were accepted")
    says = f"{waiting} taps wait for the ledger, the oldest for {_duration(facts.oldest_age_s)}"
    if facts.oldest_age_s < TAP_LATE.total_seconds():
        return Check("outbox", Level.OK, says)
    return Check("outbox", Level.WARN, says, "they are safe; check the network and the server")


def _uncharged(facts: Facts) -> Check:
    count = facts.taps.refused + facts.taps.quarantined
    if not count:
        return Check("not charged", Level.OK, "the ledger took every tap")
    return Check(
        "not charged", Level.WARN, f"the ledger did not charge {count} taps", "tell finance"
    )


def _disk(facts: Facts) -> Check:
    free = facts.disk_free_mb
    says = f"{free} MB are free"
    if free < DISK_FREE_MB_BAD:
        return Check("disk", Level.BAD, says, "make room now: no tap on disk, no open door")
    level = Level.WARN if free < DISK_FREE_MB_LOW else Level.OK
    return Check("disk", level, says, "make room" if level is Level.WARN else "")


def _faults(facts: Facts) -> tuple[Check, ...]:
    return tuple(Check(fault, Level.BAD, detail) for fault, detail in facts.faults.items())


def _changed_at(identity: GateIdentity) -> datetime | None:
    """The deny list is written anew at each answer of the server."""
    try:
        return datetime.fromtimestamp(identity.standings_path.stat().st_mtime, UTC)
    except FileNotFoundError:
        return None


def _made_at(tap_id: str) -> datetime:
    """A UUIDv7 begins with the milliseconds since 1970."""
    return datetime.fromtimestamp((uuid.UUID(tap_id).int >> 80) / 1000, UTC)


def _seconds(span: timedelta) -> float:
    return max(0.0, span.total_seconds())


def _duration(seconds: float) -> str:
    for size, unit in ((86400, "days"), (3600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"
