"""Tables of enrollment's database: riders, their consent, their sealed templates.

Nothing of it is ever read by the ledger: the only word the two databases share is
``account_id``, a random number that says nothing about a person.
"""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import CheckConstraint, Index, MetaData, text
from sqlmodel import Field, SQLModel

from models.database import SCHEMA_VERSION
from models.tables.columns import UtcTime


class RidersTable(SQLModel):
    """Base of the riders database's tables."""

    metadata = MetaData(info={SCHEMA_VERSION: 3})


class Rider(RidersTable, table=True):
    """A person who has enrolled. ``rider_id`` is the short reference that staff read aloud.

    ``phone_digits`` are the last four of the telephone number, sealed under the rider's data
    key: a gate that is not sure may ask for them. A ``look_alike`` is asked every time.
    """

    __table_args__ = (
        CheckConstraint("medium IN ('face', 'face+pass', 'pass')", name="rider_medium"),
        CheckConstraint("status IN ('active', 'frozen', 'left')", name="rider_status"),
    )

    rider_id: str = Field(primary_key=True)
    account_id: str = Field(unique=True, min_length=32, max_length=32)  # 128 random bits, hex
    name: str
    category: str
    language: str
    medium: str
    status: str
    created_at: datetime = Field(sa_type=UtcTime)
    phone_digits: bytes | None = None
    pin_hash: str | None = None  # argon2id: opens the rider's own pages
    evidence_by: str | None = None  # who saw why a reduced fare is due; no copy is kept
    look_alike: bool = False


class Consent(RidersTable, table=True):
    """What a rider agreed to, in which words, before whom; never changed, only withdrawn."""

    consent_id: int | None = Field(default=None, primary_key=True)
    rider_id: str = Field(foreign_key="rider.rider_id", index=True)
    text_id: str  # which text, as "en-1"
    text_sha256: str  # and its exact words
    language: str
    given_at: datetime = Field(sa_type=UtcTime)
    staff: str
    guardian: str | None = None  # who agreed for a rider under 14
    withdrawn_at: datetime | None = Field(default=None, sa_type=UtcTime)


class Template(RidersTable, table=True):
    """A rider's template for one engine, sealed under the rider's own data key."""

    rider_id: str = Field(primary_key=True, foreign_key="rider.rider_id")
    engine_id: str = Field(primary_key=True)
    sealed: bytes
    images: int  # photos it was made from; the photos themselves are not kept
    created_at: datetime = Field(sa_type=UtcTime)
    quality_note: str


class RiderStation(RidersTable, table=True):
    """One of a rider's own stations: hands-free works there and nowhere else."""

    rider_id: str = Field(primary_key=True, foreign_key="rider.rider_id")
    station: str = Field(primary_key=True, index=True)


class Pass(RidersTable, table=True):
    """A QR pass that was issued; the pass itself is in the rider's hands alone.

    A revoked pass is told to the gates until it expires. Erasing the rider leaves its
    number, which is random, and takes the reference to the rider away.
    """

    __tablename__ = "pass"
    __table_args__ = (
        CheckConstraint("medium IN ('face+pass', 'pass')", name="pass_medium"),
        CheckConstraint("(revoked_at IS NULL) = (reason IS NULL)", name="pass_reason"),
        CheckConstraint("rider_id IS NOT NULL OR revoked_at IS NOT NULL", name="pass_of_nobody"),
        # One pass at a time: whoever finds the old one finds nothing that opens a gate.
        Index("one_pass_per_rider", "rider_id", unique=True,
              sqlite_where=text("revoked_at IS NULL")),
    )  # fmt: skip

    pass_id: str = Field(primary_key=True)
    rider_id: str | None = Field(default=None, foreign_key="rider.rider_id", index=True)
    medium: str
    issued_at: datetime = Field(sa_type=UtcTime)
    expires_at: datetime = Field(sa_type=UtcTime)
    revoked_at: datetime | None = Field(default=None, sa_type=UtcTime)
    reason: str | None = None  # replaced | lost | frozen | changed | erased


class PassKey(RidersTable, table=True):
    """A key that signs passes. A retired one is trusted until its last pass has expired."""

    __tablename__ = "pass_key"

    key_id: str = Field(primary_key=True)
    public_key: bytes  # Ed25519, raw
    sealed: bytes | None  # the private half, under a data key of the vault; None once retired
    made_at: datetime = Field(sa_type=UtcTime)
    trusted_until: datetime | None = Field(default=None, sa_type=UtcTime)


class GalleryVersion(RidersTable, table=True):
    """How often the gallery of a station changed; ``*`` counts what concerns every station.

    A change moves it in its own transaction. A gate's version is the sum of its station's
    and the common count: both only grow, so it does. The empty name counts all changes.
    """

    station: str = Field(primary_key=True)
    version: int


class RiderSession(RidersTable, table=True):
    """One browser in which a rider is signed in to their own pages; never a session of staff."""

    __tablename__ = "rider_session"

    token_hash: str = Field(primary_key=True)
    rider_id: str = Field(foreign_key="rider.rider_id", index=True, ondelete="CASCADE")
    started_at: datetime = Field(sa_type=UtcTime)
    seen_at: datetime = Field(sa_type=UtcTime)


class StartCode(RidersTable, table=True):
    """A code on a rider's paper, good once, with which they choose their PIN at home."""

    __tablename__ = "start_code"

    rider_id: str = Field(primary_key=True, foreign_key="rider.rider_id", ondelete="CASCADE")
    code_hash: str  # argon2id
    until: datetime = Field(sa_type=UtcTime, index=True)


class Passkey(RidersTable, table=True):
    """A rider's passkey (WebAuthn): the public half; the private one never leaves the phone."""

    __tablename__ = "passkey"

    credential_id: bytes = Field(primary_key=True)
    rider_id: str = Field(foreign_key="rider.rider_id", index=True, ondelete="CASCADE")
    public_key: bytes  # COSE
    sign_count: int
    made_at: datetime = Field(sa_type=UtcTime)
    used_at: datetime | None = Field(default=None, sa_type=UtcTime)


class PasskeyChallenge(RidersTable, table=True):
    """A challenge that a passkey has to sign, good once; ``rider_id`` to make a new passkey."""

    __tablename__ = "passkey_challenge"

    challenge: bytes = Field(primary_key=True)
    rider_id: str | None = Field(default=None, foreign_key="rider.rider_id", ondelete="CASCADE")
    until: datetime = Field(sa_type=UtcTime, index=True)
