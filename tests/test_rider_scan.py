"""Signing in with the camera: a pass held before it is read, and every way it can fail is said."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
from flask.testing import FlaskClient
from PIL import Image
from playwright.sync_api import Browser, Page, Request, expect

from enrollment.pass_pictures import as_png
from enrollment.passes import IssuedPass
from enrollment.rider_sign_in_pages import FRAME_BYTES_MAX
from models.faces.engine import Frame
from models.tables.riders import Rider
from tests.fake_camera import with_camera, write_camera
from tests.rider_site import Served, check_page
from tests.riding import PIN, City, sign_in

pytestmark = [
    pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning"),
    pytest.mark.filterwarnings("ignore:.*static:pytest.PytestUnraisableExceptionWarning"),
]

BUTTON = "Scan the pass with the camera"


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    made = Served(tmp_path_factory.mktemp("rider-scan"))
    yield made
    made.close()


@pytest.fixture(scope="module")
def holder(served: Served) -> tuple[Rider, IssuedPass]:
    rider = served.city.rider("Camera Rider")
    return rider, served.city.hold(rider)


def picture_of(png: bytes) -> Frame:
    raw = cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_COLOR)
    assert raw is not None
    return np.asarray(raw, dtype=np.uint8)


@pytest.fixture(scope="module")
def clip(holder: tuple[Rider, IssuedPass], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the phone's camera sees: an empty table, and then the pass on it."""
    path = tmp_path_factory.mktemp("pass-camera") / "pass.y4m"
    table = np.full((480, 640, 3), 90, np.uint8)
    write_camera([table] * 20 + [picture_of(as_png(holder[1]))] * 40, path)
    return path


@pytest.fixture(scope="module")
def phone(browser: Browser, clip: Path) -> Iterator[Browser]:
    launched = with_camera(browser, clip)
    yield launched
    launched.close()


def opened(browser: Browser, served: Served, script: str = "") -> Page:
    context = browser.new_context(base_url=served.address, viewport={"width": 360, "height": 740})
    page = context.new_page()
    if script:
        page.add_init_script(script)
    page.goto("/me/sign-in")
    return page


def scans_of(page: Page) -> list[Request]:
    """The pictures that the page sends, as they go out."""
    sent: list[Request] = []

    def listen(request: Request) -> None:
        if request.url.endswith("/me/scan"):
            sent.append(request)

    page.on("request", listen)
    return sent


def scan_and_sign_in(page: Page, held: IssuedPass) -> None:
    page.get_by_role("button", name=BUTTON).click()
    expect(page.locator(".says")).to_contain_text("The pass was read", timeout=30_000)
    assert page.locator("#pass").input_value() == held.qr_text
    assert page.evaluate("document.querySelector('.camera video').srcObject") is None
    expect(page.locator("#pin")).to_be_focused()
    check_page(page)
    page.keyboard.type(PIN)
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text("Camera Rider")


def test_a_pass_before_the_camera_is_read_by_the_server(
    phone: Browser, served: Served, holder: tuple[Rider, IssuedPass]
) -> None:
    page = opened(phone, served)
    frames = scans_of(page)
    scan_and_sign_in(page, holder[1])
    assert 1 <= len(frames) <= 20
    assert all(len(asked.post_data_buffer or b"") <= FRAME_BYTES_MAX for asked in frames)
    page.context.close()


def test_a_browser_that_reads_codes_itself_sends_no_picture(
    phone: Browser, served: Served, holder: tuple[Rider, IssuedPass]
) -> None:
    detector = f"""window.BarcodeDetector = class {{
        static async getSupportedFormats() {{ return ["qr_code"]; }}
        async detect() {{ return [{{rawValue: "other"}}, {{rawValue: {holder[1].qr_text!r}}}]; }}
    }};"""
    page = opened(phone, served, detector)
    asked = scans_of(page)
    scan_and_sign_in(page, holder[1])
    assert asked == []
    page.context.close()


def test_a_camera_that_is_not_allowed_gets_its_sentence_and_the_other_ways_stay(
    browser: Browser, served: Served, clip: Path
) -> None:
    shy = with_camera(browser, clip, allowed=False)
    page = opened(shy, served)
    page.get_by_role("button", name=BUTTON).click()
    expect(page.locator(".says")).to_contain_text("The camera was not allowed")
    expect(page.locator("#photo")).to_be_visible()
    check_page(page)
    shy.close()


