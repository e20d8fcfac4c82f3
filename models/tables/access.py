"""Tables of the access database: staff, gates, used request ids."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import MetaData
from sqlmodel import Field, SQLModel

from models.tables.columns import UtcTime


class AccessTable(SQLModel):
    """Base of the access database's tables."""

    metadata = MetaData()


class Staff(AccessTable, table=True):
    """A person who works here. The password is an argon2id hash, never the password."""

    name: str = Field(primary_key=True)
    roles: str  # space-separated, from models.access.staff.ROLES
    password_hash: str
    totp_secret: str
    last_totp_step: int = 0  # a one-time code is good once
    failures: int = 0
    locked_until: datetime | None = Field(default=None, sa_type=UtcTime)
    created_at: datetime = Field(sa_type=UtcTime)
    disabled_at: datetime | None = Field(default=None, sa_type=UtcTime)


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
