"""One-time links and recovery codes: good once, and nothing of them lies in the clear."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import pyotp
import pytest
from sqlmodel import select

from models.access import recovery, totp
from models.access.invitations import (
    LINK_LIFETIME,
    InvitationRefused,
    accept_invitation,
    find_invitation,
    invite_staff,
    reset_staff,
)
from models.access.sign_in import SignInRefused, sign_in
from models.access.staff import (
    NewStaff,
    StaffError,
    StaffRegister,
    add_staff,
    change_roles,
    disable_staff,
    enable_staff,
)
from models.access.totp import StaffKeyMissing
from models.database import open_sqlite, reading, writing
from models.tables.access import (
    AccessTable,
    Invitation,
    RecoveryCode,
)
from models.vault import VaultError
from tests.desk import PASSWORD, Desk
from tests.signing_in import HERE, KEY, NOW, STEP, WRONG, code, may_sign_in


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


def test_a_copied_database_opens_no_secret(register: StaffRegister, mei: NewStaff) -> None:
    thief = StaffRegister(register.database, bytes(32))
    with pytest.raises(VaultError):
        sign_in(thief, "mei", PASSWORD, code(mei, NOW), HERE, NOW)


def test_one_accounts_secret_does_not_open_in_another() -> None:
    sealed = totp.seal_secret(KEY, "mei", "SECRET")
    assert totp.unseal_secret(KEY, "mei", sealed) == "SECRET"
    with pytest.raises(VaultError):
        totp.unseal_secret(KEY, "ann", sealed)


def test_a_missing_or_short_key_is_said(tmp_path: Path) -> None:
    with pytest.raises(StaffKeyMissing, match="cannot be read"):
        totp.read_key(tmp_path / "none")
    (tmp_path / "short").write_bytes(b"short")
    with pytest.raises(StaffKeyMissing, match="not 32 bytes"):
        totp.read_key(tmp_path / "short")


def with_codes(register: StaffRegister) -> tuple[str, ...]:
    drawn = recovery.draw_codes()
    with writing(register.database) as session:
        recovery.keep_codes(session, "mei", drawn)
    return drawn.codes


def test_a_recovery_code_stands_in_for_the_authenticator_once(
    register: StaffRegister, mei: NewStaff
) -> None:
    codes = with_codes(register)
    assert len(set(codes)) == recovery.CODES
    assert sign_in(register, "mei", PASSWORD, codes[3].upper(), HERE, NOW).name == "mei"
    with pytest.raises(SignInRefused):
        sign_in(register, "mei", PASSWORD, codes[3], HERE, NOW)
    assert sign_in(register, "mei", PASSWORD, codes[4].replace("-", " "), HERE, NOW).name == "mei"
    with reading(register.database) as session:
        assert recovery.codes_left(session, "mei") == recovery.CODES - 2
        stored = session.exec(select(RecoveryCode)).all()
    assert all(row.code_hash.startswith("$argon2id$") for row in stored)


def test_a_recovery_code_needs_the_password_and_its_own_number(
    register: StaffRegister, mei: NewStaff
) -> None:
    codes = with_codes(register)
    other_number = f"{(int(codes[3][0]) + 1) % 10}{codes[3][1:]}"
    for password, given in ((WRONG, codes[3]), (PASSWORD, other_number), (PASSWORD, "3")):
        with pytest.raises(SignInRefused):
            sign_in(register, "mei", password, given, HERE, NOW)
    assert sign_in(register, "mei", PASSWORD, codes[3], HERE, NOW).name == "mei"


def test_new_recovery_codes_void_the_old(register: StaffRegister, mei: NewStaff) -> None:
    old = with_codes(register)
    with_codes(register)
    with pytest.raises(SignInRefused):
        sign_in(register, "mei", PASSWORD, old[0], HERE, NOW)


def accept(register: StaffRegister, token: str, at: datetime) -> tuple[NewStaff, tuple[str, ...]]:
    invited = find_invitation(register, token, at)
    given = pyotp.TOTP(invited.totp_secret).at(at)
    codes = accept_invitation(register, token, PASSWORD, given, at)
    return NewStaff(invited.name, invited.totp_secret, invited.provisioning_uri), codes


def test_a_link_makes_an_account_ready_once(register: StaffRegister) -> None:
    token = invite_staff(register, "mei", ["service"], NOW)
    member, codes = accept(register, token, NOW)
    assert len(codes) == recovery.CODES
    assert may_sign_in(register, member, HERE, NOW + STEP)
    with pytest.raises(InvitationRefused):
        accept(register, token, NOW)


def test_the_code_that_set_the_account_up_signs_nobody_in(register: StaffRegister) -> None:
    member, _ = accept(register, invite_staff(register, "mei", ["service"], NOW), NOW)
    assert not may_sign_in(register, member, HERE, NOW)


def test_looking_at_a_link_does_not_spend_it(register: StaffRegister) -> None:
    token = invite_staff(register, "mei", ["service"], NOW)
    first, second = (find_invitation(register, token, NOW) for _ in range(2))
    assert first == second
    with reading(register.database) as session:
        stored = session.exec(select(Invitation)).one()
    assert token not in str(stored)


def test_a_link_expires(register: StaffRegister) -> None:
    token = invite_staff(register, "mei", ["service"], NOW)
    accept_late = NOW + LINK_LIFETIME + timedelta(seconds=1)
    with pytest.raises(InvitationRefused):
        accept(register, token, accept_late)
    with pytest.raises(InvitationRefused):
        find_invitation(register, token + "x", NOW)


def test_an_account_that_waits_for_its_link_does_not_sign_in(register: StaffRegister) -> None:
    token = invite_staff(register, "mei", ["service"], NOW)
    secret = find_invitation(register, token, NOW).totp_secret
    assert not may_sign_in(register, NewStaff("mei", secret, ""), HERE, NOW)


@pytest.mark.parametrize("fault", ["short", "code"])
def test_a_weak_password_or_an_authenticator_that_was_not_set_up_does_not_spend_the_link(
    register: StaffRegister, fault: str
) -> None:
    token = invite_staff(register, "mei", ["service"], NOW)
    given = pyotp.TOTP(find_invitation(register, token, NOW).totp_secret).at(NOW)
    password, given = ("short", given) if fault == "short" else (PASSWORD, "000000x")
    with pytest.raises(StaffError):
        accept_invitation(register, token, password, given, NOW)
    accept(register, token, NOW)


def test_a_reset_voids_everything_at_once(register: StaffRegister, mei: NewStaff) -> None:
    codes = with_codes(register)
    token = reset_staff(register, "mei", NOW)
    assert not may_sign_in(register, mei, HERE, NOW)
    with pytest.raises(SignInRefused):
        sign_in(register, "mei", PASSWORD, codes[0], HERE, NOW)
    renewed, _ = accept(register, token, NOW)
    assert renewed.totp_secret != mei.totp_secret
    assert may_sign_in(register, renewed, HERE, NOW + STEP)


def test_a_second_reset_voids_the_first_link(register: StaffRegister, mei: NewStaff) -> None:
    first = reset_staff(register, "mei", NOW)
    second = reset_staff(register, "mei", NOW)
    with pytest.raises(InvitationRefused):
        find_invitation(register, first, NOW)
    assert find_invitation(register, second, NOW).name == "mei"


def test_disabling_voids_a_waiting_link(register: StaffRegister) -> None:
    add_staff(register, "ann", PASSWORD, ["admin"], NOW)
    token = invite_staff(register, "mei", ["service"], NOW)
    disable_staff(register, "mei", NOW)
    with pytest.raises(InvitationRefused):
        find_invitation(register, token, NOW)


def test_the_last_admin_stays(register: StaffRegister, mei: NewStaff) -> None:
    add_staff(register, "ann", PASSWORD, ["admin"], NOW)
    with pytest.raises(StaffError, match="last admin"):
        disable_staff(register, "ann", NOW)
    with pytest.raises(StaffError, match="last admin"):
        change_roles(register, "ann", ["finance"])
    change_roles(register, "mei", ["admin"])
    disable_staff(register, "ann", NOW)
    enable_staff(register, "ann")


def test_an_admin_who_never_joined_does_not_count(register: StaffRegister) -> None:
    add_staff(register, "ann", PASSWORD, ["admin"], NOW)
    token = invite_staff(register, "new-one", ["admin"], NOW)
    for take_away in (
        lambda: disable_staff(register, "ann", NOW),
        lambda: change_roles(register, "ann", ["finance"]),
    ):
        with pytest.raises(StaffError, match="last admin who can sign in"):
            take_away()
    invited = find_invitation(register, token, NOW)
    code_now = pyotp.TOTP(invited.totp_secret).at(NOW)
    accept_invitation(register, token, PASSWORD, code_now, NOW)
    disable_staff(register, "ann", NOW)


def test_a_reset_may_leave_no_admin_who_can_sign_in_and_its_link_mends_it(
    register: StaffRegister,
) -> None:
    """The way back in for an only admin who lost the telephone: 'facefare staff reset'."""
    add_staff(register, "ann", PASSWORD, ["admin"], NOW)
    token = reset_staff(register, "ann", NOW)
    invited = find_invitation(register, token, NOW)
    code_now = pyotp.TOTP(invited.totp_secret).at(NOW)
    accept_invitation(register, token, PASSWORD, code_now, NOW)
    change_roles(register, "ann", ["admin", "finance"])
