"""Credits at the service desk: small ones alone, larger ones by two persons, all in the log."""

from __future__ import annotations

import re
import threading
from pathlib import Path
from uuid import uuid4

import pytest
from flask import Flask
from flask.testing import FlaskClient
from flask_wtf import CSRFProtect
from jinja2 import ChoiceLoader, DictLoader
from sqlmodel import select

from ledger.accounts import balance
from ledger.adjustments import settle_dispute
from ledger.console.pages import finance
from ledger.console.refunds_pages import open_disputes
from ledger.entries import decode
from ledger.erasure import erase_account
from ledger.once import EntryConflict, EntryRefused
from ledger.requests import Asked, Done, adjust, approve, decline, open_requests
from ledger.topups import top_up
from ledger.verify import verify
from ledger.wanted import Wanted
from models.access.web import signed_in
from models.database import reading
from models.money import Money
from models.tables.ledger import EntryRow
from tests.signing import let_staff_sign_in
from tests.town import ORIGIN, Town, make_town

LIMIT = 150


@pytest.fixture
def town(tmp_path: Path) -> Town:
    return make_town(
        tmp_path / "data",
        lambda text: text.replace('refund_limit = "20.00"', 'refund_limit = "1.50"'),
    )


def yuan(minor: int) -> Money:
    return Money(minor, "CNY")


def ride_of(town: Town, account: str) -> str:
    town.rides(1, account)
    with reading(town.ledger.engine) as session:
        rows = session.exec(select(EntryRow).where(EntryRow.account_id == account)).all()
    return max((row for row in rows if row.kind == "ride"), key=lambda row: row.seq).entry_id


def refund_of(ride: str, minor: int, entry_id: str | None = None) -> Wanted:
    return Wanted(entry_id or str(uuid4()), "refund", ride, yuan(minor), "wrong_charge", "T-7")


def entry(town: Town, seq: int) -> EntryRow:
    with reading(town.ledger.engine) as session:
        row = session.get(EntryRow, seq)
    assert row is not None
    return row


def waiting(town: Town) -> list[str]:
    with reading(town.ledger.engine) as session:
        return [found.wanted.entry_id for found in open_requests(session)]


def check(town: Town) -> None:
    key = town.ledger.log_key.public_key()
    assert verify(town.ledger.engine, ORIGIN, key, None, town.ledger.vault).unproved == 0


def test_up_to_the_limit_one_person_gives_alone(town: Town) -> None:
    account = town.account()
    done = adjust(town.ledger, refund_of(ride_of(town, account), LIMIT), "lin")
    assert isinstance(done, Done)
    row = entry(town, done.entry.entry)
    assert (row.kind, row.made_by, decode(row.body)["case"]) == ("refund", "lin", "T-7")
    assert balance(town.ledger, account) == yuan(LIMIT - 200)
    assert waiting(town) == []


def test_above_the_limit_nothing_moves_until_another_person_approves(town: Town) -> None:
    account = town.account()
    wanted = refund_of(ride_of(town, account), 200)
    asked = adjust(town.ledger, wanted, "lin")
    assert isinstance(asked, Asked)
    assert balance(town.ledger, account) == yuan(-200)
    assert waiting(town) == [wanted.entry_id]
    with pytest.raises(EntryRefused, match="ask a colleague"):
        approve(town.ledger, wanted.entry_id, "lin")
    done = approve(town.ledger, wanted.entry_id, "wei")
    assert balance(town.ledger, account) == yuan(0)
    assert waiting(town) == []
    request, given = entry(town, asked.entry.entry), entry(town, done.entry)
    assert (request.kind, request.made_by) == ("adjustment_request", "lin")
    assert (given.kind, given.made_by, given.entry_id) == ("refund", "wei", wanted.entry_id)
    assert decode(request.body)["postings"] == []
    check(town)


