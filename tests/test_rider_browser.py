"""The rider's pages in a real browser on a phone: signing in, passkeys, looks, leaving, Chinese."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect

from enrollment.access_log import record_looks
from enrollment.cases import Case
from enrollment.rider_sign_in import RiderSignInRefused, sign_in_by_pin
from models.access.attempts import ADDRESS_FAILURES_MAX
from tests.rider_site import Served, check_page, phone, ridden, serving, sign_in, watched_page
from tests.riding import PIN, City, staff_browser

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


# ---- signing in


def test_the_text_of_the_pass_and_the_pin_open_every_page(page: Page, city: City) -> None:
    rider, ride = ridden(city)
    case = Case("question", "asked at the desk")
    record_looks(city.enrollment.access_log, [rider.rider_id], "mei", "rider", case, city.clock())
    page.goto("/me/sign-in")
    check_page(page)
    sign_in(page, city.hold(rider).qr_text)
    for path, heading in (
        ("/me/", "Lin Rider"),
        ("/me/rides", "Rides and payments"),
        (f"/me/rides/{ride}", "ride · South Gate"),
        ("/me/looks", "Who looked at my data"),
        ("/me/passkeys", "Passkeys"),
        ("/me/medium", "Change how you ride"),
        ("/me/leave", "Leave and delete everything"),
        ("/me/pass", "Your pass"),
    ):
        page.goto(path)
        expect(page.get_by_role("heading", level=1)).to_have_text(heading)
        check_page(page)


def test_the_keyboard_alone_signs_in(page: Page, city: City) -> None:
    rider = city.rider()
    page.goto("/me/sign-in")
    page.get_by_label("Pass, pass number or rider reference").focus()
    page.keyboard.type(rider.rider_id)
    for _ in range(3):  # past the camera and the photograph
        page.keyboard.press("Tab")
    page.keyboard.type(PIN)
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text(rider.name)


def test_the_pages_work_without_javascript_and_say_where_it_is_needed(
    browser: Browser, served: Served
) -> None:
    city = served.city
    rider, ride = ridden(city)
    context = browser.new_context(base_url=served.address, java_script_enabled=False)
    page = context.new_page()
    sign_in(page, rider.rider_id)
    page.goto(f"/me/rides/{ride}")
    expect(page.get_by_text("Checking needs JavaScript")).to_be_visible()
    expect(page.get_by_role("button", name="Verify this ride")).to_be_hidden()
    page.get_by_role("button", name="Dispute this ride").click()
    expect(page.get_by_role("status")).to_contain_text("staff look into the ride")
    page.goto("/me/")
    page.get_by_role("button", name="Make a new pass").click()
    expect(page.locator(".code svg")).to_be_visible()
    context.close()


def test_a_passkey_is_made_and_opens_the_pages_without_pass_and_pin(
    page: Page, context: BrowserContext, city: City
) -> None:
    devtools = context.new_cdp_session(page)
    devtools.send("WebAuthn.enable")
    made = devtools.send(
        "WebAuthn.addVirtualAuthenticator",
        {
            "options": {
                "protocol": "ctap2", "transport": "internal", "hasResidentKey": True,
                "hasUserVerification": True, "isUserVerified": True,
                "automaticPresenceSimulation": True,
            }
        },
    )  # fmt: skip
    rider = city.rider("Passkey Rider")
    sign_in(page, rider.rider_id)
    page.goto("/me/passkeys")
    page.get_by_role("button", name="Make a passkey on this phone").click()
    expect(page.get_by_role("alert")).to_contain_text("the PIN is wrong")
    check_page(page)
    page.get_by_label("Your PIN once more").fill(PIN)
    page.get_by_role("button", name="Make a passkey on this phone").click()
    expect(page.get_by_role("status")).to_contain_text("The passkey is kept")
    check_page(page)
    page.goto("/me/")
    page.get_by_role("button", name="Sign out").click()

    for _ in range(ADDRESS_FAILURES_MAX):  # by others, behind the same address
        with pytest.raises(RiderSignInRefused):
            sign_in_by_pin(city.enrollment, "nobody", "111222", "127.0.0.1", city.clock())
    page.get_by_role("button", name="Sign in with a passkey").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Passkey Rider")

    page.goto("/me/passkeys")
    page.get_by_role("button", name="Remove").click()
    expect(page.get_by_role("status")).to_contain_text("opens nothing here any more")
    page.goto("/me/")
    page.get_by_role("button", name="Sign out").click()
    page.get_by_role("button", name="Sign in with a passkey").click()
    expect(page.get_by_role("alert")).to_contain_text("opens nothing here")
    check_page(page)

    city.clock.forward(seconds=61)  # whoever mistyped has waited
    # A person whom the phone does not recognise does not get in either.
    devtools.send(
        "WebAuthn.setUserVerified",
        {"authenticatorId": made["authenticatorId"], "isUserVerified": False},
    )
    page.get_by_role("button", name="Sign in with a passkey").click()
    expect(page.get_by_role("alert")).to_contain_text("Nothing was signed")


# ---- privacy and leaving


def test_a_look_is_shown_within_a_second(page: Page, city: City) -> None:
    rider = city.rider()
    sign_in(page, rider.rider_id)
    case = Case("complaint", "")
    record_looks(city.enrollment.access_log, [rider.rider_id], "mei", "rider", case, city.clock())
    began = time.monotonic()
    page.goto("/me/looks")
    expect(page.locator("main")).to_contain_text("mei")
    assert time.monotonic() - began < 1.0


def test_leaving_shows_what_is_gone_and_a_receipt_that_verifies(page: Page, city: City) -> None:
    rider, _ = ridden(city)
    page.goto("/me/pass#" + city.hold(rider).qr_text.replace("%", "%25").replace(" ", "%20"))
    sign_in(page, rider.rider_id)
    page.get_by_role("link", name="Leave and delete everything").click()
    page.get_by_label(re.compile("cannot be undone")).check()
    page.get_by_label("Your PIN once more").fill(PIN)
    page.get_by_role("button", name="Delete everything now").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("You have left")
    expect(page.locator("main")).to_contain_text("your face template: 1")
    check_page(page)
    city.sign_log()
    page.get_by_role("button", name="Verify the closing entry").click()
    expect(page.locator("#verify-verdict")).to_have_attribute("data-verdict", "ok")
    assert page.evaluate("localStorage.getItem('facefare-pass')") is None
    page.goto("/me/")
    expect(page).to_have_url(re.compile("/me/sign-in$"))


def test_the_help_desk_is_usable_on_a_small_screen(
    page: Page, context: BrowserContext, served: Served
) -> None:
    rider, _ = ridden(served.city, rides=2)
    client = staff_browser(served.city, "service")
    cookie = client.get_cookie("session")
    assert cookie is not None
    context.add_cookies([{"name": "session", "value": cookie.value, "url": served.address}])
    page.goto("/help/")
    check_page(page)
    page.get_by_label("Rider reference, or number or text of the pass").fill(rider.rider_id)
    page.get_by_label("Reason").select_option("complaint")
    page.get_by_role("button", name="Show standing and rides").click()
    expect(page.get_by_role("heading", level=1)).to_have_text(rider.name)
    check_page(page)
    page.get_by_role("link", name="Refund").first.click()
    expect(page.get_by_role("heading", level=1)).to_be_visible()


def test_the_pages_are_chinese_for_who_chooses_it(page: Page, city: City) -> None:
    rider, ride = ridden(city)
    page.goto("/me/sign-in")
    page.get_by_role("button", name="中文").click()
    expect(page.locator("html")).to_have_attribute("lang", "zh-Hans")
    page.locator("#pass").fill(rider.rider_id)
    page.locator("#pin").fill(PIN)
    page.locator("main form button").last.click()
    for path in ("/me/", "/me/rides", f"/me/rides/{ride}", "/me/looks", "/me/leave", "/me/pass"):
        page.goto(path)
        expect(page.get_by_role("heading", level=1)).to_be_visible()
        check_page(page)
    page.goto(f"/me/rides/{ride}")
    page.locator("#verify-form button").click()
    expect(page.locator("#verify-verdict")).to_have_attribute("data-verdict", "ok")
    expect(page.locator("#verify-verdict")).to_contain_text("验证")
