"""Tables of the access log: who looked at which rider, when and why.

They lie in the riders database. ``access_entry.body`` holds an entry's exact bytes; the
columns beside it lead from a rider to the entries and are emptied when the rider is erased.
"""

from __future__ import annotations

from datetime import datetime

from sqlmodel import Field

from models.tables.columns import UtcTime
from models.tables.riders import RidersTable


class AccessEntry(RidersTable, table=True):
    """One look at one rider's record. ``peaks`` are the tree's peaks after this entry."""

    __tablename__ = "access_entry"

    seq: int = Field(primary_key=True)
    body: bytes
    leaf_hash: bytes = Field(unique=True)
    peaks: bytes
    rider_id: str | None = Field(default=None, index=True)
    note: str | None = None  # what the member of staff wrote; the body commits to it


class OpenCase(RidersTable, table=True):
    """Why a member of staff may look at a rider just now."""

    __tablename__ = "open_case"

    staff: str = Field(primary_key=True)
    rider_id: str = Field(primary_key=True, foreign_key="rider.rider_id", ondelete="CASCADE")
    reason: str
    note: str
    until: datetime = Field(sa_type=UtcTime)
