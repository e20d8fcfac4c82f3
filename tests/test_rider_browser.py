"""The rider's pages in a real browser on a phone: pass, passkey, verifying, offline, leaving.

The server is the real application on a loopback port, reached as ``localhost``, which browsers
trust like HTTPS: passkeys, service workers and cryptography all need that.
"""

from __future__ import annotations

import base64
import re
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
import zxingcpp
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, Route, expect
from werkzeug.serving import BaseWSGIServer, make_server

from enrollment.access_log import record_looks
from enrollment.cases import Case
from models.tables.riders import Rider
from tests.riding import PIN, City, staff_browser

# Where a browser drops a connection, werkzeug's test server leaves a static file to the collector.
pytestmark = [
    pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning"),
    pytest.mark.filterwarnings("ignore:.*static:pytest.PytestUnraisableExceptionWarning"),
]


class Served:
    """A city whose clock is the real one, served until it is closed."""

    def __init__(self, path: Path) -> None:
        self.city = City(path)
        self._server: BaseWSGIServer = make_server("127.0.0.1", 0, self.city.app, threaded=True)
        self.address = f"http://localhost:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
        self.city.close()


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    made = Served(tmp_path_factory.mktemp("rider-browser"))
    try:
        yield made
    finally:
        made.close()


@pytest.fixture
def city(served: Served) -> City:
    return served.city


@pytest.fixture
def context(browser: Browser, served: Served) -> Iterator[BrowserContext]:
    """A new phone, 360 pixels wide."""
    made = browser.new_context(base_url=served.address, viewport={"width": 360, "height": 740})
    yield made
    made.close()


@pytest.fixture
def page(context: BrowserContext) -> Iterator[Page]:
    """Its first page; anything the console complains of fails."""
    complaints: list[str] = []

    def listen(message: ConsoleMessage) -> None:
        if message.type in ("error", "warning") and "Failed to load resource" not in message.text:
            complaints.append(message.text)

    page = context.new_page()
    page.on("console", listen)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    yield page
    assert complaints == []


def sign_in(page: Page, who: str) -> None:
    page.goto("/me/sign-in")
    page.get_by_label("Pass, pass number or rider reference").fill(who)
    page.get_by_label("PIN").fill(PIN)
    page.get_by_role("button", name="Sign in", exact=True).click()
    expect(page.get_by_role("heading", name="Balance")).to_be_visible()


def check_page(page: Page) -> None:
    """Usable by everybody: nothing for axe to complain of, and no sideways scrolling."""
    results = Axe().run(page)
    assert results.violations_count == 0, results.generate_report()
    width = page.evaluate("document.documentElement.scrollWidth")
    assert width <= 360, f"{page.url} is {width} px wide"


def ridden(city: City, rides: int = 1) -> tuple[Rider, str]:
    """A rider with money and rides, the last of which is signed for; and that ride's id."""
    rider = city.rider()
    city.pay(rider)
    ids = [city.ride(rider) for _ in range(rides)]
    city.sign_log()
    return rider, ids[-1]


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
    for _ in range(2):
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
    expect(page.get_by_role("status")).to_contain_text("The passkey is kept")
    check_page(page)
    page.goto("/me/")
    page.get_by_role("button", name="Sign out").click()

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

    # A person whom the phone does not recognise does not get in either.
    devtools.send(
        "WebAuthn.setUserVerified",
        {"authenticatorId": made["authenticatorId"], "isUserVerified": False},
    )
    page.get_by_role("button", name="Sign in with a passkey").click()
    expect(page.get_by_role("alert")).to_contain_text("Nothing was signed")


# ---- verifying a ride in the browser


def verdict(page: Page, city: City, ride: str) -> str:
    """Press the button and say what came of it."""
    if not page.url.endswith(ride):
        page.goto(f"/me/rides/{ride}")
    page.get_by_role("button", name="Verify this ride").click()
    said = page.locator("#verify-verdict[data-verdict]")
    expect(said).to_be_visible()
    return said.get_attribute("data-verdict") or ""


def test_a_genuine_receipt_is_verified_and_says_what_was_not_checked(
    page: Page, city: City
) -> None:
    rider, ride = ridden(city, rides=7)
    sign_in(page, rider.rider_id)
    assert verdict(page, city, ride) == "ok"
    steps = page.locator("#verify-steps")
    expect(steps.locator("li.ok")).to_have_count(6)
    expect(steps.locator("li.bad")).to_have_count(0)
    expect(steps).to_contain_text("first time")
    expect(steps).to_contain_text("signed with that key (Ed25519)")
    expect(steps).to_contain_text("Not checked: that everybody is shown the same log")
    check_page(page)
    page.reload()
    assert verdict(page, city, ride) == "ok"
    expect(steps).to_contain_text("is the one this browser saw before")
    page.get_by_text("Use a key from elsewhere").click()
    page.get_by_label("Public key of the log").fill(city.ledger.verifier_key)
    assert verdict(page, city, ride) == "ok"
    expect(steps).to_contain_text("the one you brought")


def test_every_entry_of_every_size_of_a_small_log_verifies(page: Page, city: City) -> None:
    rider = city.rider()
    city.pay(rider)
    sign_in(page, rider.rider_id)
    for _ in range(9):
        ride = city.ride(rider)
        city.sign_log()
        assert verdict(page, city, ride) == "ok"


def replaced(line: int, change: Callable[[str], str]) -> Callable[[str], str]:
    """Change one line of a text."""

    def apply(text: str) -> str:
        lines = text.split("\n")
        lines[line] = change(lines[line])
        return "\n".join(lines)

    return apply


def flipped(encoded: str) -> str:
    """The last word of a line of base64 with one bit of its bytes changed."""
    *before, last = encoded.split(" ")
    data = bytearray(base64.b64decode(last))
    data[-1] ^= 1
    return " ".join([*before, base64.b64encode(bytes(data)).decode()])


