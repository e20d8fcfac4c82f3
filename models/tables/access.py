"""Tables of the access database: staff and their sessions, gates, used request ids."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import MetaData
from sqlmodel import Field, SQLModel

from models.database import SCHEMA_VERSION
from models.tables.columns import UtcTime


class AccessTable(SQLModel):
    """Base of the access database's tables."""

    metadata = MetaData(info={SCHEMA_VERSION: 2})


class Staff(AccessTable, table=True):
    """A person who works here. Without password and secret the account waits for its link.

    The password is an argon2id hash; the secret of the one-time codes is sealed under a key
    that is not in this database.
    """

    name: str = Field(primary_key=True)
    roles: str  # space-separated, from models.access.staff.ROLES
    password_hash: str | None = None
    totp_sealed: bytes | None = None
    last_totp_step: int = 0  # a one-time code is good once
    language: str | None = None
    created_at: datetime = Field(sa_type=UtcTime)
    disabled_at: datetime | None = Field(default=None, sa_type=UtcTime)


class Invitation(AccessTable, table=True):
    """The one-time link of an account that waits; only the hash of its token is here."""

    staff: str = Field(primary_key=True, foreign_key="staff.name")
    token_hash: str = Field(unique=True)
    totp_sealed: bytes  # the secret the page shows, the same as often as it is loaded
    expires_at: datetime = Field(sa_type=UtcTime)


class Introduction(AccessTable, table=True):
    """That ``by`` made or reset the account of ``staff``, and held its one-time link."""

    number: int | None = Field(default=None, primary_key=True)
    staff: str = Field(foreign_key="staff.name", index=True)
    by: str  # empty: somebody at the machine itself
    what: str  # invited | reset
    at: datetime = Field(sa_type=UtcTime)


class RecoveryCode(AccessTable, table=True):
    """A code that stands in for a lost authenticator, once; an argon2id hash."""

    staff: str = Field(primary_key=True, foreign_key="staff.name")
    number: int = Field(primary_key=True)
    code_hash: str
    used_at: datetime | None = Field(default=None, sa_type=UtcTime)


class StaffSession(AccessTable, table=True):
    """One browser in which a member of staff is signed in; deleting the row signs it out."""

    token_hash: str = Field(primary_key=True)
    staff: str = Field(foreign_key="staff.name", index=True)
    started_at: datetime = Field(sa_type=UtcTime)
    seen_at: datetime = Field(sa_type=UtcTime)
    confirmed_at: datetime = Field(sa_type=UtcTime)  # the newest one-time code


class SignInFailures(AccessTable, table=True):
    """How often signing in failed for one subject, and until when it has to wait."""

    subject: str = Field(primary_key=True)
    failures: int = 0
    locked_until: datetime | None = Field(default=None, sa_type=UtcTime)
    last_at: datetime = Field(sa_type=UtcTime, index=True)


class KnownAddress(AccessTable, table=True):
    """An address from which a member of staff has signed in."""

    staff: str = Field(primary_key=True, foreign_key="staff.name")
    address: str = Field(primary_key=True)
    seen_at: datetime = Field(sa_type=UtcTime)


class Gate(AccessTable, table=True):
    """A gate: first a name with a one-time code, then its public keys."""

    name: str = Field(primary_key=True)
    station: str
    direction: str
    code_hash: str | None = None
    code_expires_at: datetime | None = Field(default=None, sa_type=UtcTime)
    key_id: str | None = Field(default=None, unique=True)
    public_key: bytes | None = None  # Ed25519, raw
    box_key: bytes | None = None  # X25519, raw: the gallery is encrypted to it
    created_at: datetime = Field(sa_type=UtcTime)
    provisioned_at: datetime | None = Field(default=None, sa_type=UtcTime)
    revoked_at: datetime | None = Field(default=None, sa_type=UtcTime)


class UsedToken(AccessTable, table=True):
    """The id of a request token that was accepted once, kept until it has expired."""

    jti: str = Field(primary_key=True)
    expires: int = Field(index=True)
