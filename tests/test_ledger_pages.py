"""The finance pages, through Flask with CSRF protection and real sessions."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from flask import Flask
from flask.testing import FlaskClient
from flask_wtf import CSRFProtect
from jinja2 import ChoiceLoader, DictLoader
from sqlmodel import select

from ledger.accounts import balance
from ledger.checkpoints import publish
from ledger.console.pages import finance
from ledger.reconcile.rules import Rules
from ledger.reconcile.run import run_day
from models.access.web import signed_in
from models.database import reading
from models.money import Money
from models.tables.ledger import EntryRow
from tests.signing import let_staff_sign_in
from tests.town import Town, make_town

LAYOUT = """<title>{% block title %}{% endblock %}</title>
{% for message in get_flashed_messages() %}<p role="status">{{ message }}</p>{% endfor %}
{% block content %}{% endblock %}"""


@pytest.fixture
def town(tmp_path: Path) -> Town:
    return make_town(tmp_path / "data")


@pytest.fixture
def app(town: Town, tmp_path: Path) -> Flask:
    app = Flask(__name__)
    app.config["SECRET_KEY"] = "only for tests"
    csrf = CSRFProtect(app)
    app.jinja_options = {"loader": None}
    app.jinja_loader = ChoiceLoader([DictLoader({"layout.html": LAYOUT})])
    let_staff_sign_in(app, tmp_path)
    app.register_blueprint(finance(town.ledger))
    app.context_processor(lambda: {"staff": signed_in()})
    assert csrf is not None
    return app


def client_as(app: Flask, *roles: str) -> FlaskClient:
    client = app.test_client()
    assert client.get(f"/as/fang/{'+'.join(roles)}").status_code == 200
    return client


def field(page: str, name: str) -> str:
    found = re.search(rf'name="{name}" value="([^"]*)"', page)
    assert found is not None
    return found[1]


def test_nobody_reads_without_signing_in(app: Flask) -> None:
    for path in ("/finance/", "/finance/entries", "/finance/accounts", "/finance/top-up"):
        response = app.test_client().get(path)
        assert response.status_code == 302
        assert response.location.startswith("/sign-in")


@pytest.mark.parametrize("role", ["enroller"])
def test_other_roles_are_refused(app: Flask, role: str) -> None:
    client = client_as(app, role)
    for path in ("/finance/", "/finance/entries", "/finance/entries/0", "/finance/accounts"):
        assert client.get(path).status_code == 403


def test_only_the_service_desk_and_admins_take_top_ups(app: Flask) -> None:
    for role, status in (("finance", 403), ("auditor", 403), ("service", 200), ("admin", 200)):
        assert client_as(app, role).get("/finance/top-up").status_code == status


def test_the_overview_of_an_empty_ledger_is_readable(app: Flask) -> None:
    page = client_as(app, "finance").get("/finance/").text
    assert "No rides yet since midnight" in page
    assert "Nothing has been posted yet" in page
    assert "every tap that arrived was charged" in page


def test_the_overview_shows_takings_balance_and_trouble(app: Flask, town: Town) -> None:
    town.rides(3)
    town.gate.seq += 1
    town.gate.prev = "ab" * 32
    town.charge(town.gate.tap(town.account()), "nonsense")
    publish(town.ledger)
    page = client_as(app, "finance").get("/finance/").text
    assert "income:fares:metro" in page
    assert page.count("CN¥8.00") == 3  # takings of the gate, debit and credit
    assert "over 4 entries" in page
    assert "Missing taps" in page and "<td>south-1</td><td>4</td>" in page
    assert tiles(page) == {"tap_gap": "1"}
    assert "signature does not verify" in page


def tiles(page: str) -> dict[str, str]:
    """How many differences of each kind about taps the overview says there are."""
    return dict(re.findall(r'kind=(\w+)">.*?<td class="number">(\d+)</td>', page))


def test_the_overview_counts_what_was_quarantined_and_two_persons_charge_it(
    app: Flask, town: Town
) -> None:
    account = town.account()
    town.charge(town.gate.tap(account, prev="ab" * 32))
    page = client_as(app, "auditor").get("/finance/").text
    assert "quarantined" in page and tiles(page) == {"tap_fork": "1"}
    run_day(town.ledger, "2026-11-22", Rules())
    for name, said, cents in (("fang", "This takes two", 0), ("wei", "Recorded", -200)):
        client = app.test_client()
        client.get(f"/as/{name}/finance")
        queue = client.get("/finance/differences?kind=tap_fork").text
        (path,) = set(re.findall(r"/finance/differences/[0-9a-f]{24}", queue))
        shown = client.get(path).text
        assert "tap 1 of the gate south-1 contradicts its other taps" in shown
        form = {name: field(shown, name) for name in ("csrf_token", "version")}
        client.post(f"{path}/resolve", data={**form, "reason": "charge", "words": ""})
        assert said in client.get(path).text
        assert balance(town.ledger, account).minor == cents


def test_entries_are_listed_newest_first_and_page_by_page(app: Flask, town: Town) -> None:
    account = town.account()
    town.charge(*(town.gate.tap(account) for _ in range(60)))
    client = client_as(app, "auditor")
    first = client.get("/finance/entries").text
    numbers = [int(n) for n in re.findall(r"/finance/entries/(\d+)", first)]
    assert numbers == list(range(59, 9, -1))
    assert "/finance/entries?before=10" in first
    second = client.get("/finance/entries?before=10").text
    assert [int(n) for n in re.findall(r"/finance/entries/(\d+)", second)] == list(range(9, -1, -1))
    assert "Older entries" not in second


def test_an_entry_shows_rule_postings_and_hashes(app: Flask, town: Town) -> None:
    account = town.rides(1)
    page = client_as(app, "auditor").get("/finance/entries/0").text
    with reading(town.ledger.engine) as session:
        entry = session.exec(select(EntryRow)).one()
    assert "Flat fare, from South Gate" in page
    assert f"liabilities:rider:{account}" in page
    assert entry.leaf_hash.hex() in page
    assert "number 1 of gate south-1, chain ok" in page


@pytest.mark.parametrize("number", ["7", "9" * 30])
def test_an_entry_that_is_not_there_is_not_found(app: Flask, number: str) -> None:
    assert client_as(app, "auditor").get(f"/finance/entries/{number}").status_code == 404


def test_accounts_show_balance_and_standing(app: Flask, town: Town) -> None:
    account = town.rides(3)
    page = client_as(app, "finance").get("/finance/accounts").text
    assert account in page
    assert "-CN¥6.00" in page
    assert "blocked" in page


def test_a_top_up_is_taken_and_shown(app: Flask, town: Town) -> None:
    account = town.account()
    client = client_as(app, "service")
    form = client.get(f"/finance/top-up?account={account}").text
    assert field(form, "account") == account
    response = client.post("/finance/top-up", data=filled(form, account, "20"))
    assert response.status_code == 302
    page = client.get(response.location).text
    assert "CN¥20.00 recorded" in page
    assert "fang" in page
    assert balance(town.ledger, account) == Money(2000, "CNY")


def test_the_same_form_posted_twice_tops_up_once(app: Flask, town: Town) -> None:
    account = town.account()
    client = client_as(app, "service")
    form = client.get("/finance/top-up").text
    first = client.post("/finance/top-up", data=filled(form, account, "2.50"))
    second = client.post("/finance/top-up", data=filled(form, account, "2.50"))
    assert first.location == second.location
    assert "recorded before" in client.get(second.location).text
    assert balance(town.ledger, account) == Money(250, "CNY")


def filled(form: str, account: str, amount: str) -> dict[str, str]:
    return {
        "csrf_token": field(form, "csrf_token"),
        "id": field(form, "id"),
        "account": account,
        "amount": amount,
    }


@pytest.mark.parametrize("amount", ["", "abc", "0", "-5", "1.234", "NaN", "1e30"])
def test_an_amount_that_cannot_be_is_said_on_the_form(app: Flask, town: Town, amount: str) -> None:
    account = town.account()
    client = client_as(app, "service")
    form = client.get("/finance/top-up").text
    response = client.post("/finance/top-up", data=filled(form, account, amount))
    assert response.status_code == 400
    assert 'role="alert"' in response.text
    assert field(response.text, "id") == field(form, "id")
    assert balance(town.ledger, account) == Money(0, "CNY")


def test_a_top_up_without_the_forms_own_token_is_refused(app: Flask, town: Town) -> None:
    account = town.account()
    client = client_as(app, "service")
    data = filled(client.get("/finance/top-up").text, account, "20")
    del data["csrf_token"]
    assert client.post("/finance/top-up", data=data).status_code == 400
    assert balance(town.ledger, account) == Money(0, "CNY")
