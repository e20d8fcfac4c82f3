"""What the rider's card page needs of the ledger, as functions that are handed in.

A card's number is typed in on the payment processor's own page and never reaches us: what is
kept and shown is its brand, its last four digits and when it runs out.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from models.money import Money


@dataclass(frozen=True, slots=True)
class CardShown:
    """The card that is kept; ``expires`` is its month, such as ``12/2030``."""

    brand: str
    last4: str
    expires: str
    expired: bool


@dataclass(frozen=True, slots=True)
class Automatic:
    """The automatic top-up; ``paused`` says why it stopped by itself, or is empty.

    ``left`` is what may still be taken in these seven days.
    """

    below: Money
    amount: Money
    week_max: Money
    left: Money
    paused: str


@dataclass(frozen=True, slots=True)
class Attempt:
    """A payment from the card, or one back to it: ``kind`` is top_up, automatic or refund.

    ``outcome`` is waiting, done, or the code of why it failed.
    """

    at: datetime
    kind: str
    amount: Money
    outcome: str


@dataclass(frozen=True, slots=True)
class CardDesk:
    """All that the page shows. ``can_add`` is false where no way back is configured."""

    card: CardShown | None
    automatic: Automatic | None
    attempts: list[Attempt]
    can_add: bool


@dataclass(frozen=True, slots=True)
class RiderCards:
    """The functions; what cannot be done raises ``NotNow``.

    ``desk``       (account) -> all that the page shows
    ``add``        (account, id, path back when done, path back, language) -> the address of
                   the processor's page
    ``came_back``  (account, id) -> whether that page is decided
    ``remove``     (account)
    ``top_up``     (account, amount, id of the call)
    ``automatic``  (account, below, amount, most in seven days)
    ``stop``       (account): no more automatic top-ups
    """

    desk: Callable[[str], CardDesk]
    add: Callable[[str, str, str, str, str], str]
    came_back: Callable[[str, str], bool]
    remove: Callable[[str], None]
    top_up: Callable[[str, Money, str], None]
    automatic: Callable[[str, Money, Money, Money], None]
    stop: Callable[[str], None]
