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
from gate.words import Word
from models.money import Money


@dataclass(frozen=True, slots=True)
class Limits:
    """Up to here a face alone is enough. None switches a limit in money off.

    ``openings_a_day`` and ``openings_since_pass`` count what one account's face opened: today,
    and since its pass was last shown. Where riders tap off as well, a ride is two openings.
    ``weak_part`` of every limit holds where liveness was weak. ``not_live_a_day``: after so many
    findings against an account's face today its face opens nothing, since a picture that gets in
    once in thirty times is simply shown thirty times. ``offline_openings_max`` are the openings
    of one account that may wait for the ledger; ``pass_only_after_h`` is how old the deny list
    may be, in hours.
    """

    ride_max: Money | None = None
    day_max: Money | None = None
    account_max: Money | None = None
    openings_a_day: int = 8
    openings_since_pass: int = 40
    not_live_a_day: int = 3
    weak_part: float = 0.25
    offline_openings_max: int = 4
    pass_only_after_h: float = 24.0

    def lines(self) -> tuple[str, ...]:
        """The policy in words, as the gate's status prints it."""
        money = (("a ride", self.ride_max), ("a day", self.day_max), ("a pass", self.account_max))
        amounts = tuple(f"at most {limit.text()} {per}" for per, limit in money if limit)
        return (
            f"a face alone opens {self.openings_a_day} times a day and "
            f"{self.openings_since_pass} times before the pass is asked for",
            *amounts,
            f"where liveness is weak, {self.weak_part:.0%} of that",
            f"without a connection, {self.offline_openings_max} times, and not at all after "
            f"{self.pass_only_after_h:g} hours",
            "after a dispute, where no living face was found, or after "
            f"{self.not_live_a_day} such findings in a day: only with the pass",
        )


SAFE = Limits()


@dataclass(frozen=True, slots=True)
class Facts:
    """What the gate knows about this account when its face is recognised.

    ``not_live_today``: how often this account's face was found to be a picture or still.
    ``ride_cost``: the most this ride can cost. ``spent_today`` and ``spent_since_pass``: by
    face. ``disputed``: the rider disputes a ride, or staff reported one. ``waiting``: taps of
    this account that the ledger has not answered. ``deny_list_h``: the deny list's age, hours.
    ``look_alike``: another rider's face is too close to this one, as enrollment found.
    """

    openings_today: int
    openings_since_pass: int
    not_live_today: int = 0
    waiting: int = 0
    deny_list_h: float = 0.0
    disputed: bool = False
    look_alike: bool = False
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
        return Word.DISPUTED
    if facts.not_live_today >= limits.not_live_a_day:
        return Word.NOT_CONFIRMED
    if facts.deny_list_h > limits.pass_only_after_h:
        return Word.PASS_ONLY
    if facts.waiting >= limits.offline_openings_max:
        return Word.OFFLINE_LIMIT
    part = limits.weak_part if liveness.weak else 1.0
    if facts.openings_today >= _openings(limits.openings_a_day, part):
        return Word.ENOUGH_TODAY
    if facts.openings_since_pass >= _openings(limits.openings_since_pass, part):
        return Word.SHOW_AGAIN
    if _exceeds(limits.ride_max, part, facts.ride_cost):
        return Word.TOO_MUCH
    if _exceeds(limits.day_max, part, facts.spent_today, facts.ride_cost):
        return Word.TOO_MUCH_TODAY
    if _exceeds(limits.account_max, part, facts.spent_since_pass, facts.ride_cost):
        return Word.SHOW_AGAIN
    # Last: digits are not offered where only the pass will do.
    return Word.ENTER_DIGITS if facts.look_alike else None


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
