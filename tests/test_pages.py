"""The pages as people use them: a real browser, from sign-in to the ride in the ledger."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pyotp
import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, expect

from tests.conftest import read_rgb
from tests.rider_site import check_page
from tests.station import PASSWORD, Station, one_time_code


@pytest.fixture(scope="module")
def station(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Station]:
    made = Station(tmp_path_factory.mktemp("pages"))
    try:
        made.start()
        yield made
    finally:
        made.stop()


@pytest.fixture
def page(browser: Browser, station: Station) -> Iterator[Page]:
    """A fresh browser on a 360 pixel wide phone; anything the console complains of fails."""
    context = browser.new_context(base_url=station.server, viewport={"width": 360, "height": 740})
    complaints: list[str] = []

    def listen(message: ConsoleMessage) -> None:
        # The browser reports each page that answers 4xx; those are looked at on the page.
        if message.type in ("error", "warning") and "Failed to load resource" not in message.text:
            complaints.append(message.text)

    page = context.new_page()
    page.on("console", listen)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    yield page
    context.close()
    assert complaints == []


def sign_in(page: Page, station: Station) -> None:
    credentials = station.credentials()
    page.goto("/staff/sign-in")
    page.get_by_label("Name").fill(credentials.name)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_label("One-time code").fill(one_time_code(credentials))
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("button", name=re.compile("^Sign out"))).to_be_visible()


def fill_in_the_form(page: Page, photos: list[Path]) -> None:
    page.goto("/enrollment/new")
    page.get_by_label("Name").fill("Example Rider")
    page.get_by_label("14 or over").check()
    page.get_by_label("South Gate").check()
    page.locator("#pin").fill("284917")
    page.locator("#pin_again").fill("284917")
    page.locator("#photos").set_input_files(photos)
    page.get_by_label(re.compile("has read this text and agrees")).check()
    page.get_by_role("button", name="Enroll").click()


def test_from_sign_in_to_the_entry_in_the_ledger(
    page: Page, station: Station, stills: Path
) -> None:
    page.goto("/")
    check_page(page)
    sign_in(page, station)
    fill_in_the_form(page, [stills / "obama.jpg", stills / "obama2.jpg"])
    expect(page.get_by_role("heading", level=1)).to_have_text("Example Rider")
    expect(page.get_by_text("2 photos")).to_be_visible()
    check_page(page)
    account = page.locator("code", has_text=re.compile("^[0-9a-f]{32}$")).inner_text()

    page.goto("/enrollment/")
    check_page(page)
    page.get_by_label("Reference, or part of the name").fill("example")
    page.get_by_label("Reason").select_option("question")
    page.get_by_role("button", name="Find").click()
    expect(page.get_by_role("cell", name="Example Rider")).to_be_visible()
    check_page(page)

    page.goto("/finance/drawer")
    page.get_by_label("Counted").fill("0")
    page.get_by_role("button", name="Open the drawer").click()
    page.goto("/finance/top-up")
    check_page(page)
    page.get_by_label("Account").fill(account)
    page.get_by_label(re.compile("Cash received")).fill("20")
    page.get_by_role("button", name="Record the top-up").click()

    page.goto("/finance/")
    expect(page.locator("main")).to_contain_text("assets:cash_desk")
    check_page(page)
    page.goto("/finance/entries")
    check_page(page)
    page.goto("/finance/entries/0")
    expect(page.locator("main")).to_contain_text("top_up")
    assert account not in page.locator("pre").first.inner_text()
    check_page(page)


def test_a_photo_of_two_people_is_refused_and_what_was_typed_is_kept(
    page: Page, station: Station, stills: Path, tmp_path: Path
) -> None:
    height = 600
    faces = []
    for name in ("obama.jpg", "biden.jpg"):
        picture = read_rgb(stills / name)
        width = round(picture.shape[1] * height / picture.shape[0])
        faces.append(cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA))
    two = tmp_path / "two.png"
    cv2.imwrite(str(two), cv2.cvtColor(np.hstack(faces), cv2.COLOR_RGB2BGR))
    sign_in(page, station)
    fill_in_the_form(page, [two])
    expect(page.get_by_role("alert")).to_contain_text("2 faces are in it")
    expect(page.get_by_label("Name")).to_have_value("Example Rider")
    expect(page.get_by_label("South Gate")).to_be_checked()
    check_page(page)


def test_a_wrong_password_says_no_more_than_that(page: Page, station: Station) -> None:
    credentials = station.credentials()
    page.goto("/staff/sign-in")
    page.get_by_label("Name").fill(credentials.name)
    page.get_by_label("Password").fill("not the password")
    page.get_by_label("One-time code").fill(one_time_code(credentials))
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("alert")).to_be_visible()
    assert credentials.name not in page.get_by_role("alert").inner_text()
    check_page(page)


@pytest.mark.parametrize(
    "path", ["/enrollment/", "/enrollment/new", "/finance/", "/finance/entries"]
)
def test_nothing_is_shown_before_signing_in(page: Page, path: str) -> None:
    page.goto(path)
    expect(page).to_have_url(re.compile(r"/staff/sign-in\?next="))


def test_an_address_that_does_not_exist_gets_a_page(page: Page) -> None:
    response = page.goto("/nowhere")
    assert response is not None and response.status == 404
    expect(page.get_by_role("alert")).to_have_text("There is nothing at this address.")
    check_page(page)


def test_a_new_admin_sets_up_the_account_and_invites_a_colleague(
    page: Page, station: Station
) -> None:
    page.goto(station.invite("ines", "admin"))
    check_page(page)
    secret = page.locator("code", has_text=re.compile("^[A-Z2-7]{32}$")).inner_text()
    page.get_by_label("Password", exact=True).fill(PASSWORD)
    page.get_by_label("Password again").fill(PASSWORD)
    page.get_by_label("One-time code that the app shows now").fill(pyotp.TOTP(secret).now())
    page.get_by_role("button", name="Set up the account").click()
    expect(page.locator(".codes li")).to_have_count(10)
    check_page(page)
    recovery_code = page.locator(".codes code").first.inner_text()

    page.goto("/staff/sign-in")
    page.get_by_label("Name").fill("ines")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_label("One-time code").fill(recovery_code)
    page.get_by_role("button", name="Sign in").click()
    page.goto("/staff/")
    check_page(page)
    page.get_by_label("Name").fill("omar")
    page.locator("#new-service").check()
    page.get_by_role("button", name="Make a one-time link").click()
    expect(page.locator("main code")).to_contain_text("/staff/join/")
    check_page(page)
    page.goto("/staff/gates")
    check_page(page)
    page.goto("/staff/account")
    expect(page.locator("main")).to_contain_text("9")
    check_page(page)
    page.goto("/staff/confirm")
    check_page(page)


def test_the_pages_turn_chinese_and_stay_so(page: Page, station: Station) -> None:
    page.goto("/staff/sign-in")
    page.get_by_role("button", name="中文").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("登录")
    expect(page.locator("html")).to_have_attribute("lang", "zh-Hans")
    check_page(page)
    credentials = station.credentials()
    page.get_by_label("姓名").fill(credentials.name)
    page.get_by_label("密码").fill(PASSWORD)
    page.get_by_label("一次性验证码").fill(one_time_code(credentials))
    page.locator("main").get_by_role("button", name="登录").click()
    for path, heading in (
        ("/", "刷脸、刷码，或两者并用：只收一次车费"),
        ("/enrollment/", "乘客"),
        ("/enrollment/new", "登记乘客"),
        ("/finance/", "财务"),
        ("/finance/top-up", "充值"),
        ("/staff/account", "您的账号"),
    ):
        page.goto(path)
        expect(page.get_by_role("heading", level=1)).to_have_text(heading)
        check_page(page)
    page.goto("/enrollment/new")
    expect(page.get_by_text("我们采集什么")).to_be_visible()


def test_a_dark_scheme_is_as_readable(browser: Browser, station: Station) -> None:
    context = browser.new_context(
        base_url=station.server,
        viewport={"width": 360, "height": 740},
        color_scheme="dark",
    )
    page = context.new_page()
    page.goto("/")
    check_page(page)
    context.close()
