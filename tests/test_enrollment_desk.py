"""What riders choose at the desk: a medium, stations, a PIN, and the texts they agree to."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from argon2 import PasswordHasher
from flask.testing import FlaskClient

from enrollment import hands_free
from enrollment.gallery import data_key_name, open_digits
from enrollment.media import active_pass
from enrollment.pins import is_usable_pin
from tests.desk import FIRST, FIRST_AGAIN, Desk, fields, photo, post, uploads
from tests.desk_forms import claims_of, code_on, consents, only_rider, send, templates
from tests.pass_riders import put_rider, unit


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    desk = Desk(tmp_path)
    yield desk
    desk.close()


@pytest.fixture
def browser(desk: Desk) -> FlaskClient:
    return desk.signed_in("enroller")


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
    "pin",
    [
        "111111",
        "123456",
        "987654",
        "121212",
        "123123",
        "890123",
        "112211",
        "12345",
        "abcdef",
        "1234",
        "0000",
        "112233",
        "123321",
        "147258",
        "850412",
        "120485",
        "041285",
        "198504",
        "041985",
        "19850412",
        "12041985",
    ],
)
def test_a_pin_that_is_tried_first_is_refused(pin: str) -> None:
    assert not is_usable_pin(pin)


def test_pins_that_differ_or_are_trivial_get_their_sentence(
    desk: Desk, browser: FlaskClient
) -> None:
    answer = send(browser, medium="pass", pin="284917", pin_again="284918")
    assert "The two PINs differ" in answer.text and "284917" not in answer.text
    assert "Choose another PIN" in send(browser, medium="pass", pin="123456").text
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


def test_consent_texts_can_be_printed_and_others_do_not_exist(desk: Desk) -> None:
    visitor = desk.app.test_client()
    for text_id in ("en-1", "en-2", "carried-zh-1", "pass-en-1"):
        assert visitor.get(f"/enrollment/consent/{text_id}").status_code == 200
    for text_id in ("en-9", "..%2Fstore", "en-2.txt"):
        assert visitor.get(f"/enrollment/consent/{text_id}").status_code == 404
