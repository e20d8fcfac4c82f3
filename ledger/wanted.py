"""What staff at the service desk may want to give a rider, and for which reasons.

``case`` is a short reference to the desk's own file. There is no free text here: an entry is
kept for ever, and text about a person could never be erased.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from ledger.adjustments import DISPUTE, GOODWILL_REASONS, WRITE_OFF_REASONS
from ledger.once import EntryRefused, check_entry_id
from ledger.refunds import REASONS
from models.money import Money

KINDS: dict[str, dict[str, str]] = {
    "refund": REASONS,
    "dispute_credit": {DISPUTE: "Credited while the charge is looked into."},
    "goodwill": GOODWILL_REASONS,
    "write_off": WRITE_OFF_REASONS,
}
"""What the service desk can ask for, and the reasons of each."""

TO_THE_CARD = "card_refund"
CARD_REASONS = {
    "rider_asked": "The rider asked for the money back.",
    "topped_up_twice": "The top-up was made twice.",
    "not_by_rider": "The rider did not make this top-up.",
}
"""Why finance pays a card top-up back to its card."""

OF_A_RIDE = ("refund", "dispute_credit")
_CASE = re.compile(r"[A-Za-z0-9][A-Za-z0-9./-]{0,39}")


@dataclass(frozen=True, slots=True)
class Wanted:
    """A credit that staff want to give: ``about`` is a ride's or top-up's id, or an account's.

    ``entry_id`` was made with the form.
    """

    entry_id: str
    kind: str
    about: str
    amount: Money
    reason: str
    case: str = ""


def reasons_of(kind: str) -> dict[str, str] | None:
    """The reasons of a kind in words, None where there is no such kind."""
    return CARD_REASONS if kind == TO_THE_CARD else KINDS.get(kind)


def check_wanted(wanted: Wanted) -> None:
    """Raise ``EntryRefused`` for what cannot be given whatever the ledger holds."""
    check_entry_id(wanted.entry_id)
    reasons = reasons_of(wanted.kind)
    if reasons is None:
        raise EntryRefused(f"a credit is one of {', '.join(KINDS)}, not {wanted.kind!r}")
    if wanted.reason not in reasons:
        raise EntryRefused(f"the reason is one of {', '.join(reasons)}, not {wanted.reason!r}")
    if wanted.amount.minor <= 0:
        raise EntryRefused("a credit is more than zero")
    check_case(wanted.case)


def check_case(case: str) -> None:
    """Raise ``EntryRefused`` unless it is no more than the reference of a file, or nothing."""
    if case and not _CASE.fullmatch(case):
        raise EntryRefused(
            "a case is the reference of your own file, up to 40 letters, digits, dots, dashes and "
            "slashes; write nothing about the rider here, an entry is kept for ever"
        )
