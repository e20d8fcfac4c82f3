"""``price(history, tap, tables) -> Charge``: what one passage costs, and which rule said so.

Pure: the rider's earlier passages and the fare tables are handed in. A charge always names
its rule in words that can be shown to the rider.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache

from models.money import Money
from models.wire.tap import Direction


@dataclass(frozen=True, slots=True)
class Passage:
    """What a fare depends on: where, which way and when a rider went through a gate."""

    station: str
    direction: Direction
    at: datetime


@dataclass(frozen=True, slots=True)
class Charge:
    """The amount, the code of the rule that set it, and that rule in words for the rider."""

    amount: Money
    rule: str
    words: str


@dataclass(frozen=True, slots=True)
class FlatFare:
    """Fare tables of the simplest network: every entry costs the same."""

    network: str
    fare: Money


def price(history: Sequence[Passage], tap: Passage, tables: FlatFare) -> Charge:
    """Price one passage of a rider whose earlier passages are ``history``, oldest first."""
    return _exit(tables) if tap.direction == "out" else _entry(tables)


@lru_cache(maxsize=16)  # the words are the same for every ride, and formatting money is slow
def _entry(tables: FlatFare) -> Charge:
    words = f"Flat fare for one ride on the {tables.network} network: {tables.fare.text()}."
    return Charge(tables.fare, "flat", words)


def _exit(tables: FlatFare) -> Charge:
    nothing = Money(0, tables.fare.currency)
    return Charge(nothing, "exit", "Leaving is free: the ride was paid on the way in.")
