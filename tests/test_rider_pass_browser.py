"""The pass on the phone: shown without being sent, kept without a network, read by gates."""

from __future__ import annotations

from collections.abc import Iterator

import cv2
import numpy as np
import pytest
import zxingcpp
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, BrowserContext, Page, expect

from tests.rider_site import Served, check_page, phone, serving, sign_in, watched_page
from tests.riding import City

# Where a browser drops a connection, werkzeug's test server leaves a static file to the collector.
pytestmark = [
    pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning"),
    pytest.mark.filterwarnings("ignore:.*static:pytest.PytestUnraisableExceptionWarning"),
]


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    yield from serving(tmp_path_factory.mktemp("riders"))


@pytest.fixture
def city(served: Served) -> City:
    return served.city


@pytest.fixture
def context(browser: Browser, served: Served) -> Iterator[BrowserContext]:
    yield from phone(browser, served)


@pytest.fixture
def page(context: BrowserContext) -> Iterator[Page]:
    yield from watched_page(context)


def read_code(page: Page) -> str:
    """What a camera reads from the phone's screen."""
    picture = cv2.imdecode(np.frombuffer(page.screenshot(), np.uint8), cv2.IMREAD_COLOR)
    assert picture is not None
    codes = zxingcpp.read_barcodes(picture)
    return codes[0].text if codes else ""


def test_the_pass_of_a_link_is_shown_and_never_sent(page: Page, city: City) -> None:
    held = city.hold(city.rider())
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url + (request.post_data or "")))
    page.goto("/me/pass#" + held.qr_text.replace("%", "%25").replace(" ", "%20"))
    expect(page.locator("#code")).to_be_visible()
    assert read_code(page) == held.qr_text
    assert page.url.endswith("/me/pass")
    assert not [address for address in asked if "FF1" in address and "#" not in address]
    check_page(page)


def test_a_new_pass_is_kept_on_the_phone_and_opens_with_the_network_cut(
    page: Page, context: BrowserContext, city: City
) -> None:
    rider = city.rider()
    sign_in(page, rider.rider_id)
    page.get_by_role("button", name="Make a new pass").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Your new pass")
    check_page(page)
    text = page.locator("#text").text_content()
    assert read_code(page) == text
    page.get_by_role("button", name="Keep it on this phone").click()
    expect(page.locator("#code")).to_be_visible()
    page.evaluate("navigator.serviceWorker.ready.then(() => true)")
    context.set_offline(True)
    page.goto("/me/pass")
    expect(page.locator("#code")).to_be_visible()
    assert read_code(page) == text
    context.set_offline(False)
    page.get_by_role("button", name="Take the pass off this phone").click()
    expect(page.get_by_text("There is no pass on this phone")).to_be_visible()
    check_page(page)


def test_what_is_no_pass_is_not_kept(page: Page) -> None:
    page.goto("/me/pass#javascript:alert(1)")
    expect(page.get_by_text("There is no pass on this phone")).to_be_visible()
    page.get_by_label("Text of the pass").fill("ff1: something else")
    page.get_by_role("button", name="Keep it on this phone").click()
    expect(page.get_by_role("alert")).to_contain_text("not the text of a pass")
    assert page.evaluate("localStorage.length") == 0


@pytest.mark.parametrize("length", [20, 77, 114, 154, 300, 327, 543, 900, 1496])
def test_codes_of_every_size_are_read_by_the_gates_reader(page: Page, length: int) -> None:
    alphabet = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ $%*+-./:"
    text = "FF1:" + "".join(alphabet[(at * at * 7 + at) % 45] for at in range(length))
    page.set_viewport_size({"width": 900, "height": 1000})
    page.goto("/me/pass")
    page.evaluate("text => localStorage.setItem('facefare-pass', text)", text)
    page.reload()
    expect(page.locator("#code")).to_be_visible()
    assert read_code(page) == text


def test_the_page_can_be_installed_and_is_white_in_the_dark(
    browser: Browser, served: Served
) -> None:
    context = browser.new_context(base_url=served.address, color_scheme="dark")
    page = context.new_page()
    page.goto("/me/pass")
    background = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert background == "rgb(255, 255, 255)"
    manifest = page.request.get("/me/manifest.webmanifest").json()
    assert (manifest["display"], manifest["start_url"]) == ("standalone", "/me/pass")
    page.goto("/me/sign-in")
    check = Axe().run(page)
    assert check.violations_count == 0, check.generate_report()
    context.close()
