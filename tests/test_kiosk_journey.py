"""Keypad and pass from end to end: real frames, the gate's loop, and its page in Chromium."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
from playwright.sync_api import Browser, expect

from bench.phone_screens import Held, photographed
from enrollment.pass_pictures import code_of
from enrollment.passes import IssuedPass
from gate.kiosk.app import Kiosk, create_app
from gate.kiosk.server import LocalServer
from gate.settings import KioskSettings
from models.faces.dlib_engine import DlibEngine
from models.faces.engine import Frame
from models.faces.scoring import Vectors
from models.wire.gallery import PassRules
from models.wire.keys import base64url, raw_public
from models.wire.tap import check_tap, pass_hash
from tests.kiosk_station import TOKEN
from tests.test_gate_digits import ANNA, Gate, before_the_gate, standing, template
from tests.test_second_factor import ISSUER, KEY, issued, text

__all__ = ["before_the_gate", "template"]  # fixtures of the tests beside these

GO = re.compile(r"\bgo\b")


def served(gate: Gate) -> LocalServer:
    """The gate's own page, as its kiosk shows it."""
    kiosk = Kiosk(
        settings=KioskSettings(), gate="bench-1", screen=gate.kiosk, keypad=gate.keypad,
        release=lambda by: None, release_token=TOKEN, health=dict,
    )  # fmt: skip
    server = LocalServer(create_app(kiosk), 0, "kiosk")
    server.start()
    return server


def test_digits_typed_on_the_page_open_for_the_face_before_the_camera(
    tmp_path: Path,
    engine: DlibEngine,
    before_the_gate: Frame,
    template: Vectors,
    browser: Browser,
) -> None:
    gate = Gate(tmp_path, engine, template)
    server, context = served(gate), browser.new_context(viewport={"width": 800, "height": 480})
    try:
        page = context.new_page()
        page.goto(f"http://127.0.0.1:{server.port}")
        gate.see(standing(before_the_gate, 0, 4))
        expect(page.locator("#keys")).to_be_visible(timeout=10000)
        with page.expect_response("**/digits"):
            for digit in "0815":
                page.keyboard.press(digit)
        gate.see(standing(before_the_gate, 4, 6))
        expect(page.locator("body")).to_have_class(GO, timeout=10000)
    finally:
        context.close()
        server.stop()
    assert gate.opened == [ANNA]


def test_a_pass_on_a_telephone_before_the_camera_opens_and_the_page_says_so(
    tmp_path: Path, engine: DlibEngine, before_the_gate: Frame, template: Vectors, browser: Browser
) -> None:
    rules = PassRules(
        issuer=ISSUER, keys=(base64url(raw_public(KEY.public_key())),), valid_days_max=366
    )
    shown = issued(0, account=ANNA)
    paper = IssuedPass(shown.pass_id, "pass", shown.issued_at, shown.expires_at, text(shown))
    held = Held(width_px=1920, height_px=1080, distance_mm=280, yaw_deg=8, pitch_deg=-10)
    gate = Gate(tmp_path, engine, template, rules=rules)
    server, context = served(gate), browser.new_context(viewport={"width": 800, "height": 480})
    try:
        page = context.new_page()
        page.goto(f"http://127.0.0.1:{server.port}")
        for number in range(4):
            if gate.opened:
                break  # held up for longer, it would be told that it has just passed
            frame = photographed(code_of(paper), before_the_gate, held.but(seed=number))
            gate.see(standing(np.ascontiguousarray(frame), number / 5, number / 5 + 0.1))
        expect(page.locator("body")).to_have_class(GO, timeout=10000)
    finally:
        context.close()
        server.stop()
    assert gate.opened == [ANNA]
    ((_, signed),) = gate.outbox.pending(9)
    tap = check_tap(signed, gate.key.public_key())
    assert tap.medium in ("pass", "face+pass")
    assert tap.evidence.model_dump()["pass_hash"] == pass_hash(shown.pass_id)
