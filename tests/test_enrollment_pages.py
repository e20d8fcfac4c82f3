"""The enrollment desk's pages, as a browser without JavaScript uses them."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from enrollment.access_log import who_looked
from enrollment.photos import PHOTO_BYTES_MAX
from enrollment.riders import search_riders
from enrollment.templating import PHOTOS_MAX
from tests.desk import FIRST, FIRST_AGAIN, OTHER, TWO_PEOPLE, Desk, fields, photo, post, uploads


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    desk = Desk(tmp_path)
    yield desk
    desk.close()


@pytest.fixture
def browser(desk: Desk) -> FlaskClient:
    return desk.signed_in("enroller")


def send(browser: FlaskClient, *photos: bytes, **changes: Any) -> TestResponse:
    given = {**fields(), "photos": uploads(photos), **changes}
    return post(browser, "/enrollment/new", given)


def test_a_visitor_is_asked_to_sign_in(desk: Desk) -> None:
    visitor = desk.app.test_client()
    for path in ("/enrollment/", "/enrollment/new", "/enrollment/riders/abc"):
        answer = visitor.get(path)
        assert answer.status_code == 302
        assert answer.location.startswith("/staff/sign-in?next=/enrollment/")


def test_the_form_shows_the_consent_text_with_its_version(browser: FlaskClient) -> None:
    page = browser.get("/enrollment/new").get_data(as_text=True)
    assert "Consent, version en-2" in page
    assert "Your face is never the only way through" in page
    assert "Test Metro" in page
    assert 'value="south"' in page
    assert "Drum Tower" in page
    assert re.findall("<script[^>]*>", page) == [
        '<script src="/enrollment/static/capture.js" defer>'
    ]


def test_enrolling_leads_to_a_page_that_says_what_was_kept(
    desk: Desk, browser: FlaskClient
) -> None:
    answer = send(browser, photo(FIRST), photo(FIRST_AGAIN), stations=["south", "drum-tower"])
    [entry] = search_riders(desk.enrollment, "")
    assert answer.status_code == 303
    assert answer.location == f"/enrollment/riders/{entry.rider.rider_id}"
    page = browser.get(answer.location).get_data(as_text=True)
    assert "Lin Rider" in page
    assert desk.opened[0] in page
    assert "A template for the engine dlib-resnet-1, encrypted" in page
    assert "Consent to the text en-2, given before staff-enroller" in page
    assert "2 photos. The template was computed from them" in page
    assert "Drum Tower, South Gate" in page


def find(browser: FlaskClient, words: str, reason: str = "question", note: str = "") -> str:
    given = {"words": words, "reason": reason, "note": note}
    return post(browser, "/enrollment/", given).get_data(as_text=True)


def test_a_search_names_riders_and_shows_no_picture(desk: Desk, browser: FlaskClient) -> None:
    assert "Nobody was found." in find(browser, "rider")
    send(browser, photo(FIRST))
    desk.now += timedelta(minutes=1)
    send(browser, photo(OTHER), name="Ann Rider", stations=["drum-tower"])
    assert "Lin Rider" not in browser.get("/enrollment/").get_data(as_text=True)
    page = find(browser, "rider")
    assert page.index("Ann Rider") < page.index("Lin Rider")
    assert "Drum Tower" in page
    assert "<img" not in page


def test_an_unknown_rider_is_not_found(browser: FlaskClient) -> None:
    assert browser.get("/enrollment/riders/abc").status_code == 404


def test_a_fault_shows_the_form_again_with_the_sentence_and_the_fields(
    desk: Desk, browser: FlaskClient
) -> None:
    answer = send(
        browser, photo(TWO_PEOPLE), name="Lin <b>Rider", category="senior", guardian="Wei"
    )
    page = answer.get_data(as_text=True)
    assert answer.status_code == 400
    assert 'class="problem" role="alert">Write the rider' in page
    assert 'value="Lin &lt;b&gt;Rider"' in page
    assert '<option value="senior" selected>' in page
    assert 'value="Wei"' in page
    assert 'value="south" checked' in page
    assert 'value="14-or-over" required checked' in page
    assert desk.rows() == 0


def test_each_faulty_photo_gets_its_sentence(desk: Desk, browser: FlaskClient) -> None:
    answer = send(browser, photo(FIRST), photo(TWO_PEOPLE), b"no picture")
    page = answer.get_data(as_text=True)
    assert answer.status_code == 400
    assert page.count('role="alert"') == 2
    assert "Photo 2 cannot be used: 2 faces are in it" in page
    assert "Photo 3 cannot be used: it is not a JPEG, PNG or WebP picture" in page
    assert (desk.rows(), desk.data_keys(), desk.opened) == (0, [], [])


def test_without_a_photo_or_without_consent_nothing_happens(
    desk: Desk, browser: FlaskClient
) -> None:
    answer = send(browser)
    assert (answer.status_code, "Choose one to 8 photos" in answer.text) == (400, True)
    answer = send(browser, photo(FIRST), consent_given="")
    assert (answer.status_code, "Nothing can be taken without consent" in answer.text) == (
        400,
        True,
    )
    assert desk.rows() == 0


def test_an_empty_form_names_every_field(browser: FlaskClient) -> None:
    answer = post(browser, "/enrollment/new", {})
    assert answer.status_code == 400
    assert answer.text.count('role="alert"') == 7


def test_a_form_without_a_csrf_token_is_refused(desk: Desk, browser: FlaskClient) -> None:
    given = {**fields(), "photos": uploads([photo(FIRST)])}
    assert browser.post("/enrollment/new", data=given).status_code == 400
    assert desk.rows() == 0


def test_a_second_click_does_not_enroll_twice(desk: Desk, browser: FlaskClient) -> None:
    assert send(browser, photo(FIRST)).status_code == 303
    answer = send(browser, photo(FIRST))
    assert (answer.status_code, "enrolled already" in answer.text) == (400, True)
    [entry] = search_riders(desk.enrollment, "")
    [look] = who_looked(desk.enrollment.access_log, entry.rider.rider_id)
    assert (look.staff, look.page, look.reason) == ("staff-enroller", "enroll", "duplicate")


def test_an_upload_never_touches_a_disk(
    desk: Desk, browser: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_file(*_: object, **__: object) -> None:
        raise AssertionError("a temporary file was made")

    for maker in ("TemporaryFile", "SpooledTemporaryFile", "NamedTemporaryFile", "mkstemp"):
        monkeypatch.setattr(tempfile, maker, no_file)
    monkeypatch.setattr("werkzeug.formparser.SpooledTemporaryFile", no_file)
    large = photo(FIRST) + bytes(3_000_000)
    assert send(browser, large).status_code == 303


def test_a_photo_above_the_limit_is_refused_by_name(browser: FlaskClient) -> None:
    answer = send(browser, photo(FIRST) + bytes(PHOTO_BYTES_MAX))
    assert answer.status_code == 400
    assert "Photo 1 cannot be used: it is larger than 12 MB" in answer.text


def test_a_request_above_all_limits_is_cut_off(desk: Desk, browser: FlaskClient) -> None:
    body = b"x" * (PHOTOS_MAX * PHOTO_BYTES_MAX + 200_000)
    answer = browser.post("/enrollment/new", data=body, content_type="multipart/form-data")
    assert answer.status_code == 413
    assert desk.rows() == 0