def cheaper(line: str) -> str:
    """The entry with another amount, still canonical and balanced."""
    entry = base64.b64decode(line.removeprefix("extra ")).decode()
    return "extra " + base64.b64encode(entry.replace("200", "100").encode()).decode()


RECEIPT_TAMPERED = {
    "another amount": (replaced(1, cheaper), "proof"),
    "one bit of the entry": (replaced(1, flipped), "proof"),
    "another place": (replaced(2, lambda line: f"index {int(line.split()[1]) - 1}"), "proof"),
    "one bit of the first hash": (replaced(3, flipped), "proof"),
    "no first hash": (lambda text: "\n".join(text.split("\n")[:3] + text.split("\n")[4:]), "proof"),
    "a place outside the log": (replaced(2, lambda line: "index 1000000"), "proof"),
    "a root of its own": (replaced(-4, flipped), "signature"),
    "one bit of the signature": (replaced(-2, flipped), "signature"),
    "a smaller size": (replaced(-5, lambda line: str(int(line) - 1)), "signature"),
    "another origin": (replaced(-6, lambda line: "fares.example/other"), "checkpoint"),
    "no receipt": (lambda text: "hello", "receipt"),
}


@pytest.mark.parametrize("what", RECEIPT_TAMPERED)
def test_a_tampered_receipt_is_refused(page: Page, city: City, what: str) -> None:
    rider, ride = ridden(city, rides=5)
    change, why = RECEIPT_TAMPERED[what]
    sign_in(page, rider.rider_id)

    def tamper(route: Route) -> None:
        answer = route.fetch()
        body = answer.text()
        changed = change(body)
        assert changed != body
        route.fulfill(response=answer, body=changed)

    page.route("**/receipt", tamper)
    assert verdict(page, city, ride) == "bad"
    expect(page.locator("#verify-verdict")).to_contain_text("Refused")
    words = page.locator(f'[data-word="{why}"]').text_content() or ""
    expect(page.locator("#verify-steps li.bad")).to_contain_text(words)


def test_the_receipt_of_another_ride_is_refused(page: Page, city: City) -> None:
    rider = city.rider()
    city.pay(rider)
    first, second = city.ride(rider), city.ride(rider)
    city.sign_log()
    sign_in(page, rider.rider_id)
    page.route(f"**/{second}/receipt", lambda route: route.fulfill(
        response=route.fetch(url=route.request.url.replace(second, first))
    ))  # fmt: skip
    assert verdict(page, city, second) == "bad"
    expect(page.locator("#verify-steps li.bad")).to_contain_text("that of another entry")


def test_an_amount_that_the_page_shows_otherwise_is_refused(page: Page, city: City) -> None:
    rider, ride = ridden(city)
    sign_in(page, rider.rider_id)
    page.goto(f"/me/rides/{ride}")
    page.evaluate("document.getElementById('verify').dataset.minor = '100'")
    assert verdict(page, city, ride) == "bad"
    expect(page.locator("#verify-steps li.bad")).to_contain_text("another amount")


def test_a_published_checkpoint_that_is_not_signed_is_refused(page: Page, city: City) -> None:
    rider, ride = ridden(city)
    sign_in(page, rider.rider_id)

    def tamper(route: Route) -> None:
        answer = route.fetch()
        route.fulfill(response=answer, body=replaced(2, flipped)(answer.text()))

    page.route("**/log/checkpoint", tamper)
    assert verdict(page, city, ride) == "bad"
    expect(page.locator("#verify-steps li.bad")).to_contain_text("signature does not fit")


def test_a_key_other_than_the_one_seen_before_is_refused(page: Page, city: City) -> None:
    rider, ride = ridden(city)
    sign_in(page, rider.rider_id)
    page.evaluate("localStorage.setItem('facefare-log-key', 'fares.example/test+00000000+AAAA')")
    assert verdict(page, city, ride) == "bad"
    expect(page.locator("#verify-steps li.bad")).to_contain_text("not the one this browser saw")


def test_a_log_that_became_shorter_since_the_last_look_is_refused(page: Page, city: City) -> None:
    rider, ride = ridden(city)
    sign_in(page, rider.rider_id)
    assert verdict(page, city, ride) == "ok"
    page.evaluate(
        "localStorage.setItem('facefare-log-head', JSON.stringify({size: 100000, root: 'x'}))"
    )
    assert verdict(page, city, ride) == "bad"
    expect(page.locator("#verify-steps li.bad")).to_contain_text("shorter or different")


def test_a_browser_without_ed25519_says_that_the_signature_was_not_checked(
    page: Page, city: City
) -> None:
    rider, ride = ridden(city)
    sign_in(page, rider.rider_id)
    page.add_init_script(
        "crypto.subtle.importKey = () => Promise.reject(new DOMException('', 'NotSupportedError'))"
    )
    assert verdict(page, city, ride) == "open"
    expect(page.locator("#verify-steps li.open").first).to_contain_text("cannot check Ed25519")
    expect(page.locator("#verify-verdict")).to_contain_text("Not fully verified")


def test_a_ride_that_is_not_signed_for_yet_is_neither_verified_nor_refused(
    page: Page, city: City
) -> None:
    rider = city.rider()
    city.pay(rider)
    ride = city.ride(rider)
    sign_in(page, rider.rider_id)
    assert verdict(page, city, ride) == "bad"
    expect(page.locator("#verify-verdict")).to_contain_text("Not verified")
    expect(page.locator("#verify-steps li.bad")).to_contain_text("not signed for yet")
    city.sign_log()
    assert verdict(page, city, ride) == "ok"


# ---- the pass


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
