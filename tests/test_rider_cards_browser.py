"""Adding a card in a real browser on a phone, at a processor on another site, in both languages."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from flask import Flask
from playwright.sync_api import Browser, BrowserContext, expect

from bench.loopback import Loopback
from ledger.processors.outbox import work
from ledger.processors.pretend import PretendProcessor
from ledger.processors.pretend_pages import pretend_pages
from tests.rider_site import check_page, sign_in
from tests.riding import City

pytestmark = [
    pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning"),
    pytest.mark.filterwarnings("ignore:.*static:pytest.PytestUnraisableExceptionWarning"),
]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class PayingSite:
    """Our server and the processor's, each at an address of its own, as in service."""

    def __init__(self, path: Path) -> None:
        port = free_port()
        self.address = f"http://localhost:{port}"
        ours = f'public_url = "{self.address}"'
        self.city = City(path, lambda text: text.replace(
            '# public_url = "https://transit.example"', ours), pretend_cards=True)  # fmt: skip
        self.processor: PretendProcessor = self.city.app.extensions["processor"]
        elsewhere = Flask("processor")
        elsewhere.register_blueprint(pretend_pages(self.processor))
        self._servers = [Loopback(self.city.app, port), Loopback(elsewhere)]
        self.processor.address = self._servers[1].address

    def close(self) -> None:
        for server in self._servers:
            server.close()
        self.city.close()


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PayingSite]:
    made = PayingSite(tmp_path_factory.mktemp("cards"))
    try:
        yield made
    finally:
        made.close()


@pytest.fixture(params=[True, False], ids=["script", "no script"])
def context(
    browser: Browser, site: PayingSite, request: pytest.FixtureRequest
) -> Iterator[BrowserContext]:
    made = browser.new_context(base_url=site.address, viewport={"width": 360, "height": 740},
                               java_script_enabled=request.param)  # fmt: skip
    yield made
    made.close()


def test_a_rider_adds_a_card_elsewhere_tops_up_and_switches_automatic_top_up_on_and_off(
    site: PayingSite, context: BrowserContext, request: pytest.FixtureRequest
) -> None:
    scripts = "no script" not in request.node.name
    rider, page = site.city.rider(), context.new_page()

    def look(heading: str) -> None:
        expect(page.get_by_role("heading", level=1)).to_have_text(heading)
        if scripts:  # what looks for faults is a script itself
            check_page(page)

    sign_in(page, rider.rider_id)
    page.get_by_role("link", name="Add a card to top up with").click()
    look("Card and automatic top-up")
    page.get_by_role("button", name="Add a card").click()
    look("Add a card")
    page.get_by_role("link", name="Go on to the payment processor").click()
    expect(page).to_have_url(f"{site.processor.address}/pretend/cards/{last(site)}")
    page.get_by_label("Visa ···· 4242").check()
    page.get_by_role("button", name="Save card").click()
    expect(page).to_have_url(f"{site.address}/me/card")
    expect(page.get_by_role("status")).to_contain_text("This is the card that is kept for you now")
    expect(page.get_by_text("Visa ···· 4242")).to_be_visible()
    look("Card and automatic top-up")

    page.get_by_label("Top up from your card").select_option("20")
    page.get_by_role("button", name="Top up", exact=True).click()
    expect(page.get_by_role("status")).to_contain_text("within a minute")
    work(site.city.ledger, site.processor)
    page.get_by_label("When my balance falls below").select_option("10")
    page.get_by_label("take this much from my card").select_option("50")
    page.get_by_label("but never more in any seven days than").select_option("100")
    page.get_by_role("button", name="Switch on").click()
    expect(page.get_by_text("CN¥50.00 is taken from your card")).to_be_visible()
    expect(page.get_by_text("· done")).to_be_visible()
    look("Card and automatic top-up")
    page.get_by_role("button", name="Switch off").click()
    expect(page.get_by_role("status")).to_have_text("Automatic top-up is off.")
    page.get_by_role("button", name="Remove the card").click()
    expect(page.get_by_role("status")).to_contain_text("Your card was removed")
    page.goto("/me/")
    expect(page.get_by_text("CN¥20.00").first).to_be_visible()


def last(site: PayingSite) -> str:
    return list(site.processor.pages)[-1]


def test_whoever_turns_back_at_the_processor_has_no_card_and_begins_again(
    site: PayingSite, context: BrowserContext
) -> None:
    page = context.new_page()
    sign_in(page, site.city.rider().rider_id)
    for _ in range(2):
        page.goto("/me/card")
        page.get_by_role("button", name="Add a card").click()
        page.get_by_role("link", name="Go on to the payment processor").click()
        page.get_by_role("link", name="Go back").click()
        expect(page).to_have_url(f"{site.address}/me/card")
        expect(page.get_by_text("No card of yours is kept")).to_be_visible()
