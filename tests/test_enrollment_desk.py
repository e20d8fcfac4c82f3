"""What staff do at the desk besides taking photos: media, passes, twins, PINs, full stations."""

from __future__ import annotations

import base64
import io
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyotp
import pytest
import zxingcpp
from argon2 import PasswordHasher
from flask.testing import FlaskClient
from PIL import Image
from sqlmodel import select
from werkzeug.test import TestResponse

from enrollment import hands_free
from enrollment.access_log import who_looked
from enrollment.consent_texts import current_consent
from enrollment.gallery import data_key_name, open_digits
from enrollment.likeness import LIMITS
from enrollment.media import active_pass, pass_only
from enrollment.pins import is_usable_pin
from enrollment.riders import find_rider, search_riders
from models.database import reading, writing
from models.tables.riders import Consent, Rider, Template
from models.wire.gallery import GalleryRider, open_gallery
from models.wire.pass_text import unpack_pass
from tests.desk import FIRST, FIRST_AGAIN, OTHER, Desk, fields, photo, post, uploads
from tests.pass_riders import put_rider, unit


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    desk = Desk(tmp_path)
    yield desk
    desk.close()


@pytest.fixture
def browser(desk: Desk) -> FlaskClient:
    return desk.signed_in("enroller")


def send(browser: FlaskClient, *photos: str, **changes: Any) -> TestResponse:
    given = {**fields(), **changes}
    medium = given.get("medium", "face")
    given["consent_text"] = current_consent("en", medium).text_id
    given["photos"] = uploads([photo(name) for name in photos])
    return post(browser, "/enrollment/new", given)


def only_rider(desk: Desk) -> Rider:
    [entry] = search_riders(desk.enrollment, "")
    return entry.rider


def code_on(page: str) -> str:
    """What a telephone reads off the picture on the page."""
    found = re.search(r'href="data:image/png;base64,([^"]+)"', page)
    assert found is not None, page
    picture = Image.open(io.BytesIO(base64.b64decode(found[1]))).convert("L")
    [code] = zxingcpp.read_barcodes(np.asarray(picture), formats=zxingcpp.BarcodeFormat.QRCode)
    return str(code.text)


def templates(desk: Desk) -> int:
    with reading(desk.enrollment.riders) as session:
        return len(session.exec(select(Template)).all())


def consents(desk: Desk) -> list[tuple[str, bool]]:
    with reading(desk.enrollment.riders) as session:
        return [(c.text_id, c.withdrawn_at is not None) for c in session.exec(select(Consent))]


def act(browser: FlaskClient, rider_id: str, what: str, **given: str) -> TestResponse:
    """Press a button of the rider's record."""
    return post(
        browser, f"/enrollment/riders/{rider_id}/{what}", given, f"/enrollment/riders/{rider_id}"
    )


def test_a_pass_needs_no_photo_and_no_consent_to_a_face(desk: Desk, browser: FlaskClient) -> None:
    page = browser.get("/enrollment/new?medium=pass").get_data(as_text=True)
    assert 'id="photos"' not in page and "<script" not in page and 'name="stations"' not in page
    assert "Nothing of your face" in page
    answer = send(browser, medium="pass")
    assert answer.status_code == 200
    assert "download=" in answer.text and "application/pdf" in answer.text
    rider = only_rider(desk)
    assert (rider.medium, templates(desk), consents(desk)) == (
        "pass", 0, [("pass-en-1", False)],
    )  # fmt: skip
    held = active_pass(desk.enrollment, rider.rider_id)
    assert held is not None and held.pass_id in claims_of(code_on(answer.text))


def claims_of(text: str) -> str:
    body = unpack_pass(text).split(".")[1]
    return base64.urlsafe_b64decode(body + "==").decode()


def test_a_face_in_the_pass_leaves_nothing_of_the_face_here(
    desk: Desk, browser: FlaskClient
) -> None:
    answer = send(browser, FIRST, FIRST_AGAIN, medium="face+pass")
    assert answer.status_code == 200
    assert "face+pass" in claims_of(code_on(answer.text))
    assert (only_rider(desk).medium, templates(desk)) == ("face+pass", 0)
    assert consents(desk) == [("carried-en-1", False)]


def test_the_text_of_another_medium_is_no_consent(desk: Desk, browser: FlaskClient) -> None:
    given = {**fields(), "medium": "face+pass", "photos": uploads([photo(FIRST)])}
    answer = post(browser, "/enrollment/new", given)
    assert (answer.status_code, "consent text has changed" in answer.text) == (400, True)
    assert desk.rows() == 0


