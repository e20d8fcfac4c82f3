"""Name what is left after matching: every difference has one of fifteen kinds. Pure.

``minor`` is what a difference leaves on its clearing account, signed as posted there; the
open differences and what still waits add up to the account, to the cent. Late arrivals, fees
beyond the rule and split payouts leave nothing: ``at_stake`` says what they are about. Nor do
``tap_gap`` and ``tap_fork``, which come from the gates (``gate_taps``).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal

from ledger.reconcile.matching import Claim, Matched, claim_name, days_between
from ledger.reconcile.matching_bank import named_by
from ledger.reconcile.rules import Rules
from ledger.reconcile.said import said
from ledger.reconcile.statements.lines import Line
from ledger.rollups import PAYOUTS, PSP_BALANCE, PSP_CLEARING
from models.money import Money

Kind = Literal[
    "missing_in_ledger", "missing_at_processor", "missing_at_bank", "amount", "fee", "currency",
    "duplicate", "late", "refund_without_charge", "chargeback", "split_or_merged_payout",
    "payout_sum", "unknown", "tap_gap", "tap_fork",
]  # fmt: skip

OWNERS: dict[Kind, tuple[str, str]] = {
    "missing_in_ledger": ("high", "finance"),
    "missing_at_processor": ("high", "payments"),
    "missing_at_bank": ("high", "treasury"),
    "amount": ("high", "finance"),
    "fee": ("low", "finance"),
    "currency": ("high", "finance"),
    "duplicate": ("high", "payments"),
    "late": ("low", "finance"),
    "refund_without_charge": ("high", "payments"),
    "chargeback": ("high", "service"),
    "split_or_merged_payout": ("low", "treasury"),
    "payout_sum": ("high", "payments"),
    "unknown": ("medium", "finance"),
    "tap_gap": ("medium", "finance"),
    "tap_fork": ("high", "finance"),
}
"""How severe each kind is, and who is asked first."""

BUCKETS = ((1, "0-1"), (7, "2-7"), (30, "8-30"))


def bucket(age_days: int) -> str:
    """The age bucket in days: 0-1, 2-7, 8-30 or >30."""
    return next((name for days, name in BUCKETS if age_days <= days), ">30")


@dataclass(frozen=True, slots=True)
class Finding:
    """A difference as one run finds it: what it is about, what it leaves where, what it says."""

    kind: Kind
    subject: str
    account: str
    minor: int
    currency: str
    day: str
    said: str
    other: str | None = None
    at_stake: int = 0


@dataclass(frozen=True, slots=True)
class Known:
    """What was settled before this run, and the open things may name."""

    paired: frozenset[str] = frozenset()
    entries: frozenset[str] = frozenset()
    payouts: frozenset[str] = frozenset()
    deposits: tuple[Line, ...] = ()


@dataclass
class Books:
    """Everything open in the three books at the end of a day, and how it was paired.

    ``payouts`` are all that is on its way to the bank, deposits of cash included.
    """

    claims: Sequence[Claim]
    items: Sequence[Line]
    payouts: Sequence[Line]
    receipts: Sequence[Line]
    processor: Matched
    bank: Matched
    known: Known = field(default_factory=Known)


def find_differences(books: Books, day: str, rules: Rules) -> list[Finding]:
    """All differences at the end of ``day``, in a fixed order."""
    found = [*_processor_pairs(books, rules), *_left_items(books),
             *_left_claims(books, day, rules), *_bank_pairs(books, rules), *_left_receipts(books),
             *_left_payouts(books, day, rules)]  # fmt: skip
    return sorted(found, key=lambda one: (one.day, one.kind, one.subject))


def _processor_pairs(books: Books, rules: Rules) -> Iterator[Finding]:
    claims = {claim.entry_id: claim for claim in books.claims}
    items = {item.line_id: item for item in books.items}
    for pair in books.processor.pairs:
        claim, item = claims[pair.left], items[pair.right]
        if claim.minor != item.gross:
            yield Finding(
                "amount", pair.left, PSP_CLEARING, claim.minor - item.gross, claim.currency,
                claim.day, said("amount_at_processor", ours=Money(claim.minor, claim.currency),
                                theirs=Money(item.gross, item.currency)),
                pair.right, item.gross - claim.minor,
            )  # fmt: skip
        late = days_between(claim.day, item.day)
        if late > rules.processor_days:
            yield Finding("late", pair.right, PSP_CLEARING, 0, claim.currency, item.day,
                          said("late_at_processor", days=late), pair.left, claim.minor)  # fmt: skip
        if rules.fee and item.kind == "charge":
            excess = rules.fee.excess(item.gross, item.fee, item.currency)
            if excess:
                yield Finding(
                    "fee", pair.right, PSP_CLEARING, 0, item.currency, item.day,
                    said("fee_off", fee=Money(item.fee, item.currency),
                         excess=Money(excess, item.currency)), pair.left, excess,
                )  # fmt: skip


def _left_items(books: Books) -> Iterator[Finding]:
    claims = {claim.entry_id: claim for claim in books.claims}
    for item in books.items:
        if item.line_id in books.processor.right:
            continue
        kind, words, other = _item_kind(item, claims.get(_name(item) or ""), books)
        yield Finding(kind, item.line_id, PSP_CLEARING, -item.gross, item.currency, item.day,
                      words, other, item.gross)  # fmt: skip


def _name(item: Line) -> str | None:
    return claim_name(item.kind, item.gross, item.own_id)


def _item_kind(item: Line, claim: Claim | None, books: Books) -> tuple[Kind, str, str | None]:
    if item.kind == "other":
        why = said("moved", text=item.words) if item.words else said("moved_silently")
        return "unknown", why, None
    own = _name(item)
    if own and (own in books.processor.left or own in books.known.paired):
        return "duplicate", said("paid_twice"), own
    if claim and claim.currency != item.currency:
        return "currency", said("ledger_currency", currency=claim.currency), own
    if own and own in books.known.entries:
        return "late", said("given_up"), own
    if item.kind == "chargeback":
        return "chargeback", said("taken_back"), item.reference
    if item.kind == "refund" and not _charge_known(item, books):
        return "refund_without_charge", said("never_charged"), None
    return "missing_in_ledger", said(f"{item.kind}_unknown"), None


def _charge_known(item: Line, books: Books) -> bool:
    return bool(item.reference) and item.reference in books.known.entries


def _left_claims(books: Books, day: str, rules: Rules) -> Iterator[Finding]:
    elsewhere = {_name(item) for item in books.items if item.line_id not in books.processor.right}
    for claim in books.claims:
        if claim.entry_id in books.processor.left or claim.entry_id in elsewhere:
            continue
        if days_between(claim.day, day) >= rules.processor_days:
            yield Finding(
                "missing_at_processor", claim.entry_id, PSP_CLEARING, claim.minor,
                claim.currency, claim.day, said("not_at_processor"), None, claim.minor,
            )  # fmt: skip


def _bank_pairs(books: Books, rules: Rules) -> Iterator[Finding]:
    payouts = {payout.line_id: payout for payout in books.payouts}
    receipts = {receipt.line_id: receipt for receipt in books.receipts}
    splits: dict[str, list[Line]] = defaultdict(list)
    merged: dict[str, list[Line]] = defaultdict(list)
    for pair in books.bank.pairs:
        splits[pair.left].append(receipts[pair.right])
        merged[pair.right].append(payouts[pair.left])
    for pair in books.bank.pairs:
        payout, receipt = payouts[pair.left], receipts[pair.right]
        parts, wholes = splits[pair.left], merged[pair.right]
        if len(parts) == len(wholes) == 1:
            yield from _bank_amount(payout, receipt)
        late = days_between(payout.day, receipt.day)
        if late > rules.bank_days:
            yield Finding("late", pair.right, PAYOUTS, 0, payout.currency, receipt.day,
                          said("late_at_bank", days=late), pair.left, receipt.net)  # fmt: skip
    for left, parts in splits.items():
        if len(parts) > 1:
            yield _split(payouts[left], said("in_parts", parts=len(parts)), parts[0].line_id)
    for right, wholes in merged.items():
        if len(wholes) > 1:
            why = said("as_one", payouts=len(wholes))
            yield _split(receipts[right], why, wholes[0].line_id)


def _bank_amount(payout: Line, receipt: Line) -> Iterator[Finding]:
    left = -payout.net - receipt.net
    if left:
        code = "cash_at_bank" if payout.kind == "deposit" else "amount_at_bank"
        why = said(code, ours=Money(-payout.net, payout.currency),
                   theirs=Money(receipt.net, receipt.currency))  # fmt: skip
        yield Finding("amount", payout.line_id, PAYOUTS, left, payout.currency, payout.day, why,
                      receipt.line_id, -left)  # fmt: skip


def _split(one: Line, why: str, other: str) -> Finding:
    return Finding("split_or_merged_payout", one.line_id, PAYOUTS, 0, one.currency, one.day,
                   why, other, abs(one.net))  # fmt: skip


def _left_receipts(books: Books) -> Iterator[Finding]:
    payouts = {payout.payout_id: payout for payout in books.payouts}
    for receipt in books.receipts:
        if receipt.line_id in books.bank.right:
            continue
        ids = (receipt.payout_id, receipt.reference)
        named = [payouts[name] for name in ids if name in payouts]
        named += named_by(receipt, [*books.payouts, *books.known.deposits])
        kind, why, other = _receipt_kind(receipt, named[0] if named else None, books)
        yield Finding(kind, receipt.line_id, PAYOUTS, -receipt.net, receipt.currency, receipt.day,
                      why, other, receipt.net)  # fmt: skip


def _receipt_kind(receipt: Line, payout: Line | None, books: Books) -> tuple[Kind, str, str | None]:
    if payout and payout.currency != receipt.currency:
        return "currency", said("payout_currency", currency=payout.currency), payout.line_id
    before = {receipt.payout_id, receipt.reference} & books.known.payouts
    if payout or before:
        return "duplicate", said("received_twice"), payout.line_id if payout else None
    if receipt.payout_id:
        return "missing_at_processor", said("payout_unknown", payout=receipt.payout_id), None
    why = said("text_unknown", text=receipt.words) if receipt.words else said("line_unknown")
    return "unknown", why, None


def _left_payouts(books: Books, day: str, rules: Rules) -> Iterator[Finding]:
    converted = {
        receipt.payout_id or receipt.reference
        for receipt in books.receipts
        if receipt.line_id not in books.bank.right
    }
    for payout in books.payouts:
        if payout.line_id in books.bank.left or payout.payout_id in converted:
            continue
        if days_between(payout.day, day) >= rules.bank_days:
            yield Finding("missing_at_bank", payout.line_id, PAYOUTS, -payout.net,
                          payout.currency, payout.day, _not_at_bank(payout), None,
                          -payout.net)  # fmt: skip


def _not_at_bank(payout: Line) -> str:
    if payout.kind == "deposit":
        return said("cash_not_at_bank", slip=payout.payout_id or "")
    return said("not_at_bank")


@dataclass(frozen=True, slots=True)
class PayoutSum:
    """A payout, what all its lines come to, and what those that are not done leave.

    ``about`` is the line that stands for what is left: the payout's own, until it is done.
    """

    payout: Line
    total: int
    left: int
    about: str


def payout_sums(sums: Iterable[PayoutSum]) -> Iterator[Finding]:
    """The payouts whose lines do not add up to them."""
    for one in sums:
        payout = one.payout
        if one.left:
            yield Finding(
                "payout_sum", one.about, PSP_BALANCE, one.left, payout.currency, payout.day,
                said("payout_off", lines=Money(one.total - payout.net, payout.currency),
                     payout=Money(-payout.net, payout.currency)),
                None if one.about == payout.line_id else payout.line_id, one.left,
            )  # fmt: skip
