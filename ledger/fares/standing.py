"""May this account ride? Pure: balance and policy in, standing and its reason out.

good      the balance pays for the next ride
low       the next ride will be on credit
blocked   the next ride would go beyond the overdraft; the gates ask for another way to pay
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from models.money import Money

State = Literal["good", "low", "blocked"]


@dataclass(frozen=True, slots=True)
class Standing:
    """The state, a code for the reason (empty when good) and the reason in words."""

    state: State
    reason: str
    words: str


@dataclass(frozen=True, slots=True)
class StandingPolicy:
    """How far below zero a balance may go (``overdraft``, not negative), and a ride's ``fare``."""

    fare: Money
    overdraft: Money

    def lowest_balance_to_ride(self) -> Money:
        """An account with less than this is blocked."""
        return self.fare - self.overdraft


def standing(balance: Money, policy: StandingPolicy) -> Standing:
    """The standing of an account with this ``balance``."""
    lowest = policy.lowest_balance_to_ride()
    if (balance - lowest).minor < 0:
        words = (
            f"The balance is {balance.text()}; top up at least {(lowest - balance).text()} "
            "to ride again."
        )
        return Standing("blocked", "overdraft", words)
    if (balance - policy.fare).minor < 0:
        words = f"The balance is {balance.text()}; the next ride will be on credit."
        return Standing("low", "balance", words)
    return Standing("good", "", f"The balance is {balance.text()}.")
