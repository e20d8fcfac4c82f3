"""The screen beside the gate: what riders see, type and hear, in a real browser."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, ConsoleMessage, Page, Request, expect

from gate.faults import Fault
from gate.kiosk.screen import SIGNS
from gate.passage import Phase
from gate.settings import KioskSettings
from gate.words import Word, both
from tests.kiosk_station import Station

SIZES = ((800, 480), (1024, 600))
TAP = "0190e7a8-7f3a-7c3a-8f3a-0123456789ab"
ANSWER = {
    "status": "accepted",
    "tap_id": TAP,
    "charge": {"amount": {"currency": "CNY", "minor": 200}, "rule": "flat", "words": "Flat fare"},
    "balance": {"currency": "CNY", "minor": 4800},
}


@pytest.fixture
def station() -> Iterator[Station]:
    made = Station(KioskSettings())
    yield made
    made.server.stop()


@pytest.fixture(params=SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
def page(request: pytest.FixtureRequest, browser: Browser, station: Station) -> Iterator[Page]:
    """The screen in a browser of its size; whatever leaves this machine, or complains, fails."""
    width, height = request.param
    context = browser.new_context(viewport={"width": width, "height": height}, has_touch=True)
    complaints: list[str] = []

    def listen(message: ConsoleMessage) -> None:
        if message.type in ("error", "warning") and "Failed to load" not in message.text:
            complaints.append(message.text)

    def only_here(asked: Request) -> None:
        if not asked.url.startswith(station.url):
            complaints.append(asked.url)

    page = context.new_page()
    page.on("console", listen)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("request", only_here)
    page.goto(station.url)
    expect(page.locator("#title-en")).to_have_text("Step up to the camera")
    yield page
    context.close()
    assert complaints == []


def check_screen(page: Page) -> None:
    """Nothing for axe to complain of, nothing cut off, and no word outside of the screen."""
    results = Axe().run(page)
    assert results.violations_count == 0, results.generate_report()
    size = page.viewport_size
    assert size is not None
    for element in page.locator("h1:visible, .advice:visible, dl:visible, button:visible").all():
        box = element.bounding_box()
        assert box is not None
        assert box["x"] >= 0 and box["y"] >= 0, element.inner_text()
        assert box["x"] + box["width"] <= size["width"] + 0.5, element.inner_text()
        assert box["y"] + box["height"] <= size["height"] + 0.5, element.inner_text()


def show_everything(station: Station, phase: Phase) -> None:
    """The longest that a phase ever has to say."""
    longest = {
        Phase.POSITION: "It is too dark here; turn towards the light.",
        Phase.LOOK: Word.MOVE_A_LITTLE,
        Phase.REFUSED: Word.NOT_RECOGNISED,
        Phase.SECOND_FACTOR: Word.TWO_RIDERS,
        Phase.ALREADY_PASSED: Word.JUST_PASSED,
        Phase.OUT_OF_SERVICE: Word.NO_GALLERY,
    }.get(phase, "")
    station.screen.face((0.4, 0.2, 0.2, 0.4))
    station.screen.show(phase, longest, TAP)
    if phase is Phase.OPEN:
        station.screen.settled(TAP, ANSWER)


@pytest.mark.parametrize("phase", Phase)
def test_every_state_has_its_sign_and_words_in_both_languages(
    page: Page, station: Station, phase: Phase
) -> None:
    show_everything(station, phase)
    sign, title = SIGNS[phase]
    expect(page.locator("body")).to_have_class(re.compile(rf"\b{sign}\b"))
    expect(page.locator("#title-en")).to_have_text(both(title).english)
    expect(page.locator("#title-zh")).to_have_text(both(title).chinese)
    expect(page.locator(".sign g:visible")).to_have_count(1)
    expect(page.locator(f".sign-{sign}")).to_be_visible()
    check_screen(page)
    keep_picture(page, phase)


def keep_picture(page: Page, name: str) -> None:
    """With FACEFARE_TEST_SCREENS=FOLDER a person can look at what the tests saw."""
    folder = os.environ.get("FACEFARE_TEST_SCREENS")
    if folder:
        size = page.viewport_size or {"width": 0}
        page.screenshot(path=Path(folder) / f"{name.replace(' ', '-')}-{size['width']}.png")


def test_every_phase_has_a_sign_and_signs_differ_in_shape_and_colour(page: Page) -> None:
    assert set(SIGNS) == set(Phase)
    shapes, colours = set(), set()
    for sign in ("wait", "look", "go", "stop", "ask", "fault"):
        page.evaluate("sign => document.body.className = sign + ' lang-both'", sign)
        page.wait_for_timeout(200)  # the colour fades in
        shapes.add(page.locator(f".sign-{sign}").inner_html())
        colours.add(page.evaluate("getComputedStyle(document.body).backgroundColor"))
    assert len(shapes) == len(colours) == 6


def test_a_rider_chooses_a_language_on_the_screen(page: Page, station: Station) -> None:
    page.get_by_role("button", name="中文").tap()
    expect(page.locator("#title-zh")).to_be_visible()
    expect(page.locator("#title-en")).to_be_hidden()
    station.screen.show(Phase.REFUSED, Word.NOT_RECOGNISED)
    expect(page.locator("#advice-zh")).to_have_text(both(Word.NOT_RECOGNISED).chinese)
    check_screen(page)
    keep_picture(page, "refused-zh")
    page.get_by_role("button", name="English").tap()
    expect(page.locator("#advice-en")).to_be_visible()
    expect(page.locator("#advice-zh")).to_be_hidden()
    expect(page.get_by_role("button", name="English")).to_have_attribute("aria-pressed", "true")
    check_screen(page)


def test_fare_and_balance_come_while_the_rider_is_there(page: Page, station: Station) -> None:
    station.screen.show(Phase.OPEN, "", TAP)
    expect(page.locator("body")).to_have_class(re.compile(r"\bgo\b"))
    expect(page.locator("#money")).to_be_hidden()
    station.screen.settled("another tap", ANSWER)
    station.screen.settled(TAP, ANSWER)
    expect(page.locator("#money")).to_contain_text("CN¥2.00")
    expect(page.locator("#money")).to_contain_text("CN¥48.00")
    page.get_by_role("button", name="中文").tap()
    expect(page.locator("#money")).to_contain_text("票价")
    expect(page.locator("#money dd").first).to_contain_text("¥2.00")
    station.screen.show(Phase.IDLE, "")
    expect(page.locator("#money")).to_be_hidden()


@pytest.mark.parametrize(
    "answer",
    [
        {"status": "refused"},
        {"status": "accepted", "charge": {"amount": {"currency": "XXXX", "minor": 1}}},
        {"status": "accepted", "charge": {"amount": {"currency": "CNY", "minor": 1.5}}},
        {"status": "accepted", "charge": None, "balance": {"currency": "CNY", "minor": 5}},
    ],
)
def test_an_answer_without_a_readable_fare_shows_no_money(
    station: Station, answer: dict[str, Any]
) -> None:
    station.screen.show(Phase.OPEN, "", TAP)
    station.screen.settled(TAP, answer)
    assert station.screen.after(0, 0)["money"] is None


def test_an_answer_that_comes_too_late_is_not_shown_to_the_next_rider(station: Station) -> None:
    station.screen.show(Phase.OPEN, "", TAP)
    station.screen.show(Phase.IDLE, "")
    station.screen.settled(TAP, ANSWER)
    assert station.screen.after(0, 0)["money"] is None


def type_with_fingers(page: Page) -> None:
    for key in "90210"[:4]:
        page.get_by_role("button", name=key, exact=True).tap()


def type_on_a_keyboard(page: Page) -> None:
    for key in ("9", "9", "Backspace", "0", "2", "1"):
        page.keyboard.press(key)


@pytest.mark.parametrize("way", [type_with_fingers, type_on_a_keyboard])
def test_the_last_four_digits_reach_the_gate(page: Page, station: Station, way: Any) -> None:
    station.screen.show(Phase.SECOND_FACTOR, Word.ENTER_DIGITS)
    expect(page.locator("#keys")).to_be_visible()
    check_screen(page)
    way(page)
    until = time.monotonic() + 5
    digits = None
    while digits is None and time.monotonic() < until:
        digits = station.keypad.take()
        time.sleep(0.02)
    assert digits == "9021"
    assert "9021" not in page.content()
    station.screen.show(Phase.IDLE, "")
    expect(page.locator("#keys")).to_be_hidden()


def test_the_digits_typed_show_as_dots(page: Page, station: Station) -> None:
    station.screen.show(Phase.SECOND_FACTOR, Word.TWO_RIDERS)
    expect(page.locator("#keys")).to_be_visible()
    page.keyboard.press("7")
    page.keyboard.press("8")
    expect(page.locator("#entered i.on")).to_have_count(2)
    keep_picture(page, "keys")
    page.get_by_role("button", name="Clear").tap()
    expect(page.locator("#entered i.on")).to_have_count(0)
    assert station.keypad.take() is None


@pytest.mark.parametrize("fault", [Fault.CAMERA, Fault.DOOR, Fault.RECORD, Fault.EYES])
def test_a_fault_is_shown_in_words_until_it_is_over(
    page: Page, station: Station, fault: Fault
) -> None:
    station.faults.set(fault, "what the engineer reads: /dev/video0")
    expect(page.locator("body")).to_have_class(re.compile(r"\bfault\b"))
    expect(page.locator(".advice")).not_to_contain_text("/dev/video0")
    check_screen(page)
    keep_picture(page, f"fault-{fault}")
    station.faults.set(fault, "")
    expect(page.locator("body")).to_have_class(re.compile(r"\bwait\b"))


@pytest.mark.parametrize("fault", [Fault.CLOCK, Fault.GALLERY, Fault.OFFLINE, Fault.DISK])
def test_of_a_fault_that_keeps_nobody_from_riding_staff_read_the_name(
    page: Page, station: Station, fault: Fault
) -> None:
    station.faults.set(fault, "no server since 12:00")
    expect(page.locator("#faults")).to_have_text(f"· {fault}")
    expect(page.locator("body")).to_have_class(re.compile(r"\bwait\b"))
    expect(page.locator("body")).not_to_contain_text("12:00")
    station.faults.set(fault, "")
    expect(page.locator("#faults")).to_have_text("")


def test_a_silhouette_is_drawn_from_the_box_alone(page: Page, station: Station) -> None:
    station.screen.face((0.1, 0.2, 0.2, 0.4))
    expect(page.locator("#head")).to_be_visible()
    transform = page.locator("#head").get_attribute("transform")
    assert transform == "translate(80 30) scale(20 30)", "as in a mirror"
    station.screen.face(None)
    expect(page.locator("#head")).to_be_hidden()
    assert page.locator("img, canvas, video, image").count() == 0


def test_a_gate_that_falls_silent_says_so_on_its_screen(browser: Browser) -> None:
    made = Station(KioskSettings())
    context = browser.new_context(viewport={"width": 800, "height": 480})
    page = context.new_page()
    page.goto(made.url)
    expect(page.locator("#title-en")).to_have_text("Step up to the camera")
    made.server.stop()
    expect(page.locator("#advice-en")).to_have_text(both(Word.GATE_SILENT).english, timeout=10000)
    keep_picture(page, "silent")
    context.close()


def test_an_operator_may_begin_in_one_language_without_silhouette(browser: Browser) -> None:
    made = Station(KioskSettings(language="zh", silhouette=False, sound=True))
    context = browser.new_context(viewport={"width": 800, "height": 480})
    page = context.new_page()
    page.goto(made.url)
    expect(page.locator("#title-zh")).to_be_visible()
    expect(page.locator("#title-en")).to_be_hidden()
    assert page.locator("#silhouette").count() == 0
    made.screen.face((0.1, 0.2, 0.2, 0.4))
    assert made.screen.after(0, 0)["face"] is None
    made.screen.show(Phase.OPEN, "")  # its tone must not fail the page
    expect(page.locator("body")).to_have_class(re.compile(r"\bgo\b"))
    check_screen(page)
    context.close()
    made.server.stop()
