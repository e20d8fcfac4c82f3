"""Signing staff in, in tests: one member of staff, three addresses, right and wrong passwords."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pyotp
import pytest

from models.access.sign_in import SignInRefused, sign_in
from models.access.staff import NewStaff, StaffRegister
from tests.desk import PASSWORD

NOW = datetime(2026, 11, 22, 8, 0, tzinfo=UTC)
STEP = timedelta(seconds=30)
HERE, ELSEWHERE, NEW_PLACE = "192.0.2.7", "203.0.113.9", "198.51.100.4"
KEY = bytes(range(32))
WRONG = "wrong but long enough"


def code(member: NewStaff, at: datetime) -> str:
    """What the member's authenticator shows at a moment."""
    return pyotp.TOTP(member.totp_secret).at(at)


def fail(
    register: StaffRegister, where: str, at: datetime, times: int = 1, name: str = "mei"
) -> None:
    """Sign in with a wrong password, so many times."""
    for _ in range(times):
        with pytest.raises(SignInRefused):
            sign_in(register, name, WRONG, "000000", where, at)


def may_sign_in(register: StaffRegister, member: NewStaff, where: str, at: datetime) -> bool:
    """Whether the right password and code are taken."""
    try:
        sign_in(register, member.name, PASSWORD, code(member, at), where, at)
    except SignInRefused:
        return False
    return True
