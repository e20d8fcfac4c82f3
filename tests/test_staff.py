"""Staff accounts: who may sign in, who may not, and what a refusal gives away."""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyotp
import pytest
from sqlmodel import select

from models.access.attempts import FAILURES_MAX, LOCKED_FOR
from models.access.sign_in import SignInRefused, _nobody_hash, sign_in
from models.access.staff import NewStaff, StaffError, StaffRegister, add_staff
from models.access.web import local_path
from models.database import open_sqlite, reading, writing
from models.tables.access import AccessTable, Staff
from tests.desk import PASSWORD, Desk, post
from tests.desk import sign_in as sign_in_page

NOW = datetime(2026, 11, 22, 8, 0, tzinfo=UTC)
STEP = timedelta(seconds=30)
HERE = "192.0.2.7"
KEY = bytes(range(32))


@pytest.fixture
def register(tmp_path: Path) -> Iterator[StaffRegister]:
    engine = open_sqlite(tmp_path / "access.sqlite", AccessTable.metadata, create=True)
    yield StaffRegister(engine, KEY)
    engine.dispose()


@pytest.fixture
def mei(register: StaffRegister) -> NewStaff:
    return add_staff(register, "mei", PASSWORD, ["enroller", "service"], NOW)


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    desk = Desk(tmp_path)
    yield desk
    desk.close()


def code(member: NewStaff, at: datetime) -> str:
    return pyotp.TOTP(member.totp_secret).at(at)


def test_password_and_code_sign_in_with_the_roles_given(
    register: StaffRegister, mei: NewStaff
) -> None:
    signed_in = sign_in(register, "mei", PASSWORD, code(mei, NOW), HERE, NOW)
    assert signed_in.name == "mei"
    assert signed_in.roles == {"enroller", "service"}


def test_the_provisioning_address_is_one_an_authenticator_app_reads(mei: NewStaff) -> None:
    read = pyotp.parse_uri(mei.provisioning_uri)
    assert isinstance(read, pyotp.TOTP)
    assert (read.name, read.issuer, read.secret) == ("mei", "Facefare", mei.totp_secret)


def test_the_database_holds_neither_password_nor_secret(
    register: StaffRegister, mei: NewStaff
) -> None:
    with reading(register.database) as session:
        stored = session.exec(select(Staff)).one()
    assert stored.password_hash is not None and stored.totp_sealed is not None
    assert stored.password_hash.startswith("$argon2id$")
    assert PASSWORD not in str(stored)
    assert mei.totp_secret.encode() not in stored.totp_sealed


@pytest.mark.parametrize("wrong", ["password", "code", "name", "empty", "letters"])
def test_every_wrong_sign_in_gets_the_same_sentence(
    register: StaffRegister, mei: NewStaff, wrong: str
) -> None:
    name, password, given = "mei", PASSWORD, code(mei, NOW)
    if wrong == "password":
        password = "another four quiet words"
    elif wrong == "name":
        name = "nobody"
    else:
        given = {"code": code(mei, NOW + 100 * STEP), "empty": "", "letters": "é²abc"}[wrong]
    with pytest.raises(SignInRefused) as refused:
        sign_in(register, name, password, given, HERE, NOW)
    assert str(refused.value) == str(SignInRefused())


def test_an_unknown_name_takes_about_as_long_as_a_wrong_password(
    passwords_as_shipped: None, register: StaffRegister
) -> None:
    _nobody_hash.cache_clear()  # other tests' is cheap
    add_staff(register, "mei", PASSWORD, ["enroller"], NOW)

    def seconds(name: str) -> float:
        start = time.process_time()  # of all threads, and not of what else the machine does
        with pytest.raises(SignInRefused):
            sign_in(register, name, "another four quiet words", "000000", HERE, NOW)
        return time.process_time() - start

    seconds("nobody")  # makes the hash that no password opens
    unknown = statistics.median(seconds("nobody") for _ in range(4))
    known = statistics.median(seconds("mei") for _ in range(4))
    assert unknown > known / 2


def test_a_code_is_good_once(register: StaffRegister, mei: NewStaff) -> None:
    sign_in(register, "mei", PASSWORD, code(mei, NOW), HERE, NOW)
    with pytest.raises(SignInRefused):
        sign_in(register, "mei", PASSWORD, code(mei, NOW), HERE, NOW + timedelta(seconds=5))
    assert sign_in(register, "mei", PASSWORD, code(mei, NOW + STEP), HERE, NOW + STEP).name == "mei"


