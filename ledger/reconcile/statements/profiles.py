"""Which reader a file needs: asked for by name, or told from how the file begins."""

from __future__ import annotations

from collections.abc import Callable
from zoneinfo import ZoneInfo

from ledger.reconcile.statements.camt053 import read_camt053
from ledger.reconcile.statements.generic_csv import BANK, PROCESSOR, read_bank, read_processor
from ledger.reconcile.statements.lines import BYTES_MAX, Statement, StatementRefused
from ledger.reconcile.statements.mt940 import read_mt940
from ledger.reconcile.statements.stripe_csv import (
    BY_PAYOUT,
    ITEMS,
    PAYOUTS,
    read_activity,
    read_by_payout,
    read_payouts,
)
from ledger.reconcile.statements.tables import header_of

Read = Callable[[bytes, ZoneInfo], Statement]

PROFILES: dict[str, Read] = {
    "stripe-payout-reconciliation": read_by_payout,
    "stripe-balance": read_activity,
    "stripe-payouts": read_payouts,
    "generic-processor": read_processor,
    "generic-bank": read_bank,
    "camt053": read_camt053,
    "mt940": read_mt940,
}
_BY_COLUMNS = (
    (BY_PAYOUT, ("stripe-payout-reconciliation", "stripe-balance")),
    (ITEMS, ("stripe-balance",)),
    (PAYOUTS, ("stripe-payouts",)),
    (PROCESSOR, ("generic-processor",)),
    (BANK, ("generic-bank",)),
)
"""The columns a profile needs. Two of Stripe's reports can have the same ones, and mean
different things: only one of them holds whole payouts."""


def read_statement(data: bytes, zone: ZoneInfo, profile: str | None = None) -> Statement:
    """Read a file by the named ``profile`` or the one it looks like.

    Raises ``StatementRefused`` with the line and the reason of every fault.
    """
    if len(data) > BYTES_MAX:
        raise StatementRefused([(1, f"a statement has at most {BYTES_MAX} bytes")])
    return PROFILES[profile or guess(data)](data, zone)


def guess(data: bytes) -> str:
    """The profile a file looks like; raise ``StatementRefused`` if unsure."""
    start = data[:4096].lstrip(b"\xef\xbb\xbf \t\r\n")
    if start.startswith(b"<"):
        return "camt053"
    if start.startswith((b":20:", b"{1:")):
        return "mt940"
    columns = header_of(data)
    names = next((names for needed, names in _BY_COLUMNS if needed <= columns), tuple(PROFILES))
    if len(names) == 1:
        return names[0]
    raise StatementRefused([(1, f"it may be any of {', '.join(names)}; name it with --profile")])
