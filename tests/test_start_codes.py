"""The start code: nobody is left without a way to their own pages, and nobody else gets in."""

from __future__ import annotations

import base64
import re
import zlib
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from enrollment.access_log import who_looked
from enrollment.rider_passkeys import passkeys_of
from enrollment.start_codes import GOOD_FOR, new_start_code, set_pin
from models.database import writing
from models.tables.riders import Passkey, Rider
from tests.riding import PIN, City, post, sign_in, staff_browser, text_of

OWN = "730598"


@pytest.fixture
def city(tmp_path: Path) -> Iterator[City]:
    made = City(tmp_path)
    yield made
    made.close()


@pytest.fixture
def rider(city: City) -> Rider:
    """A rider who typed no PIN at the desk."""
    made = city.rider()
    with writing(city.enrollment.riders) as session:
        row = session.get(Rider, made.rider_id)
        assert row is not None
        row.pin_hash = None
        session.add(row)
    return made


def start(
    client: FlaskClient, who: str, code: str, pin: str = OWN, again: str = ""
) -> TestResponse:
    given = {"who": who, "code": code, "pin": pin, "pin_again": again or pin}
    return post(client, "/me/start", given, page="/me/start")


def enroll(city: City, **changes: str) -> TestResponse:
    """A rider by pass, through the form."""
    given = {
        "name": "Ann Rider", "category": "adult", "language": "en", "age_group": "14-or-over",
        "medium": "pass", "consent_text": "pass-en-1", "consent_given": "yes", **changes,
    }  # fmt: skip
    return post(staff_browser(city, "enroller"), "/enrollment/new", given, "/enrollment/new")


def test_who_types_no_pin_at_the_desk_takes_home_a_code_that_opens_the_pages(city: City) -> None:
    page = enroll(city)
    assert page.status_code == 200
    [code] = re.findall(r'class="start-code">([^<]+)<', page.text)
    [reference] = re.findall(r"start-([0-9a-z]{10})\.pdf", page.text)
    assert page.text.count("application/pdf") == 2  # the pass, and the paper with the code
    client = city.browser()
    assert start(client, reference, code).location == "/me/"
    assert "Ann Rider" in client.get("/me/").text
    assert sign_in(city.browser(), reference, OWN).status_code == 303


def test_who_types_a_pin_needs_no_code(city: City) -> None:
    page = enroll(city, pin="284917", pin_again="284917")
    assert "start-code" not in page.text


def test_the_paper_says_where_to_go_who_one_is_and_the_code(city: City) -> None:
    page = enroll(city).text
    [code] = re.findall(r'class="start-code">([^<]+)<', page)
    sheet = page[page.index("Start code, good once") :]
    [uri] = re.findall(r"data:application/pdf;base64,([^\"]+)", sheet)
    printed = _text_of(base64.b64decode(uri))
    assert code in printed and "http://localhost/me/start" in printed


def _text_of(pdf: bytes) -> str:
    """The Latin words on a page of ours, which are written as two bytes a letter."""
    found = b""
    for stream in re.findall(rb"stream\r?\n(.*?)endstream", pdf, re.DOTALL):
        found += zlib.decompress(base64.a85decode(b"<~" + stream.strip(), adobe=True))
    return found.replace(b"\\000", b"").replace(b"\x00", b"").decode("latin-1")


@pytest.mark.parametrize("spelled", ["{code}", " {upper} ", "{joined}", "{spaced}"])
def test_a_code_may_be_spelled_as_people_do(city: City, rider: Rider, spelled: str) -> None:
    code = new_start_code(city.enrollment, rider.rider_id, city.clock()).code
    given = spelled.format(
        code=code, upper=code.upper(), joined=code.replace("-", ""), spaced=code.replace("-", " ")
    )
    assert start(city.browser(), rider.rider_id.upper(), given).status_code == 303


