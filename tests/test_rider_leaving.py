"""Leaving: what is deleted, what stays unlinked, and the proof that both are so."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from enrollment.gallery import data_key_name
from enrollment.rider_money import NotThere
from facefare.rider_ledger import rider_money
from models.database import reading
from models.tables.riders import RidersTable
from models.vault import KeyErased
from tests.riding import PIN, City, check_books, post, proved, sign_in, text_of


@pytest.fixture
def city(tmp_path: Path) -> Iterator[City]:
    made = City(tmp_path)
    yield made
    made.close()


def test_leaving_deletes_the_rider_and_proves_it(city: City) -> None:
    rider, other = city.rider("Rider One"), city.rider("Rider Two")
    held = city.hold(rider)
    city.pay(rider)
    ride = city.ride(rider)
    client = city.signed_in(rider)
    assert "paid out at the service desk first" in client.get("/me/leave").text
    assert post(client, "/me/leave", {"pin": PIN}).status_code == 400
    assert post(client, "/me/leave", {"pin": "111222", "sure": "yes"}).status_code == 401
    assert client.get("/me/").status_code == 200
    gone = post(client, "/me/leave", {"pin": PIN, "sure": "yes"})
    assert gone.status_code == 200
    page = text_of(gone.text)
    assert "your face template: 1" in page and "your consents: 1" in page
    assert "3 entries lost their owner" in page
    assert client.get("/me/").location == "/me/sign-in"
    for who in (rider.rider_id, held.qr_text):
        assert sign_in(city.browser(), who).status_code == 401
    with pytest.raises(KeyErased):
        city.enrollment.vault.key(data_key_name(rider.rider_id))
    for table in RidersTable.metadata.sorted_tables:
        if "rider_id" in table.c:
            with reading(city.enrollment.riders) as session:
                rows = session.execute(table.select().where(table.c.rider_id == rider.rider_id))
                assert rows.all() == [], table.name
    closing = re.search(r"/me/left/([0-9a-f-]{36})", gone.text)
    assert closing is not None
    city.sign_log()
    receipt = city.browser().get(closing[0])
    value = proved(city, receipt.text)
    assert (value["kind"], value["unlinked"]) == ("close", 3)
    with pytest.raises(NotThere):
        rider_money(city.ledger, None).ride(rider.account_id, ride)
    assert city.signed_in(other).get("/me/").status_code == 200
    check_books(city)


def test_two_riders_who_leave_get_each_their_own_closing_entry(city: City) -> None:
    closings = []
    for rider in (city.rider(), city.rider()):
        page = post(city.signed_in(rider), "/me/leave", {"pin": PIN, "sure": "yes"}).text
        closings += re.findall(r'data-entry="([0-9a-f-]{36})"', page)
    assert len(set(closings)) == 2