def test_a_declined_request_moves_nothing_and_is_not_approved_afterwards(town: Town) -> None:
    account = town.account()
    wanted = refund_of(ride_of(town, account), 200)
    adjust(town.ledger, wanted, "lin")
    with pytest.raises(EntryRefused, match="ask a colleague"):
        decline(town.ledger, wanted.entry_id, "lin")
    done = decline(town.ledger, wanted.entry_id, "wei")
    assert decline(town.ledger, wanted.entry_id, "wei").replayed
    assert entry(town, done.entry).kind == "adjustment_declined"
    with pytest.raises(EntryConflict):
        approve(town.ledger, wanted.entry_id, "wei")
    assert balance(town.ledger, account) == yuan(-200)
    assert waiting(town) == []
    check(town)


def test_the_same_form_is_one_request_and_one_refund(town: Town) -> None:
    account = town.account()
    wanted = refund_of(ride_of(town, account), 200)
    first = adjust(town.ledger, wanted, "lin")
    again = adjust(town.ledger, wanted, "lin")
    assert (again.entry.entry, again.entry.replayed) == (first.entry.entry, True)
    approve(town.ledger, wanted.entry_id, "wei")
    assert approve(town.ledger, wanted.entry_id, "wei").replayed
    late = adjust(town.ledger, wanted, "lin")
    assert isinstance(late, Done)
    assert late.entry.replayed
    assert balance(town.ledger, account) == yuan(0)


def test_many_small_credits_are_a_large_one(town: Town) -> None:
    account = town.account()
    rides = [ride_of(town, account) for _ in range(3)]
    assert isinstance(adjust(town.ledger, refund_of(rides[0], 100), "lin"), Done)
    assert isinstance(adjust(town.ledger, refund_of(rides[1], 51), "lin"), Asked)
    assert isinstance(adjust(town.ledger, refund_of(rides[1], 50), "lin"), Done)
    assert isinstance(adjust(town.ledger, refund_of(rides[2], 1), "lin"), Asked)
    assert isinstance(adjust(town.ledger, refund_of(rides[2], 100), "wei"), Done)
    town.clock.forward(24 * 3600 + 1)
    assert isinstance(adjust(town.ledger, refund_of(rides[2], 100), "lin"), Done)


def test_at_once_they_give_neither_more_than_the_charge_nor_more_than_the_limit(
    town: Town,
) -> None:
    account = town.account()
    ride = ride_of(town, account)
    done: list[object] = []

    def give(who: str) -> None:
        try:
            done.append(adjust(town.ledger, refund_of(ride, 50), who))
        except EntryRefused as error:
            done.append(error)

    threads = [threading.Thread(target=give, args=(who,)) for who in ("lin", "wei") * 4]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(isinstance(one, Done) for one in done) == 4
    assert balance(town.ledger, account) == yuan(0)


def test_approvals_at_once_never_give_more_than_the_charge(town: Town) -> None:
    account = town.account()
    ride = ride_of(town, account)
    wanted = [refund_of(ride, 160) for _ in range(4)]
    for one in wanted:
        assert isinstance(adjust(town.ledger, one, "lin"), Asked)
    refused: list[str] = []

    def decide(entry_id: str) -> None:
        try:
            approve(town.ledger, entry_id, "wei")
        except EntryRefused as error:
            refused.append(str(error))

    threads = [threading.Thread(target=decide, args=(one.entry_id,)) for one in wanted * 2]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert balance(town.ledger, account) == yuan(-40)
    assert len(refused) == 6  # the one that was given is replayed
    assert len(waiting(town)) == 3


@pytest.mark.parametrize(
    ("kind", "reason", "account_after"),
    [("goodwill", "apology", 0), ("write_off", "uncollectable", 0)],
)
def test_credits_of_an_account_follow_the_same_rule(
    town: Town, kind: str, reason: str, account_after: int
) -> None:
    account = town.rides(1)
    wanted = Wanted(str(uuid4()), kind, account, yuan(200), reason)
    assert isinstance(adjust(town.ledger, wanted, "lin"), Asked)
    approve(town.ledger, wanted.entry_id, "wei")
    assert balance(town.ledger, account) == yuan(account_after)
    small = Wanted(str(uuid4()), "goodwill", account, yuan(1), "promotion")
    assert isinstance(adjust(town.ledger, small, "lin"), Done)


