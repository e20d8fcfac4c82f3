"""One entry of each kind, with the members that the code gives it, always the same bytes."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from ledger.entries import Draft, contents, encode, place
from ledger.postings import BAD_DEBT, CASH_DESK, GOODWILL, RIDER, UNCLAIMED, Posting, transfer
from ledger.processors.cards import CARD_REFUNDS
from ledger.rollups import PAYOUTS, PSP_BALANCE, PSP_CLEARING
from models.log.tree import leaf_hash
from models.money import Money

NOON = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
ACCOUNT_KEY, STAFF_KEY = b"a" * 32, b"s" * 32
TWO, ZERO = Money(200, "CNY"), Money(0, "CNY")
FARES, HELD, SUSPENSE = "income:fares:metro", "liabilities:held", "assets:suspense"
REQUEST, WANTED = str(UUID(int=900)), str(UUID(int=901))


def rule(code: str, words: str, **more: Any) -> dict[str, Any]:
    return {"rule": {"code": code, "words": words, **more}}


def moved(debit: str, credit: str) -> tuple[Posting, ...]:
    return transfer(TWO, debit=debit, credit=credit)


FARE = {"rows": ["fare_leg_rules.txt:467"], "feed": "9f86d081884c7d65"}
CLOSE = {"period": "2026-11-21", "revision": 1}
RIDE = {"gate": "south-1", "station": "south", "direction": "in", "medium": "face", "tap": "0" * 64}

# kind, amount, postings, facts, whether a rider's money moves, whether staff did it
Example = tuple[str, Money, tuple[Posting, ...], dict[str, Any], bool, bool]
EXAMPLES: tuple[Example, ...] = (
    ("top_up", TWO, moved(CASH_DESK, RIDER), {"method": "cash"}, True, True),
    ("top_up", TWO, moved(PSP_CLEARING, RIDER), {"method": "card", "processor": "stripe"}, True,
     False),
    ("ride", TWO, moved(RIDER, FARES), {**RIDE, **rule("leg_from", "Flat fare.", **FARE)}, True,
     False),
    ("fare_adjustment", TWO, moved(FARES, RIDER),
     {"cause": WANTED, "week": "2026-11-16", **rule("transfer", "A transfer.", **FARE)}, True,
     False),
    ("day_close", TWO, moved(HELD, FARES),
     {"cause": WANTED, "week": "2026-11-16", **rule("maximum", "Maximum fare.", **FARE)}, True,
     False),
    ("card_refund_asked", TWO, moved(RIDER, CARD_REFUNDS),
     {"corrects": WANTED, **rule("card_refund_asked", "Asked to be paid back to the card.")}, True,
     True),
    ("card_refund", TWO, moved(CARD_REFUNDS, PSP_CLEARING),
     {"corrects": WANTED, **rule("card_refund", "Paid back to the card.")}, False, False),
    ("card_refund_failed", TWO, moved(CARD_REFUNDS, RIDER),
     {"corrects": WANTED, **rule("card_refund_failed", "Could not be paid back to the card.")},
     True, False),
    ("chargeback", TWO, moved(RIDER, PSP_CLEARING),
     {"corrects": WANTED, **rule("chargeback", "The cardholder's bank took the payment back.")},
     True, False),
    ("refund", TWO, moved(FARES, RIDER),
     {"corrects": WANTED, **rule("wrong_charge", "The ride was charged wrongly.")}, True, True),
    ("dispute_upheld", TWO, moved(FARES, SUSPENSE),
     {"corrects": WANTED, **rule("dispute_upheld", "The charge was wrong.")}, False, True),
    ("dispute_rejected", TWO, moved(RIDER, SUSPENSE),
     {"corrects": WANTED, **rule("dispute_rejected", "The charge was right.")}, True, True),
    ("goodwill", TWO, moved(GOODWILL, RIDER), {"case": "T-7", **rule("apology", "An apology.")},
     True, True),
    ("write_off", TWO, moved(BAD_DEBT, RIDER), rule("small_balance", "Too small."), True, True),
    ("adjustment_request", TWO, (),
     {"asks": {"kind": "goodwill"}, "corrects": WANTED, **rule("apology", "An apology.")}, True,
     True),
    ("adjustment_declined", TWO, (), {"corrects": REQUEST, **rule("declined", "Not given.")}, True,
     True),
    ("decision_refused", ZERO, (),
     {"corrects": REQUEST, **rule("not_independent", "One let the other in a short while ago.")},
     False, True),
    ("hold", TWO, moved(RIDER, HELD),
     {"expires_at": "2026-11-23T12:00:00.000Z", **rule("deposit", "A deposit.")}, True, True),
    ("hold_post", TWO, moved(HELD, FARES), {"corrects": WANTED, **rule("hold_post", "Charged.")},
     True, True),
    ("hold_void", TWO, moved(HELD, RIDER), {"corrects": WANTED, **rule("hold_void", "Given up.")},
     True, True),
    ("hold_expire", TWO, moved(HELD, RIDER),
     {"corrects": WANTED, **rule("hold_expire", "The hold ran out.")}, True, False),
    ("close", TWO, moved(RIDER, UNCLAIMED), {"unlinked": 3}, False, False),
    ("drawer_close", TWO, moved("expenses:cash_over_short", CASH_DESK),
     rule("cash_short", "The drawer held less than it should."), False, True),
    ("cash_deposit", TWO, moved(PAYOUTS, CASH_DESK),
     {"slip": "BAG-000471", **rule("cash_deposit", "Carried to the bank.")}, False, True),
    ("settlement", TWO, moved(PSP_BALANCE, PSP_CLEARING),
     {"day": "2026-11-22", "statement": "0" * 64, "statement_day": "2026-11-22", "lines": 1}, False,
     False),
    ("resolution", TWO, moved(RIDER, PSP_CLEARING),
     {"day": "2026-11-22", "difference": "1f0c" * 6, "corrects": WANTED,
      **rule("not_paid", "The rider's payment never reached the processor.")}, True, True),
    ("period_close", ZERO, (), {**CLOSE, "report": "0" * 64, "size": 24, "root": "0" * 64}, False,
     True),
    ("period_reopen_asked", ZERO, (), {**CLOSE, "reason": "The bank sent a correction."}, False,
     True),
    ("period_reopened", ZERO, (), {**CLOSE, "corrects": REQUEST}, False, True),
)  # fmt: skip


def example_log() -> list[bytes]:
    """The examples as a log: each entry's exact bytes."""
    prev, log = bytes(32), []
    for seq, (kind, amount, postings, facts, of_rider, by_staff) in enumerate(EXAMPLES):
        draft = Draft(
            kind, str(UUID(int=seq)), NOON, amount, postings, facts,
            account_key=ACCOUNT_KEY if of_rider else None,
            made_by_key=STAFF_KEY if by_staff else None,
        )  # fmt: skip
        log.append(encode(place(contents(draft), seq, prev, "2026-11-22T12:00:00.000Z")))
        prev = leaf_hash(log[-1])
    return log


if __name__ == "__main__":
    sys.stdout.write("\n".join(body.decode() for body in example_log()) + "\n")
