"""The same person again and people who look alike: who decides, and what gates do then."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pyotp
import pytest
from flask.testing import FlaskClient

from enrollment import form_pages
from enrollment.access_log import who_looked
from enrollment.cases import Case, open_cases
from enrollment.likeness import LIMITS
from enrollment.riders import search_riders
from models.wire.gallery import GalleryRider, open_gallery
from tests.desk import FIRST, FIRST_AGAIN, OTHER, Desk, photo, post, sign_in, uploads
from tests.desk_forms import only_rider, send


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    desk = Desk(tmp_path)
    yield desk
    desk.close()


@pytest.fixture
def browser(desk: Desk) -> FlaskClient:
    return desk.signed_in("enroller")


def twin_form(page: str) -> dict[str, Any]:
    others = re.findall(r'name="other_than" value="([^"]+)"', page)
    return {"other_than": others, "is_other": "yes", "is_twin": "yes"}


def gallery(desk: Desk, name: str) -> dict[str, GalleryRider]:
    gate = desk.add_gate(name)
    answer = gate.get(desk.app.test_client(), "/api/v1/gallery")
    key = desk.enrollment.signing_key.public_key()
    opened = open_gallery(answer.data, gate.name, gate.box_key, key, 0)
    return {rider.account: rider for rider in opened.riders}


def test_a_twin_needs_a_second_member_of_staff_and_gates_then_ask_both(
    desk: Desk, browser: FlaskClient
) -> None:
    send(browser, FIRST)
    first = only_rider(desk)
    stopped = send(browser, FIRST_AGAIN, name="Ann Rider")
    assert stopped.status_code == 400
    assert "Lin Rider" in stopped.text and first.rider_id in stopped.text
    assert stopped.text.count("<img") == 1 and 'src="data:image/jpeg' in stopped.text
    assert "none is kept" in stopped.text
    alone = send(browser, FIRST_AGAIN, name="Ann Rider", **twin_form(stopped.text))
    assert (alone.status_code, len(search_riders(desk.enrollment, ""))) == (400, 1)

    helper = desk.add_staff("omar", "service")
    code = pyotp.TOTP(helper.totp_secret).at(desk.now)
    for second, given in (("omar", "000000"), ("staff-enroller", code), ("nobody", code)):
        wrong = {**twin_form(stopped.text), "second_name": second, "second_code": given}
        assert "Another member of staff" in send(browser, FIRST_AGAIN, name="Ann", **wrong).text
    both = {**twin_form(stopped.text), "second_name": "omar", "second_code": code}
    assert send(browser, FIRST_AGAIN, name="Ann Rider", **both).status_code == 303
    riders = [entry.rider for entry in search_riders(desk.enrollment, "")]
    assert [rider.look_alike for rider in riders] == [True, True]
    assert {rider.ask for rider in gallery(desk, "south-1").values()} == {True}
    notes = [look.note for look in who_looked(desk.enrollment.access_log, first.rider_id)]
    assert "+ omar" in notes


def test_a_photograph_finds_nobody_without_consent_and_no_rider_unseen(
    desk: Desk, browser: FlaskClient
) -> None:
    """What an enroller learns who tries the photograph of somebody they meet."""
    send(browser, FIRST)
    first, log = only_rider(desk), desk.enrollment.access_log
    told = send(browser, FIRST_AGAIN, name="Ann Rider", consent_given="no").text
    assert first.rider_id not in told and "Lin Rider" not in told and "looks like" not in told
    assert who_looked(log, first.rider_id) == []

    for times in (1, 2):  # with consent every answer that names a rider is one they can see
        assert first.rider_id in send(browser, FIRST_AGAIN, name="Ann Rider").text
        found = [look for look in who_looked(log, first.rider_id) if look.page == "enroll"]
        assert [look.staff for look in found] == ["staff-enroller"] * times


def test_after_many_riders_were_named_to_somebody_they_compare_no_more_faces_that_day(
    desk: Desk, browser: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(form_pages, "NAMED_A_DAY_MAX", 2)
    send(browser, FIRST)
    first, log = only_rider(desk), desk.enrollment.access_log
    curious, mine = desk.add_staff("mei", "enroller"), desk.app.test_client()
    sign_in(mine, curious, desk.now)
    for _time in range(2):
        assert first.rider_id in send(mine, FIRST_AGAIN, name="Ann Rider").text
    open_cases(desk.enrollment.riders, "mei", [first.rider_id], Case("change"), desk.now)
    again = f"/enrollment/riders/{first.rider_id}/photos"
    face = {"photos": uploads([photo(OTHER)]), "medium": "face"}
    for told in (send(mine, OTHER, name="Bo Rider"), post(mine, again, face, again)):
        assert told.status_code == 400
        assert "Within a day you were shown 2 riders" in told.text
    assert [look.page for look in who_looked(log, first.rider_id)].count("enroll") == 2
    assert only_rider(desk) == first

    assert first.rider_id in send(browser, FIRST_AGAIN, name="Ann Rider").text  # a colleague
    assert send(mine, name="Cy Rider", medium="pass").status_code == 200
    desk.now += timedelta(days=1, minutes=1)
    sign_in(mine, curious, desk.now)
    assert first.rider_id in send(mine, FIRST_AGAIN, name="Ann Rider").text


@pytest.mark.parametrize(("least", "flagged"), [(0.305, True), (2.0, False)])
def test_where_two_merely_look_alike_one_member_of_staff_decides(
    desk: Desk,
    browser: FlaskClient,
    monkeypatch: pytest.MonkeyPatch,
    least: float,
    flagged: bool,
) -> None:
    """The same two photos, with limits that make of them what their names say."""
    engine = "dlib-resnet-1"
    limits = replace(LIMITS[engine], look_alike_min=least, duplicate_min=2.0)
    monkeypatch.setitem(LIMITS, engine, limits)
    send(browser, FIRST)
    stopped = send(browser, FIRST_AGAIN, name="Ann Rider")
    assert (stopped.status_code, "Compare the two" in stopped.text) == (400, True)
    assert "second_code" not in stopped.text
    said = {**twin_form(stopped.text), "is_twin": ""}
    assert send(browser, FIRST_AGAIN, name="Ann Rider", **said).status_code == 303
    riders = [entry.rider for entry in search_riders(desk.enrollment, "")]
    assert [rider.look_alike for rider in riders] == [flagged, flagged]


def test_a_template_that_fits_many_people_is_refused(
    desk: Desk, browser: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = "dlib-resnet-1"
    monkeypatch.setitem(LIMITS, engine, replace(LIMITS[engine], typical=(0.0, 0.1)))
    answer = send(browser, FIRST, FIRST_AGAIN)
    assert (answer.status_code, "fits many people" in answer.text) == (400, True)
    assert desk.rows() == 0


def test_an_approval_holds_for_the_riders_that_were_shown_only(
    desk: Desk, browser: FlaskClient
) -> None:
    send(browser, FIRST)
    helper = desk.add_staff("omar", "admin")
    code = pyotp.TOTP(helper.totp_secret).at(desk.now)
    given = {
        "other_than": ["somebody"], "is_other": "yes", "second_name": "omar", "second_code": code,
    }  # fmt: skip
    assert send(browser, FIRST_AGAIN, name="Ann", **given).status_code == 400
    assert len(search_riders(desk.enrollment, "")) == 1


def test_an_ordinary_rider_is_not_asked_at_gates(desk: Desk, browser: FlaskClient) -> None:
    send(browser, FIRST)
    send(browser, OTHER, name="Ann Rider")
    assert [rider.ask for rider in gallery(desk, "south-1").values()] == [False, False]


def test_new_photos_that_are_somebody_elses_face_are_stopped(
    desk: Desk, browser: FlaskClient
) -> None:
    send(browser, FIRST)
    send(browser, OTHER, name="Ann Rider")
    ann = next(e.rider for e in search_riders(desk.enrollment, "Ann"))
    given = {
        "medium": "face", "language": "en", "stations": ["south"], "consent_text": "en-2",
        "consent_given": "yes", "photos": uploads([photo(FIRST_AGAIN)]),
    }  # fmt: skip
    answer = post(browser, f"/enrollment/riders/{ann.rider_id}/photos", given)
    assert (answer.status_code, "enrolled already" in answer.text) == (400, True)
    given["photos"] = uploads([photo(OTHER)])
    assert post(browser, f"/enrollment/riders/{ann.rider_id}/photos", given).status_code == 303
