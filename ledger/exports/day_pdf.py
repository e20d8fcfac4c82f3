"""The report of a day or month on paper.

A closed period is printed from its kept report, with the SHA-256 that the log vouches for. An
open one is printed from the roll-ups as they are now, and says on top that it is not closed.
The same report makes the same bytes.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterable, Sequence
from typing import Any

from reportlab.lib import colors
from reportlab.lib.pagesizes import A4
from reportlab.lib.styles import ParagraphStyle
from reportlab.lib.units import mm
from reportlab.pdfbase import pdfmetrics
from reportlab.pdfbase.cidfonts import UnicodeCIDFont
from reportlab.platypus import Paragraph, SimpleDocTemplate, Spacer, Table, TableStyle

from ledger.ledger import Ledger
from ledger.reconcile.closed import closings
from ledger.reconcile.figures import from_roll_ups
from ledger.reconcile.periods import check_period, closed_report, last_day
from ledger.reconcile.report import reconciliation
from models.database import reading
from models.money import Money

Json = dict[str, Any]
_CHINESE = "STSong-Light"
_LINES_MAX = 200
"""Longer lists end with how many more there are; the report itself has them all."""

_TEXT = ParagraphStyle("text", fontName="Helvetica", fontSize=9, leading=12)
_HEAD = ParagraphStyle("head", parent=_TEXT, fontName="Helvetica-Bold", fontSize=11, spaceBefore=10)
_TITLE = ParagraphStyle("title", parent=_HEAD, fontSize=16, leading=20)


def report_pdf(ledger: Ledger, period: str) -> bytes:
    """The report of ``period``, a day or a month, as a PDF file.

    Raises ``PeriodRefused`` for what is neither.
    """
    check_period(period)
    with reading(ledger.engine) as session:
        _, is_closed = closings(session, period)
        if not is_closed:
            found = reconciliation(session, last_day(period))
            value = {
                "ledger": from_roll_ups(session, period),
                "at_close": {"reconciliation": found},
            }
            stand = "Not closed: these are the books as they are now."
    if is_closed:
        closed = closed_report(ledger, period)
        value = json.loads(closed.report)
        point = value["checkpoint"]
        stand = (
            f"Closed, revision {closed.revision}, under the checkpoint over {point['size']} "
            f"entries. SHA-256 of the report: {closed.sha256}"
        )
    return _printed(ledger.settings.operator, period, stand, value)


def _printed(operator: str, period: str, stand: str, value: Json) -> bytes:
    pdfmetrics.registerFont(UnicodeCIDFont(_CHINESE))
    file = io.BytesIO()
    document = SimpleDocTemplate(
        file, pagesize=A4, invariant=1, title=f"{operator} {period}", author=operator,
        leftMargin=18 * mm, rightMargin=18 * mm, topMargin=16 * mm, bottomMargin=16 * mm,
    )  # fmt: skip
    document.build([_words(operator, _TEXT), _words(period, _TITLE), _words(stand, _TEXT),
                    *_figures(value["ledger"]),
                    *_reconciliation(value["at_close"]["reconciliation"])])  # fmt: skip
    return file.getvalue()


def _figures(found: Json) -> Iterable[Any]:
    yield from _table(
        "Trial balance (debit positive)",
        ("account", "opening", "moved", "closing"),
        [(r["account"], *(_money(r[n], r) for n in ("opening", "moved", "closing")))
         for r in found["trial_balance"]],
    )  # fmt: skip
    for name in ("network", "station", "medium"):
        yield from _table(
            f"Takings by {name}",
            (name, "rides", "fares"),
            [(r["name"] or "(none)", str(r["rides"]), _money(r["minor"], r))
             for r in found["takings"][name]],
        )  # fmt: skip
    yield from _table(
        "Given back",
        ("what", "entries", "amount"),
        [(name.replace("_", " "), str(r["entries"]), _money(r["minor"], r))
         for name, rows in found["given"].items() for r in rows],
    )  # fmt: skip


def _reconciliation(found: Json) -> Iterable[Any]:
    yield from _table(
        "Clearing accounts",
        ("account", "balance", "lines that remain", "unexplained"),
        [(r["account"], _money(r["balance"], r), str(len(r["remains"])),
          _money(r["unexplained"], r)) for r in found["clearing"]],
    )  # fmt: skip
    yield from _table(
        "Open differences",
        ("since", "kind", "about", "left"),
        [(r["day"], r["kind"].replace("_", " "), r["subject"], _money(r["minor"], r))
         for r in found["differences"]],
    )  # fmt: skip


def _money(minor: int, row: Json) -> str:
    return Money(minor, row["currency"]).text()


def _table(title: str, heads: Sequence[str], rows: list[tuple[str, ...]]) -> Iterable[Any]:
    yield _words(title, _HEAD)
    if not rows:
        yield _words("None.", _TEXT)
        return
    shown = [[_words(cell, _TEXT) for cell in row] for row in (heads, *rows[:_LINES_MAX])]
    table = Table(shown, repeatRows=1, hAlign="LEFT")
    table.setStyle(
        TableStyle([("LINEBELOW", (0, 0), (-1, -1), 0.3, colors.lightgrey),
                    ("LINEBELOW", (0, 0), (-1, 0), 0.8, colors.grey),
                    ("VALIGN", (0, 0), (-1, -1), "TOP")])
    )  # fmt: skip
    yield Spacer(0, 2 * mm)
    yield table
    if len(rows) > _LINES_MAX:
        yield _words(f"and {len(rows) - _LINES_MAX} more", _TEXT)


def _words(text: str, style: ParagraphStyle) -> Paragraph:
    """A paragraph of plain text; what the Latin font has not is printed in the Chinese one."""
    plain = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    if any(ord(char) > 0xFF for char in text):
        return Paragraph(plain, ParagraphStyle("chinese", parent=style, fontName=_CHINESE))
    return Paragraph(plain, style)
