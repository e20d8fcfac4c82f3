"""The rider's card page: a card added at the processor, top-ups from it, and the way back."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest
from flask.testing import FlaskClient
from sqlmodel import select

from facefare.server import PretendRefused, serve
from ledger.autotopup import ask_for_top_ups
from ledger.processors.outbox import work
from ledger.processors.pretend import PretendProcessor
from models.database import reading
from models.tables.reconcile import CardRow, ProcessorCallRow
from tests.riding import PIN, City, post, text_of

WISH = {"below": "10", "take": "50", "week_max": "100"}


@pytest.fixture
def city(tmp_path: Path) -> Iterator[City]:
    """A city whose payment processor pretends; its pages are the server's own."""
    made = City(tmp_path, pretend_cards=True)
    yield made
    made.close()


def pretend(city: City) -> PretendProcessor:
    found: PretendProcessor = city.app.extensions["processor"]
    return found


def cards(city: City) -> list[CardRow]:
    with reading(city.ledger.engine) as session:
        return list(session.exec(select(CardRow)))


def add_card(client: FlaskClient, last4: str = "4242") -> None:
    """Walk to the processor's page, choose a card there, and come back."""
    page_id = re.search(r'name="id" value="([^"]+)"', client.get("/me/card").text)
    assert page_id is not None
    go = post(client, "/me/card", {"id": page_id[1]})
    link = re.search(r'href="(/pretend/cards/[^"]+)"', go.text)
    assert link is not None
    assert "Visa ···· 4242" in client.get(link[1]).text
    back = post(client, link[1], {"card": last4}, link[1])
    assert back.location == f"/me/card/back/{page_id[1]}"
    assert client.get(back.location).location == "/me/card"


def test_without_a_processor_there_is_no_card_page_and_the_desk_is_named(tmp_path: Path) -> None:
    city = City(tmp_path)
    client = city.signed_in(city.rider())
    assert "cash at a station" in client.get("/me/").text
    assert client.get("/me/card").status_code == 404
    for path in ("top-up", "card", "card/remove", "card/automatic", "card/stop"):
        order = {"amount": "10", "id": str(uuid4()), **WISH}
        assert post(client, f"/me/{path}", order).status_code == 404
    city.close()


def test_a_rider_adds_a_card_and_tops_up_once_from_it_however_often_the_form_is_sent(
    city: City,
) -> None:
    rider = city.rider()
    client = city.signed_in(rider)
    assert "No card of yours is kept" in client.get("/me/card").text
    order = {"amount": "20", "id": str(uuid4())}
    assert post(client, "/me/top-up", order).status_code == 409
    add_card(client)
    page = client.get("/me/card").text
    assert "Visa ···· 4242" in page and "This is the card that is kept for you now." in page
    for _ in range(2):
        assert post(client, "/me/top-up", order).status_code == 303
    assert post(client, "/me/top-up", {**order, "amount": "100000"}).status_code == 400
    assert post(client, "/me/top-up", {**order, "id": "1"}).status_code == 400
    assert "on its way" in client.get("/me/card").text
    work(city.ledger, pretend(city))
    with reading(city.ledger.engine) as session:
        (call,) = session.exec(select(ProcessorCallRow)).all()
    assert (call.account_id, call.minor, call.state) == (rider.account_id, 2000, "succeeded")
    assert "CN¥20.00" in client.get("/me/").text
    assert "· done" in text_of(client.get("/me/card").text)


def test_automatic_top_up_is_said_in_plain_words_and_after_declines_that_and_why_it_stopped(
    city: City,
) -> None:
    rider = city.rider()
    client = city.signed_in(rider)
    assert post(client, "/me/card/automatic", WISH).status_code == 409  # no card yet
    add_card(client, "0341")
    for wrong in ({"take": "51"}, {"take": "100", "week_max": "50"}, {"below": ""}):
        assert post(client, "/me/card/automatic", {**WISH, **wrong}).status_code == 400
    assert post(client, "/me/card/automatic", WISH).status_code == 303
    said = ("When your balance falls below CN¥10.00, CN¥50.00 is taken from your card, and never "
            "more than CN¥100.00 in any seven days.")  # fmt: skip
    assert said in text_of(client.get("/me/card").text)
    for _ in range(3):
        ask_for_top_ups(city.ledger)
        work(city.ledger, pretend(city))
        city.clock.forward(days=1, seconds=1)
    client = city.signed_in(rider)
    for path in ("/me/", "/me/card"):
        assert "Automatic top-up has stopped: your bank declined it" in client.get(path).text
    assert text_of(client.get("/me/card").text).count("· your bank declined it") == 3
    post(client, "/me/card/automatic", WISH)
    assert "has stopped" not in client.get("/me/card").text
    post(client, "/me/card/stop", {})
    assert "Switched on, it tops up by itself" in client.get("/me/card").text
    assert ask_for_top_ups(city.ledger) == 0


