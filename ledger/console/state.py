"""The state of the log, which stands on every finance page.

How far it is signed, how far each witness has cosigned it, and when it was last verified:
what a person must know before believing anything else on the page.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from ledger.checkpoints import Health, health
from ledger.ledger import Ledger
from ledger.verified import Verified, last_verified
from ledger.witnessed import Standing
from ledger.witnessing import standings


@dataclass(frozen=True, slots=True)
class LogState:
    """Signed, witnessed and verified up to where."""

    health: Health
    witnesses: tuple[Standing, ...]
    verified: Verified | None
    now: datetime

    @property
    def trouble(self) -> bool:
        """Whether a person has to look at it now."""
        failed = self.verified is not None and bool(self.verified.trouble)
        return not self.health.ok or failed or any(w.trouble for w in self.witnesses)


def log_state(ledger: Ledger) -> LogState:
    """The state of the log at this moment."""
    witnesses = tuple(standings(ledger))
    return LogState(health(ledger), witnesses, last_verified(ledger), ledger.clock())
