"""Tables of enrollment's database: riders, their consent, their sealed templates.

Nothing of it is ever read by the ledger: the only word the two databases share is
``account_id``, a random number that says nothing about a person.
"""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import CheckConstraint, MetaData
from sqlmodel import Field, SQLModel

from models.tables.columns import UtcTime


class RidersTable(SQLModel):
    """Base of the riders database's tables."""

    metadata = MetaData()


class Rider(RidersTable, table=True):
    """A person who has enrolled. ``rider_id`` is the short reference that staff read aloud."""

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


class GalleryVersion(RidersTable, table=True):
    """One row: how often the galleries changed. A change moves it in its own transaction."""

    __table_args__ = (CheckConstraint("id = 1", name="one_gallery_version"),)

    id: int = Field(default=1, primary_key=True)
    version: int
