"""Staff accounts: who works here, in which roles, and whether the account may be used.

An account waits until its owner opens a one-time link and sets a password and an
authenticator there (``models.access.invitations``); how they then sign in is in
``models.access.sign_in``. Whatever takes trust away (disabling, a reset, other roles) ends
the account's sessions in the same transaction.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from argon2 import PasswordHasher
from flask_babel import gettext as _
from sqlalchemy import Engine
from sqlmodel import Session, col, delete, select

from models.access import totp
from models.access.attempts import forget_account
from models.database import open_sqlite, reading, writing
from models.errors import FacefareError
from models.settings import DataDirectory
from models.tables.access import (
    AccessTable,
    Invitation,
    RecoveryCode,
    Staff,
    StaffSession,
)

ROLES = ("enroller", "service", "finance", "auditor", "admin")
PASSWORD_CHARACTERS_MIN = 12
PASSWORD_CHARACTERS_MAX = 256

_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}")


class StaffError(FacefareError):
    """A staff account cannot be made or changed as asked."""


@dataclass(frozen=True, slots=True)
class StaffRegister:
    """The staff accounts: their database, and the key that seals one-time-code secrets."""

    database: Engine
    totp_key: bytes

    @classmethod
    def open(cls, data: DataDirectory) -> StaffRegister:
        """Open what ``facefare init`` made."""
        return cls(open_sqlite(data.access_db, AccessTable.metadata), totp.read_key(data.staff_key))


@dataclass(frozen=True, slots=True)
class SignedIn:
    """A member of staff who has shown password and one-time code."""

    name: str
    roles: frozenset[str]
    language: str | None = None


@dataclass(frozen=True, slots=True)
class NewStaff:
    """What the new member of staff must put into an authenticator app, shown once."""

    name: str
    totp_secret: str
    provisioning_uri: str


def add_staff(
    register: StaffRegister, name: str, password: str, roles: Iterable[str], now: datetime
) -> NewStaff:
    """Make an account that may sign in at once, for machines that set up other machines.

    Raises ``StaffError`` for a bad name, weak password or unknown role.
    """
    account = new_account(name, roles, now)
    check_password(name, password)
    secret = totp.new_secret()
    account.password_hash = PasswordHasher().hash(password)
    account.totp_sealed = totp.seal_secret(register.totp_key, name, secret)
    with writing(register.database) as session:
        refuse_known_name(session, name)
        session.add(account)
    return NewStaff(name, secret, totp.provisioning_uri(name, secret))


def new_account(name: str, roles: Iterable[str], now: datetime) -> Staff:
    """An account that nobody can use yet; raise ``StaffError`` for a bad name or role."""
    if not _NAME.fullmatch(name):
        raise StaffError(
            _(
                "%(name)r cannot be a staff name; use small letters, digits, dot, dash or "
                "underscore",
                name=name,
            )
        )
    return Staff(name=name, roles=_checked_roles(roles), created_at=now)


def _checked_roles(roles: Iterable[str]) -> str:
    wanted = sorted(set(roles))
    unknown = [role for role in wanted if role not in ROLES]
    if unknown or not wanted:
        raise StaffError(
            _(
                "%(given)s was given; the roles are %(roles)s",
                given=", ".join(unknown) or _("no role"),
                roles=", ".join(ROLES),
            )
        )
    return " ".join(wanted)


def check_password(name: str, password: str) -> None:
    """Raise ``StaffError`` for a password that is too short, too long or the name."""
    if not PASSWORD_CHARACTERS_MIN <= len(password) <= PASSWORD_CHARACTERS_MAX:
        raise StaffError(
            _(
                "a password has %(min)s to %(max)s characters; a few words in a row make a good "
                "one",
                min=PASSWORD_CHARACTERS_MIN,
                max=PASSWORD_CHARACTERS_MAX,
            )
        )
    if password.strip().casefold() == name:
        raise StaffError(_("the password may not be the name"))


def refuse_known_name(session: Session, name: str) -> None:
    """Raise ``StaffError`` where the name is taken."""
    if session.get(Staff, name) is not None:
        raise StaffError(
            _("a member of staff named %(name)s exists already; choose another name", name=name)
        )


def is_usable(staff: Staff) -> bool:
    """Whether this account can sign in: set up by its owner, and not disabled."""
    return (
        staff.disabled_at is None
        and staff.password_hash is not None
        and staff.totp_sealed is not None
    )


def list_staff(register: StaffRegister) -> list[Staff]:
    """All accounts by name."""
    with reading(register.database) as session:
        return list(session.exec(select(Staff).order_by(Staff.name)))


def account_named(session: Session, name: str) -> Staff:
    """The account called ``name``; raise ``StaffError`` where there is none."""
    staff = session.get(Staff, name)
    if staff is None:
        raise StaffError(_("there is no member of staff named %(name)s", name=name))
    return staff


def disable_staff(register: StaffRegister, name: str, now: datetime) -> None:
    """Let ``name`` sign in no more, and end what is signed in now."""
    with writing(register.database) as session:
        staff = account_named(session, name)
        staff.disabled_at = now
        session.add(staff)
        session.exec(delete(Invitation).where(col(Invitation.staff) == name))
        end_sessions_of(session, name)
        _refuse_no_admin(session)


def enable_staff(register: StaffRegister, name: str) -> None:
    """Let a disabled account sign in again, as it was."""
    with writing(register.database) as session:
        staff = account_named(session, name)
        staff.disabled_at = None
        session.add(staff)


def change_roles(register: StaffRegister, name: str, roles: Iterable[str]) -> None:
    """Give ``name`` exactly these roles; they sign in anew to use them."""
    wanted = _checked_roles(roles)
    with writing(register.database) as session:
        staff = account_named(session, name)
        staff.roles = wanted
        session.add(staff)
        end_sessions_of(session, name)
        _refuse_no_admin(session)


def choose_language(register: StaffRegister, name: str, language: str) -> None:
    """Remember the language in which ``name`` reads the pages."""
    with writing(register.database) as session:
        staff = account_named(session, name)
        staff.language = language
        session.add(staff)


def void_credentials(session: Session, staff: Staff) -> None:
    """Password, authenticator, recovery codes and sessions of ``staff`` are good no more."""
    staff.password_hash = staff.totp_sealed = None
    session.add(staff)
    session.exec(delete(RecoveryCode).where(col(RecoveryCode.staff) == staff.name))
    forget_account(session, staff.name)
    end_sessions_of(session, staff.name)


def end_sessions_of(session: Session, name: str) -> None:
    """Sign ``name`` out everywhere."""
    session.exec(delete(StaffSession).where(col(StaffSession.staff) == name))


def _refuse_no_admin(session: Session) -> None:
    """Undo, by raising, a change after which nobody could undo it.

    An admin who has not used the one-time link yet does not count: links expire.
    """
    session.flush()
    everybody = session.exec(select(Staff))
    if not any(is_usable(staff) and "admin" in staff.roles.split() for staff in everybody):
        raise StaffError(
            _(
                "the last admin who can sign in cannot be taken away; make another admin first, "
                "and let them set up their account"
            )
        )
