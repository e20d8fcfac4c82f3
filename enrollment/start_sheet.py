"""The paper with the start code: where to go, who one is there, and how to choose a PIN.

It is a paper of its own and not part of the pass, which others get to see.
"""

from __future__ import annotations

import io

from reportlab.lib.pagesizes import A5
from reportlab.lib.units import mm
from reportlab.pdfbase import pdfmetrics
from reportlab.pdfbase.cidfonts import UnicodeCIDFont
from reportlab.pdfgen.canvas import Canvas

from enrollment.start_codes import StartCode

_FONT = "STSong-Light"  # every PDF viewer brings it for Chinese; nothing has to be embedded

_HOW = (
    ("Open this page on your phone and choose a PIN with the code below.",
     "请用手机打开以下网址，并用下方启用码设置您的 PIN。"),
    ("Reference", "乘客编号"),
    ("Start code, good once", "启用码（仅可使用一次）"),
    ("Good until", "有效期至"),
    ("Keep this paper to yourself, and throw it away afterwards.",
     "请妥善保管本页，用后销毁。"),
    ("Lost, or too late? The desk prints a new one.", "如遗失或过期，请到服务台重新打印。"),
)  # fmt: skip


def start_sheet(start: StartCode, rider_id: str, operator: str, address: str) -> bytes:
    """One A5 page to print, in both languages."""
    how, reference, code, until, keep, lost = _HOW
    lines = (
        (operator, 18), ("", 8), *((words, 11) for words in how), (address, 12), ("", 8),
        *_pair(reference, rider_id), *_pair(code, start.code),
        *_pair(until, f"{start.until:%Y-%m-%d}"), ("", 8),
        *((words, 10) for words in (*keep, *lost)),
    )  # fmt: skip
    return _page(f"{operator}: start", lines)


def _pair(names: tuple[str, str], value: str) -> tuple[tuple[str, int], ...]:
    return (("  ".join(names), 10), (value, 18))


def _page(title: str, lines: tuple[tuple[str, int], ...]) -> bytes:
    """``lines`` as (words, size in points), from the top of the page down."""
    pdfmetrics.registerFont(UnicodeCIDFont(_FONT))
    out = io.BytesIO()
    page = Canvas(out, pagesize=A5, invariant=True)
    page.setTitle(title)
    width, height = A5
    down = height - 18 * mm
    for words, size in lines:
        page.setFont(_FONT, size)
        page.drawCentredString(width / 2, down, words)
        down -= size * 1.7
    page.save()
    return out.getvalue()
