"""The rider's pages as a phone sees them: the real application on a loopback port, and a browser.

It is reached as ``localhost``, which browsers trust like HTTPS: passkeys, service workers,
cameras and cryptography all need that.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, expect

from bench.loopback import Loopback
from models.tables.riders import Rider
from tests.riding import PIN, City


class Served:
    """A city whose clock is the real one, served until it is closed."""

    def __init__(self, path: Path) -> None:
        self.city = City(path)
        self._server = Loopback(self.city.app, host="localhost")
        self.address = self._server.address

    def close(self) -> None:
        self._server.close()
        self.city.close()


def serving(path: Path) -> Iterator[Served]:
    """A served city, until the tests of a file are done."""
    made = Served(path)
    try:
        yield made
    finally:
        made.close()


def phone(browser: Browser, served: Served) -> Iterator[BrowserContext]:
    """A new phone, 360 pixels wide."""
    made = browser.new_context(base_url=served.address, viewport={"width": 360, "height": 740})
    yield made
    made.close()


def watched_page(context: BrowserContext) -> Iterator[Page]:
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