def test_a_dispute_credit_waits_is_given_and_settled(town: Town) -> None:
    account = town.account()
    ride = ride_of(town, account)
    wanted = Wanted(str(uuid4()), "dispute_credit", ride, yuan(200), "dispute_credit")
    assert isinstance(adjust(town.ledger, wanted, "lin"), Asked)
    approve(town.ledger, wanted.entry_id, "wei")
    with reading(town.ledger.engine) as session:
        assert [row.entry_id for row in open_disputes(session)] == [wanted.entry_id]
    settle_dispute(town.ledger, wanted.entry_id, upheld=False, made_by="wei")
    with reading(town.ledger.engine) as session:
        assert open_disputes(session) == []
    assert balance(town.ledger, account) == yuan(-200)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"entry_id": "7"}, "UUID"),
        ({"kind": "present"}, "a credit is one of"),
        ({"reason": "apology"}, "the reason is one of"),
        ({"amount": yuan(0)}, "more than zero"),
        ({"case": "her name is Fang"}, "nothing about the rider"),
        ({"about": "nothing"}, "no ride"),
        ({"amount": yuan(201)}, "is left"),
    ],
)
def test_what_cannot_be_given_is_not_asked_for_either(
    town: Town, change: dict[str, object], words: str
) -> None:
    plain = refund_of(ride_of(town, town.account()), 200)
    wanted = Wanted(**{**{name: getattr(plain, name) for name in Wanted.__slots__}, **change})
    with pytest.raises(EntryRefused, match=words):
        adjust(town.ledger, wanted, "lin")
    assert waiting(town) == []


def test_only_what_was_asked_for_is_decided(town: Town) -> None:
    account, given = town.account(), str(uuid4())
    top_up(town.ledger, account, yuan(100), given, "lin")
    for unknown in (given, str(uuid4())):
        with pytest.raises(EntryRefused, match="nobody asked"):
            approve(town.ledger, unknown, "wei")


def test_a_request_of_an_erased_rider_can_only_be_declined(town: Town) -> None:
    account = town.account()
    wanted = refund_of(ride_of(town, account), 200)
    adjust(town.ledger, wanted, "lin")
    erase_account(town.ledger, account)
    with pytest.raises(EntryRefused, match="erased"):
        approve(town.ledger, wanted.entry_id, "wei")
    decline(town.ledger, wanted.entry_id, "wei")
    assert waiting(town) == []
    check(town)


LAYOUT = """<title>{% block title %}{% endblock %}</title>
{% for message in get_flashed_messages() %}<p role="status">{{ message }}</p>{% endfor %}
{% block content %}{% endblock %}"""


@pytest.fixture
def app(town: Town, tmp_path: Path) -> Flask:
    app = Flask(__name__)
    app.config["SECRET_KEY"] = "only for tests"
    CSRFProtect(app)
    app.jinja_loader = ChoiceLoader([DictLoader({"layout.html": LAYOUT})])
    let_staff_sign_in(app, tmp_path)
    app.register_blueprint(finance(town.ledger))
    app.context_processor(lambda: {"staff": signed_in()})
    return app


def client_as(app: Flask, name: str, role: str) -> FlaskClient:
    client = app.test_client()
    assert client.get(f"/as/{name}/{role}").status_code == 200
    return client


def field(page: str, name: str) -> str:
    found = re.search(rf'name="{name}" value="([^"]*)"', page)
    assert found is not None
    return found[1]


def send(client: FlaskClient, ride: str, amount: str, **more: str) -> str:
    """Fill the form in, post it, and return the page one comes to."""
    page = client.get(f"/finance/adjust?kind=refund&about={ride}").text
    data = {name: field(page, name) for name in ("csrf_token", "id", "about")}
    data |= {"reason": "refund:not_travelled", "amount": amount, **more}
    return client.post("/finance/adjust", data=data, follow_redirects=True).text


