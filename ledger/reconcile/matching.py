"""Pair what is the same money, the surest rule first: the rules, and our claims. Pure.

    rule              needs                                          days   confidence
    own_id            our id, carried by the processor               any    100 %
    charge_and_amount a refund or chargeback of the same charge,     31      95 %
                      of the same amount and currency
    payout_id         the payout's id in the bank's text             any    100 %
    deposit_slip      the slip of cash we carried there, likewise    any    100 %
    split_payout      lines naming one payout add up to it           any     90 %
    merged_payout     a line naming several payouts is their sum     any     90 %
    amount_and_date   the same amount and currency, nobody else       7      60 %
                      could be meant, no ids that contradict
    sum_and_date      two or three payouts (or lines) make one,       7      50 %
                      nobody else could be meant

Amounts of the last five must be equal to the cent; where an id is the same and the amount
is not, the pair stands and the amount is a difference. ``amount_and_date`` never guesses:
with two candidates on either side it pairs nobody.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Literal, TypeVar

from ledger.processors.cards import failed_refund_id
from ledger.reconcile.statements.lines import Line

Leg = Literal["processor", "bank"]

CONFIDENCE = {
    "own_id": 100,
    "charge_and_amount": 95,
    "payout_id": 100,
    "deposit_slip": 100,
    "split_payout": 90,
    "merged_payout": 90,
    "amount_and_date": 60,
    "sum_and_date": 50,
}
NEAR_DAYS = 7
CHARGE_DAYS = 31
ALIKE_MAX = 10_000


@dataclass(frozen=True, slots=True)
class Claim:
    """A claim of ours on the processor: positive for a charge, negative for what goes back."""

    entry_id: str
    kind: str
    minor: int
    currency: str
    day: str
    corrects: str | None = None


@dataclass(frozen=True, slots=True)
class Pair:
    """Two things that are the same money: ids of ours (or a payout) and of a line."""

    left: str
    right: str
    leg: Leg
    rule: str

    @property
    def confidence(self) -> int:
        return CONFIDENCE[self.rule]


@dataclass
class Matched:
    """The pairs of one leg, and what is left on both sides."""

    pairs: list[Pair] = field(default_factory=list)
    left: set[str] = field(default_factory=set)
    right: set[str] = field(default_factory=set)

    def pair(self, left: str, right: str, leg: Leg, rule: str) -> None:
        self.pairs.append(Pair(left, right, leg, rule))
        self.left.add(left)
        self.right.add(right)


def days_between(first: str, last: str) -> int:
    """Whole days from one day of the books to another."""
    return (date.fromisoformat(last) - date.fromisoformat(first)).days


def match_processor(claims: Sequence[Claim], items: Sequence[Line]) -> Matched:
    """Pair our claims with the processor's lines."""
    found = Matched()
    by_id = {claim.entry_id: claim for claim in claims}
    for item in items:  # in the order of their ids: of two with our id the first is paired
        claim = by_id.get(claim_name(item.kind, item.gross, item.own_id) or "")
        if claim and claim.entry_id not in found.left and _same_sort(claim, item):
            found.pair(claim.entry_id, item.line_id, "processor", "own_id")
    _by_charge(found, claims, items)
    _by_amount(found, claims, items)
    return found


CLAIM_KINDS = {"charge": "top_up", "refund": "card_refund", "chargeback": "chargeback"}
"""What our claims are called that a line of this kind may be."""


def _same_sort(claim: Claim, item: Line) -> bool:
    return CLAIM_KINDS.get(item.kind) == claim.kind and item.currency == claim.currency


def failed_refund(kind: str, gross: int) -> bool:
    """Whether a line says that a refund which was made failed after all."""
    return kind == "refund" and gross > 0


def claim_name(kind: str, gross: int, own_id: str | None) -> str | None:
    """The id of our claim that a line names: a refund that failed carries the refund's own."""
    if not own_id or not failed_refund(kind, gross):
        return own_id
    try:
        return failed_refund_id(own_id)
    except ValueError:  # none of our ids
        return own_id


def _by_charge(found: Matched, claims: Sequence[Claim], items: Sequence[Line]) -> None:
    of_charge: dict[tuple[str | None, str, int, str], list[Claim]] = defaultdict(list)
    for claim in claims:
        if claim.corrects and claim.entry_id not in found.left:
            of_charge[claim.corrects, claim.kind, claim.minor, claim.currency].append(claim)
    for item in items:
        if item.own_id or not item.reference or item.line_id in found.right:
            continue
        key = (item.reference, CLAIM_KINDS.get(item.kind, ""), item.gross, item.currency)
        for claim in of_charge.get(key, ()):
            near = abs(days_between(claim.day, item.day)) <= CHARGE_DAYS
            if near and claim.entry_id not in found.left:
                found.pair(claim.entry_id, item.line_id, "processor", "charge_and_amount")
                break


def _by_amount(found: Matched, claims: Sequence[Claim], items: Sequence[Line]) -> None:
    """Lines that lost our id: paired where nobody else could be meant."""
    lost = [item for item in items
            if not item.own_id and item.kind in CLAIM_KINDS and item.line_id not in found.right
            and (item.kind == "charge" or not item.reference)]  # fmt: skip
    if not lost:
        return
    left = [claim for claim in claims if claim.entry_id not in found.left]
    pairs = only_pairs(
        left, lost,
        lambda c: (c.kind, c.minor, c.currency),
        lambda i: (CLAIM_KINDS[i.kind], i.gross, i.currency),
        lambda c, i: abs(days_between(c.day, i.day)) <= NEAR_DAYS,
    )  # fmt: skip
    for claim, item in pairs:
        found.pair(claim.entry_id, item.line_id, "processor", "amount_and_date")


L = TypeVar("L")
R = TypeVar("R")


def only_pairs(
    left: Iterable[L],
    right: Iterable[R],
    left_key: Callable[[L], object],
    right_key: Callable[[R], object],
    may: Callable[[L, R], bool],
) -> list[tuple[L, R]]:
    """Pairs of equal keys that ``may`` be, where neither side has another candidate.

    Among too many of one key nobody could be told apart, and nobody is looked at.
    """
    lefts: dict[object, list[L]] = defaultdict(list)
    rights: dict[object, list[R]] = defaultdict(list)
    for one in left:
        lefts[left_key(one)].append(one)
    for other in right:
        rights[right_key(other)].append(other)
    candidates = [
        (one, other)
        for key, others in rights.items()
        if len(lefts.get(key, ())) * len(others) <= ALIKE_MAX
        for other in others
        for one in lefts.get(key, ())
        if may(one, other)
    ]
    times: dict[int, int] = defaultdict(int)
    for one, other in candidates:
        times[id(one)] += 1
        times[id(other)] += 1
    return [(one, other) for one, other in candidates if times[id(one)] == times[id(other)] == 1]