def test_a_removed_card_is_gone_here_and_there_and_so_is_that_of_a_rider_who_leaves(
    city: City,
) -> None:
    stays, leaves = city.rider("Rider One"), city.rider("Rider Two")
    mine, theirs = city.signed_in(stays), city.signed_in(leaves)
    for client in (mine, theirs):
        add_card(client)
    assert post(mine, "/me/card/remove", {}).status_code == 303
    assert post(mine, "/me/card/remove", {}).status_code == 409
    held = json.loads(theirs.get("/me/data").text)["ledger"]["tables"]
    assert [row["last4"] for row in held["card"]] == ["4242"]
    assert post(theirs, "/me/leave", {"sure": "yes", "pin": PIN}).status_code == 200
    work(city.ledger, pretend(city))
    typed = [page.card.method for page in pretend(city).pages.values() if page.card]
    assert len(typed) == 2 and sorted(pretend(city).forgotten) == sorted(typed)
    assert cards(city) == []


def test_another_riders_way_back_from_the_processor_opens_nothing(city: City) -> None:
    mine, theirs = city.signed_in(city.rider()), city.signed_in(city.rider())
    page_id = str(uuid4())
    post(mine, "/me/card", {"id": page_id})
    pretend(city).type_card(f"cs_{page_id}", "4242")
    assert theirs.get(f"/me/card/back/{page_id}").location == "/me/card"
    assert post(theirs, "/me/card", {"id": page_id}).status_code == 409
    assert cards(city) == []
    mine.get(f"/me/card/back/{page_id}")
    assert len(cards(city)) == 1
    assert "No card of yours is kept" in theirs.get("/me/card").text


def test_without_an_address_of_ours_no_card_is_added_at_a_processor_elsewhere(
    tmp_path: Path,
) -> None:
    keys = 'secret_key = "sk_test_1"\nwebhook_secret = "whsec_12345678"\n'
    city = City(tmp_path, files={"keys/stripe.toml": keys})
    client = city.signed_in(city.rider())
    assert "Cards cannot be added here yet" in client.get("/me/card").text
    assert post(client, "/me/card", {"id": str(uuid4())}).status_code == 409
    city.close()


def test_the_way_back_is_the_configured_address_whatever_the_request_says(tmp_path: Path) -> None:
    city = City(tmp_path, lambda text: text.replace("# public_url", "public_url"),
                pretend_cards=True)  # fmt: skip
    pretend(city).address = "https://pay.example"
    client, page_id = city.signed_in(city.rider()), str(uuid4())
    token = re.search(r'name="csrf_token" value="([^"]+)"', client.get("/me/card").text)
    assert token is not None
    told = {"Host": "localhost:8420", "X-Forwarded-Host": "evil.example"}
    go = client.post("/me/card", data={"id": page_id, "csrf_token": token[1]}, headers=told)
    assert f'href="https://pay.example/pretend/cards/cs_{page_id}"' in go.text
    order = pretend(city).pages[f"cs_{page_id}"].order
    assert order.done_url == f"https://transit.example/me/card/back/{page_id}"
    assert order.back_url == "https://transit.example/me/card"
    city.close()


@pytest.mark.parametrize(
    "more", [["--workers", "2"], ["--https"], ["--host", "0.0.0.0", "--https"]]
)
def test_cards_without_money_are_refused_wherever_riders_could_use_them(
    tmp_path: Path, more: list[str]
) -> None:
    with pytest.raises(PretendRefused, match="without any money"):
        serve.main(["--data", str(tmp_path), "--pretend-cards", *more], standalone_mode=False)