def test_the_same_form_sent_twice_enrolls_once(desk: Desk, browser: FlaskClient) -> None:
    assert send(browser, medium="pass", form_id="0" * 32).status_code == 200
    rider = only_rider(desk)
    held = active_pass(desk.enrollment, rider.rider_id)
    again = send(browser, medium="pass", form_id="0" * 32)
    assert (again.status_code, again.location) == (303, f"/enrollment/riders/{rider.rider_id}")
    assert only_rider(desk).rider_id == rider.rider_id
    assert active_pass(desk.enrollment, rider.rider_id) == held


def test_digits_are_sealed_and_the_pin_is_hashed(desk: Desk, browser: FlaskClient) -> None:
    send(browser, medium="pass", phone_digits="4711", pin="284917", pin_again="284917")
    rider = only_rider(desk)
    key = desk.enrollment.vault.key(data_key_name(rider.rider_id))
    assert open_digits(key, rider.phone_digits, rider.account_id) == "4711"
    assert rider.pin_hash is not None and rider.pin_hash.startswith("$argon2id$")
    assert PasswordHasher().verify(rider.pin_hash, "284917")
    stored = b"".join(path.read_bytes() for path in desk.data.path.rglob("*") if path.is_file())
    assert b"284917" not in stored


@pytest.mark.parametrize(
    "pin", ["111111", "123456", "987654", "121212", "123123", "890123", "112211", "12345", "abcdef"]
)
def test_a_pin_that_is_tried_first_is_refused(pin: str) -> None:
    assert not is_usable_pin(pin)


def test_pins_that_differ_or_are_trivial_get_their_sentence(
    desk: Desk, browser: FlaskClient
) -> None:
    answer = send(browser, medium="pass", pin="284917", pin_again="284918")
    assert "The two PINs differ" in answer.text and "284917" not in answer.text
    assert "choose another PIN" in send(browser, medium="pass", pin="123456").text
    assert (
        "last four digits of the telephone" in send(browser, medium="pass", phone_digits="1").text
    )
    assert desk.rows() == 0


def test_a_reduced_fare_needs_somebody_who_saw_the_evidence(
    desk: Desk, browser: FlaskClient
) -> None:
    answer = send(browser, medium="pass", category="student")
    assert "Look at the evidence" in answer.text
    send(browser, medium="pass", category="student", evidence_checked="yes")
    assert only_rider(desk).evidence_by == "staff-enroller"


def test_a_child_needs_a_guardian_for_a_pass_too(desk: Desk, browser: FlaskClient) -> None:
    answer = send(browser, medium="pass", age_group="under-14")
    assert "parent or guardian agrees" in answer.text
    assert send(browser, medium="pass", age_group="under-14", guardian="Wei").status_code == 200


def test_a_full_station_says_so_and_offers_the_pass(
    desk: Desk, browser: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert hands_free.riders_max("dlib-resnet-1") >= 1000
    monkeypatch.setattr(hands_free, "riders_max", lambda engine_id: 2)
    monkeypatch.setattr("enrollment.form_pages.riders_max", lambda engine_id: 2)
    for seed in range(2):
        put_rider(desk, unit(seed))
    page = browser.get("/enrollment/new").get_data(as_text=True)
    assert 'value="south" disabled' in page
    assert "full: its gates can tell 2 faces apart" in page
    answer = send(browser, FIRST, stations=["south", "drum-tower"])
    assert "South Gate recognises 2 riders already" in answer.text
    assert send(browser, FIRST, stations=["drum-tower"]).status_code == 303


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


def follow(browser: FlaskClient, answer: TestResponse) -> str:
    with browser.session_transaction() as held:
        said = " ".join(message for _kind, message in held.pop("_flashes", []))
    assert answer.status_code == 303
    return said


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


def test_consent_texts_can_be_printed_and_others_do_not_exist(desk: Desk) -> None:
    visitor = desk.app.test_client()
    for text_id in ("en-1", "en-2", "carried-zh-1", "pass-en-1"):
        assert visitor.get(f"/enrollment/consent/{text_id}").status_code == 200
    for text_id in ("en-9", "..%2Fstore", "en-2.txt"):
        assert visitor.get(f"/enrollment/consent/{text_id}").status_code == 404
