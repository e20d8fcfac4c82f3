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
"""What can be asked for, and the reasons of each."""

OF_A_RIDE = ("refund", "dispute_credit")
_CASE = re.compile(r"[A-Za-z0-9][A-Za-z0-9./-]{0,39}")


@dataclass(frozen=True, slots=True)
class Wanted:
    """A credit that staff want to give: ``about`` is a ride's id, or else an account's.

    ``entry_id`` was made with the form.
    """

    entry_id: str
    kind: str
    about: str
    amount: Money
    reason: str
    case: str = ""


def check_wanted(wanted: Wanted) -> None:
    """Raise ``EntryRefused`` for what cannot be given whatever the ledger holds."""
    check_entry_id(wanted.entry_id)
    reasons = KINDS.get(wanted.kind)
    if reasons is None:
        raise EntryRefused(f"a credit is one of {', '.join(KINDS)}, not {wanted.kind!r}")
    if wanted.reason not in reasons:
        raise EntryRefused(f"the reason is one of {', '.join(reasons)}, not {wanted.reason!r}")
    if wanted.amount.minor <= 0:
        raise EntryRefused("a credit is more than zero")
    if wanted.case and not _CASE.fullmatch(wanted.case):
        raise EntryRefused(
            "a case is the reference of your own file, up to 40 letters, digits, dots, dashes and "
            "slashes; write nothing about the rider here, an entry is kept for ever"
        )