def test_an_older_code_is_refused_after_a_newer_one(register: StaffRegister, mei: NewStaff) -> None:
    sign_in(register, "mei", PASSWORD, code(mei, NOW + STEP), HERE, NOW)
    with pytest.raises(SignInRefused):
        sign_in(register, "mei", PASSWORD, code(mei, NOW), HERE, NOW)


@pytest.mark.parametrize(("steps", "good"), [(-2, False), (-1, True), (1, True), (2, False)])
def test_a_code_may_be_one_step_off(
    register: StaffRegister, mei: NewStaff, steps: int, good: bool
) -> None:
    given = code(mei, NOW + steps * STEP)
    if good:
        assert sign_in(register, "mei", PASSWORD, given, HERE, NOW).name == "mei"
    else:
        with pytest.raises(SignInRefused):
            sign_in(register, "mei", PASSWORD, given, HERE, NOW)


def fail(register: StaffRegister, times: int, at: datetime = NOW) -> None:
    for _ in range(times):
        with pytest.raises(SignInRefused):
            sign_in(register, "mei", "wrong but long enough", "000000", HERE, at)


def test_five_failures_lock_the_account_for_a_minute_and_no_longer(
    register: StaffRegister, mei: NewStaff
) -> None:
    fail(register, FAILURES_MAX)
    early = NOW + LOCKED_FOR - timedelta(seconds=1)
    with pytest.raises(SignInRefused):
        sign_in(register, "mei", PASSWORD, code(mei, early), HERE, early)
    later = NOW + LOCKED_FOR
    assert sign_in(register, "mei", PASSWORD, code(mei, later), HERE, later).name == "mei"


def test_four_failures_do_not_lock_and_success_forgives_them(
    register: StaffRegister, mei: NewStaff
) -> None:
    fail(register, FAILURES_MAX - 1)
    sign_in(register, "mei", PASSWORD, code(mei, NOW), HERE, NOW)
    fail(register, FAILURES_MAX - 1, NOW + STEP)
    assert sign_in(register, "mei", PASSWORD, code(mei, NOW + STEP), HERE, NOW + STEP).name == "mei"


def test_the_right_password_with_wrong_codes_locks_too(
    register: StaffRegister, mei: NewStaff
) -> None:
    for _ in range(FAILURES_MAX):
        with pytest.raises(SignInRefused):
            sign_in(register, "mei", PASSWORD, "000000x", HERE, NOW)
    with pytest.raises(SignInRefused):
        sign_in(register, "mei", PASSWORD, code(mei, NOW), HERE, NOW)


def test_the_lock_is_in_the_database_and_survives_a_restart(tmp_path: Path) -> None:
    engine = open_sqlite(tmp_path / "access.sqlite", AccessTable.metadata, create=True)
    register = StaffRegister(engine, KEY)
    mei = add_staff(register, "mei", PASSWORD, ["admin"], NOW)
    fail(register, FAILURES_MAX)
    engine.dispose()
    reopened = open_sqlite(tmp_path / "access.sqlite", AccessTable.metadata)
    with pytest.raises(SignInRefused):
        sign_in(StaffRegister(reopened, KEY), "mei", PASSWORD, code(mei, NOW), HERE, NOW)
    reopened.dispose()


def test_failures_at_once_are_all_counted(register: StaffRegister, mei: NewStaff) -> None:
    with ThreadPoolExecutor(FAILURES_MAX) as pool:
        list(pool.map(lambda _: fail(register, 1), range(FAILURES_MAX)))
    with pytest.raises(SignInRefused):
        sign_in(register, "mei", PASSWORD, code(mei, NOW), HERE, NOW)


def test_a_code_sent_twice_at_once_signs_in_once(register: StaffRegister, mei: NewStaff) -> None:
    def attempt(_: int) -> bool:
        try:
            sign_in(register, "mei", PASSWORD, code(mei, NOW), HERE, NOW)
        except SignInRefused:
            return False
        return True

    with ThreadPoolExecutor(3) as pool:
        assert sorted(pool.map(attempt, range(3))) == [False, False, True]


def test_a_disabled_account_does_not_sign_in(register: StaffRegister, mei: NewStaff) -> None:
    with writing(register.database) as session:
        member = session.get(Staff, "mei")
        assert member is not None
        member.disabled_at = NOW
        session.add(member)
    with pytest.raises(SignInRefused):
        sign_in(register, "mei", PASSWORD, code(mei, NOW), HERE, NOW)


