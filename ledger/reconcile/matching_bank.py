"""Pair payouts and deposits of cash with the bank's lines, by the rules of ``matching``. Pure.

A bank may drop the signs of a payout's id and break its words, pay in parts, or several
payouts at once; a receipt that names a payout is never taken for another one. Cash is told by
its slip in the same way, but never where the bank names a payout: whoever writes a slip may
have written anything.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from itertools import combinations

from ledger.reconcile.matching import NEAR_DAYS, Matched, days_between, only_pairs
from ledger.reconcile.statements.lines import Line

PARTS_MAX = 3
CANDIDATES_MAX = 24
"""Sums are only tried among so few that trying all of them is quick."""

_ID_LENGTH_MIN = 8
_PLAIN = re.compile(r"[^A-Z0-9]")


def match_bank(payouts: Sequence[Line], receipts: Sequence[Line]) -> Matched:
    """Pair the processor's payouts with the bank's lines."""
    found = Matched()
    named = _named(payouts, receipts)
    _by_payout_id(found, payouts, receipts, named)
    open_payouts = [p for p in payouts if p.line_id not in found.left]
    nameless = [r for r in receipts if r.line_id not in found.right and not named[r.line_id]
                and not r.payout_id]  # fmt: skip
    for payout, receipt in only_pairs(
        open_payouts, nameless,
        lambda p: (-p.net, p.currency),
        lambda r: (r.net, r.currency),
        _follows,
    ):  # fmt: skip
        found.pair(payout.line_id, receipt.line_id, "bank", "amount_and_date")
    _by_sums(found, open_payouts, nameless)
    return found


def _follows(payout: Line, receipt: Line) -> bool:
    return -1 <= days_between(payout.day, receipt.day) <= NEAR_DAYS


def _plain(words: str) -> str:
    return _PLAIN.sub("", words.upper())


def _named(payouts: Sequence[Line], receipts: Sequence[Line]) -> dict[str, list[Line]]:
    """The payouts that each bank line names; banks drop signs and break words, so do we."""
    return {receipt.line_id: named_by(receipt, payouts) for receipt in receipts}


def named_by(receipt: Line, payouts: Sequence[Line]) -> list[Line]:
    """The payouts, or else the deposits, that one bank line names."""
    plain, words = _plain(receipt.words), set(receipt.words.split())
    named = [
        payout for payout in payouts
        if (len(name := payout.payout_id or "") >= _ID_LENGTH_MIN and _plain(name) in plain)
        or name in words
    ]  # fmt: skip
    of_processor = [payout for payout in named if payout.kind == "payout"]
    return of_processor or ([] if receipt.payout_id else named)


def _by_payout_id(
    found: Matched,
    payouts: Sequence[Line],
    receipts: Sequence[Line],
    named: dict[str, list[Line]],
) -> None:
    for receipt in receipts:
        several = named[receipt.line_id]
        if len(several) > 1 and -sum(p.net for p in several) == receipt.net:
            for payout in several:
                found.pair(payout.line_id, receipt.line_id, "bank", "merged_payout")
    for payout in payouts:
        if payout.line_id in found.left:
            continue
        mine = [r for r in receipts if r.line_id not in found.right
                and r.currency == payout.currency and named[r.line_id] == [payout]]  # fmt: skip
        exact = [r for r in mine if r.net == -payout.net]
        if not exact and len(mine) > 1 and sum(r.net for r in mine) == -payout.net:
            for receipt in mine:
                found.pair(payout.line_id, receipt.line_id, "bank", "split_payout")
        elif mine:
            rule = "deposit_slip" if payout.kind == "deposit" else "payout_id"
            found.pair(payout.line_id, (exact or mine)[0].line_id, "bank", rule)


def _by_sums(found: Matched, payouts: Sequence[Line], receipts: Sequence[Line]) -> None:
    left = [p for p in payouts if p.line_id not in found.left]
    right = [r for r in receipts if r.line_id not in found.right]
    for receipt in right:
        near = [p for p in left if p.line_id not in found.left and _follows(p, receipt)]
        for payout in only_sum(near, receipt, lambda p: -p.net):
            found.pair(payout.line_id, receipt.line_id, "bank", "sum_and_date")
    for payout in left:
        near = [r for r in right if r.line_id not in found.right and _follows(payout, r)]
        if payout.line_id not in found.left:
            for receipt in only_sum(near, payout, lambda r: -r.net):
                found.pair(payout.line_id, receipt.line_id, "bank", "sum_and_date")


def only_sum(parts: Sequence[Line], whole: Line, value: Callable[[Line], int]) -> tuple[Line, ...]:
    """The two or three ``parts`` of one kind that make ``whole``, if only these do; else none."""
    same = [part for part in parts if part.currency == whole.currency]
    if len(same) > CANDIDATES_MAX:
        return ()
    sums = [some for size in range(2, PARTS_MAX + 1) for some in combinations(same, size)
            if sum(map(value, some)) == whole.net
            and len({one.kind for one in some}) == 1]  # fmt: skip
    return sums[0] if len(sums) == 1 else ()
