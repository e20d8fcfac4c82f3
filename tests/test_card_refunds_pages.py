"""Refunds to a card on the finance console: who may, two persons, once, and the state of it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest
from flask.testing import FlaskClient

from ledger.accounts import balance
from ledger.processors.cards import top_up_by_card
from ledger.processors.keeping import keep_card
from ledger.processors.outbox import work
from ledger.processors.pretend import PretendProcessor
from ledger.processors.protocol import Card
from ledger.processors.state import note_answer, note_trouble
from models.money import Money
from tests.riding import City, post, staff_browser, text_of

PAGE = "/finance/card-refunds"


@pytest.fixture
def city(tmp_path: Path) -> Iterator[City]:
    made = City(tmp_path, pretend_cards=True)
    yield made
    made.close()


def pretend(city: City) -> PretendProcessor:
    found: PretendProcessor = city.app.extensions["processor"]
    return found


def topped_up(city: City, minor: int = 5000) -> tuple[str, str]:
    """A rider's account and the id of a card top-up of theirs."""
    account, call_id = city.rider().account_id, str(uuid4())
    keep_card(city.ledger, account, "pretend", Card("cus_1", "pm_1", "visa", "4242", 12, 2030))
    top_up_by_card(city.ledger, account, Money(minor, "CNY"), call_id)
    work(city.ledger, pretend(city))
    return account, call_id


def form(client: FlaskClient, about: str, amount: str) -> dict[str, str]:
    made = re.search(r'name="id" value="([^"]+)"', client.get(f"{PAGE}?top_up={about}").text)
    assert made is not None
    return {"id": made[1], "about": about, "amount": amount, "reason": "rider_asked"}


def back(city: City) -> list[int]:
    return [-one.amount.minor for one in pretend(city).moved if one.kind == "refund"]


def test_finance_pays_back_to_the_card_once_however_often_the_form_is_sent(city: City) -> None:
    account, about = topped_up(city)
    finance = staff_browser(city, "finance")
    assert "None." in finance.get(PAGE).text
    found = finance.get(f"/finance/search?q={about}", follow_redirects=True).text
    entry = re.search(r'href="(/finance/entries/\d+)"', found)
    page = found if entry is None else finance.get(entry[1]).text
    assert f"{PAGE}?top_up={about}" in page
    sent = form(finance, about, "15")
    for _ in range(3):
        assert post(finance, PAGE, sent, PAGE).location == PAGE
    assert "waiting to be sent" in finance.get(PAGE).text
    work(city.ledger, pretend(city))
    assert (back(city), balance(city.ledger, account).minor) == ([1500], 3500)
    assert "paid back" in finance.get(PAGE).text


def test_above_the_limit_a_colleague_decides_and_who_asked_does_not(city: City) -> None:
    account, about = topped_up(city)
    asks = staff_browser(city, "finance")
    sent = form(asks, about, "40.00")
    assert post(asks, PAGE, sent, PAGE).location == "/finance/waiting"
    decision = f"/finance/waiting/{sent['id']}"
    assert post(asks, decision, {"decision": "approve"}, PAGE).status_code == 409
    assert balance(city.ledger, account).minor == 5000
    decides = staff_browser(city, "finance", "auditor")
    assert "refund to the card" in decides.get("/finance/waiting").text
    for _ in range(2):
        assert post(decides, decision, {"decision": "approve"}, PAGE).status_code == 302
    work(city.ledger, pretend(city))
    assert (back(city), balance(city.ledger, account).minor) == ([4000], 1000)


def test_what_cannot_be_paid_back_is_refused_in_words(city: City) -> None:
    _, about = topped_up(city, 1000)
    finance = staff_browser(city, "finance")
    for amount, top_up, said in (
        ("10.01", about, "of the top-up CN¥10.00 is left"),
        ("x", about, "amount"),
        ("1", str(uuid4()), "no card top-up"),
    ):
        answer = post(finance, PAGE, form(finance, top_up, amount), PAGE)
        assert answer.status_code == 400 and said in text_of(answer.text)
    desk = staff_browser(city, "service")
    wanted = {
        "id": str(uuid4()),
        "about": about,
        "amount": "1",
        "reason": "card_refund:rider_asked",
    }
    assert post(desk, "/finance/adjust", wanted, "/finance/adjust").status_code == 400
    assert post(desk, PAGE, form(finance, about, "1"), "/finance/adjust").status_code == 403
    assert back(city) == []


def test_a_processor_that_refuses_us_stands_on_every_finance_page_until_it_answers(
    city: City,
) -> None:
    finance = staff_browser(city, "finance")
    note_trouble(city.ledger, "stripe", "Stripe refuses us: Invalid API Key provided")
    for path in ("/finance/", "/finance/entries", PAGE):
        page = text_of(finance.get(path).text)
        assert "takes no orders since" in page and "Invalid API Key" in page
    note_answer(city.ledger, "stripe")
    assert "takes no orders" not in finance.get("/finance/").text
