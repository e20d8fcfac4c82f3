"""Verifying a ride in the rider's own browser: what is proved, and every way to cheat refused."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, Route, expect

from tests.rider_site import Served, check_page, phone, ridden, serving, sign_in, watched_page
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
