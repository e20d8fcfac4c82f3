"""The desk's forms as tests fill them in, and what came of them."""

from __future__ import annotations

import base64
import io
import re
from typing import Any

import numpy as np
import zxingcpp
from flask.testing import FlaskClient
from PIL import Image
from sqlmodel import select
from werkzeug.test import TestResponse

from enrollment.consent_texts import current_consent
from enrollment.riders import search_riders
from models.database import reading
from models.tables.riders import Consent, Rider, Template
from models.wire.pass_text import unpack_pass
from tests.desk import Desk, fields, photo, post, uploads


def send(browser: FlaskClient, *photos: str, **changes: Any) -> TestResponse:
    given = {**fields(), **changes}
    medium = given.get("medium", "face")
    given["consent_text"] = current_consent("en", medium).text_id
    given["photos"] = uploads([photo(name) for name in photos])
    return post(browser, "/enrollment/new", given)


def only_rider(desk: Desk) -> Rider:
    [entry] = search_riders(desk.enrollment, "")
    return entry.rider


def code_on(page: str) -> str:
    """What a telephone reads off the picture on the page."""
    found = re.search(r'href="data:image/png;base64,([^"]+)"', page)
    assert found is not None, page
    picture = Image.open(io.BytesIO(base64.b64decode(found[1]))).convert("L")
    [code] = zxingcpp.read_barcodes(np.asarray(picture), formats=zxingcpp.BarcodeFormat.QRCode)
    return str(code.text)


def templates(desk: Desk) -> int:
    with reading(desk.enrollment.riders) as session:
        return len(session.exec(select(Template)).all())


def consents(desk: Desk) -> list[tuple[str, bool]]:
    with reading(desk.enrollment.riders) as session:
        return [(c.text_id, c.withdrawn_at is not None) for c in session.exec(select(Consent))]


def act(browser: FlaskClient, rider_id: str, what: str, **given: str) -> TestResponse:
    """Press a button of the rider's record."""
    return post(
        browser, f"/enrollment/riders/{rider_id}/{what}", given, f"/enrollment/riders/{rider_id}"
    )


def claims_of(text: str) -> str:
    body = unpack_pass(text).split(".")[1]
    return base64.urlsafe_b64decode(body + "==").decode()
