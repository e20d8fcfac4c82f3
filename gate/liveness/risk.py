"""What a face alone may do, given how sure the gate can be that it is a living one.

A camera that sees only colour cannot prove life: its checks are a deterrent. So a face on
its own opens the door only for what the operator is ready to lose, and beyond it the gate
asks for the pass. Every limit is policy; the defaults are on the safe side.

Pure: the facts are handed in. Amounts that nobody could tell the gate are None; where a
limit in money is set and the amount is not known, the pass is asked for.
"""

from __future__ import annotations

from dataclasses import dataclass

from gate.liveness.check import Finding, LivenessScore
from models.money import Money

DISPUTED = "A ride on your account is being looked into. Please show your pass."
ENOUGH_TODAY = "That is enough rides by face for today. Please show your pass."
SHOW_AGAIN = "Please show your pass this once; after that your face is enough again."
NOT_CONFIRMED = "Your face could not be confirmed several times today. Please show your pass."
TOO_MUCH = "This ride may cost more than a face alone may pay. Please show your pass."
TOO_MUCH_TODAY = "Today's rides by face reach their limit. Please show your pass."


@dataclass(frozen=True, slots=True)
class Limits:
    """Up to here a face alone is enough. None switches a limit in money off.

    ``openings_a_day`` and ``openings_since_pass`` count what one account's face opened: today,
    and since its pass was last shown. Where riders tap off as well, a ride is two openings.
    ``weak_part`` of every limit holds where liveness was weak. ``not_live_a_day``: after so many
    findings against an account's face today its face opens nothing, since a picture that gets in
    once in thirty times is simply shown thirty times.
    """

    ride_max: Money | None = None
    day_max: Money | None = None
    account_max: Money | None = None
    openings_a_day: int = 8
    openings_since_pass: int = 40
    not_live_a_day: int = 3
    weak_part: float = 0.25

    def lines(self) -> tuple[str, ...]:
        """The policy in words, as the gate's status prints it."""
        money = (("a ride", self.ride_max), ("a day", self.day_max), ("a pass", self.account_max))
        amounts = tuple(f"at most {limit.text()} {per}" for per, limit in money if limit)
        return (
            f"a face alone opens {self.openings_a_day} times a day and "
            f"{self.openings_since_pass} times before the pass is asked for",
            *amounts,
            f"where liveness is weak, {self.weak_part:.0%} of that",
            "after a dispute, where no living face was found, or after "
            f"{self.not_live_a_day} such findings in a day: only with the pass",
        )


SAFE = Limits()


@dataclass(frozen=True, slots=True)
class Facts:
    """What the gate knows about this account when its face is recognised.

    ``not_live_today``: how often this account's face was found to be a picture or still.
    ``ride_cost``: the most this ride can cost. ``spent_today`` and ``spent_since_pass``: by
    face. ``disputed``: the rider disputes a ride, or staff reported one.
    """

    openings_today: int
    openings_since_pass: int
    not_live_today: int = 0
    disputed: bool = False
    ride_cost: Money | None = None
    spent_today: Money | None = None
    spent_since_pass: Money | None = None


def reason_for_pass(facts: Facts, liveness: LivenessScore, limits: Limits = SAFE) -> str | None:
    """Why the pass must be shown, in words for the rider; None where the face is enough.

    Ask it only for a finding that is no longer ``LOOKING``; anything but ``LIVE`` needs the
    pass whatever the limits say.
    """
    if liveness.finding is not Finding.LIVE:
        return liveness.reason
    if facts.disputed:
        return DISPUTED
    if facts.not_live_today >= limits.not_live_a_day:
        return NOT_CONFIRMED
    part = limits.weak_part if liveness.weak else 1.0
    if facts.openings_today >= _openings(limits.openings_a_day, part):
        return ENOUGH_TODAY
    if facts.openings_since_pass >= _openings(limits.openings_since_pass, part):
        return SHOW_AGAIN
    if _exceeds(limits.ride_max, part, facts.ride_cost):
        return TOO_MUCH
    if _exceeds(limits.day_max, part, facts.spent_today, facts.ride_cost):
        return TOO_MUCH_TODAY
    if _exceeds(limits.account_max, part, facts.spent_since_pass, facts.ride_cost):
        return SHOW_AGAIN
    return None


def _openings(limit: int, part: float) -> int:
    """``part`` of a number of openings: one at least, unless the operator allows none."""
    return min(limit, max(1, int(limit * part)))


def _exceeds(limit: Money | None, part: float, *amounts: Money | None) -> bool:
    """Whether the amounts together pass ``part`` of the limit; an unknown amount does."""
    if limit is None:
        return False
    total = Money(0, limit.currency)
    for amount in amounts:
        if amount is None:
            return True
        total = total + amount
    return total.minor > int(limit.minor * part)
