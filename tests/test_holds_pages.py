"""Money that finance holds for a case: charged, given back or expired, and each of them once."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from ledger.accounts import balance
from ledger.holds import OpenHold, expire_holds, open_holds
from models.database import reading
from models.tables.riders import Rider
from tests.riding import City, check_books, post, staff_browser, text_of

PAGE = "/finance/holds"


@pytest.fixture
def city(tmp_path: Path) -> Iterator[City]:
    made = City(tmp_path)
    yield made
    made.close()


@pytest.fixture
def rider(city: City) -> Rider:
    """A rider with 50.00."""
    made = city.rider()
    city.pay(made)
    return made


def set_aside(client: FlaskClient, rider: Rider, amount: str, **more: str) -> TestResponse:
    found = re.search(r'name="id" value="([^"]+)"', client.get(PAGE).text)
    assert found is not None
    form = {"id": found[1], "account": rider.account_id, "amount": amount, "days": "14",
            "reason": "disputed", "case": "T-7", **more}  # fmt: skip
    return post(client, PAGE, form, PAGE)


def decide(client: FlaskClient, held: OpenHold, decision: str, amount: str = "") -> TestResponse:
    form = {"decision": decision, "amount": amount}
    return post(client, f"{PAGE}/{held.hold_id}", form, PAGE)


def waiting(city: City) -> list[OpenHold]:
    with reading(city.ledger.engine) as session:
        return list(open_holds(session))


def test_finance_holds_money_for_a_case_and_charges_what_was_needed(
    city: City, rider: Rider
) -> None:
    finance, form_id = staff_browser(city, "finance"), str(uuid4())
    for _ in range(2):  # the same form is one hold
        assert set_aside(finance, rider, "8", id=form_id).status_code == 303
    (held,) = waiting(city)
    assert (held.hold_id, held.case, held.made_by) == (form_id, "T-7", "staff-finance")
    assert balance(city.ledger, rider.account_id).minor == 4200
    assert "T-7" in finance.get(PAGE).text
    assert "Set aside while a charge is looked into." in city.signed_in(rider).get("/me/rides").text
    assert "CN¥8.00 are held" in text_of(decide(finance, held, "charge", "8.01").text)
    for _ in range(2):
        assert decide(finance, held, "charge", "3.00").status_code == 303
    for other in (("charge", "4"), ("give_back", "")):
        assert decide(finance, held, *other).status_code == 409
    assert balance(city.ledger, rider.account_id).minor == 4700
    assert waiting(city) == []
    check_books(city)


def test_above_the_limit_a_colleague_charges_and_either_may_give_back(
    city: City, rider: Rider
) -> None:
    holds, charges = staff_browser(city, "finance"), staff_browser(city, "finance", "auditor")
    for amount in ("15", "10", "5"):
        set_aside(holds, rider, amount)
    first, second, third = waiting(city)
    assert decide(holds, first, "charge", "15").status_code == 303
    # 15 and 10 on one day are above 20
    answer = decide(holds, second, "charge", "10")
    assert answer.status_code == 409 and "ask a colleague" in answer.text
    assert balance(city.ledger, rider.account_id).minor == 2000
    assert decide(charges, second, "charge", "10").status_code == 303
    assert decide(holds, third, "give_back").status_code == 303
    assert balance(city.ledger, rider.account_id).minor == 2500
    check_books(city)


def test_what_nobody_decides_goes_back_by_itself(city: City, rider: Rider) -> None:
    finance = staff_browser(city, "finance")
    set_aside(finance, rider, "8", days="2")
    (held,) = waiting(city)
    city.clock.forward(days=2)
    assert expire_holds(city.ledger) == 1
    assert balance(city.ledger, rider.account_id).minor == 5000
    fresh = staff_browser(city, "finance", "auditor")
    assert decide(fresh, held, "charge", "8").status_code == 409
    assert "None." in fresh.get(PAGE).text


def test_what_cannot_be_held_is_refused_in_words(city: City, rider: Rider) -> None:
    finance = staff_browser(city, "finance")
    for amount, more, said in (
        ("50.01", {}, "the balance is CN¥50.00"),
        ("x", {}, "amount"),
        ("1", {"days": "91"}, "1 to 90 days"),
        ("1", {"days": "soon"}, "1 to 90 days"),
        ("1", {"reason": "whim"}, "reason is one of"),
        ("1", {"case": "asked by Lin Rider"}, "write nothing about the rider"),
        ("1", {"account": "nobody"}, "account"),
    ):
        answer = set_aside(finance, rider, amount, **more)
        assert answer.status_code == 400 and said in text_of(answer.text), said
    assert waiting(city) == []
