"""Disputed rides: refunded first within limits, looked into by staff, once each."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from uuid import UUID, uuid5

import pytest

from enrollment.rider_money import Movement
from facefare.rider_ledger import BY_THE_RIDER, DISPUTES_OPEN_MAX, rider_money
from ledger.adjustments import settle_dispute
from ledger.closing import close_days
from ledger.console.refunds_pages import open_disputes
from ledger.fares.feedfiles import FeedFiles
from ledger.feeds import activate
from ledger.requests import open_requests
from models.database import reading
from models.money import Money
from models.tables.riders import Rider
from tests.fares_feed import FILES, START
from tests.riding import City, check_books, post, rides_of, staff_browser
from tests.town import TownGate


@pytest.fixture
def city(tmp_path: Path) -> Iterator[City]:
    made = City(tmp_path)
    yield made
    made.close()


def test_a_disputed_ride_is_refunded_first_and_then_waits_for_staff(city: City) -> None:
    rider = city.rider()
    city.pay(rider)
    ride = city.ride(rider)
    client = city.signed_in(rider)
    for _ in range(2):  # pressing twice is one dispute
        assert post(client, f"/me/rides/{ride}/dispute", {"why": "not-me"}).status_code == 303
    assert "CN¥50.00" in client.get("/me/").text
    assert "staff look into the ride" in client.get(f"/me/rides/{ride}").text
    with reading(city.ledger.engine) as session:
        (credit,) = open_disputes(session)
    assert (credit.corrects, credit.made_by, credit.account_id) == (
        ride, BY_THE_RIDER, rider.account_id,
    )  # fmt: skip
    assert json.loads(credit.body)["case"] == "rider/not-me"
    settle_dispute(city.ledger, credit.entry_id, upheld=False, made_by="mei")
    assert "the charge was right" in client.get(f"/me/rides/{ride}").text
    assert "CN¥48.00" in client.get("/me/").text
    check_books(city)


def test_a_maximum_fare_stands_among_the_rides_and_is_disputed_there(tmp_path: Path) -> None:
    city = City(tmp_path, lambda text: text.replace('currency = "CNY"', 'currency = "EUR"'))
    files = FeedFiles("small", {name: text.encode() for name, text in FILES.items()})
    activate(city.ledger.engine, files, START, "EUR", "mei", city.clock())
    city.gate = TownGate("alder-1", "alder")
    rider = city.rider()
    city.pay(rider)
    entered = city.ride(rider)
    city.clock.forward(days=2)
    close_days(city.ledger)
    closing = movements(city, rider)[0]
    assert (closing.kind, closing.amount.text()) == ("day_close", "€5.00")
    client = city.signed_in(rider)
    listed = client.get("/me/rides").text
    assert closing.title in listed and "The other tap of the journey" in listed
    assert "Nothing was charged" in client.get(f"/me/rides/{entered}").text
    page, dispute = f"/me/rides/{closing.entry_id}", {"why": "wrong-fare"}
    assert "€5.00" in client.get(page).text and "Dispute this ride" in client.get(page).text
    for _ in range(2):
        assert post(client, f"{page}/dispute", dispute).status_code == 303
    assert post(client, f"/me/rides/{entered}/dispute", dispute).status_code == 409
    with reading(city.ledger.engine) as session:
        (credit,) = open_disputes(session)
    assert (credit.corrects, credit.amount_minor) == (closing.entry_id, 500)
    assert "€50.00" in client.get("/me/").text
    finance = staff_browser(city, "finance")
    assert closing.entry_id in finance.get("/finance/waiting").text
    answer = post(finance, f"/finance/disputes/{credit.entry_id}", {"decision": "upheld"},
                  "/finance/adjust")  # fmt: skip
    assert answer.status_code == 302
    shown = movements(city, rider)[1]
    assert (shown.entry_id, shown.dispute, shown.refundable) == (closing.entry_id, "upheld", False)
    check_books(city)
    city.close()


def movements(city: City, rider: Rider) -> list[Movement]:
    """What the rider's page and the help desk list, newest first."""
    with city.app.test_request_context():
        return rider_money(city.ledger, None).movements(rider.account_id, None)


def test_only_some_disputes_are_open_at_once(city: City) -> None:
    rider = city.rider()
    city.pay(rider)
    rides = [city.ride(rider) for _ in range(DISPUTES_OPEN_MAX + 1)]
    client = city.signed_in(rider)
    for ride in rides[:-1]:
        assert post(client, f"/me/rides/{ride}/dispute", {"why": "twice"}).status_code == 303
    answer = post(client, f"/me/rides/{rides[-1]}/dispute", {"why": "twice"})
    assert answer.status_code == 409 and "ask at the desk" in answer.text
    with reading(city.ledger.engine) as session:
        assert len(open_disputes(session)) == DISPUTES_OPEN_MAX


def test_above_the_limit_a_dispute_moves_no_money_and_waits_for_staff(tmp_path: Path) -> None:
    city = City(tmp_path, lambda text: text.replace('refund_limit = "20.00"', 'refund_limit = "3"'))
    rider = city.rider()
    city.pay(rider)
    first, second = city.ride(rider), city.ride(rider)
    client = city.signed_in(rider)
    assert post(client, f"/me/rides/{first}/dispute", {"why": "twice"}).status_code == 303
    assert post(client, f"/me/rides/{second}/dispute", {"why": "twice"}).status_code == 303
    assert "above what is given back at once" in client.get(f"/me/rides/{second}").text
    assert "CN¥48.00" in client.get("/me/").text
    with reading(city.ledger.engine) as session:
        (waiting,) = open_requests(session)
    assert (waiting.wanted.about, waiting.made_by) == (second, BY_THE_RIDER)
    city.close()


def test_what_is_wrong_is_chosen_from_the_list(city: City) -> None:
    rider = city.rider()
    city.pay(rider)
    ride = city.ride(rider)
    client = city.signed_in(rider)
    answer = post(client, f"/me/rides/{ride}/dispute", {"why": "my name is Lin"})
    assert answer.status_code == 409
    assert len(rides_of(city, rider)) == 1
    with reading(city.ledger.engine) as session:
        assert open_disputes(session) == []


def test_the_ids_of_a_dispute_are_those_the_ledger_expects(city: City) -> None:
    rider = city.rider()
    city.pay(rider)
    ride = city.ride(rider)
    money = rider_money(city.ledger, None)
    assert money.dispute(rider.account_id, ride, "twice") == "credited"
    assert money.dispute(rider.account_id, ride, "twice") == "credited"
    credit = money.ride(rider.account_id, str(uuid5(UUID(ride), "dispute")))
    assert credit.change == Money(200, "CNY")
