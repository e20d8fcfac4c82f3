"""Real browsers at the finance pages."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page

from bench.office import Office


@contextmanager
def a_browser(browser: Browser, office: Office, scheme: str = "light") -> Iterator[Page]:
    """A fresh browser context; anything the console complains of fails."""
    context: BrowserContext = browser.new_context(
        base_url=office.address,
        viewport={"width": 360, "height": 740},
        color_scheme="dark" if scheme == "dark" else "light",
        timezone_id="UTC",
    )
    complaints: list[str] = []

    def listen(message: ConsoleMessage) -> None:
        # The browser reports each page that answers 4xx; those are looked at on the page.
        if message.type in ("error", "warning") and "Failed to load resource" not in message.text:
            complaints.append(message.text)

    page = context.new_page()
    page.on("console", listen)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    try:
        yield page
    finally:
        context.close()
    assert complaints == []
