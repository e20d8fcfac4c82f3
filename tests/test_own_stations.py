"""My stations: changed without new photos, by staff and by the rider, and the gates follow."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient
from sqlmodel import select

from enrollment import hands_free
from enrollment.access_log import who_looked
from enrollment.media import pass_only
from enrollment.rider_media import BY_THE_RIDER
from enrollment.riders import find_rider
from models.database import reading, writing
from models.tables.riders import Consent, Rider, Template
from models.wire.gallery import open_gallery
from tests.desk import Desk, TestGate, post
from tests.pass_riders import put_rider, unit
from tests.riding import City
from tests.riding import post as rider_post

AGREED = {"consent_text": "en-2", "consent_given": "yes", "language": "en"}


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    desk = Desk(tmp_path)
    yield desk
    desk.close()


@pytest.fixture
def city(tmp_path: Path) -> Iterator[City]:
    made = City(tmp_path)
    yield made
    made.close()


def with_case(desk: Desk, rider: Rider) -> FlaskClient:
    """An enroller who has said why they look at this rider."""
    browser = desk.signed_in("enroller")
    where = f"/enrollment/riders/{rider.rider_id}"
    post(browser, f"{where}/open", {"reason": "change", "note": ""}, where)
    return browser


def choose(browser: FlaskClient, rider: Rider, *stations: str, **more: Any) -> Any:
    given = {**AGREED, "stations": list(stations), **more}
    return post(browser, f"/enrollment/riders/{rider.rider_id}/stations", given)


def stations_of(enrollment: Any, rider: Rider) -> tuple[str, ...]:
    found = find_rider(enrollment, rider.rider_id)
    assert found is not None
    return found.station_names


def template_of(enrollment: Any, rider: Rider) -> bytes:
    with reading(enrollment.riders) as session:
        kept = session.exec(select(Template).where(Template.rider_id == rider.rider_id)).one()
        return kept.sealed


def consents_of(enrollment: Any, rider: Rider) -> list[tuple[str, str, str | None]]:
    with reading(enrollment.riders) as session:
        query = select(Consent).where(Consent.rider_id == rider.rider_id)
        return [(kept.text_id, kept.staff, kept.guardian) for kept in session.exec(query)]


class Follower:
    """A gate that keeps its gallery and asks for a newer one."""

    def __init__(self, desk: Desk, gate: TestGate) -> None:
        self.desk, self.gate = desk, gate
        self.version, self.accounts = 0, set[str]()

    def riders(self) -> set[str]:
        """The accounts in the gallery after asking once."""
        path = f"/api/v1/gallery?have={self.version}"
        answer = self.gate.get(self.desk.app.test_client(), path)
        if answer.status_code == 200:
            key = self.desk.enrollment.signing_key.public_key()
            opened = open_gallery(answer.data, self.gate.name, self.gate.box_key, key, self.version)
            self.version, self.accounts = opened.version, {one.account for one in opened.riders}
        return self.accounts


def test_gates_lose_and_get_the_rider_with_their_next_question(desk: Desk) -> None:
    rider = put_rider(desk, unit(1))
    south, tower = (desk.add_gate(f"{name}-1", name) for name in ("south", "drum-tower"))
    before = template_of(desk.enrollment, rider)
    followers = [Follower(desk, gate) for gate in (south, tower)]
    assert [one.riders() for one in followers] == [{rider.account_id}, set()]
    assert choose(with_case(desk, rider), rider, "drum-tower").status_code == 303
    assert [one.riders() for one in followers] == [set(), {rider.account_id}]
    assert template_of(desk.enrollment, rider) == before  # no new capture
    assert stations_of(desk.enrollment, rider) == ("drum-tower",)
    assert consents_of(desk.enrollment, rider)[-1] == ("en-2", "staff-enroller", None)
    looks = who_looked(desk.enrollment.access_log, rider.rider_id)
    assert "stations" in {look.page for look in looks}


@pytest.mark.parametrize(
    ("stations", "more", "sentence"),
    [
        ((), {}, "Choose one to 6 stations"),
        (("nowhere",), {}, "There is no station"),
        (("drum-tower",), {"consent_given": ""}, "without consent"),
        (("drum-tower",), {"consent_text": "en-1"}, "consent text has changed"),
    ],
)
def test_what_cannot_be_changed_says_why_and_changes_nothing(
    desk: Desk, stations: tuple[str, ...], more: dict[str, str], sentence: str
) -> None:
    rider = put_rider(desk, unit(1))
    answer = choose(with_case(desk, rider), rider, *stations, **more)
    assert (answer.status_code, sentence in answer.text) == (400, True), answer.text
    assert stations_of(desk.enrollment, rider) == ("south",)
    assert len(consents_of(desk.enrollment, rider)) == 1


def test_a_full_station_offers_the_pass_and_closes_to_nobody_who_is_in_it(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hands_free, "riders_max", lambda engine_id: 1)
    monkeypatch.setattr("enrollment.form_pages.riders_max", lambda engine_id: 1)
    rider = put_rider(desk, unit(1))
    put_rider(desk, unit(2), "drum-tower")
    put_rider(desk, unit(3))  # south has one rider too many, from before it was measured anew
    browser = with_case(desk, rider)
    page = browser.get(f"/enrollment/riders/{rider.rider_id}/stations").text
    assert 'value="drum-tower" disabled' in page and "The pass opens them" in page
    assert 'value="south" checked>' in page
    refused = choose(browser, rider, "south", "drum-tower")
    assert (refused.status_code, "recognises 1 riders already" in refused.text) == (400, True)
    assert choose(browser, rider, "south").status_code == 303


def test_without_a_kept_template_there_is_nothing_to_give_to_stations(desk: Desk) -> None:
    rider = put_rider(desk, unit(1))
    pass_only(desk.enrollment, rider.rider_id, desk.now)
    browser = with_case(desk, rider)
    answer = choose_directly(browser, rider)
    assert (answer.status_code, "No template is kept" in answer.text) == (400, True)


def choose_directly(browser: FlaskClient, rider: Rider) -> Any:
    """Send the form although the page does not offer it."""
    record = f"/enrollment/riders/{rider.rider_id}"
    given = {**AGREED, "stations": ["south"]}
    return post(browser, f"{record}/stations", given, record)


def guardian_agreed(enrollment: Any, rider: Rider) -> None:
    """From now on the rider's consent is a guardian's."""
    with writing(enrollment.riders) as session:
        [kept] = session.exec(select(Consent).where(Consent.rider_id == rider.rider_id))
        kept.guardian = "Wei Rider"
        session.add(kept)


def test_for_a_child_the_desk_types_who_agrees_this_time(desk: Desk) -> None:
    rider = put_rider(desk, unit(1))
    guardian_agreed(desk.enrollment, rider)
    browser = with_case(desk, rider)
    page = browser.get(f"/enrollment/riders/{rider.rider_id}/stations").text
    assert 'name="guardian" value=""' in page and "Wei Rider" not in page
    for more in ({}, {"age_group": "under-14"}, {"age_group": "under-14", "guardian": " "}):
        answer = choose(browser, rider, "drum-tower", **more)
        assert (answer.status_code, "a parent or guardian agrees" in answer.text) == (400, True)
    assert stations_of(desk.enrollment, rider) == ("south",)
    again = {"age_group": "under-14", "guardian": "Mei Rider"}
    assert choose(browser, rider, "drum-tower", **again).status_code == 303
    assert consents_of(desk.enrollment, rider)[-1] == ("en-2", "staff-enroller", "Mei Rider")
    assert choose(browser, rider, "south", age_group="14-or-over").status_code == 303
    assert consents_of(desk.enrollment, rider)[-1] == ("en-2", "staff-enroller", None)
    page = browser.get(f"/enrollment/riders/{rider.rider_id}/stations").text
    assert 'name="age_group"' not in page


# ---- by the rider


def test_a_rider_changes_them_on_the_own_page_after_agreeing(city: City) -> None:
    rider = city.rider()
    client = city.signed_in(rider)
    assert "/me/stations" in client.get("/me/").text
    page = client.get("/me/stations").text
    assert 'value="south" checked' in page and "in the gates of the stations you choose" in page
    given = {**AGREED, "stations": ["drum-tower", "south"]}
    unread = rider_post(client, "/me/stations", {**given, "consent_given": ""})
    assert (unread.status_code, "without consent" in unread.text) == (400, True)
    assert rider_post(client, "/me/stations", given).location == "/me/"
    assert stations_of(city.enrollment, rider) == ("drum-tower", "south")
    assert consents_of(city.enrollment, rider)[-1] == ("en-2", BY_THE_RIDER, None)
    assert "Drum Tower" in client.get("/me/").text


def test_where_a_guardian_agreed_the_desk_has_to_ask_them_again(city: City) -> None:
    rider = city.rider()
    guardian_agreed(city.enrollment, rider)
    client = city.signed_in(rider)
    assert "come to the desk together" in client.get("/me/stations").text
    answer = rider_post(client, "/me/stations", {**AGREED, "stations": ["drum-tower"]})
    assert answer.status_code == 409
    assert stations_of(city.enrollment, rider) == ("south",)


def test_who_goes_by_pass_is_told_that_no_station_can_know_them(city: City) -> None:
    rider = city.rider(medium="pass")
    client = city.signed_in(rider)
    assert "/me/stations" not in client.get("/me/").text
    assert "no station can know you by face" in client.get("/me/stations").text
