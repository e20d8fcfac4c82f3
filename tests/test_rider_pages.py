"""The rider's own pages: what is theirs and nobody else's, privacy, and the help desk."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from uuid import UUID, uuid4

import pytest
from sqlmodel import select

from enrollment.access_log import record_looks
from enrollment.cases import Case
from ledger.standings import account_standing, block
from models.database import reading
from models.tables.ledger import EntryRow, LedgerTable
from models.tables.riders import RidersTable
from tests.riding import PIN, City, post, proved, rides_of, staff_browser, text_of


@pytest.fixture
def city(tmp_path: Path) -> Iterator[City]:
    made = City(tmp_path)
    yield made
    made.close()


# ---- what is theirs


def test_the_home_page_says_the_standing_in_the_words_of_the_gates(city: City) -> None:
    rider = city.rider()
    city.pay(rider)
    client = city.signed_in(rider)
    page = text_of(client.get("/me/").text)
    assert account_standing(city.ledger, rider.account_id).words in page
    assert "CN¥50.00" in page
    block(city.ledger, rider.account_id, "misuse", "a note for staff only", "mei")
    page = text_of(client.get("/me/").text)
    assert "The account is being looked into." in page
    assert "a note for staff only" not in page


def test_a_ride_shows_the_rule_in_words_and_its_receipt_verifies_without_us(city: City) -> None:
    rider = city.rider()
    city.pay(rider)
    ride = city.ride(rider)
    client = city.signed_in(rider)
    assert client.get(f"/me/rides/{ride}/receipt").status_code == 409  # not signed for yet
    city.sign_log()
    assert "Flat fare, from South Gate" in client.get("/me/rides").text
    assert "Flat fare, from South Gate" in client.get(f"/me/rides/{ride}").text
    receipt = client.get(f"/me/rides/{ride}/receipt")
    assert proved(city, receipt.text)["id"] == ride


def own_addresses(entry_id: str) -> list[str]:
    return [f"/me/rides/{entry_id}", f"/me/rides/{entry_id}/receipt"]


def test_no_id_of_another_riders_entry_opens_anything(city: City) -> None:
    rider, other = city.rider("Rider One"), city.rider("Rider Two")
    city.hold(rider)
    for who in (rider, other):
        city.pay(who)
        for _ in range(3):
            city.ride(who)
    city.sign_log()
    mine, theirs = city.signed_in(rider), city.signed_in(other)
    assert post(theirs, f"/me/rides/{rides_of(city, other)[0]}/dispute", {"why": "twice"}).location
    with reading(city.ledger.engine) as session:
        rows = session.exec(select(EntryRow.entry_id, EntryRow.account_id)).all()
    assert len(rows) == 9  # two top-ups, six rides, one credit
    for entry_id, account in rows:
        expected = account == rider.account_id
        for path in own_addresses(entry_id):
            assert (mine.get(path).status_code != 404) == expected, path
        answer = post(mine, f"/me/rides/{entry_id}/dispute", {"why": "twice"})
        is_my_ride = expected and UUID(entry_id).version == 7
        assert (answer.status_code == 303) == is_my_ride
        assert mine.get(f"/me/left/{entry_id}").status_code == 404  # a live entry is no farewell
    page = mine.get("/me/rides").text
    assert not [entry_id for entry_id, account in rows
                if account != rider.account_id and entry_id in page]  # fmt: skip
    assert "Rider Two" not in mine.get("/me/data").text


def test_ids_that_are_no_ids_are_not_there(city: City) -> None:
    client = city.signed_in(city.rider())
    for path in ("/me/rides/1", f"/me/rides/{uuid4()}", "/me/rides/../data", "/me/rides/%00"):
        assert client.get(path).status_code in (404, 308), path


# ---- privacy


def test_a_look_of_staff_is_on_the_riders_page_at_once(city: City) -> None:
    rider, other = city.rider(), city.rider()
    client = city.signed_in(rider)
    assert "Nobody has looked" in client.get("/me/looks").text
    case = Case("complaint", "a wrong charge")
    log = city.enrollment.access_log
    record_looks(log, [rider.rider_id], "mei", "rider", case, city.clock())
    record_looks(log, [other.rider_id], "omar", "rider", Case("check"), city.clock())
    page = text_of(client.get("/me/looks").text)
    assert "mei" in page and "A complaint or a wrong charge: a wrong charge" in page
    assert "omar" not in page


def test_the_download_holds_every_row_that_names_the_rider_and_no_secret(city: City) -> None:
    rider = city.rider()
    city.hold(rider)
    city.pay(rider)
    city.ride(rider)
    held = city.signed_in(rider).get("/me/data").get_json()
    with_rider = {t.name for t in RidersTable.metadata.tables.values() if "rider_id" in t.c}
    with_account = {t.name for t in LedgerTable.metadata.tables.values() if "account_id" in t.c}
    assert set(held["rider"]) == with_rider
    assert set(held["ledger"]["tables"]) == with_account
    assert {"account", "entry", "posting", "tap", "card"} <= with_account
    assert [row["name"] for row in held["rider"]["rider"]] == [rider.name]
    assert len(held["ledger"]["tables"]["entry"]) == 2
    assert held["unsealed"]["phone_digits"] == "4711"
    assert list(held["unsealed"]["templates_float32_little_endian"]) == ["dlib-resnet-1"]
    text = json.dumps(held)
    assert "argon2" not in text and PIN not in text


# ---- the help desk


def test_the_help_desk_sees_what_the_rider_sees_and_the_rider_sees_that_it_looked(
    city: City,
) -> None:
    rider = city.rider()
    held = city.hold(rider)
    city.pay(rider)
    ride = city.ride(rider)
    desk = staff_browser(city, "service")
    assert desk.get(f"/help/riders/{rider.rider_id}").location.startswith("/help/?who=")
    assert post(desk, "/help/", {"who": held.pass_id}, "/help/").status_code == 400  # no reason
    unknown = {"who": "zzzzzzzzzz", "reason": "question"}
    assert post(desk, "/help/", unknown, "/help/").status_code == 404
    mine = city.signed_in(rider)
    assert "Nobody has looked" in mine.get("/me/looks").text
    opened = post(desk, "/help/", {"who": held.pass_id, "reason": "question"}, "/help/")
    page = desk.get(opened.location)
    words = account_standing(city.ledger, rider.account_id).words
    assert words in text_of(page.text) and words in text_of(mine.get("/me/").text)
    assert f"about={ride}" in page.text
    looks = text_of(mine.get("/me/looks").text)
    assert "staff-service" in looks and "The rider is here and asks something" in looks


def test_the_reason_is_asked_again_after_ten_minutes(city: City) -> None:
    rider = city.rider()
    desk = staff_browser(city, "service")
    opened = post(desk, "/help/", {"who": rider.rider_id, "reason": "question"}, "/help/")
    assert desk.get(opened.location).status_code == 200
    city.clock.forward(minutes=11)
    assert desk.get(opened.location).status_code == 303
