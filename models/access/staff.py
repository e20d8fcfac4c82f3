"""Staff accounts: password (argon2id) and a one-time code (TOTP), with a lock after failures.

A sign-in that fails says one sentence, whatever was wrong, and takes about as long for a
name that does not exist: nobody learns from it who works here. Every attempt is counted
*before* the password is looked at and forgiven when it succeeds, so a thousand attempts
at once are still five.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache
from hmac import compare_digest

import pyotp
from argon2 import PasswordHasher
from argon2.exceptions import VerifyMismatchError
from sqlalchemy import Engine

from models.database import writing
from models.errors import FacefareError
from models.tables.access import Staff

ROLES = ("enroller", "service", "finance", "auditor", "admin")

FAILURES_MAX = 5
LOCKED_FOR = timedelta(seconds=60)
PASSWORD_CHARACTERS_MIN = 12
PASSWORD_CHARACTERS_MAX = 256

_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}")
_STEP_S = 30
_STEPS_OFF_MAX = 1  # how far a telephone's clock may be off, in steps of 30 s


class StaffError(FacefareError):
    """A staff account cannot be made as asked."""


class SignInRefused(FacefareError):
    """A sign-in that failed. The message is the same for every reason."""

    def __init__(self) -> None:
        super().__init__(
            "Sign-in refused: the name, the password or the one-time code is wrong. A code is "
            f"good once; after {FAILURES_MAX} failures an account waits "
            f"{LOCKED_FOR.seconds} seconds."
        )


@dataclass(frozen=True, slots=True)
class SignedIn:
    """A member of staff who has shown password and one-time code."""

    name: str
    roles: frozenset[str]


@dataclass(frozen=True, slots=True)
class NewStaff:
    """What the new member of staff must put into an authenticator app, shown once."""

    name: str
    totp_secret: str
    provisioning_uri: str


def add_staff(
    engine: Engine, name: str, password: str, roles: Iterable[str], now: datetime
) -> NewStaff:
    """Make an account. Raises ``StaffError`` for a bad name, weak password or unknown role."""
    wanted = sorted(set(roles))
    _check_new(name, password, wanted)
    secret = pyotp.random_base32()
    password_hash = PasswordHasher().hash(password)
    with writing(engine) as session:
        if session.get(Staff, name) is not None:
            raise StaffError(f"a member of staff named {name} exists already; choose another name")
        session.add(
            Staff(
                name=name,
                roles=" ".join(wanted),
                password_hash=password_hash,
                totp_secret=secret,
                created_at=now,
            )
        )
    uri = pyotp.TOTP(secret).provisioning_uri(name=name, issuer_name="Facefare")
    return NewStaff(name, secret, uri)


def _check_new(name: str, password: str, roles: list[str]) -> None:
    if not _NAME.fullmatch(name):
        raise StaffError(
            f"{name!r} cannot be a staff name; use small letters, digits, dot, dash or underscore"
        )
    unknown = [role for role in roles if role not in ROLES]
    if unknown or not roles:
        raise StaffError(
            f"{', '.join(unknown) or 'no role'} was given; the roles are {', '.join(ROLES)}"
        )
    if not PASSWORD_CHARACTERS_MIN <= len(password) <= PASSWORD_CHARACTERS_MAX:
        raise StaffError(
            f"a password has {PASSWORD_CHARACTERS_MIN} to {PASSWORD_CHARACTERS_MAX} characters; "
            "a few words in a row make a good one"
        )
    if password.strip().casefold() == name:
        raise StaffError("the password may not be the name")


def sign_in(engine: Engine, name: str, password: str, code: str, now: datetime) -> SignedIn:
    """Check password and one-time code; raise ``SignInRefused`` unless both are right."""
    account = _begin_attempt(engine, name, now)
    password_hash = _nobody_hash() if account is None else account.password_hash
    matches = _password_matches(password_hash, password)
    if account is None or not matches:
        raise SignInRefused
    step = _matching_step(account.totp_secret, code, now)
    if step is None:
        raise SignInRefused
    return _finish_attempt(engine, name, step)


def _begin_attempt(engine: Engine, name: str, now: datetime) -> Staff | None:
    """Count one failure in advance; None for an account that may not try now."""
    with writing(engine) as session:
        staff = session.get(Staff, name)
        if staff is None or staff.disabled_at is not None:
            return None
        if staff.locked_until is not None and now < staff.locked_until:
            return None
        staff.failures += 1
        if staff.failures >= FAILURES_MAX:
            staff.failures, staff.locked_until = 0, now + LOCKED_FOR
        session.add(staff)
        return staff


def _finish_attempt(engine: Engine, name: str, step: int) -> SignedIn:
    """Spend the one-time code and forgive the failures, in one transaction."""
    with writing(engine) as session:
        staff = session.get(Staff, name)
        if staff is None or staff.disabled_at is not None or step <= staff.last_totp_step:
            raise SignInRefused
        staff.last_totp_step = step
        staff.failures, staff.locked_until = 0, None
        session.add(staff)
        return SignedIn(staff.name, frozenset(staff.roles.split()))


def _password_matches(password_hash: str, password: str) -> bool:
    if len(password) > PASSWORD_CHARACTERS_MAX:
        password = ""  # no account has it; hashing a megabyte is work for nothing
    try:
        return PasswordHasher().verify(password_hash, password)
    except VerifyMismatchError:
        return False


@cache
def _nobody_hash() -> str:
    """A hash that no password opens, so that an unknown name costs the same time."""
    return PasswordHasher().hash(secrets.token_hex(32))


def _matching_step(secret: str, code: str, now: datetime) -> int | None:
    totp = pyotp.TOTP(secret, interval=_STEP_S)
    given = "".join(code.split()).encode()
    current = int(now.timestamp()) // _STEP_S
    for step in range(current - _STEPS_OFF_MAX, current + _STEPS_OFF_MAX + 1):
        if compare_digest(totp.generate_otp(step).encode(), given):
            return step
    return None
