"""The finance pages in a real browser: keys, charts, two people at once, both colour schemes."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect
from sqlmodel import select

from bench.finance_day import DAY
from bench.office import Office
from ledger.checkpoints import publish
from ledger.reconcile.periods import closed_report
from ledger.verified import keep_verified
from models.database import reading
from models.tables.reconcile import DifferenceNoteRow, DifferenceRow
from tests.console import a_browser

NOT_PAGES = {"static", "takings", "entry_receipt", "period_report", "period_pdf", "download_export"}
"""Endpoints that answer with a file or figures; other tests take those."""


@pytest.fixture(scope="module")
def office(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Office]:
    made = Office(tmp_path_factory.mktemp("office"))
    yield made
    made.stop()


@pytest.fixture
def page(browser: Browser, office: Office) -> Iterator[Page]:
    with a_browser(browser, office) as page:
        yield page


def open_differences(office: Office, kind: str) -> list[DifferenceRow]:
    with reading(office.ledger.engine) as session:
        query = select(DifferenceRow).where(
            DifferenceRow.kind == kind, DifferenceRow.state == "open"
        )
        return list(session.exec(query))


def pages_of(office: Office) -> dict[str, str]:
    """An address for every page of the console, by its endpoint."""
    (first, *_) = open_differences(office, "duplicate")
    return {
        "overview": "/finance/",
        "entries": "/finance/entries",
        "entry": "/finance/entries/1",
        "accounts": "/finance/accounts",
        "top_up_form": "/finance/top-up",
        "fares": "/finance/fares",
        "standing": "/finance/standing",
        "adjust_form": "/finance/adjust",
        "waiting": "/finance/waiting",
        "card_refunds": "/finance/card-refunds",
        "holds": "/finance/holds",
        "totals": "/finance/totals",
        "total_days": "/finance/totals/assets:psp_clearing/CNY",
        "total_lines": f"/finance/totals/assets:psp_clearing/CNY/{DAY}",
        "differences": "/finance/differences",
        "difference": f"/finance/differences/{first.difference_id}",
        "disputes": "/finance/disputes",
        "search": "/finance/search?q=42.00",
        "periods": "/finance/periods",
        "drawer": "/finance/drawer",
        "statements": "/finance/statements",
    }


def test_every_page_of_the_console_is_in_the_list(office: Office) -> None:
    endpoints = {
        rule.endpoint.removeprefix("finance.")
        for rule in office.app.url_map.iter_rules()
        if rule.endpoint.startswith("finance.") and "GET" in (rule.methods or set())
    }
    assert endpoints - NOT_PAGES == set(pages_of(office))


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_page_is_usable_by_everybody(browser: Browser, office: Office, scheme: str) -> None:
    """Nothing for axe to complain of, no sideways scrolling on a phone, and the log's state.

    In the dark only the colours differ.
    """
    rules = {"runOnly": ["color-contrast"]} if scheme == "dark" else None
    keep_verified(office.ledger, 480)
    with a_browser(browser, office, scheme) as page:
        office.sign_in(page, f"everybody-{scheme}")
        for address in pages_of(office).values():
            response = page.goto(address)
            assert response is not None and response.status == 200, address
            results = Axe().run(page, options=rules)
            assert results.violations_count == 0, f"{address}: {results.generate_report()}"
            width = page.evaluate("document.documentElement.scrollWidth")
            assert width <= 360, f"{address} is {width} px wide"
            state = page.locator(".log-state").inner_text()
            assert "signed up to" in state and "480 entries verified" in state, address


def test_the_state_of_the_log_says_what_is_wrong(page: Page, office: Office) -> None:
    office.sign_in(page, "watcher", "auditor")
    keep_verified(office.ledger, 0, "entry 7 was changed")
    page.goto("/finance/entries")
    expect(page.locator(".log-state.bad")).to_contain_text("entry 7 was changed")
    keep_verified(office.ledger, 480)
    page.reload()
    expect(page.locator(".log-state")).not_to_have_class(re.compile("bad"))
    expect(page.locator(".log-state")).to_contain_text("no witness")


def test_the_chart_is_drawn_and_its_figures_stand_in_a_table(page: Page, office: Office) -> None:
    office.sign_in(page, "charts", "finance")
    page.set_viewport_size({"width": 1000, "height": 800})
    page.goto("/finance/")
    expect(page.locator("#chart canvas")).to_be_visible()
    page.get_by_text("The figures as a table").click()
    row = page.locator("#chart-table tbody tr", has_text=DAY)
    expect(row.locator("td").nth(1)).to_have_text("60")
    page.locator(".u-over").hover(position={"x": 300, "y": 60})
    expect(page.locator(".u-legend")).to_contain_text("2026-")
    expect(page.locator("#chart-table tbody tr")).to_have_count(30)
    page.get_by_role("button", name="90 days").click()
    expect(page.locator("#chart-table tbody tr")).to_have_count(90)


def test_a_total_leads_to_its_day_its_line_the_entry_and_the_receipt(
    page: Page, office: Office
) -> None:
    publish(office.ledger)
    office.sign_in(page, "driller", "auditor")
    page.goto("/finance/totals")
    page.get_by_role("link", name="income:fares:metro").click()
    page.get_by_role("link", name=DAY).click()
    page.locator("main table a").first.click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("Entry")
    with page.expect_download() as waiting:
        page.get_by_role("link", name="Receipt").click()
    receipt = Path(waiting.value.path()).read_text()
    page.goto("/finance/search")
    page.get_by_label("The whole text of a receipt").fill(receipt)
    page.get_by_role("button", name="Check the receipt").click()
    expect(page.get_by_role("status")).to_contain_text("This receipt is good.")
    page.get_by_label("The whole text of a receipt").fill(receipt.replace("index ", "index 1"))
    page.get_by_role("button", name="Check the receipt").click()
    expect(page.get_by_role("alert")).to_contain_text("This receipt is not good")


def test_the_queue_is_worked_with_the_keyboard_alone(page: Page, office: Office) -> None:
    office.sign_in(page, "keys", "finance")
    page.goto("/finance/differences?kind=unknown")
    links = page.locator("[data-queue] tbody a")
    page.keyboard.press("j")
    expect(links.nth(0)).to_be_focused()
    page.keyboard.press("j")
    page.keyboard.press("j")
    page.keyboard.press("k")
    expect(links.nth(1)).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text("unknown")
    page.wait_for_load_state()  # the keys work once the page's script has run
    page.keyboard.press("c")
    expect(page.get_by_role("textbox", name="Comment")).to_be_focused()
    page.keyboard.type("Asked the bank; jkour are letters here.")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(page.locator(".notes")).to_contain_text("jkour are letters here")
    page.wait_for_load_state()
    page.keyboard.press("u")
    expect(page).to_have_url(re.compile(r"/finance/differences$"))
    page.get_by_role("checkbox", name=re.compile("Keys")).uncheck()
    page.locator("h1").click()
    page.keyboard.press("j")
    expect(page.locator("[data-queue] tbody a:focus")).to_have_count(0)


def test_two_people_who_change_one_difference_are_told_of_each_other(
    browser: Browser, office: Office
) -> None:
    (row, *_) = open_differences(office, "missing_at_processor")
    address = f"/finance/differences/{row.difference_id}"
    with a_browser(browser, office) as first, a_browser(browser, office) as second:
        office.sign_in(first, "first", "finance")
        office.sign_in(second, "second", "finance")
        first.goto(address)
        second.goto(address)
        first.get_by_role("textbox", name="Comment").fill("The processor is looking into it.")
        first.get_by_role("button", name="Add the comment").click()
        expect(first.locator(".notes")).to_contain_text("looking into it")
        second.get_by_label("Reason").select_option("suspense")
        second.get_by_label("What you found out").fill("Nobody knows of it.")
        second.get_by_role("button", name="Resolve").click()
        expect(second.get_by_role("alert")).to_contain_text("Somebody changed this difference")
        expect(second.locator(".notes .new")).to_contain_text("first")
        expect(second.get_by_label("What you found out")).to_have_value("Nobody knows of it.")
        expect(second.get_by_label("Reason")).to_have_value("suspense")
        with reading(office.ledger.engine) as session:
            now = session.get(DifferenceRow, row.difference_id)
            notes = session.exec(
                select(DifferenceNoteRow).where(
                    DifferenceNoteRow.difference_id == row.difference_id
                )
            ).all()
        assert now is not None and (now.state, now.version) == ("open", row.version + 1)
        assert [note.made_by for note in notes] == ["first"]
        second.get_by_role("button", name="Resolve").click()
        expect(second.locator("dl")).to_contain_text("resolved")
        first.get_by_label("New owner").fill("treasury")
        first.get_by_role("button", name="Hand over").click()
        expect(first.get_by_role("alert")).to_contain_text("resolved already")


def test_a_filter_is_kept_for_its_owner_and_no_other(browser: Browser, office: Office) -> None:
    with a_browser(browser, office) as mine, a_browser(browser, office) as other:
        office.sign_in(mine, "keeper", "finance")
        office.sign_in(other, "stranger", "finance")
        mine.goto("/finance/differences?kind=duplicate&owner=payments")
        mine.get_by_text("Save this filter").click()
        mine.get_by_label("Name").fill("Twice & <b>paid</b>")
        mine.get_by_role("button", name="Save", exact=True).click()
        mine.goto("/finance/differences")
        mine.get_by_role("link", name="Twice & <b>paid</b>").click()
        expect(mine.get_by_label("Kind")).to_have_value("duplicate")
        cells = mine.locator("[data-queue] tbody td:first-child").all_inner_texts()
        assert cells and set(cells) == {"twice"}
        other.goto("/finance/differences")
        expect(other.get_by_role("link", name="Twice &")).to_have_count(0)
        mine.get_by_role("button", name="Delete the filter").click()
        expect(mine.get_by_role("link", name="Twice &")).to_have_count(0)


def test_a_day_is_closed_and_two_persons_open_it_again(browser: Browser, office: Office) -> None:
    with a_browser(browser, office) as first, a_browser(browser, office) as second:
        office.sign_in(first, "anna", "finance")
        office.sign_in(second, "bert", "finance")
        first.goto("/finance/periods")
        first.get_by_role("button", name=f"Reconcile {DAY}").click()
        expect(first.get_by_role("status")).to_contain_text("0 new differences")
        first.get_by_role("button", name=f"Close {DAY}").click()
        expect(first.get_by_role("status")).to_contain_text("revision 1")
        row = first.locator("tr", has=first.get_by_role("cell", name=DAY, exact=True))
        with first.expect_download() as waiting:
            row.get_by_role("link", name="as closed").click()
        kept = closed_report(office.ledger, DAY)
        assert Path(waiting.value.path()).read_bytes() == kept.report
        assert json.loads(kept.report)["period"] == DAY
        with first.expect_download() as waiting:
            row.get_by_role("link", name="on paper").click()
        assert Path(waiting.value.path()).read_bytes().startswith(b"%PDF")
        row.get_by_text(f"Open {DAY} again").click()
        row.get_by_label("Why").fill("The bank sent a correction.")
        row.get_by_role("button", name="Ask for it").click()
        expect(row).to_contain_text("a colleague has to agree")
        expect(row.get_by_role("button")).to_have_count(0)
        second.goto("/finance/periods")
        expect(second.locator("main")).to_contain_text("anna asks to open it again: The bank sent")
        second.get_by_role("button", name=f"Agree to open {DAY} again").click()
        expect(second.get_by_role("status")).to_contain_text("is open again")
        expect(second.get_by_role("button", name=f"Close {DAY}")).to_be_visible()


def test_a_statement_is_uploaded_once_and_a_bad_one_is_refused(
    page: Page, office: Office, tmp_path: Path
) -> None:
    office.sign_in(page, "uploader", "finance")
    good = tmp_path / "cash.csv"
    good.write_text("id,day,amount,currency,reference,text\nC1,2026-11-20,12.50,CNY,,COINS\n")
    for said in ("1 lines, 1 new", "imported before"):
        page.goto("/finance/statements")
        page.get_by_label("The processor's or the bank's file").set_input_files(good)
        page.get_by_role("button", name="Import").click()
        expect(page.get_by_role("status")).to_contain_text(said)
    expect(page.get_by_role("cell", name="cash.csv")).to_have_count(1)
    good.write_text("id,day,amount,currency,reference,text\nC2,2026-11-20,1.234,CNY,,X\n")
    page.get_by_label("The processor's or the bank's file").set_input_files(good)
    page.get_by_role("button", name="Import").click()
    expect(page.get_by_role("alert")).to_contain_text("line 2")
    page.get_by_label("Format").select_option("csv")
    page.get_by_label("First day").fill("2026-11-20")
    page.get_by_label("Last day").fill("2026-11-20")
    with page.expect_download() as waiting:
        page.get_by_role("button", name="Download").click()
    rows = Path(waiting.value.path()).read_text().splitlines()
    assert len(rows) > 2 and any("assets:bank,12.50,1250,CNY" in row for row in rows)


def test_a_drawer_is_counted_before_it_says_what_should_be_in_it(
    page: Page, office: Office
) -> None:
    office.sign_in(page, "clerk", "service")
    page.goto("/finance/drawer")
    page.get_by_label("Counted, CNY").fill("100")
    page.get_by_role("button", name="Open the drawer").click()
    page.goto(f"/finance/top-up?account={office.made.accounts[1]}")
    page.get_by_label("Cash received, CNY").fill("20")
    page.get_by_role("button", name="Record the top-up").click()
    page.goto("/finance/drawer")
    assert "120" not in page.locator("main").inner_text()
    page.get_by_label("Counted, CNY").fill("119")
    page.get_by_role("button", name="Close the drawer").click()
    expect(page.get_by_role("status")).to_contain_text("off by -CN¥1.00")
    expect(page.get_by_role("button", name="Open the drawer")).to_be_visible()
    expect(page.get_by_role("region", name="Drawers")).to_contain_text("CN¥120.00")


def test_a_dispute_is_settled_from_its_page(page: Page, office: Office) -> None:
    office.sign_in(page, "judge", "finance")
    page.goto("/finance/disputes")
    expect(page.locator("main")).to_contain_text("dispute upheld")
    page.get_by_role("button", name="The charge was right").click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("Entry")
    page.goto("/finance/disputes")
    expect(page.locator("main")).to_contain_text("dispute rejected")
    expect(page.get_by_role("button", name="The charge was right")).to_have_count(0)


def test_a_page_prints_without_what_only_a_screen_needs(page: Page, office: Office) -> None:
    office.sign_in(page, "printer", "finance")
    page.goto("/finance/differences")
    page.emulate_media(media="print")
    expect(page.locator("nav.room")).to_be_hidden()
    expect(page.locator("form.filters")).to_be_hidden()
    expect(page.locator("[data-queue]")).to_be_visible()
    assert page.pdf().startswith(b"%PDF")
