"""Leaving: what is deleted, what stays unlinked, and the proof that both are so."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner
from flask.testing import FlaskClient

from enrollment.freeze import freeze_rider
from enrollment.gallery import data_key_name
from enrollment.media import pass_only
from enrollment.passes import issue_pass
from enrollment.rider_money import NotThere
from enrollment.riders import find_rider
from facefare.retention import enrollment as daily
from facefare.rider_ledger import rider_money
from models.database import reading, writing
from models.errors import FacefareError
from models.tables.ledger import AccountRow
from models.tables.riders import Rider, RidersTable
from models.vault import KeyErased
from tests.riding import PIN, City, check_books, post, proved, sign_in, staff_browser, text_of


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


def half_left(city: City) -> tuple[Rider, FlaskClient]:
    """A rider whose leaving was stopped when the account was about to be closed."""
    rider = city.rider()
    city.hold(rider)
    client = city.signed_in(rider)
    with writing(city.ledger.engine) as session:
        session.connection().exec_driver_sql(
            "CREATE TRIGGER stopped BEFORE INSERT ON entry BEGIN SELECT RAISE(ABORT, 'stop'); END"
        )
    assert post(client, "/me/leave", {"pin": PIN, "sure": "yes"}).status_code == 500
    with writing(city.ledger.engine) as session:
        session.connection().exec_driver_sql("DROP TRIGGER stopped")
    return rider, client


def assert_gone(city: City, rider: Rider) -> None:
    assert find_rider(city.enrollment, rider.rider_id) is None
    with reading(city.ledger.engine) as session:
        assert session.get(AccountRow, rider.account_id) is None
    check_books(city)


def test_no_page_opens_for_a_rider_whose_leaving_was_interrupted(city: City) -> None:
    rider, client = half_left(city)
    for path in ("/me/", "/me/leave", "/me/data", "/me/stations"):
        assert client.get(path).location == "/me/sign-in", path
    for path in ("/me/pass", "/me/freeze", "/me/thaw", "/me/medium", "/me/leave"):
        assert post(client, path, {"replaces": ""}).location == "/me/sign-in", path
    assert sign_in(city.browser(), rider.rider_id).status_code == 401
    for issue in (
        lambda: issue_pass(city.enrollment, rider.rider_id, "pass", city.clock()),
        lambda: pass_only(city.enrollment, rider.rider_id, city.clock()),
        lambda: freeze_rider(city.enrollment, rider.rider_id, city.clock()),
    ):
        with pytest.raises(FacefareError, match="There is no rider"):
            issue()
    with pytest.raises(KeyErased):
        city.enrollment.vault.key(data_key_name(rider.rider_id))


def test_the_daily_command_finishes_what_was_interrupted(city: City) -> None:
    rider, _client = half_left(city)
    other = city.rider()
    command = ["expire", "--json", "--data", str(city.data.path)]
    done = CliRunner().invoke(daily, command)
    assert done.exit_code == 0, done.output
    assert json.loads(done.output)["riders"] == 0  # nobody's time was over
    assert_gone(city, rider)
    assert find_rider(city.enrollment, other.rider_id) is not None


def test_the_desk_finishes_what_was_interrupted(city: City) -> None:
    rider, _client = half_left(city)
    browser = staff_browser(city, "enroller")
    record = f"/enrollment/riders/{rider.rider_id}"
    post(browser, f"{record}/open", {"reason": "erasure", "note": ""}, record)
    page = browser.get(record).text
    assert f"{record}/erase" in page and f"{record}/thaw" not in page
    assert post(browser, f"{record}/erase", {}, record).status_code == 303
    assert_gone(city, rider)
