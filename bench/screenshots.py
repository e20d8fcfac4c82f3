"""Take the documentation's screenshots: play the demo, then visit its pages in Chromium.

No face is on any page, so none is in a screenshot.
"""

from __future__ import annotations

import shutil
import tempfile
import time
from pathlib import Path

import click
import pyotp
from playwright.sync_api import Page, ViewportSize, sync_playwright
from rich.console import Console

from bench.office import Office
from facefare.cast import DemoFailed, default_cast
from facefare.demo import Story

OUT = Path("docs") / "screenshots"
PAGES = {
    "enroll": "/enrollment/new",
    "rider": "",  # the demo's rider, found by name
    "finance": "/finance/",
    "entries": "/finance/entries",
    "entry": "/finance/entries/1",
}
CONSOLE = {
    "console": "/finance/",
    "queue": "/finance/differences",
    "periods": "/finance/periods",
}
FLAGS = ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"]


@click.command()
@click.option("--out", type=click.Path(path_type=Path), default=OUT, show_default=True)
def screenshots(out: Path) -> None:
    """Write one PNG a page into OUT."""
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    if chromium is None:
        raise DemoFailed("Chromium is needed for screenshots; install the package 'chromium'")
    out.mkdir(parents=True, exist_ok=True)
    console = Console(stderr=True)
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        cast = default_cast(work, console)
        story = Story(work / "data", work, console)
        code = story.found()
        with story.serving():
            story.enroll(cast.photos)
            assert cast.clip is not None
            story.walk_up(story.gate(code), cast.clip)
            story.verify()
            with sync_playwright() as playwright:
                browser = playwright.chromium.launch(executable_path=chromium, args=FLAGS)
                viewport: ViewportSize = {"width": 1000, "height": 700}
                page = browser.new_page(base_url=story.server, viewport=viewport)
                _visit(page, story, out)
                _visit_console(browser.new_page(viewport=viewport), work, out)
                browser.close()


def _visit(page: Page, story: Story, out: Path) -> None:
    page.goto("/staff/sign-in")
    page.get_by_label("Name").fill(story.credentials.name)
    page.get_by_label("Password").fill(story.credentials.password)
    totp = pyotp.TOTP(story.credentials.totp_secret)
    page.get_by_label("One-time code").fill(_next_code(totp))
    page.get_by_role("button", name="Sign in").click()
    for name, address in PAGES.items():
        if address:
            page.goto(address)
        else:
            page.goto("/enrollment/")
            page.get_by_label("Reference, or part of the name").fill("demo")
            page.get_by_label("Reason").select_option("question")
            page.get_by_role("button", name="Find").click()
            page.locator("main table a").first.click()
        page.screenshot(path=out / f"{name}.png", full_page=name != "enroll")


def _visit_console(page: Page, work: Path, out: Path) -> None:
    """The console of an office with a day behind it: a demo of one ride has nothing to queue."""
    office = Office(work / "office")
    office.sign_in(page, "finance")
    for name, address in CONSOLE.items():
        page.goto(f"{office.address}{address}")
        page.wait_for_load_state("networkidle")
        page.screenshot(path=out / f"{name}.png")
    office.stop()


def _next_code(totp: pyotp.TOTP) -> str:
    """The code of the next time step: one that was used is not good again."""
    time.sleep(totp.interval - time.time() % totp.interval + 0.5)
    return totp.now()


if __name__ == "__main__":
    screenshots()
