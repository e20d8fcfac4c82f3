"""The documented CSV profiles for every processor and bank without one of its own.

Of a processor, amounts in major units with a point, ``net = gross - fee``:

    id,day,kind,own_id,reference,payout_id,gross,fee,net,currency,text
    t-1,2026-11-22,charge,019…,ch-77,p-9,20.00,0.58,19.42,EUR,Top-up
    p-9,2026-11-23,payout,,,p-9,-19.42,0.00,-19.42,EUR,

``kind`` is charge, refund, chargeback, fee, payout or other; ``own_id`` our id where the
processor kept it; a refund's or chargeback's ``reference`` is our id of the charge.

Of a bank, a receipt positive and a payment negative:

    id,day,amount,currency,reference,text
    b-1,2026-11-24,19.42,EUR,p-9,Processor payout
"""

from __future__ import annotations

from typing import cast, get_args
from zoneinfo import ZoneInfo

from ledger.reconcile.statements.lines import (
    Kind,
    Line,
    LineFault,
    Reader,
    Statement,
    amount,
    payout_named,
)
from ledger.reconcile.statements.tables import Row, decode_text, plain_day, rows_of

PROCESSOR = frozenset(("id", "day", "kind", "own_id", "reference", "payout_id", "gross", "fee",
                       "net", "currency", "text"))  # fmt: skip
BANK = frozenset(("id", "day", "amount", "currency", "reference", "text"))


def read_processor(data: bytes, _zone: ZoneInfo) -> Statement:
    """Read the generic processor profile; raise ``StatementRefused`` with every fault."""
    reader = Reader("generic-processor", "processor")
    for line_no, row in rows_of(decode_text(data), PROCESSOR):
        try:
            reader.add(_item(line_no, row))
        except LineFault as error:
            reader.fault(line_no, str(error))
    return reader.done()


def _item(line_no: int, row: Row | str) -> Line:
    if isinstance(row, str):
        raise LineFault(row)
    kind, currency = row["kind"], row["currency"]
    if kind not in get_args(Kind) or kind == "receipt":
        raise LineFault(f"{kind!r} is no kind of a processor's line")
    gross, fee, net = (amount(row[name], currency, name) for name in ("gross", "fee", "net"))
    if gross - fee != net:
        raise LineFault(f"net {row['net']} is not gross {row['gross']} less fee {row['fee']}")
    if kind == "payout" and (fee or not row["payout_id"]):
        raise LineFault("a payout has its own payout_id, and no fee")
    return Line(line_no, f"generic:{row['id']}", cast("Kind", kind), gross, fee, currency,
                plain_day(row["day"]), row["own_id"] or None, row["reference"] or None,
                row["payout_id"] or None, row["text"])  # fmt: skip


def read_bank(data: bytes, _zone: ZoneInfo) -> Statement:
    """Read the generic bank profile; raise ``StatementRefused`` with every fault."""
    reader = Reader("generic-bank", "bank")
    for line_no, row in rows_of(decode_text(data), BANK):
        try:
            reader.add(_receipt(line_no, row))
        except LineFault as error:
            reader.fault(line_no, str(error))
    return reader.done()


def _receipt(line_no: int, row: Row | str) -> Line:
    if isinstance(row, str):
        raise LineFault(row)
    moved = amount(row["amount"], row["currency"], "amount")
    words = " ".join(filter(None, (row["reference"], row["text"])))
    return Line(line_no, f"bank:{row['id']}", "receipt", moved, 0, row["currency"],
                plain_day(row["day"]), reference=row["reference"] or None,
                payout_id=payout_named(words), words=words)  # fmt: skip
