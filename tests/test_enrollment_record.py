"""The buttons of a rider's record: passes, media, freezing, PINs, and the entries they write."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from flask.testing import FlaskClient
from sqlmodel import select
from werkzeug.test import TestResponse

from enrollment.access_log import who_looked
from enrollment.media import active_pass, last_guardian, pass_only
from enrollment.riders import find_rider, search_riders
from models.database import writing
from models.tables.riders import Template
from tests.desk import FIRST, FIRST_AGAIN, Desk, photo, post, uploads
from tests.desk_forms import act, claims_of, code_on, consents, only_rider, send, templates
from tests.pass_riders import put_rider, unit


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    desk = Desk(tmp_path)
    yield desk
    desk.close()


@pytest.fixture
def browser(desk: Desk) -> FlaskClient:
    return desk.signed_in("enroller")


def follow(browser: FlaskClient, answer: TestResponse) -> str:
    with browser.session_transaction() as held:
        said = " ".join(message for _kind, message in held.pop("_flashes", []))
    assert answer.status_code == 303
    return said


def test_the_buttons_of_a_record_write_their_access_entries(
    desk: Desk, browser: FlaskClient
) -> None:
    send(browser, FIRST)
    rider = only_rider(desk)
    issued = act(browser, rider.rider_id, "pass", replaces="")
    assert code_on(issued.text)
    held = active_pass(desk.enrollment, rider.rider_id)
    assert held is not None
    again = act(browser, rider.rider_id, "pass", replaces="")
    assert again.status_code == 303  # sent twice: nothing is replaced
    assert active_pass(desk.enrollment, rider.rider_id) == held
    act(browser, rider.rider_id, "revoke")
    assert active_pass(desk.enrollment, rider.rider_id) is None
    act(browser, rider.rider_id, "freeze")
    assert only_rider(desk).status == "frozen"
    assert "is frozen" in follow(browser, act(browser, rider.rider_id, "pass-only"))
    act(browser, rider.rider_id, "thaw")
    act(browser, rider.rider_id, "pin", pin="284917", pin_again="284917")
    assert only_rider(desk).pin_hash is not None
    pages = {look.page for look in who_looked(desk.enrollment.access_log, rider.rider_id)}
    assert pages == {"rider", "pass", "medium", "freeze", "pin"}
    assert act(browser, rider.rider_id, "erase").status_code == 303
    assert search_riders(desk.enrollment, "") == []


def test_without_an_open_case_nothing_is_done(desk: Desk, browser: FlaskClient) -> None:
    rider = put_rider(desk, unit(1))
    where = f"/enrollment/riders/{rider.rider_id}"
    for what in ("pass", "revoke", "pass-only", "photos", "freeze", "thaw", "pin", "erase"):
        answer = act(browser, rider.rider_id, what)
        assert (answer.status_code, answer.location) == (303, where), what
    found = find_rider(desk.enrollment, rider.rider_id)
    assert found is not None and (found.rider.status, found.rider.medium) == ("active", "face")
    assert who_looked(desk.enrollment.access_log, rider.rider_id) == []


def test_from_hands_free_to_the_pass_and_back_with_new_photos(
    desk: Desk, browser: FlaskClient
) -> None:
    send(browser, FIRST)
    rider = only_rider(desk)
    assert code_on(act(browser, rider.rider_id, "pass-only").text)
    assert (only_rider(desk).medium, templates(desk)) == ("pass", 0)
    assert consents(desk) == [("en-2", True)]
    given = {
        "medium": "face", "language": "en", "stations": ["drum-tower"],
        "consent_text": "en-2", "consent_given": "yes", "photos": uploads([photo(FIRST_AGAIN)]),
    }  # fmt: skip
    where = f"/enrollment/riders/{rider.rider_id}/photos"
    assert post(browser, where, given).status_code == 303
    found = find_rider(desk.enrollment, rider.rider_id)
    assert found is not None
    assert (found.rider.medium, found.station_names, templates(desk)) == (
        "face",
        ("drum-tower",),
        1,
    )
    assert consents(desk) == [("en-2", True), ("en-2", False)]


def test_a_kept_template_moves_into_the_pass_without_new_photos(
    desk: Desk, browser: FlaskClient
) -> None:
    send(browser, FIRST)
    rider = only_rider(desk)
    given = {
        "medium": "face+pass", "language": "en", "consent_text": "carried-en-1",
        "consent_given": "yes",
    }  # fmt: skip
    answer = post(browser, f"/enrollment/riders/{rider.rider_id}/photos", given)
    assert "face+pass" in claims_of(code_on(answer.text))
    assert (only_rider(desk).medium, templates(desk)) == ("face+pass", 0)
    assert consents(desk) == [("en-2", True), ("carried-en-1", False)]


def test_a_template_does_not_move_for_words_that_were_not_shown(
    desk: Desk, browser: FlaskClient
) -> None:
    send(browser, FIRST)
    rider = only_rider(desk)
    given = {"medium": "face+pass", "language": "en", "consent_given": "yes"}
    where = f"/enrollment/riders/{rider.rider_id}/photos"
    answer = post(browser, where, {**given, "consent_text": "carried-en-0"})
    assert (answer.status_code, "The consent text has changed" in answer.text) == (400, True)
    assert post(browser, where, given).status_code == 400
    assert (only_rider(desk).medium, templates(desk)) == ("face", 1)
    assert consents(desk) == [("en-2", False)]


@pytest.mark.parametrize(
    ("medium", "text_id", "photos"), [("face", "en-2", 1), ("face+pass", "carried-en-1", 0)]
)
def test_for_a_child_whoever_agrees_to_new_words_is_typed_anew(
    desk: Desk, browser: FlaskClient, medium: str, text_id: str, photos: int
) -> None:
    send(browser, FIRST, age_group="under-14", guardian="Wei Rider")
    rider = only_rider(desk)
    where = f"/enrollment/riders/{rider.rider_id}/photos"
    act(browser, rider.rider_id, "open", reason="other", note="")
    page = browser.get(where).text
    assert 'name="guardian" value=""' in page and "Wei Rider" not in page
    given = {
        "medium": medium, "language": "en", "stations": ["south"], "consent_text": text_id,
        "consent_given": "yes",
    }  # fmt: skip

    def sent(**more: str) -> TestResponse:
        again = uploads([photo(FIRST_AGAIN)] * photos)
        return post(browser, where, {**given, **more, "photos": again})

    for more in ({}, {"age_group": "under-14"}):
        answer = sent(**more)
        assert (answer.status_code, "a parent or guardian agrees" in answer.text) == (400, True)
    assert last_guardian(desk.enrollment, rider.rider_id) == "Wei Rider"
    sent(age_group="under-14", guardian="Mei Rider")
    assert only_rider(desk).medium == medium
    assert last_guardian(desk.enrollment, rider.rider_id) == "Mei Rider"


def test_riders_of_another_engine_are_listed_after_a_reason(
    desk: Desk, browser: FlaskClient
) -> None:
    assert "photographed anew" not in browser.get("/enrollment/").text
    rider = put_rider(desk, unit(1))
    put_rider(desk, None)
    with writing(desk.enrollment.riders) as session:
        kept = session.exec(select(Template)).one()
        kept.engine_id = "dlib-resnet-0"
        session.add(kept)
    page = browser.get("/enrollment/").text
    assert "1 hands-free rider has no template" in page and rider.rider_id not in page
    listed = post(browser, "/enrollment/renewals", {"reason": "check"}, "/enrollment/").text
    assert rider.rider_id in listed
    [look] = who_looked(desk.enrollment.access_log, rider.rider_id)
    assert (look.page, look.reason) == ("renewals", "check")


def test_pass_only_twice_issues_a_pass_each_time_and_keeps_nothing(desk: Desk) -> None:
    rider = put_rider(desk, unit(3))
    first = pass_only(desk.enrollment, rider.rider_id, desk.now)
    second = pass_only(desk.enrollment, rider.rider_id, desk.now)
    held = active_pass(desk.enrollment, rider.rider_id)
    assert held is not None and held.pass_id == second.pass_id != first.pass_id
    assert templates(desk) == 0
