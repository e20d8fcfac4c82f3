"""The lines as a workbook: a sheet for each currency, and a first sheet with the totals.

Cells are typed: whole numbers, amounts, days and times (UTC). Text is written as text and
marked so (a cell that begins with = stays text when it is edited). Totals are formulas over
the minor units, which a spreadsheet adds exactly, and are divided at the end. A sheet holds
1,048,576 rows; what is more goes on in the next one.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import date, datetime
from pathlib import Path
from typing import Any

import xlsxwriter

from ledger.exports.lines import Line, decimals

SHEET_ROWS_MAX = 1_048_576
_COLUMNS = (("seq", 9), ("line", 5), ("entry id", 38), ("kind", 14), ("day", 11),
            ("recorded at", 19), ("occurred at", 19), ("account", 30), ("amount", 14),
            ("minor", 14), ("currency", 9), ("gate", 14), ("station", 14), ("medium", 10),
            ("rule", 18), ("corrects", 38))  # fmt: skip
_MINOR = "J"
_TOTALS = ("sheet", "currency", "lines", "debit", "credit", "sum")


@dataclass
class _Sheet:
    """A sheet of one currency that is being written, and its totals so far."""

    sheet: Any
    currency: str
    rows: int = 1  # the heading
    debit: int = 0
    credit: int = 0


@dataclass
class _Book:
    """The workbook: its formats and sheets."""

    book: Any
    rows_max: int
    sheets: list[_Sheet] = field(default_factory=list)
    newest: dict[str, _Sheet] = field(default_factory=dict)
    formats: dict[str, Any] = field(default_factory=dict)

    def format(self, number: str, **more: Any) -> Any:
        """The cell format for a number format, made once."""
        if number not in self.formats:
            self.formats[number] = self.book.add_format({"num_format": number, **more})
        return self.formats[number]

    def sheet(self, currency: str) -> _Sheet:
        """The sheet that takes the currency's next row."""
        found = self.newest.get(currency)
        if found is None or found.rows >= self.rows_max:
            number = sum(sheet.currency == currency for sheet in self.sheets) + 1
            name = currency if number == 1 else f"{currency} {number}"
            found = _Sheet(_headed(self, name, _COLUMNS), currency)
            self.newest[currency] = found
            self.sheets.append(found)
        return found


def write_xlsx(path: Path, lines: Iterable[Line], rows_max: int = SHEET_ROWS_MAX) -> int:
    """Write the lines to ``path``; return how many there were."""
    options = {"constant_memory": True, "strings_to_formulas": False, "strings_to_urls": False,
               "tmpdir": str(path.parent)}  # fmt: skip
    count = 0
    with xlsxwriter.Workbook(str(path), options) as workbook:
        book = _Book(workbook, rows_max)
        totals = _headed(book, "Totals", [(name, 14) for name in _TOTALS])
        for count, line in enumerate(lines, start=1):  # noqa: B007 - the last one is the number
            _write_line(book, line)
        for row, sheet in enumerate(book.sheets, start=1):
            _write_totals(book, totals, row, sheet)
    return count


def _headed(book: _Book, name: str, columns: Iterable[tuple[str, int]]) -> Any:
    sheet = book.book.add_worksheet(name)
    bold = book.format("@", bold=True)
    for column, (title, width) in enumerate(columns):
        sheet.set_column(column, column, width)
        sheet.write_string(0, column, title, bold)
    sheet.freeze_panes(1, 0)
    return sheet


def _write_line(book: _Book, line: Line) -> None:
    found = book.sheet(line.currency)
    sheet, row, places = found.sheet, found.rows, decimals(line.currency)
    text = book.format("General", quote_prefix=True)
    sheet.write_number(row, 0, line.seq)
    sheet.write_number(row, 1, line.line)
    sheet.write_string(row, 2, line.entry_id, text)
    sheet.write_string(row, 3, line.kind, text)
    sheet.write_datetime(row, 4, date.fromisoformat(line.day), book.format("yyyy-mm-dd"))
    for column, moment in ((5, line.recorded_at), (6, line.occurred_at)):
        naive = datetime.fromisoformat(moment).replace(tzinfo=None)
        sheet.write_datetime(row, column, naive, book.format("yyyy-mm-dd hh:mm:ss"))
    sheet.write_string(row, 7, line.account, text)
    sheet.write_number(row, 8, line.minor / 10**places, book.format(_money_format(places)))
    sheet.write_number(row, 9, line.minor)
    texts = (line.currency, line.gate, line.station, line.medium, line.rule, line.corrects)
    for column, value in enumerate(texts, start=10):
        if value:
            sheet.write_string(row, column, value, text)
    found.rows += 1
    if line.minor > 0:
        found.debit += line.minor
    else:
        found.credit -= line.minor


def _money_format(places: int) -> str:
    return f"#,##0.{'0' * places}" if places else "#,##0"


def _write_totals(book: _Book, totals: Any, row: int, found: _Sheet) -> None:
    """The totals of a sheet as formulas; the value beside each is what it comes to."""
    places, name = decimals(found.currency), found.sheet.get_name()
    cells = f"'{name}'!${_MINOR}$2:${_MINOR}${found.rows}"
    money, unit = book.format(_money_format(places)), 10**places
    totals.write_string(row, 0, name)
    totals.write_string(row, 1, found.currency)
    totals.write_formula(row, 2, f"=COUNT({cells})", None, found.rows - 1)
    for column, formula, minor in (
        (3, f'=SUMIF({cells},">0")/{unit}', found.debit),
        (4, f'=-SUMIF({cells},"<0")/{unit}', found.credit),
        (5, f"=SUM({cells})/{unit}", found.debit - found.credit),
    ):
        totals.write_formula(row, column, formula, money, minor / unit)