def test_a_phone_without_a_camera_says_so(browser: Browser, served: Served) -> None:
    page = opened(browser, served)
    page.get_by_role("button", name=BUTTON).click()
    expect(page.locator(".says")).to_contain_text("No camera can be used here")
    page.context.close()


def test_without_a_pass_in_sight_the_camera_goes_off_again(phone: Browser, served: Served) -> None:
    page = opened(phone, served, "Date; const real = performance.now.bind(performance);"
                  "performance.now = () => real() * 60;")  # fmt: skip
    page.route("**/me/scan", lambda route: route.fulfill(json={"pass": None}))
    page.get_by_role("button", name=BUTTON).click()
    expect(page.locator(".says")).to_contain_text("No pass was seen", timeout=20_000)
    assert page.evaluate("document.querySelector('.camera video').srcObject") is None
    page.context.close()


def test_only_the_page_that_scans_may_use_the_camera(served: Served) -> None:
    client = served.city.browser()
    assert "camera=(self)" in client.get("/me/sign-in").headers["Permissions-Policy"]
    assert "camera=()" in client.get("/me/start").headers["Permissions-Policy"]


# ---- the address that reads frames


def encoded(picture: Image.Image, kind: str) -> bytes:
    out = io.BytesIO()
    picture.save(out, kind)
    return out.getvalue()


def csrf_token(client: FlaskClient) -> str:
    token = re.search(r'data-csrf="([^"]+)"', client.get("/me/sign-in").text)
    assert token is not None
    return token[1]


def scan(city: City, body: bytes) -> tuple[int, object]:
    city.app.config["WTF_CSRF_ENABLED"] = False
    try:
        answer = city.browser().post("/me/scan", data=body, content_type="image/jpeg")
    finally:
        city.app.config["WTF_CSRF_ENABLED"] = True
    return answer.status_code, answer.json.get("pass") if answer.is_json else None


def test_a_frame_of_more_pixels_than_the_page_sends_is_not_decoded(served: Served) -> None:
    small_file = encoded(Image.new("L", (2500, 2000)), "PNG")
    assert len(small_file) < FRAME_BYTES_MAX
    client = served.city.browser()
    token = {"X-CSRFToken": csrf_token(client)}
    answer = client.post("/me/scan", data=small_file, headers=token)
    assert "above the limit of 4 million" in answer.json["problem"]


def test_a_photo_of_the_pass_may_be_as_large_as_telephones_take_them(
    served: Served, holder: tuple[Rider, IssuedPass]
) -> None:
    taken = Image.open(io.BytesIO(as_png(holder[1]))).convert("RGB").resize((4000, 4000), 0)
    photo = (io.BytesIO(encoded(taken, "JPEG")), "pass.jpg")
    assert sign_in(served.city.browser(), "", photo=photo).status_code == 303


def test_one_photo_at_a_time_is_read_and_who_waits_too_long_is_told_when_to_come_back(
    served: Served, holder: tuple[Rider, IssuedPass]
) -> None:
    client, png = served.city.browser(), as_png(holder[1])
    token = {"X-CSRFToken": csrf_token(client)}
    with served.city.enrollment.scanning:
        busy = client.post("/me/scan", data=png, headers=token)
        also = sign_in(client, "", photo=(io.BytesIO(png), "pass.png"))
        assert sign_in(client, holder[0].rider_id).status_code == 303
    for answer in (busy, also):
        assert (answer.status_code, answer.headers["Retry-After"]) == (503, "1")
        assert "Too many photos are being read" in answer.text
    assert client.post("/me/scan", data=png, headers=token).json == {"pass": holder[1].qr_text}


def test_a_frame_is_answered_with_its_pass_or_with_none_and_a_large_one_refused(
    served: Served, holder: tuple[Rider, IssuedPass]
) -> None:
    city = served.city
    assert scan(city, as_png(holder[1])) == (200, holder[1].qr_text)
    blank = cv2.imencode(".jpg", np.full((480, 640, 3), 128, np.uint8))[1].tobytes()
    assert scan(city, blank) == (200, None)
    assert scan(city, b"no picture at all") == (200, None)
    assert scan(city, b"x" * (FRAME_BYTES_MAX + 1)) == (413, None)
