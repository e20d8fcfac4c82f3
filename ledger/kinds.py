"""Every kind of entry there is, and in short what happened.

``docs/ledger-format.md`` describes each of them for whoever reads the log without us, and
``docs/verify/entries.jsonl`` holds one of each. A kind that is not here is not written.
"""

from __future__ import annotations

KINDS = {
    "ride": "a tap was charged",
    "fare_adjustment": "a tap changed the fares of a week",
    "day_close": "a journey without its other tap was charged",
    "top_up": "a rider paid, in cash or by card",
    "card_refund_asked": "money leaves the account for the card it came from",
    "card_refund": "the processor returned it, or could not after all",
    "card_refund_failed": "the processor could not; it is the rider's again",
    "chargeback": "the cardholder's bank took a payment back, or gave it back again",
    "refund": "a ride's charge goes back, for good or while it is disputed",
    "dispute_upheld": "the rider was right",
    "dispute_rejected": "the charge was right",
    "goodwill": "a gift of the operator",
    "write_off": "a debt that nobody expects any more",
    "adjustment_request": "one person asks for a credit above the limit",
    "adjustment_declined": "another one says no",
    "decision_refused": "a second person was not independent of the first",
    "hold": "money is set aside",
    "hold_post": "it was charged as far as it was needed",
    "hold_void": "it was given back",
    "hold_expire": "it was given back because its time was over",
    "close": "a rider left",
    "drawer_close": "a drawer held more or less than it should",
    "cash_deposit": "cash went to the bank",
    "settlement": "a statement of the processor or the bank was booked",
    "resolution": "a difference between the books was resolved",
    "period_close": "a day or month was closed",
    "period_reopen_asked": "one person asks to open it again",
    "period_reopened": "another one agreed",
}
