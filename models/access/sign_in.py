"""Signing in: password (argon2id) and a one-time code, or a recovery code in its place.

A sign-in that fails says one sentence, whatever was wrong, and takes about as long for a
name that does not exist: nobody learns from it who works here. How often somebody may
guess is in ``models.access.attempts``.
"""

from __future__ import annotations

import secrets
from datetime import datetime
from functools import cache

from argon2 import PasswordHasher
from argon2.exceptions import VerifyMismatchError
from flask_babel import gettext as _
from sqlmodel import Session

from models.access import recovery, totp
from models.access.attempts import begin_attempt, forgive, network_of
from models.access.staff import (
    PASSWORD_CHARACTERS_MAX,
    SignedIn,
    StaffRegister,
    is_usable,
)
from models.database import reading, writing
from models.errors import FacefareError
from models.tables.access import RecoveryCode, Staff


class SignInRefused(FacefareError):
    """A sign-in that failed. The message is the same for every reason."""

    def __init__(self) -> None:
        super().__init__(
            _(
                "Sign-in refused: the name, the password or the one-time code is wrong. A code "
                "is good once; after five failures there is a wait that grows each time."
            )
        )


def sign_in(
    register: StaffRegister,
    name: str,
    password: str,
    code: str,
    address: str | None,
    now: datetime,
) -> SignedIn:
    """Check password and code; raise ``SignInRefused`` unless both are right.

    ``address`` is where the request comes from, as far as this server can know.
    """
    where = network_of(address)
    account = _begin(register, name, where, now)
    known_hash = None if account is None else account.password_hash
    matches = _password_matches(known_hash or _nobody_hash(), password)
    if account is None or not matches:
        raise SignInRefused
    return _check_code(register, account, code, where, now)


def confirm(
    register: StaffRegister, name: str, code: str, address: str | None, now: datetime
) -> SignedIn:
    """Ask a member of staff who is signed in for a fresh code, before something dangerous."""
    where = network_of(address)
    account = _begin(register, name, where, now)
    if account is None:
        raise SignInRefused
    return _check_code(register, account, code, where, now)


def _begin(register: StaffRegister, name: str, where: str, now: datetime) -> Staff | None:
    """Count one failure in advance; None for an account that may not try now."""
    with writing(register.database) as session:
        staff = session.get(Staff, name)
        may_try = begin_attempt(session, None if staff is None else name, where, now)
        return staff if staff is not None and may_try and is_usable(staff) else None


def _check_code(
    register: StaffRegister, account: Staff, code: str, where: str, now: datetime
) -> SignedIn:
    given = recovery.read_code(code)
    if given is not None:
        number, secret = given
        code_hash = _recovery_hash(register, account.name, number)
        if not recovery.matches(code_hash, secret):
            raise SignInRefused
        with writing(register.database) as session:
            if not recovery.spend_code(session, account.name, number, code_hash, now):
                raise SignInRefused
            return _succeed(session, account.name, where, now)
    sealed = account.totp_sealed
    assert sealed is not None  # is_usable has seen to it
    step = totp.matching_step(
        totp.unseal_secret(register.totp_key, account.name, sealed), code, now
    )
    if step is None:
        raise SignInRefused
    with writing(register.database) as session:
        staff = session.get(Staff, account.name)
        if staff is None or step <= staff.last_totp_step or staff.totp_sealed != sealed:
            raise SignInRefused
        staff.last_totp_step = step
        session.add(staff)
        return _succeed(session, account.name, where, now)


def _succeed(session: Session, name: str, where: str, now: datetime) -> SignedIn:
    """Forgive the failures, in the transaction that spends the code."""
    staff = session.get(Staff, name)
    if staff is None or not is_usable(staff):
        raise SignInRefused
    forgive(session, name, where, now)
    return SignedIn(staff.name, frozenset(staff.roles.split()), staff.language)


def _recovery_hash(register: StaffRegister, name: str, number: int) -> str:
    with reading(register.database) as session:
        row = session.get(RecoveryCode, (name, number))
        usable = row is not None and row.used_at is None
        return row.code_hash if row is not None and usable else _nobody_hash()


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