@pytest.mark.parametrize(
    ("name", "password", "roles", "sentence"),
    [
        ("li", "short", ["admin"], "12 to 256 characters"),
        ("li", "x" * 257, ["admin"], "12 to 256 characters"),
        ("mei-ling-chen", "Mei-Ling-Chen", ["admin"], "may not be the name"),
        ("Li Wei", PASSWORD, ["admin"], "cannot be a staff name"),
        ("", PASSWORD, ["admin"], "cannot be a staff name"),
        ("li", PASSWORD, ["root"], "root was given; the roles are"),
        ("li", PASSWORD, [], "no role was given"),
    ],
)
def test_an_account_that_would_be_weak_is_not_made(
    register: StaffRegister, name: str, password: str, roles: list[str], sentence: str
) -> None:
    with pytest.raises(StaffError, match=sentence):
        add_staff(register, name, password, roles, NOW)
    with reading(register.database) as session:
        assert session.exec(select(Staff)).all() == []


def test_a_name_is_given_once(register: StaffRegister, mei: NewStaff) -> None:
    with pytest.raises(StaffError, match="exists already"):
        add_staff(register, "mei", "five entirely other quiet words", ["admin"], NOW)
    assert sign_in(register, "mei", PASSWORD, code(mei, NOW), HERE, NOW).roles == {
        "enroller",
        "service",
    }


def test_the_page_signs_in_and_leads_to_where_one_wanted_to_go(desk: Desk) -> None:
    client = desk.app.test_client()
    wanted = client.get("/enrollment/?page=2")
    assert wanted.status_code == 302
    assert wanted.location == "/staff/sign-in?next=/enrollment/?page%3D2"
    answer = sign_in_page(client, desk.add_staff("mei", "enroller"), desk.now, next="/enrollment/")
    assert (answer.status_code, answer.location) == (303, "/enrollment/")
    assert client.get("/enrollment/").status_code == 200


def test_the_page_refuses_with_the_sentence_and_keeps_the_name(desk: Desk) -> None:
    client = desk.app.test_client()
    member = desk.add_staff("mei", "enroller")
    answer = sign_in_page(client, member, desk.now, password="wrong but long enough")
    assert answer.status_code == 401
    text = answer.get_data(as_text=True)
    assert 'role="alert">Sign-in refused' in text
    assert 'value="mei"' in text
    assert "wrong but long enough" not in text
    assert client.get("/enrollment/").status_code == 302


def test_signing_in_and_out_without_a_csrf_token_is_refused(desk: Desk) -> None:
    member = desk.add_staff("mei", "enroller")
    client = desk.app.test_client()
    given = {"name": "mei", "password": PASSWORD, "code": code(member, desk.now)}
    assert client.post("/staff/sign-in", data=given).status_code == 400
    assert client.get("/enrollment/").status_code == 302
    assert sign_in_page(client, member, desk.now).status_code == 303
    assert client.post("/staff/sign-out").status_code == 400
    assert client.get("/enrollment/").status_code == 200


def test_signing_out_ends_the_session(desk: Desk) -> None:
    client = desk.signed_in("enroller")
    assert post(client, "/staff/sign-out", {}, page="/enrollment/new").status_code == 303
    assert client.get("/enrollment/").status_code == 302


@pytest.mark.parametrize("roles", [("service",), ("finance",), ("auditor",)])
def test_staff_without_the_role_may_not_see_riders(desk: Desk, roles: tuple[str, ...]) -> None:
    client = desk.signed_in(*roles)
    for path in ("/enrollment/", "/enrollment/new", "/enrollment/riders/abc"):
        assert client.get(path).status_code == 403


@pytest.mark.parametrize(
    "target",
    [
        "https://elsewhere.example/",
        "//elsewhere.example/",
        "/\\elsewhere.example/",
        "/\t/elsewhere.example/",
        "/\n/elsewhere.example/",
        "\\\\elsewhere.example",
        "javascript:alert(1)",
        "elsewhere",
        "",
    ],
)
def test_no_sign_in_leads_to_another_server(desk: Desk, target: str) -> None:
    assert local_path(target) == "/"
    answer = sign_in_page(
        desk.app.test_client(), desk.add_staff("mei", "enroller"), desk.now, next=target
    )
    assert (answer.status_code, answer.location) == (303, "/")
