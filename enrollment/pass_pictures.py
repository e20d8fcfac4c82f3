"""A pass as a picture: for the rider's telephone (SVG, PNG) and for paper (PDF).

The code is read in a camera gate from 20 to 40 cm, so it is drawn as large as there is room
for, with the four modules of white around it that readers rely on. docs/passes.md has the
sizes and what was measured.
"""

from __future__ import annotations

import io

import segno
from reportlab.lib.pagesizes import A4
from reportlab.lib.units import mm
from reportlab.pdfbase import pdfmetrics
from reportlab.pdfbase.cidfonts import UnicodeCIDFont
from reportlab.pdfgen.canvas import Canvas

from enrollment.passes import IssuedPass

SCREEN_CORRECTION = "L"  # the largest squares: a screen is never soiled
PAPER_CORRECTION = "M"
QUIET_MODULES = 4
PAPER_CODE_MM = 80.0

# One of the fonts every PDF viewer brings for Chinese; nothing has to be embedded.
_FONT = "STSong-Light"

_HOW = (
    "Hold this code 20 to 40 cm before the gate's camera, flat and still.",
    "请将乘车码平放于闸机镜头前 20 至 40 厘米处，保持不动。",
)
_WHAT = {
    "pass": ("This pass opens gates by itself. Keep it as you keep a ticket.",
             "凭此码即可通行，请像车票一样妥善保管。"),
    "face+pass": ("This pass opens gates together with your face only.",
                  "此码须与您本人面部同时使用。"),
}  # fmt: skip
_LOST = (
    "Lost? Ask for a new one at the desk: this one then opens nothing.",
    "如遗失，请到服务台补办，原码即刻失效。",
)


def code_of(issued: IssuedPass, correction: str = SCREEN_CORRECTION) -> segno.QRCode:
    """The QR code of a pass."""
    return segno.make_qr(issued.qr_text, error=correction, boost_error=False)


def as_svg(issued: IssuedPass) -> bytes:
    """The code as SVG that fills its frame."""
    out = io.BytesIO()
    code_of(issued).save(
        out, kind="svg", border=QUIET_MODULES, light="#ffffff", omitsize=True, xmldecl=False
    )
    return out.getvalue()


def as_png(issued: IssuedPass, module_px: int = 10) -> bytes:
    """The code as a black-and-white PNG, ``module_px`` pixels for each of its squares."""
    out = io.BytesIO()
    code_of(issued).save(out, kind="png", border=QUIET_MODULES, scale=module_px)
    return out.getvalue()


def as_pdf(issued: IssuedPass, operator: str, rider_id: str) -> bytes:
    """One A4 page to print: the code, what it is good for, until when, and the reference."""
    pdfmetrics.registerFont(UnicodeCIDFont(_FONT))
    out = io.BytesIO()
    page = Canvas(out, pagesize=A4, invariant=True)
    page.setTitle(f"{operator}: pass")
    width, height = A4
    page.setFont(_FONT, 20)
    page.drawCentredString(width / 2, height - 35 * mm, operator)
    _draw_code(page, issued, (width - PAPER_CODE_MM * mm) / 2, height - 130 * mm)
    valid = f"{issued.expires_at:%Y-%m-%d}"
    lines = (
        f"No. {issued.pass_id[:8]}   Valid until {valid}   有效期至 {valid}",
        f"Reference of the rider   乘客编号   {rider_id}",
        "",
        *_HOW,
        *_WHAT[issued.medium],
        *_LOST,
    )
    page.setFont(_FONT, 11)
    for number, line in enumerate(lines):
        page.drawCentredString(width / 2, height - (142 + 7 * number) * mm, line)
    page.save()
    return out.getvalue()


def _draw_code(page: Canvas, issued: IssuedPass, left: float, bottom: float) -> None:
    """Squares, not a picture: sharp at every resolution."""
    rows = list(code_of(issued, PAPER_CORRECTION).matrix_iter(border=QUIET_MODULES))
    side = PAPER_CODE_MM * mm / len(rows)
    path = page.beginPath()
    for down, row in enumerate(rows):
        for across, dark in enumerate(row):
            if dark:
                # A hair wider: without it a viewer may leave white lines between squares.
                path.rect(
                    left + across * side, bottom + (len(rows) - 1 - down) * side,
                    side * 1.02, side * 1.02,
                )  # fmt: skip
    page.setFillGray(0)
    page.drawPath(path, stroke=0, fill=1)
