"""Sessions of staff end when they must; the pages where admins take and give trust."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyotp
import pytest
from click.testing import CliRunner
from flask.testing import FlaskClient
from sqlmodel import select
from werkzeug.test import TestResponse

from facefare.setup import init
from models.access import recovery, totp
from models.access.attempts import (
    FAILURES_MAX,
)
from models.access.invitations import (
    find_invitation,
    reset_staff,
)
from models.access.sessions import CONFIRMED_FOR, IDLE_MAX, LIFETIME_MAX
from models.access.sign_in import SignInRefused, confirm
from models.access.staff import (
    NewStaff,
    StaffError,
    StaffRegister,
    add_staff,
    change_roles,
    disable_staff,
)
from models.database import open_sqlite, reading
from models.settings import DataDirectory
from models.tables.access import (
    AccessTable,
    Staff,
    StaffSession,
)
from tests.desk import PASSWORD, Desk, post
from tests.desk import sign_in as sign_in_page
from tests.signing_in import HERE, KEY, NOW, STEP, WRONG, code


@pytest.fixture
def register(tmp_path: Path) -> Iterator[StaffRegister]:
    engine = open_sqlite(tmp_path / "access.sqlite", AccessTable.metadata, create=True)
    yield StaffRegister(engine, KEY)
    engine.dispose()


@pytest.fixture
def mei(register: StaffRegister) -> NewStaff:
    return add_staff(register, "mei", PASSWORD, ["enroller"], NOW)


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    desk = Desk(tmp_path)
    yield desk
    desk.close()


def is_signed_in(client: FlaskClient) -> bool:
    return client.get("/staff/account").status_code == 200


def test_a_session_ends_after_half_an_hour_of_doing_nothing(desk: Desk) -> None:
    client = desk.signed_in("enroller")
    for _ in range(3):
        desk.now += IDLE_MAX - timedelta(minutes=1)
        assert is_signed_in(client)
    desk.now += IDLE_MAX + timedelta(seconds=1)
    assert not is_signed_in(client)


def test_a_session_ends_after_twelve_hours_however_busy(desk: Desk) -> None:
    client = desk.signed_in("enroller")
    busy_until = desk.now + LIFETIME_MAX
    while desk.now < busy_until:
        assert is_signed_in(client)
        desk.now += timedelta(minutes=20)
    desk.now = busy_until + timedelta(seconds=1)
    assert not is_signed_in(client)


def stolen(client: FlaskClient, desk: Desk) -> FlaskClient:
    """Another browser that holds a copy of the cookie."""
    cookie = client.get_cookie("session")
    assert cookie is not None
    thief = desk.app.test_client()
    thief.set_cookie("session", cookie.value)
    return thief


def test_a_copied_cookie_is_worth_nothing_after_signing_out(desk: Desk) -> None:
    client = desk.signed_in("enroller")
    thief = stolen(client, desk)
    assert is_signed_in(thief)
    post(client, "/staff/sign-out", {}, page="/staff/account")
    assert not is_signed_in(thief)
    assert not is_signed_in(client)


@pytest.mark.parametrize("change", ["disable", "reset", "roles"])
def test_taking_trust_away_ends_every_session_at_once(desk: Desk, change: str) -> None:
    desk.add_staff("ann", "admin")
    client = desk.signed_in("enroller")
    register = desk.enrollment.staff
    if change == "disable":
        disable_staff(register, "staff-enroller", desk.now)
    elif change == "reset":
        reset_staff(register, "staff-enroller", desk.now)
    else:
        change_roles(register, "staff-enroller", ["service"])
    assert not is_signed_in(client)


def test_signing_in_again_makes_a_new_session_and_ends_the_old(desk: Desk) -> None:
    member = desk.add_staff("mei", "enroller")
    client = desk.app.test_client()
    assert sign_in_page(client, member, desk.now).status_code == 303
    old = stolen(client, desk)
    desk.now += STEP
    assert sign_in_page(client, member, desk.now).status_code == 303
    assert is_signed_in(client)
    assert not is_signed_in(old)


def test_a_session_that_was_planted_before_signing_in_is_not_the_one_signed_in(
    desk: Desk,
) -> None:
    client = desk.app.test_client()
    client.get("/staff/sign-in")
    planted = stolen(client, desk)
    assert sign_in_page(client, desk.add_staff("mei", "enroller"), desk.now).status_code == 303
    assert is_signed_in(client)
    assert not is_signed_in(planted)


def test_the_database_holds_no_session_token(desk: Desk) -> None:
    client = desk.signed_in("enroller")
    with client.session_transaction() as held:
        token = held["staff"]
    with reading(desk.enrollment.access) as session:
        assert session.exec(select(StaffSession)).one().token_hash != token


def test_signing_out_everywhere_ends_the_other_browsers(desk: Desk) -> None:
    member = desk.add_staff("mei", "enroller")
    one, two = desk.app.test_client(), desk.app.test_client()
    sign_in_page(one, member, desk.now)
    desk.now += STEP
    sign_in_page(two, member, desk.now)
    post(two, "/staff/account/sign-out-everywhere", {}, page="/staff/account")
    assert not is_signed_in(one)
    assert not is_signed_in(two)


def link_of(answer: TestResponse) -> str:
    found = re.search(r"<code>http://localhost(/staff/join/[^<]+)</code>", answer.text)
    assert found is not None
    return found[1]


def test_an_admin_invites_somebody_who_sets_up_the_account_in_the_browser(desk: Desk) -> None:
    admin = desk.signed_in("admin")
    answer = post(admin, "/staff/", {"name": "mei", "roles": ["enroller", "service"]})
    path = link_of(answer)
    newcomer = desk.app.test_client()
    page = newcomer.get(path).text
    assert '<img class="qr" src="data:image/svg+xml' in page
    secret = re.search(r"<code>([A-Z2-7]{32})</code>", page)
    assert secret is not None
    given = pyotp.TOTP(secret[1]).at(desk.now)
    different = {"password": PASSWORD, "again": WRONG, "code": given}
    assert post(newcomer, path, different).status_code == 400
    done = post(newcomer, path, {"password": PASSWORD, "again": PASSWORD, "code": given})
    assert len(re.findall(r"<code>[0-9]-", done.text)) == recovery.CODES
    assert newcomer.get(path).status_code == 400
    desk.now += STEP
    member = NewStaff("mei", secret[1], "")
    assert sign_in_page(newcomer, member, desk.now).status_code == 303


def test_a_change_of_staff_asks_for_a_fresh_code(desk: Desk) -> None:
    desk.add_staff("mei", "enroller")
    admin = desk.signed_in("admin")
    desk.now += CONFIRMED_FOR + timedelta(seconds=1)
    refused = post(admin, "/staff/members/mei/disable", {}, page="/staff/")
    assert (refused.status_code, refused.location) == (303, "/staff/confirm?next=/staff/")
    assert "may sign in" in admin.get("/staff/").text
    with reading(desk.enrollment.access) as session:
        sealed = session.get(Staff, "staff-admin")
        assert sealed is not None and sealed.totp_sealed is not None
        secret = totp.unseal_secret(
            desk.enrollment.staff.totp_key, "staff-admin", sealed.totp_sealed
        )
    wrong = post(admin, "/staff/confirm", {"code": "000000x", "next": "/staff/"})
    assert wrong.status_code == 401
    right = {"code": pyotp.TOTP(secret).at(desk.now), "next": "/staff/"}
    assert post(admin, "/staff/confirm", right).location == "/staff/"
    assert post(admin, "/staff/members/mei/disable", {}, page="/staff/").status_code == 303
    assert "disabled" in admin.get("/staff/").text


def test_confirming_has_to_wait_after_failures_too(register: StaffRegister, mei: NewStaff) -> None:
    for _ in range(FAILURES_MAX):
        with pytest.raises(SignInRefused):
            confirm(register, "mei", "000000x", HERE, NOW)
    with pytest.raises(SignInRefused):
        confirm(register, "mei", code(mei, NOW), HERE, NOW)


def test_an_admin_changes_resets_enables_and_revokes(desk: Desk) -> None:
    desk.add_staff("mei", "enroller")
    desk.add_gate("south-1")
    admin = desk.signed_in("admin")

    def change(path: str, page: str = "/staff/", **given: object) -> TestResponse:
        return post(admin, path, dict(given), page=page)

    assert change("/staff/members/mei/roles", roles=["finance"]).status_code == 303
    assert change("/staff/members/mei/roles", roles=["root"]).status_code == 400
    assert change("/staff/members/mei/disable").status_code == 303
    assert change("/staff/members/mei/reset").status_code == 400
    assert change("/staff/members/mei/enable").status_code == 303
    assert link_of(change("/staff/members/mei/reset"))
    assert change("/staff/members/nobody/disable").status_code == 400
    assert change("/staff/members/staff-admin/disable").status_code == 400
    assert change("/staff/gates/south-1/revoke", page="/staff/gates").status_code == 303
    assert "revoked" in admin.get("/staff/gates").text
    assert change("/staff/gates/nothing/revoke", page="/staff/").status_code == 400


def test_new_recovery_codes_are_shown_on_the_account_page(desk: Desk) -> None:
    client = desk.signed_in("enroller")
    made = post(client, "/staff/account/recovery-codes", {}, page="/staff/account")
    assert len(re.findall(r"<code>[0-9]-", made.text)) == recovery.CODES
    assert "<dd>10</dd>" in client.get("/staff/account").text


def test_init_prints_the_first_admins_link(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    result = CliRunner().invoke(
        init, ["--data", str(folder), "--admin", "ada", "--server", "https://transit.example/"]
    )
    link = result.output.split()[-1]
    assert link.startswith("https://transit.example/staff/join/")
    register = StaffRegister.open(DataDirectory(folder))
    invited = find_invitation(register, link.rpartition("/")[2], datetime.now(UTC))
    assert (invited.name, invited.roles) == ("ada", ("admin",))
    register.database.dispose()


def test_init_makes_nothing_for_a_name_that_cannot_be_used(tmp_path: Path) -> None:
    result = CliRunner().invoke(init, ["--data", str(tmp_path / "data"), "--admin", "Ada L"])
    assert isinstance(result.exception, StaffError)
    assert not (tmp_path / "data").exists()