def test_who_may_ask_and_who_may_decide(app: Flask) -> None:
    for role, form, page in (
        ("service", 200, 200),
        ("finance", 200, 200),
        ("admin", 403, 200),
        ("auditor", 403, 200),
        ("enroller", 403, 403),
    ):
        client = client_as(app, "fang", role)
        assert client.get("/finance/adjust").status_code == form
        assert client.get("/finance/waiting").status_code == page
    assert app.test_client().get("/finance/adjust").status_code == 302


def test_a_small_refund_is_given_on_the_form(app: Flask, town: Town) -> None:
    account = town.account()
    page = send(client_as(app, "lin", "service"), ride_of(town, account), "1.50", case="T-9")
    assert "Recorded." in page
    assert "T-9" in page
    assert balance(town.ledger, account) == yuan(-50)


def test_a_large_one_is_asked_for_on_the_form_and_approved_on_the_list(
    app: Flask, town: Town
) -> None:
    account = town.account()
    ride, lin = ride_of(town, account), client_as(app, "lin", "service")
    assert "a colleague has to approve it" in send(lin, ride, "2")
    own = client_as(app, "lin", "finance").get("/finance/waiting").text
    assert ride in own
    assert "a colleague decides" in own
    assert "Approve" not in own
    wei = client_as(app, "wei", "finance")
    page = wei.get("/finance/waiting").text
    found = re.search(r'action="(/finance/waiting/[^"]+)"', page)
    assert found is not None
    data = {"csrf_token": field(page, "csrf_token"), "decision": "approve"}
    for path, who in ((found[1], lin), (found[1], client_as(app, "lin", "finance"))):
        token = field(who.get("/finance/adjust").text, "csrf_token")
        refused = who.post(path, data={**data, "csrf_token": token})
        assert refused.status_code in (403, 409)
    assert "Recorded." in wei.post(found[1], data=data, follow_redirects=True).text
    assert "recorded before" in wei.post(found[1], data=data, follow_redirects=True).text
    assert balance(town.ledger, account) == yuan(0)


def test_a_form_posted_twice_gives_once_and_a_bad_one_says_why(app: Flask, town: Town) -> None:
    account = town.account()
    ride, lin = ride_of(town, account), client_as(app, "lin", "service")
    same = str(uuid4())
    assert "Recorded." in send(lin, ride, "1", id=same)
    assert "recorded before" in send(lin, ride, "1", id=same)
    assert balance(town.ledger, account) == yuan(-100)
    for amount, words in (("1.01", "is left"), ("x", "alert"), ("0", "more than zero")):
        assert words in send(lin, ride, amount)
    assert balance(town.ledger, account) == yuan(-100)


def test_a_dispute_is_settled_on_the_list(app: Flask, town: Town) -> None:
    account = town.account()
    ride, wei = ride_of(town, account), client_as(app, "wei", "finance")
    send(wei, ride, "1", reason="dispute_credit:dispute_credit")
    page = wei.get("/finance/waiting").text
    found = re.search(r'action="(/finance/disputes/[^"]+)"', page)
    assert found is not None
    data = {"csrf_token": field(page, "csrf_token"), "decision": "upheld"}
    assert "Recorded." in wei.post(found[1], data=data, follow_redirects=True).text
    assert "None." in wei.get("/finance/waiting").text
    assert wei.post(found[1], data={**data, "decision": "rejected"}).status_code == 409


def test_a_credit_without_the_forms_own_token_is_refused(app: Flask, town: Town) -> None:
    account = town.account()
    ride, lin = ride_of(town, account), client_as(app, "lin", "service")
    data = {"id": str(uuid4()), "about": ride, "amount": "1", "reason": "refund:not_travelled"}
    assert lin.post("/finance/adjust", data=data).status_code == 400
    assert balance(town.ledger, account) == yuan(-200)
