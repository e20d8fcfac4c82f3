"""The rider's own pass and medium: frozen, replaced, changed, and nobody else's."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import update
from sqlmodel import select

from enrollment.passes import list_passes
from enrollment.riders import find_rider
from models.database import reading, writing
from models.tables.riders import Consent, Template
from tests.riding import City, post

AGREED = {"medium": "face+pass", "agreed": "yes", "consent_text": "carried-en-1"}


@pytest.fixture
def city(tmp_path: Path) -> Iterator[City]:
    made = City(tmp_path)
    yield made
    made.close()


def test_freezing_stops_the_pass_at_once_and_thawing_lets_a_new_one_be_made(city: City) -> None:
    rider = city.rider()
    held = city.hold(rider)
    client = city.signed_in(rider)
    assert post(client, "/me/freeze", {}).status_code == 303
    (row,) = list_passes(city.enrollment, rider.rider_id)
    assert (row.pass_id, row.reason) == (held.pass_id, "frozen")
    assert post(client, "/me/pass", {"replaces": ""}).status_code == 409
    assert post(client, "/me/freeze", {}).status_code == 409
    assert post(client, "/me/thaw", {}).status_code == 303
    page = post(client, "/me/pass", {"replaces": ""})
    assert page.status_code == 200 and "FF1:" in page.text and "<svg" in page.text


def test_a_new_pass_replaces_the_one_the_page_knew_and_no_other(city: City) -> None:
    rider = city.rider()
    held = city.hold(rider)
    client = city.signed_in(rider)
    assert post(client, "/me/pass", {"replaces": held.pass_id}).status_code == 200
    again = post(client, "/me/pass", {"replaces": held.pass_id})  # the same form, sent twice
    assert again.status_code == 409
    kept = [row for row in list_passes(city.enrollment, rider.rider_id) if row.revoked_at is None]
    assert len(kept) == 1
    paper = post(client, "/me/pass/paper", {"replaces": kept[0].pass_id})
    assert paper.mimetype == "application/pdf" and paper.data.startswith(b"%PDF")


def template_count(city: City) -> int:
    with reading(city.enrollment.riders) as session:
        return len(session.exec(select(Template)).all())


def test_changing_to_pass_deletes_the_template(city: City) -> None:
    client = city.signed_in(city.rider())
    assert template_count(city) == 1
    assert "FF1:" in post(client, "/me/medium", {"medium": "pass"}).text
    assert template_count(city) == 0
    assert "none is kept here" in client.get("/me/").text
    assert post(client, "/me/medium", {"medium": "face"}).status_code == 409  # at the desk only
    assert post(client, "/me/medium", {"medium": "face+pass"}).status_code == 409


def test_the_face_moves_into_the_pass_only_after_the_text_was_agreed_to(city: City) -> None:
    rider = city.rider()
    client = city.signed_in(rider)
    assert post(client, "/me/medium", {"medium": "face+pass"}).status_code == 400
    assert template_count(city) == 1
    page = post(client, "/me/medium", AGREED)
    assert template_count(city) == 0
    text = re.search(r'<pre id="text">([^<]+)</pre>', page.text)
    assert text is not None
    assert post(client, "/me/pass", {"replaces": "x"}).status_code == 409
    renewed = post(client, "/me/pass", {"pass": text[1]})
    assert renewed.status_code == 200 and "FF1:" in renewed.text
    assert post(client, "/me/pass", {"pass": text[1]}).status_code == 409  # the old one is revoked


@pytest.mark.parametrize("text_id", ["", "carried-en-0", "carried-zh-1", "en-2"])
def test_only_the_text_that_was_shown_can_be_agreed_to(city: City, text_id: str) -> None:
    rider = city.rider()
    client = city.signed_in(rider)
    assert 'name="consent_text" value="carried-en-1"' in client.get("/me/medium").text
    answer = post(client, "/me/medium", {**AGREED, "consent_text": text_id})
    assert (answer.status_code, "consent text has changed" in answer.text) == (400, True)
    found = find_rider(city.enrollment, rider.rider_id)
    assert found is not None and found.rider.medium == "face" and len(found.consents) == 1


def test_where_a_guardian_agreed_the_face_moves_at_the_desk_only(city: City) -> None:
    rider = city.rider()
    with writing(city.enrollment.riders) as session:
        session.exec(update(Consent).values(guardian="Wei Rider"))
    client = city.signed_in(rider)
    page = client.get("/me/medium").text
    assert "This change is made at the desk." in page and "carried-en-1" not in page
    answer = post(client, "/me/medium", {**AGREED, "age_group": "14-or-over", "guardian": "Wei"})
    assert answer.status_code == 409
    found = find_rider(city.enrollment, rider.rider_id)
    assert found is not None and found.rider.medium == "face" and len(found.consents) == 1
    assert post(client, "/me/medium", {"medium": "pass"}).status_code == 200  # less is kept


def test_nobody_renews_another_riders_pass(city: City) -> None:
    rider, other = city.rider(), city.rider()
    mine, theirs = city.signed_in(rider), city.signed_in(other)
    pages = [post(client, "/me/medium", AGREED).text for client in (mine, theirs)]
    found = re.search(r'<pre id="text">([^<]+)</pre>', pages[1])
    assert found is not None
    assert post(mine, "/me/pass", {"pass": found[1]}).status_code == 409
    (row,) = list_passes(city.enrollment, other.rider_id)
    assert row.revoked_at is None


def test_the_page_of_the_pass_holds_nothing_of_anybody(city: City) -> None:
    rider = city.rider()
    held = city.hold(rider)
    page = city.signed_in(rider).get("/me/pass").text
    for secret in (held.qr_text, held.pass_id, rider.rider_id, rider.name, rider.account_id):
        assert secret not in page
    assert page == city.browser().get("/me/pass").text