def test_a_code_is_good_once_and_for_two_weeks(city: City, rider: Rider) -> None:
    first = new_start_code(city.enrollment, rider.rider_id, city.clock()).code
    assert start(city.browser(), rider.rider_id, first).status_code == 303
    assert start(city.browser(), rider.rider_id, first, "918273").status_code == 401
    late = new_start_code(city.enrollment, rider.rider_id, city.clock()).code
    city.clock.now += GOOD_FOR + timedelta(seconds=1)
    answer = start(city.browser(), rider.rider_id, late)
    assert (answer.status_code, "older than two weeks" in answer.text) == (401, True)


def test_a_new_code_ends_the_pin_the_sessions_and_the_code_before(city: City) -> None:
    rider = city.rider()
    client = city.signed_in(rider)
    first = new_start_code(city.enrollment, rider.rider_id, city.clock()).code
    assert client.get("/me/").location == "/me/sign-in"
    assert sign_in(city.browser(), rider.rider_id, PIN).status_code == 401
    second = new_start_code(city.enrollment, rider.rider_id, city.clock()).code
    assert start(city.browser(), rider.rider_id, first).status_code == 401
    assert start(city.browser(), rider.rider_id, second).status_code == 303


@pytest.mark.parametrize(
    "reset",
    [
        lambda city, rider: set_pin(city.enrollment, rider.rider_id, OWN),
        lambda city, rider: new_start_code(city.enrollment, rider.rider_id, city.clock()),
    ],
)
def test_what_the_desk_gives_anew_ends_every_passkey_and_only_that_riders(
    city: City, reset: Callable[[City, Rider], object]
) -> None:
    rider, other = city.rider(), city.rider("Other Rider")
    with writing(city.enrollment.riders) as session:
        for number, owner in enumerate((rider, rider, other)):
            session.add(
                Passkey(credential_id=bytes([number]), rider_id=owner.rider_id, public_key=b"x",
                        sign_count=0, made_at=city.clock())
            )  # fmt: skip
    reset(city, rider)
    assert passkeys_of(city.enrollment, rider.rider_id) == []
    assert len(passkeys_of(city.enrollment, other.rider_id)) == 1


def test_another_riders_code_a_bad_pin_and_guesses_open_nothing(city: City, rider: Rider) -> None:
    other = city.rider("Other Rider")
    code = new_start_code(city.enrollment, rider.rider_id, city.clock()).code
    assert start(city.browser(), other.rider_id, code).status_code == 401
    weak = start(city.browser(), rider.rider_id, code, "123456")
    assert (weak.status_code, "Choose another PIN" in weak.text) == (400, True)
    differ = start(city.browser(), rider.rider_id, code, OWN, "730599")
    assert (differ.status_code, "two PINs differ" in differ.text) == (400, True)
    for _ in range(5):
        assert start(city.browser(), rider.rider_id, "aaaa-aaaa").status_code == 401
    assert start(city.browser(), rider.rider_id, code).status_code == 401  # has to wait
    city.clock.forward(seconds=61)
    assert start(city.browser(), rider.rider_id, code).status_code == 303


def test_the_desk_prints_a_new_one_after_a_reason(city: City) -> None:
    rider, browser = city.rider(), staff_browser(city, "enroller")
    record = f"/enrollment/riders/{rider.rider_id}"
    assert post(browser, f"{record}/start-code", {}, record).location == record  # no reason yet
    post(browser, f"{record}/open", {"reason": "lost", "note": ""}, record)
    page = post(browser, f"{record}/start-code", {}, record)
    [code] = re.findall(r'class="start-code">([^<]+)<', page.text)
    assert "The start code of rider" in text_of(page.text)
    looks = who_looked(city.enrollment.access_log, rider.rider_id)
    assert looks[0].page == "pin"
    assert "no PIN yet" in text_of(browser.get(record).text)
    assert start(city.browser(), rider.rider_id, code).status_code == 303


def test_nothing_of_the_code_lies_in_the_data(city: City, rider: Rider) -> None:
    code = new_start_code(city.enrollment, rider.rider_id, city.clock()).code
    stored = b"".join(file.read_bytes() for file in city.data.path.rglob("*") if file.is_file())
    assert code.encode() not in stored and code.replace("-", "").encode() not in stored
    assert "$argon2" in stored.decode("latin-1")
