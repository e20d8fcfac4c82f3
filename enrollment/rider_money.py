"""What the rider's pages need of the ledger, as functions that are handed in.

Enrollment does not know the ledger. Every function here takes the account of the rider who is
signed in, and answers for that account alone: another's ride is not there.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from enrollment.rider_cards import RiderCards
from models.errors import FacefareError
from models.money import Money

MOVEMENTS_MAX = 30
"""How many entries one page has."""


class NotThere(FacefareError):
    """The account has no such ride or receipt."""


class NotNow(FacefareError):
    """Something that is not possible now; the sentence says why and what to do."""


@dataclass(frozen=True, slots=True)
class AccountShown:
    """Balance, what is held for journeys under way, and the standing in the gates' own words.

    ``card`` says whether a card is kept to top up with, ``stopped`` why automatic top-ups from
    it stopped by themselves.
    """

    balance: Money
    held: Money
    state: str
    words: str
    card: bool = False
    stopped: str = ""


@dataclass(frozen=True, slots=True)
class Movement:
    """One entry of the account. ``words`` are those of its rules, as they are in the log.

    ``change`` is what it did to the balance. ``charge``, ``given_back`` and ``dispute`` are a
    fare's, whether its ride or the closing of its day charged it: what it charged (None of
    anything else), refunds so far, and "", "open", "upheld", "rejected" or "asked".
    """

    entry_id: str
    seq: int
    kind: str
    title: str
    at: datetime
    station: str
    direction: str
    medium: str
    amount: Money
    change: Money
    words: str
    given_back: Money
    charge: Money | None = None
    dispute: str = ""

    @property
    def refundable(self) -> bool:
        """Can some of it still be given back?"""
        return self.charge is not None and self.charge.minor > self.given_back.minor


@dataclass(frozen=True, slots=True)
class Farewell:
    """The last entry of a closed account, which nobody can tie to it any more.

    ``unlinked`` is how many entries lost their account with it.
    """

    entry_id: str
    unlinked: int


@dataclass(frozen=True, slots=True)
class RiderMoney:
    """The functions; an unknown entry raises ``NotThere``, what cannot be done ``NotNow``.

    ``account``          (account) -> balance and standing
    ``movements``        (account, before) -> a page of entries, newest first
    ``ride``             (account, entry id) -> one entry of that account
    ``receipt``          (account, entry id) -> its receipt as text
    ``dispute``          (account, ride id, why) -> "credited" or "asked"
    ``export``           (account) -> everything the ledger holds of it
    ``leaving``          (account) -> what finds the closing entry once it is closed
    ``farewell_receipt`` (entry id) -> the receipt of a closing entry
    ``cards``            what can be done with a card; None without a processor
    """

    account: Callable[[str], AccountShown]
    movements: Callable[[str, int | None], list[Movement]]
    ride: Callable[[str, str], Movement]
    receipt: Callable[[str, str], str]
    dispute: Callable[[str, str, str], str]
    export: Callable[[str], dict[str, Any]]
    leaving: Callable[[str], Callable[[], Farewell | None]]
    farewell_receipt: Callable[[str], str]
    cards: RiderCards | None = None
