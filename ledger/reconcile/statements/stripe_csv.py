"""Stripe's itemised CSV reports, read by column name.

    payout_reconciliation.itemized          what each automatic payout was made of
    balance_change_from_activity.itemized   every change of the balance, paid out or not yet
    payouts.itemized                        the payouts themselves

Order them with the column ``payment_metadata[facefare_id]`` (and, where refunds are made,
``refund_metadata[facefare_id]``): that is our own id, which pairs a line for certain.

A payout reconciliation report holds whole payouts, so its payouts are its groups; the other
two reports say them in lines of their own.
"""

from __future__ import annotations

from collections import defaultdict
from zoneinfo import ZoneInfo

from ledger.reconcile.statements.lines import Kind, Line, LineFault, Reader, Statement, amount
from ledger.reconcile.statements.tables import Row, decode_text, local_day, rows_of

ITEMS = frozenset(
    ("balance_transaction_id", "created_utc", "currency", "gross", "fee", "net",
     "reporting_category", "automatic_payout_id")
)  # fmt: skip
PAYOUTS = frozenset(("payout_id", "effective_at_utc", "currency", "gross", "fee", "net",
                     "reporting_category"))  # fmt: skip
BY_PAYOUT = ITEMS | {"automatic_payout_effective_at_utc"}

OWN_ID = "payment_metadata[facefare_id]"
REFUND_ID = "refund_metadata[facefare_id]"

_KINDS: dict[str, Kind] = {
    "charge": "charge",
    "refund": "refund",
    "refund_failure": "refund",
    "partial_capture_reversal": "refund",
    "dispute": "chargeback",
    "dispute_reversal": "chargeback",
    "fee": "fee",
    "network_cost": "fee",
    "tax": "fee",
    "payout": "payout",
    "payout_reversal": "payout",
}


def read_activity(data: bytes, zone: ZoneInfo) -> Statement:
    """Read balance_change_from_activity.itemized; raise ``StatementRefused`` with every fault."""
    return _read_items(data, zone, "stripe-balance", ITEMS).done()


def read_by_payout(data: bytes, zone: ZoneInfo) -> Statement:
    """Read payout_reconciliation.itemized, and make its payouts from its groups."""
    days: dict[str, str] = {}
    reader = _read_items(data, zone, "stripe-payout-reconciliation", BY_PAYOUT, days)
    if not reader.faults:
        _add_payouts(reader, days)
    return reader.done()


def _read_items(
    data: bytes,
    zone: ZoneInfo,
    profile: str,
    columns: frozenset[str],
    days: dict[str, str] | None = None,
) -> Reader:
    reader = Reader(profile, "processor")
    for line_no, row in rows_of(decode_text(data), columns):
        if isinstance(row, str):
            reader.fault(line_no, row)
            continue
        try:
            line = _item(line_no, row, zone)
            reader.add(line)
            if days is not None:
                _paid(row, line, days, zone)
        except LineFault as error:
            reader.fault(line_no, str(error))
    return reader


def _item(line_no: int, row: Row, zone: ZoneInfo) -> Line:
    category = row["reporting_category"]
    kind = _KINDS.get(category, "other")
    gross, fee, currency = _amounts(row)
    charge = row.get(OWN_ID) or None
    source = row.get("payment_intent_id") or row.get("charge_id") or row.get("source_id") or None
    takes_back = kind in ("refund", "chargeback")
    if kind == "payout" and not row["automatic_payout_id"]:
        raise LineFault(
            "automatic_payout_id is empty; a payout has to name itself there, like po_1A2b3C"
        )
    return Line(
        line_no,
        f"stripe:{row['balance_transaction_id']}",
        kind,
        gross,
        fee,
        currency,
        local_day(row["created_utc"], zone),
        own_id=(row.get(REFUND_ID) or None) if takes_back else charge,
        reference=(charge or source) if takes_back else source,
        payout_id=row["automatic_payout_id"] or None,
        words=row.get("description", "") or category,
    )


def _amounts(row: Row) -> tuple[int, int, str]:
    currency = row["currency"].upper()
    gross, fee, net = (amount(row[name], currency, name) for name in ("gross", "fee", "net"))
    if gross - fee != net:
        raise LineFault(f"net {row['net']} is not gross {row['gross']} less fee {row['fee']}")
    return gross, fee, currency


def _paid(row: Row, line: Line, days: dict[str, str], zone: ZoneInfo) -> None:
    """Note when the line's payout took effect; all its lines must say the same."""
    if line.payout_id is None:
        raise LineFault("a payout reconciliation report has a payout in every line")
    day = local_day(row["automatic_payout_effective_at_utc"], zone)
    if days.setdefault(line.payout_id, day) != day:
        raise LineFault(f"the payout {line.payout_id} has another day in a line before")


def _add_payouts(reader: Reader, days: dict[str, str]) -> None:
    nets: dict[tuple[str, str], int] = defaultdict(int)
    for line in reader.lines:
        assert line.payout_id is not None  # _paid has seen to it
        nets[line.payout_id, line.currency] += line.net
    for number, ((payout_id, currency), net) in enumerate(sorted(nets.items()), 1):
        reader.add(
            Line(reader.lines[-1].line_no + number, f"stripe:{payout_id}", "payout", -net, 0,
                 currency, days[payout_id], payout_id=payout_id, words="payout")
        )  # fmt: skip


def read_payouts(data: bytes, zone: ZoneInfo) -> Statement:
    """Read payouts.itemized. A payout leaves the balance, whatever sign the report gives it."""
    reader = Reader("stripe-payouts", "processor")
    for line_no, row in rows_of(decode_text(data), PAYOUTS):
        if isinstance(row, str):
            reader.fault(line_no, row)
            continue
        try:
            reader.add(_payout(line_no, row, zone))
        except LineFault as error:
            reader.fault(line_no, str(error))
    return reader.done()


def _payout(line_no: int, row: Row, zone: ZoneInfo) -> Line:
    category = row["reporting_category"]
    if category not in ("payout", "payout_reversal"):
        raise LineFault(f"a payouts report has payouts only, not {category!r}")
    gross, fee, currency = _amounts(row)
    if fee:
        raise LineFault("a payout with a fee is not known to this program")
    moved = abs(gross) if category == "payout_reversal" else -abs(gross)
    name = row["payout_id"] + ("-reversed" if category == "payout_reversal" else "")
    day = local_day(row["effective_at_utc"], zone)
    return Line(line_no, f"stripe:{name}", "payout", moved, 0, currency, day,
                payout_id=name, words=row.get("description", "") or category)  # fmt: skip
