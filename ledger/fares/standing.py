"""May this account ride? Pure: balance, policy and block in, standing and its reason out.

good      the balance pays for the next ride
low       the next ride will be on credit
blocked   staff blocked the account, or the next ride would go beyond what may be owed; the
          gates ask for another way to pay

One function says it for the rider's page, the help desk and the gates, so that the three can
not disagree. What is held for a journey under way counts as the rider's own.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from ledger.fares.rates import Rates
from models.money import Money

State = Literal["good", "low", "blocked"]

RIDER = "rider"  # by topping up


@dataclass(frozen=True, slots=True)
class BlockReason:
    """Why staff block an account: in words for the rider, and which roles may lift it."""

    words: str
    lifted_by: tuple[str, ...]


BLOCK_REASONS = {
    "rider_request": BlockReason(
        "The account is paused at the rider's own request.", ("service", "finance")
    ),
    "lost": BlockReason("A pass of this account was reported lost.", ("service", "finance")),
    "unpaid": BlockReason("A payment for this account was returned.", ("finance",)),
    "misuse": BlockReason("The account is being looked into.", ("finance",)),
}


@dataclass(frozen=True, slots=True)
class Block:
    """A block by staff: a code of ``BLOCK_REASONS``, and since when."""

    reason: str
    since: datetime


@dataclass(frozen=True, slots=True)
class Standing:
    """The state, a code for the reason (empty when good), the reason in words, since when the
    account is blocked, and who may lift that."""

    state: State
    reason: str
    words: str
    since: datetime | None = None
    lifted_by: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class StandingPolicy:
    """A ride's ``fare``, and how far below zero a balance may go, neither negative.

    ``first_ride_risk`` is for accounts that never were topped up; None: the same. Who rides
    free, with a fare of zero, owes nothing for the next ride: no balance is too low for it.
    """

    fare: Money
    overdraft: Money
    first_ride_risk: Money | None = None

    def lowest_balance_to_ride(self, funded: bool = True) -> Money | None:
        """An account with less than this is blocked; None where none is."""
        if not self.fare.minor:
            return None
        risk = self.overdraft if funded or self.first_ride_risk is None else self.first_ride_risk
        return self.fare - risk


def policy_of(rates: Rates, category: str = "") -> StandingPolicy:
    """The policy the rates imply for a category: its cheapest fare, and the strictest limits."""
    tables = rates.tables
    legs = {(rule.product, rule.network) for rule in tables.leg_rules if not rule.transfer_only}
    fares = (rates.price(product, network, category, metres=0) for product, network in legs)
    cheapest = min(
        (fare for fare in fares if fare and fare > 0), default=0
    )  # of those that cost something
    # Not all rows: the one for other networks says nothing where every network has its own.
    policies = [tables.policy(network) for network in tables.networks]
    return StandingPolicy(
        Money(cheapest, tables.currency),
        Money(min(policy.overdraft for policy in policies), tables.currency),
        Money(min(policy.first_ride_risk for policy in policies), tables.currency),
    )


def standing(
    balance: Money,
    policy: StandingPolicy,
    *,
    funded: bool = True,
    block: Block | None = None,
    since: datetime | None = None,
) -> Standing:
    """The standing of an account with this ``balance``, last changed at ``since``."""
    if block is not None:
        reason = BLOCK_REASONS[block.reason]
        return Standing("blocked", block.reason, reason.words, block.since, reason.lifted_by)
    lowest = policy.lowest_balance_to_ride(funded)
    if lowest is not None and (balance - lowest).minor < 0:
        words = (
            f"The balance is {balance.text()}; top up at least {(lowest - balance).text()} "
            "to ride again."
        )
        return Standing("blocked", "overdraft", words, since, (RIDER,))
    if policy.fare.minor and (balance - policy.fare).minor < 0:
        words = f"The balance is {balance.text()}; the next ride will be on credit."
        return Standing("low", "balance", words)
    return Standing("good", "", f"The balance is {balance.text()}.")
