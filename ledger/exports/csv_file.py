"""The lines as comma-separated values, safe to open in a spreadsheet.

    seq,line,entry_id,kind,day,…,account,amount,minor,currency,…
    0,0,7f3c…,top_up,2026-11-22,…,assets:cash_desk,20.00,2000,CNY,…

A spreadsheet runs a cell that begins with = + - @, tab or carriage return as a formula. Text
that begins so gets an apostrophe before it; numbers are numbers and stay.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable
from pathlib import Path

from ledger.exports.lines import Line, plain_amount

COLUMNS = (
    *("seq", "line", "entry_id", "kind", "day", "recorded_at", "occurred_at", "account"),
    *("amount", "minor", "currency", "gate", "station", "medium", "rule", "corrects"),
)
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def defused(text: str) -> str:
    """``text`` so that no spreadsheet takes it for a formula."""
    return f"'{text}" if text.startswith(_FORMULA) else text


def write_csv(path: Path, lines: Iterable[Line]) -> int:
    """Write the lines to ``path``; return how many there were."""
    count = 0
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        for count, line in enumerate(lines, start=1):  # noqa: B007 - the last one is the number
            writer.writerow(_row(line))
    return count


def _row(line: Line) -> list[int | str]:
    texts = (line.entry_id, line.kind, line.day, line.recorded_at, line.occurred_at, line.account)
    amount = plain_amount(line.minor, line.currency)
    more = (line.currency, line.gate, line.station, line.medium, line.rule, line.corrects)
    return [line.seq, line.line, *map(defused, texts), amount, line.minor, *map(defused, more)]
