"""Riders sign in to their own pages: with what, how often, and for how long."""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from sqlmodel import select
from werkzeug.test import TestResponse

from enrollment.pass_pictures import as_png
from enrollment.rider_sign_in import IDLE_MAX, LIFETIME_MAX, PIN_CHARACTERS_MAX
from models.access.attempts import ADDRESS_FAILURES_MAX
from models.access.sessions import begin_session
from models.access.staff import add_staff, new_account
from models.database import reading, writing
from models.tables.riders import PasskeyChallenge, Rider, RiderSession
from tests.desk import PASSWORD
from tests.riding import PIN, City, post, sign_in
from tests.signing_in import may_sign_in


@pytest.fixture
def city(tmp_path: Path) -> Iterator[City]:
    made = City(tmp_path)
    yield made
    made.close()


def test_the_pass_its_number_its_photo_and_the_reference_open_the_pages_with_the_pin(
    city: City,
) -> None:
    rider = city.rider()
    held = city.hold(rider)
    for who in (held.qr_text, held.pass_id, rider.rider_id, f" {rider.rider_id.upper()} "):
        client = city.browser()
        assert sign_in(client, who).location == "/me/"
        assert rider.name in client.get("/me/").text
    client = city.browser()
    photo = (io.BytesIO(as_png(held)), "pass.png")
    assert sign_in(client, "", photo=photo).status_code == 303
    assert rider.name in client.get("/me/").text


@pytest.mark.parametrize(
    "wrong",
    [
        lambda rider, held: (rider.rider_id, "111222"),
        lambda rider, held: (rider.rider_id, ""),
        lambda rider, held: (rider.rider_id, "9" * (PIN_CHARACTERS_MAX + 1000)),
        lambda rider, held: ("0000000000", PIN),
        lambda rider, held: ("", PIN),
        lambda rider, held: (held.qr_text[:-6] + "AAAAAA", PIN),
        lambda rider, held: (held.pass_id[:-1] + "!", PIN),
        lambda rider, held: (rider.account_id, PIN),
    ],
)
def test_anything_else_is_refused_in_the_same_words(
    city: City, wrong: Callable[..., tuple[str, str]]
) -> None:
    rider = city.rider()
    answer = sign_in(city.browser(), *wrong(rider, city.hold(rider)))
    assert answer.status_code == 401
    assert "the pass or the PIN is wrong" in answer.text


def test_a_rider_without_a_pin_cannot_sign_in(city: City) -> None:
    rider = city.rider()
    with writing(city.enrollment.riders) as session:
        row = session.get(Rider, rider.rider_id)
        assert row is not None
        row.pin_hash = None
        session.add(row)
    assert sign_in(city.browser(), rider.rider_id, "").status_code == 401
    assert sign_in(city.browser(), rider.rider_id).status_code == 401


def test_five_wrong_pins_make_the_right_one_wait_and_another_rider_does_not(city: City) -> None:
    rider, other = city.rider(), city.rider()
    for _ in range(5):
        assert sign_in(city.browser(), rider.rider_id, "111222").status_code == 401
    assert sign_in(city.browser(), rider.rider_id).status_code == 401
    assert sign_in(city.browser(), other.rider_id).status_code == 303
    city.clock.forward(seconds=61)
    assert sign_in(city.browser(), rider.rider_id).status_code == 303


def test_riders_who_mistype_at_one_address_keep_no_staff_waiting_there(city: City) -> None:
    member = add_staff(city.enrollment.staff, "mei", PASSWORD, ["enroller"], city.clock())
    rider = city.rider()
    for number in range(ADDRESS_FAILURES_MAX):
        assert sign_in(city.browser(), f"{number:010}").status_code == 401
    assert sign_in(city.browser(), rider.rider_id).status_code == 401
    assert may_sign_in(city.enrollment.staff, member, "127.0.0.1", city.clock())


def test_a_new_passkey_asks_for_the_pin(city: City) -> None:
    client = city.signed_in(city.rider())
    token = re.search(r'data-csrf="([^"]+)"', client.get("/me/passkeys").text)
    assert token is not None

    def ask(**given: str) -> TestResponse:
        return client.post("/me/passkeys/ask", json=given, headers={"X-CSRFToken": token[1]})

    for wrong in ({}, {"pin": "111222"}, {"pin": "\ud800"}):
        answer = ask(**wrong)
        assert (answer.status_code, "the PIN is wrong" in answer.json["problem"]) == (401, True)
    with reading(city.enrollment.riders) as session:
        assert session.exec(select(PasskeyChallenge)).all() == []
    assert ask(pin=PIN).json["challenge"]


def test_a_replaced_pass_opens_nothing_and_a_frozen_one_still_says_who(city: City) -> None:
    rider = city.rider()
    old, new = city.hold(rider), city.hold(rider)
    assert sign_in(city.browser(), old.qr_text).status_code == 401
    client = city.browser()
    assert sign_in(client, new.qr_text).status_code == 303
    assert post(client, "/me/freeze", {}).status_code == 303
    assert sign_in(city.browser(), new.qr_text).status_code == 303


def test_a_session_ends_when_idle_when_old_and_at_signing_out(city: City) -> None:
    rider = city.rider()
    client = city.signed_in(rider)
    city.clock.forward(seconds=IDLE_MAX.total_seconds() + 1)
    assert client.get("/me/").location == "/me/sign-in"
    client = city.signed_in(rider)
    for _ in range(int(LIFETIME_MAX / timedelta(minutes=25)) + 1):
        client.get("/me/")
        city.clock.forward(minutes=25)
    assert client.get("/me/").location == "/me/sign-in"
    client = city.signed_in(rider)
    assert post(client, "/me/sign-out", {}).status_code == 303
    assert client.get("/me/").location == "/me/sign-in"


def test_a_riders_session_opens_no_page_of_staff_and_a_staff_session_none_of_riders(
    city: City,
) -> None:
    client = city.signed_in(city.rider())
    assert client.get("/staff/account").location.startswith("/staff/sign-in")
    assert client.get("/finance/").location.startswith("/staff/sign-in")
    cookie = client.get_cookie("rider")
    assert cookie is not None
    staff = city.browser()
    with staff.session_transaction() as held:
        held["staff"] = cookie.value  # the token of a rider is no session of staff
    assert staff.get("/staff/account").location.startswith("/staff/sign-in")

    with writing(city.enrollment.access) as session:
        session.add(new_account("boss", ["admin"], city.clock()))
    token = begin_session(city.enrollment.access, "boss", city.clock())
    stranger = city.browser()
    stranger.set_cookie("rider", token)
    assert stranger.get("/me/").location == "/me/sign-in"


def test_the_cookie_is_out_of_reach_of_scripts_and_other_sites(city: City) -> None:
    answer = sign_in(city.browser(), city.rider().rider_id)
    cookie = next(line for line in answer.headers.getlist("Set-Cookie") if line.startswith("rider"))
    assert "HttpOnly" in cookie and "SameSite=Lax" in cookie


def test_sessions_of_other_browsers_stay_when_one_signs_out(city: City) -> None:
    rider = city.rider()
    one, two = city.signed_in(rider), city.signed_in(rider)
    post(one, "/me/sign-out", {})
    assert two.get("/me/").status_code == 200
    with reading(city.enrollment.riders) as session:
        assert len(session.exec(select(RiderSession)).all()) == 1
