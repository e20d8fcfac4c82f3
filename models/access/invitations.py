"""One-time links: a new or reset account sets its password and authenticator in a browser.

    https://SERVER/staff/join/<43 characters of base64url>

The link is good once and for a day. Opening it changes nothing: mail scanners open links.
Nobody but its owner ever sees the password, and the secret of the one-time codes is shown
on that page only.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from argon2 import PasswordHasher
from flask_babel import gettext as _
from sqlmodel import Session, select

from models.access import recovery, totp
from models.access.introductions import AT_THE_MACHINE, record_introduction
from models.access.staff import (
    StaffError,
    StaffRegister,
    account_named,
    check_password,
    new_account,
    refuse_known_name,
    void_credentials,
)
from models.database import reading, writing
from models.errors import FacefareError
from models.tables.access import Invitation, Staff

LINK_LIFETIME = timedelta(hours=24)


class InvitationRefused(FacefareError):
    """A one-time link that is unknown, spent or expired."""

    def __init__(self) -> None:
        super().__init__(_("This link is unknown, used or expired. Ask an admin for a new one."))


@dataclass(frozen=True, slots=True)
class Invited:
    """Whom a link is for, and what their authenticator app has to read."""

    name: str
    roles: tuple[str, ...]
    totp_secret: str
    provisioning_uri: str


def invite_staff(
    register: StaffRegister,
    name: str,
    roles: Iterable[str],
    now: datetime,
    by: str = AT_THE_MACHINE,
) -> str:
    """Make an account that waits for its owner; return the token of its one-time link.

    ``by`` is the admin who invites, who is remembered.
    """
    account = new_account(name, roles, now)
    with writing(register.database) as session:
        refuse_known_name(session, name)
        session.add(account)
        session.flush()
        record_introduction(session, name, by, "invited", now)
        return _new_link(register, session, name, now)


def reset_staff(register: StaffRegister, name: str, now: datetime, by: str = AT_THE_MACHINE) -> str:
    """Void password, authenticator and sessions of ``name``; return a new link's token.

    ``by`` is the admin who resets, who is remembered.
    """
    with writing(register.database) as session:
        staff = account_named(session, name)
        if staff.disabled_at is not None:
            raise StaffError(_("%(name)s is disabled; enable the account first", name=name))
        void_credentials(session, staff)
        record_introduction(session, name, by, "reset", now)
        return _new_link(register, session, name, now)


def join_path(token: str) -> str:
    """Where on the server the link leads."""
    return f"/staff/join/{token}"


def find_invitation(register: StaffRegister, token: str, now: datetime) -> Invited:
    """Whom the link is for; raise ``InvitationRefused`` where it is not good (any more)."""
    with reading(register.database) as session:
        return _invited(register, session, _usable(session, token, now))


def accept_invitation(
    register: StaffRegister, token: str, password: str, code: str, now: datetime
) -> tuple[str, ...]:
    """Set password and authenticator and spend the link; return the recovery codes.

    Raises ``StaffError`` for a weak password or a code that shows that the authenticator was
    not set up, ``InvitationRefused`` for a link that is not good.
    """
    invited = find_invitation(register, token, now)
    check_password(invited.name, password)
    step = totp.matching_step(invited.totp_secret, code, now)
    if step is None:
        raise StaffError(
            _("the one-time code does not fit: scan the picture again and type the code it shows")
        )
    password_hash, drawn = PasswordHasher().hash(password), recovery.draw_codes()
    with writing(register.database) as session:
        invitation = _usable(session, token, now)
        staff = account_named(session, invitation.staff)
        staff.password_hash = password_hash
        staff.totp_sealed, staff.last_totp_step = invitation.totp_sealed, step
        session.add(staff)
        session.delete(invitation)
        recovery.keep_codes(session, staff.name, drawn)
    return drawn.codes


def _new_link(register: StaffRegister, session: Session, name: str, now: datetime) -> str:
    token = secrets.token_urlsafe(32)
    old = session.get(Invitation, name)
    if old is not None:
        session.delete(old)
        session.flush()
    session.add(
        Invitation(
            staff=name,
            token_hash=_hash(token),
            totp_sealed=totp.seal_secret(register.totp_key, name, totp.new_secret()),
            expires_at=now + LINK_LIFETIME,
        )
    )
    return token


def _usable(session: Session, token: str, now: datetime) -> Invitation:
    found = session.exec(select(Invitation).where(Invitation.token_hash == _hash(token))).first()
    if found is None or now > found.expires_at:
        raise InvitationRefused
    return found


def _invited(register: StaffRegister, session: Session, invitation: Invitation) -> Invited:
    staff = session.get(Staff, invitation.staff)
    if staff is None or staff.disabled_at is not None:
        raise InvitationRefused
    secret = totp.unseal_secret(register.totp_key, staff.name, invitation.totp_sealed)
    uri = totp.provisioning_uri(staff.name, secret)
    return Invited(staff.name, tuple(staff.roles.split()), secret, uri)


def _hash(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()
