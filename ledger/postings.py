"""Postings: where an amount comes from and where it goes. Debit positive, credit negative.

    a ride of 2.00        liabilities:rider   +200    we owe the rider less
                          income:fares:metro  -200    we earned a fare
    a top-up of 20.00     assets:cash_desk   +2000    there is more in the till
                          liabilities:rider  -2000    we owe the rider more

Every entry's postings sum to zero in each currency. An entry's bytes say
``liabilities:rider`` only; whose account it is stands in a column beside them.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from models.errors import FacefareError
from models.money import Money

RIDER = "liabilities:rider"
UNCLAIMED = "liabilities:unclaimed"
CASH_DESK = "assets:cash_desk"
BAD_DEBT = "expenses:bad_debt"
GOODWILL = "expenses:goodwill"


class Unbalanced(FacefareError):
    """Postings that do not sum to zero."""


@dataclass(frozen=True, slots=True)
class Posting:
    """``amount`` moved to (debit, positive) or from (credit, negative) ``account``."""

    account: str
    amount: Money


def fare_income(network: str) -> str:
    """The income account of a network's fares."""
    return f"income:fares:{network}"


@lru_cache(maxsize=1024)  # most rides of a day cost one of a few amounts
def transfer(amount: Money, *, debit: str, credit: str) -> tuple[Posting, ...]:
    """Postings that debit one account and credit another; none for an amount of zero."""
    if amount.minor == 0:
        return ()
    return Posting(debit, amount), Posting(credit, -amount)


def check_balanced(postings: Sequence[Posting]) -> None:
    """Raise ``Unbalanced`` unless the postings sum to zero in every currency."""
    sums: dict[str, int] = defaultdict(int)
    for posting in postings:
        sums[posting.amount.currency] += posting.amount.minor
    wrong = {currency: minor for currency, minor in sums.items() if minor}
    if wrong:
        raise Unbalanced(
            f"the postings do not sum to zero ({wrong} minor units left over); nothing was recorded"
        )
